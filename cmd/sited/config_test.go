package main_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"sited/rig"
)

// TestConfigurationAtWork is about what the configuration says and visitors see.
func TestConfigurationAtWork(t *testing.T) {
	t.Parallel()
	f := newFolder(t, "one", "two", "three", "four")
	f.Write("content/one/a.html", "index of one")
	f.Write("content/one/b.html", "never shown")
	f.Write("content/two/b.html", "index of two")
	f.Write("content/three/index.html", "index of three")
	f.Write("index-name", "b.html")
	f.Write("conf/10-shared.hcl", f.Fill(`
admin {
  @admin
}
locals {
  content = env("CONTENT", "nowhere")
  upper   = upper("${local.content}")
}
defaults {
  methods = ["GET", "OPTIONS"]
  limits { max_uri = "1KiB" }
  logs { failed = "" }
}`))
	f.Write("conf/20-sites.hcl", f.Fill(`
site "one" {
  @one
  root  = "../${local.content}/one"
  index = ["a.html", "b.html"]
  hosts = ["one.example", "*.one.example"]
}
site "two" {
  @two
  root    = "../${lower(local.upper)}/two"
  index   = ["a.html", file("../index-name")]
  methods = ["GET", "HEAD", "OPTIONS"]
  limits { max_header = "1KiB" }
}
site "three" {
  @three
  root     = "../content/three"
  versions = ["1.0"]
  logs { passed = "" }
}
site "four" {
  @four
  root = "../not/there/yet"
  logs {
    passed = ""
    failed = "logs/four.log"
  }
}`))
	f.Write("conf/notes.txt", "not read")
	rig.Must(t, os.Symlink("conf", f.Path("sites.hcl"))) // the folder, by the name that run gives
	f.Env = []string{"CONTENT=content"}
	p := f.run()

	if a := ask(t, f.Addr("one"), request("GET", "/")); a.body != "index of one" {
		t.Errorf("one: %+v", a)
	}
	if a := ask(t, f.Addr("one"), request("HEAD", "/")); a.status != 405 || a.get("Allow") != "GET, OPTIONS" {
		t.Errorf("methods of defaults: %d, Allow %q", a.status, a.get("Allow"))
	}
	if a := ask(t, f.Addr("two"), request("HEAD", "/")); a.status != 200 {
		t.Errorf("methods of its own: %d", a.status)
	}
	if a := ask(t, f.Addr("two"), request("GET", "/")); a.body != "index of two" {
		t.Errorf("two: %+v", a)
	}
	if a := ask(t, f.Addr("two"), request("GET", "/"+strings.Repeat("a", 2000))); a.status != 414 {
		t.Errorf("a limit of defaults: %d", a.status)
	}
	if a := ask(t, f.Addr("two"), request("GET", "/", "X: "+strings.Repeat("a", 2000))); a.status != 431 {
		t.Errorf("a limit of its own: %d", a.status)
	}
	if a := ask(t, f.Addr("three"), request("GET", "/")); a.status != 505 {
		t.Errorf("HTTP/1.1 where only 1.0 is listed: %d", a.status)
	}
	if a := ask(t, f.Addr("three"), "GET / HTTP/1.0\r\n\r\n"); a.body != "index of three" {
		t.Errorf("HTTP/1.0: %+v", a)
	}
	if a := ask(t, f.Addr("four"), request("GET", "/")); a.status != 503 {
		t.Errorf("a root that is not there: %d", a.status)
	}
	p.logged(`"level":"WARN"`, "No such folder", "not/there/yet")
	f.Write("not/there/yet/index.html", "there now")
	if a := ask(t, f.Addr("four"), request("GET", "/")); a.body != "there now" {
		t.Errorf("a root that came: %+v", a)
	}
	f.lines("conf/logs/four.log", 1)
	if got := strings.Join(f.names("conf/logs"), " "); got != "four.log one two" {
		t.Errorf("logs: %s", got)
	}
}

// TestWarnings is what validate says about a configuration that is right, but
// perhaps not what was meant.
func TestWarnings(t *testing.T) {
	t.Parallel()
	f := newSites(t, "open")
	f.Config(`
site "open" {
  @open
  root    = "not-there"
  methods = ["GET", "PUT", "DELETE"]
  script ".x" { command = ["no-such-interpreter"] }
}`)
	r := f.sited("", "validate")
	if r.status != 0 || !strings.HasSuffix(r.stdout, ": valid, 1 site, 4 warnings\n") {
		t.Errorf("%+v", r)
	}
	for _, want := range []string{"Warning: Unprotected PUT", "Warning: Unprotected DELETE", "Warning: No such folder", "Warning: Interpreter not found"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("no %q in\n%s", want, r.stderr)
		}
	}
}

// TestConfigurationEmptied: a file that has lost all its sites stops none.
func TestConfigurationEmptied(t *testing.T) {
	t.Parallel()
	f := newReload(t)
	p := f.run()
	f.shows("web", "v1")
	for _, text := range []string{"", "admin {\n  @admin\n}\n"} {
		f.Config(text)
		r := f.sited("", "validate")
		if r.status != 1 || !strings.HasSuffix(r.stdout, ": not valid: 1 error, 0 warnings\n") || !strings.Contains(r.stderr, "Error: No site block") {
			t.Errorf("%q: %+v", text, r)
		}
		if r, err := p.reload(); err != nil || r.Result != "refused" {
			t.Errorf("%q: reload: %+v, %v", text, r, err)
		}
		for _, site := range []string{"calm", "web"} {
			if a := ask(t, f.Addr(site), request("GET", "/")); a.body != "v1" {
				t.Errorf("%q: %s: %+v", text, site, a)
			}
		}
	}
	f.Config(twoSites(web("v2")))
	f.shows("web", "v2")
}

// TestOneAddressTwice: neither of the two is guessed to be meant; the one that
// runs goes on.
func TestOneAddressTwice(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	p := f.run()
	f.Config(threeSites + "site \"double\" {\n  @static\n  root = \"upload\"\n}\n")
	if r := f.sited("", "validate"); r.status != 1 || !strings.Contains(r.stderr, `Site "double" can't listen on `+f.Addr("static")) || !strings.Contains(r.stderr, `site "static"`) {
		t.Errorf("%+v", r)
	}
	p.Signal(syscall.SIGHUP)
	rig.Eventually(t, "it is refused", func() bool { return p.site("double").State == "failed" })
	if a := ask(t, f.Addr("static"), request("GET", "/hello.txt")); a.body != "hello, world\n" {
		t.Errorf("%+v", a)
	}
}
