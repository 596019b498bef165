package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sited/rig"
)

// TestDemo serves the repository's own sites.hcl, on free ports.
func TestDemo(t *testing.T) {
	t.Parallel()
	f := newFolder(t, "welcome", "app", "upload")
	rig.Must(t, os.CopyFS(f.Path("sites"), os.DirFS("../../sites")))
	text, err := os.ReadFile("../../sites.hcl")
	rig.Must(t, err)
	demo := string(text)
	for site, port := range map[string]string{"welcome": "8081", "app": "8082", "upload": "8083", "admin": "9180"} {
		if !strings.Contains(demo, "= "+port+"\n") {
			t.Fatalf("sites.hcl has no port %s: it is not what this test takes it to be", port)
		}
		demo = strings.ReplaceAll(demo, port, f.Port(site))
	}
	f.Write("sites.hcl", strings.ReplaceAll(demo, "127.0.0.1", f.IP))
	p := f.run()

	table := p.Stdout.String()
	for _, site := range []string{"welcome", "app", "upload"} {
		if rig.Lines(table, site, "http://"+f.Addr(site)+"/", "serving", f.Path(filepath.Join("sites", site))) == 0 {
			t.Errorf("the table does not tell of %s:\n%s", site, table)
		}
	}
	if rig.Lines(table, "(admin)", "http://"+f.Addr("admin")+"/", "/metrics") == 0 {
		t.Errorf("the table does not tell of the admin address:\n%s", table)
	}
	for _, site := range []string{"welcome", "app", "upload"} {
		if a := ask(t, f.Addr(site), request("GET", "/")); a.status != 200 || !strings.HasPrefix(a.get("Content-Type"), "text/html") || !strings.Contains(a.body, "</html>") {
			t.Errorf("%s: %+v", site, a)
		}
	}
	t.Run("scripts", func(t *testing.T) {
		if a := ask(t, f.Addr("app"), request("GET", "/env.cgi/a/b?c=d")); a.status != 200 || !strings.Contains(a.body, "/a/b") {
			t.Errorf("env.cgi: %d", a.status)
		}
		if a := ask(t, f.Addr("app"), requestWith("POST", "/form.pl", "name=Jane+D", "Content-Type: application/x-www-form-urlencoded")); a.status != 200 || !strings.Contains(a.body, "Jane D") {
			t.Errorf("form.pl: %d %s", a.status, a.body)
		}
		if a := ask(t, f.Addr("app"), request("GET", "/never.asp")); a.status != 403 {
			t.Errorf("a script that no block runs: %d", a.status)
		}
	})
	t.Run("php", func(t *testing.T) {
		rig.Need(t, "php-cgi")
		if a := ask(t, f.Addr("app"), request("GET", "/hello.php?name=Jane")); a.status != 200 || !strings.Contains(a.body, "Jane") {
			t.Errorf("hello.php: %d", a.status)
		}
	})
	t.Run("upload", func(t *testing.T) {
		demo := basic("demo", "demo")
		if a := ask(t, f.Addr("upload"), requestWith("PUT", "/files/new.txt", "from a test")); a.status != 401 {
			t.Errorf("without the password: %d", a.status)
		}
		if a := ask(t, f.Addr("upload"), requestWith("PUT", "/files/new.txt", "from a test", demo)); a.status != 201 {
			t.Errorf("with the password: %d", a.status)
		}
		if a := ask(t, f.Addr("upload"), request("GET", "/files/new.txt")); a.body != "from a test" {
			t.Errorf("what was uploaded: %+v", a)
		}
		if a := ask(t, f.Addr("upload"), request("DELETE", "/files/new.txt", demo)); a.status != 204 {
			t.Errorf("deleted: %d", a.status)
		}
		if a := ask(t, f.Addr("upload"), request("GET", "/private/")); a.status != 401 {
			t.Errorf("the protected area without the password: %d", a.status)
		}
		if a := ask(t, f.Addr("upload"), request("GET", "/private/", demo)); a.status != 200 {
			t.Errorf("the protected area: %d", a.status)
		}
	})
	t.Run("tunnel", func(t *testing.T) {
		out := curl(t, "--proxytunnel", "-x", "http://"+f.Addr("app"), "http://"+f.Addr("welcome")+"/")
		ends(t, out, "200")
	})
	if r := f.sited("", "status"); r.status != 0 {
		t.Errorf("status: %+v", r)
	}
}
