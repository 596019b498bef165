package main_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"sited/rig"
)

const logSites = `
admin {
  @admin
}
defaults {
  ip        = "127.0.0.1"
  passwords = "users.htpasswd"
  methods   = ["GET", "HEAD", "POST", "PUT", "OPTIONS"]
  script ".sh" { command = ["/bin/sh"] }
  protect "/private/**" {}
  protect "/**" { methods = ["PUT"] }
}
site "plain" {
  @plain
  root = "root"
}
site "combined" {
  @combined
  root = "root"
  logs {
    passed = "elsewhere/combined.log"
    failed = "elsewhere/combined.log"
    format = "combined"
  }
}
site "body" {
  @body
  root = "root"
  logs {
    passed = ""
    body   = "10B"
  }
}
`

func newLogs(t *testing.T) (*folder, *process) {
	t.Helper()
	f := newFolder(t, "plain", "combined", "body")
	f.Write("root/a.txt", "0123456789")
	f.Write("root/fail.sh", "cat >/dev/null; exit 1")
	f.Write("root/ok.sh", "cat >/dev/null; printf 'Content-Type: text/plain\\n\\nok'")
	f.Write("root/private/x", "private")
	f.Write("users.htpasswd", user(t, "alice", "pass-of-alice"))
	f.Config(logSites)
	return f, f.run()
}

// line is a line of a log in JSON.
type line struct {
	ID, Time, Site, Remote, User, Method, Target, Version, Host, Referer, Error, Body, Script, Stderr string
	UserAgent                                                                                         string `json:"user_agent"`
	Port, Status                                                                                      int
	Bytes, Received                                                                                   int64
	Duration                                                                                          float64
}

// lines waits until a log in JSON has n lines and takes them apart.
func (f *folder) lines(name string, n int) []line {
	f.T.Helper()
	rig.Eventually(f.T, name+" has its lines", func() bool { return f.exists(name) && strings.Count(f.Read(name), "\n") >= n })
	var all []line
	for text := range strings.Lines(f.Read(name)) {
		var l line
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil {
			f.T.Fatalf("%s: %v: %s", name, err, text)
		}
		all = append(all, l)
	}
	if len(all) != n {
		f.T.Fatalf("%s has %d lines, want %d:\n%s", name, len(all), n, f.Read(name))
	}
	return all
}

func TestLogJSON(t *testing.T) {
	t.Parallel()
	f, _ := newLogs(t)
	// On one connection, what is logged is in the order of what was asked.
	w := dial(t, f.Addr("plain"))
	for _, raw := range []string{
		request("GET", "/a.txt?q=1", "Range: bytes=0-3", "User-Agent: a \"quoted\"\tone", "Referer: http://u:p@ref.example/"),
		request("GET", "/private/x", basic("alice", "pass-of-alice")),
		requestWith("PUT", "/new.txt", "12345", basic("alice", "pass-of-alice")),
		request("GET", "/nothing"),
		requestWith("POST", "/fail.sh", "body-not-kept"),
		"GET /half HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	} {
		w.send(t, raw)
		w.answer(t, raw[:3])
	}
	passed := f.lines("logs/plain/passed.log", 3)
	first := passed[0]
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(first.Time) {
		t.Errorf("time %q", first.Time)
	}
	if first.Port == 0 || first.Duration <= 0 || first.Duration > 60 {
		t.Errorf("port %d, duration %v", first.Port, first.Duration)
	}
	if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(first.ID) || first.ID == passed[1].ID {
		t.Errorf("ids %q, %q", first.ID, passed[1].ID)
	}
	first.ID, first.Time, first.Port, first.Duration = "", "", 0, 0
	if want := (line{
		Site: "plain", Remote: "127.0.0.1", Method: "GET", Target: "/a.txt?q=1", Version: "1.1", Host: "site.example",
		Status: 206, Bytes: 4, UserAgent: "a \"quoted\"\tone", Referer: "http://***@ref.example/",
	}); first != want {
		t.Errorf("got  %+v\nwant %+v", first, want)
	}
	if passed[1].User != "alice" || passed[2].Received != 5 || passed[2].Status != 201 {
		t.Errorf("%+v", passed[1:])
	}
	for i, l := range f.lines("logs/plain/failed.log", 3) {
		want := []line{
			{Status: 404, Target: "/nothing", Error: "no such file"},
			{Status: 502, Target: "/fail.sh", Error: "no output"},
			{Status: 400, Target: "/half", Error: "more than one Host"},
		}[i]
		if l.Status != want.Status || l.Target != want.Target || !strings.Contains(l.Error, want.Error) || l.Body != "" {
			t.Errorf("line %d: %+v, want %+v", i, l, want)
		}
	}
	ask(t, f.Addr("plain"), "\x01\x02 rubbish\r\n\r\n")
	if l := f.lines("logs/plain/failed.log", 4)[3]; l.Status != 400 || l.Error == "" || l.Remote != "127.0.0.1" {
		t.Errorf("rubbish: %+v", l)
	}
}

func TestLogCombined(t *testing.T) {
	t.Parallel()
	f, _ := newLogs(t)
	w := dial(t, f.Addr("combined"))
	for _, raw := range []string{
		request("GET", "/a.txt", basic("alice", "pass-of-alice"), `User-Agent: x"y`),
		request("GET", "/private/x", basic("alice", "pass-of-alice"), "Referer: http://ref.example/"),
		"rubbish\x01\r\n\r\n",
	} {
		w.send(t, raw)
		w.answer(t, "GET")
	}
	const name = "elsewhere/combined.log"
	rig.Eventually(t, "three lines", func() bool { return f.exists(name) && strings.Count(f.Read(name), "\n") == 3 })
	const when = `\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]`
	for i, want := range []string{
		`^127\.0\.0\.1 - - ` + when + ` "GET /a\.txt HTTP/1\.1" 200 10 "-" "x\\"y"$`,
		`^127\.0\.0\.1 - alice ` + when + ` "GET /private/x HTTP/1\.1" 200 7 "http://ref\.example/" "-"$`,
		`^127\.0\.0\.1 - - ` + when + ` ".*" 400 \d+ "-" "-"$`,
	} {
		if l := strings.Split(f.Read(name), "\n")[i]; !regexp.MustCompile(want).MatchString(l) {
			t.Errorf("%s\ndoes not match %s", l, want)
		}
	}
}

func TestLogBody(t *testing.T) {
	t.Parallel()
	f, _ := newLogs(t)
	addr := f.Addr("body")
	ask(t, addr, requestWith("POST", "/ok.sh", "kept-by-nobody"))
	ask(t, addr, requestWith("POST", "/fail.sh", "0123456789-and-more"))
	if failed := f.lines("logs/body/failed.log", 1); failed[0].Body != "0123456789" || failed[0].Received != 19 {
		t.Errorf("%+v", failed)
	}
	if f.exists("logs/body/passed.log") {
		t.Error("a log that is turned off is written")
	}
}

// Nothing that a client keeps secret is in any log, metric or page.
func TestLogsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	f, p := newLogs(t)
	const secret = "c0nfidential"
	var pages strings.Builder
	for _, site := range []string{"plain", "combined", "body"} {
		for _, fields := range [][]string{
			{basic("alice", secret)}, {"Authorization: Bearer " + secret}, {"Authorization: Basic " + secret},
			{"Cookie: session=" + secret}, {"Proxy-Authorization: Basic " + secret},
		} {
			for _, raw := range []string{
				request("GET", "/a.txt", fields...),
				request("GET", "/private/x", fields...),
				request("GET", "/nothing", fields...),
				requestWith("POST", "/fail.sh", "x", fields...),
				requestWith("PUT", "/x.txt", "x", fields...),
				request("GET", "/", append(fields, "Host: again")...),
				request("GET", "/", append(fields, "Bad Field: x")...),
				request("BREW", "/", fields...),
				"GET http://alice:" + secret + "@h/ HTTP/1.1\r\nHost: h\r\n\r\n",
				"GET / HTTP/1.1\r\nHost: alice:" + secret + "@h\r\n\r\n",
				"CONNECT alice:" + secret + "@h:1 HTTP/1.1\r\nHost: h\r\n\r\n",
			} {
				pages.WriteString(ask(t, f.Addr(site), raw).body)
			}
		}
	}
	ask(t, f.Addr("plain"), request("GET", "/private/x", basic("alice", "pass-of-alice")))
	_, metrics, err := p.ask("GET", "/metrics")
	rig.Must(t, err)
	_, sites, err := p.ask("GET", "/api/sites")
	rig.Must(t, err)
	p.Stop() // writes what is buffered
	texts := map[string]string{"the process's log": p.Stderr.String(), "/metrics": metrics, "/api/sites": sites, "the error pages": pages.String()}
	for _, name := range []string{"logs/plain/passed.log", "logs/plain/failed.log", "logs/body/failed.log", "elsewhere/combined.log"} {
		texts[name] = f.Read(name)
	}
	encoded := strings.TrimPrefix(basic("alice", secret), "Authorization: Basic ")
	right := strings.TrimPrefix(basic("alice", "pass-of-alice"), "Authorization: Basic ")
	for name, text := range texts {
		if text == "" {
			t.Errorf("%s is empty: the test does not see it", name)
		}
		for _, s := range []string{secret, encoded, "pass-of-alice", right} {
			if i := strings.Index(text, s); i >= 0 {
				t.Errorf("%s has %q: …%s…", name, s, text[max(0, i-200):min(len(text), i+100)])
			}
		}
	}
}

func TestLogReopen(t *testing.T) {
	t.Parallel()
	f, p := newLogs(t)
	addr := f.Addr("plain")
	ask(t, addr, request("GET", "/a.txt?before"))
	f.lines("logs/plain/passed.log", 1)
	rig.Must(t, os.Rename(f.Path("logs/plain/passed.log"), f.Path("logs/plain/passed.log.1")))
	ask(t, addr, request("GET", "/a.txt?between"))
	if old := f.lines("logs/plain/passed.log.1", 2); old[1].Target != "/a.txt?between" {
		t.Errorf("%+v", old)
	}
	p.Signal(syscall.SIGUSR1)
	rig.Eventually(t, "a new file is there", func() bool { return f.exists("logs/plain/passed.log") })
	ask(t, addr, request("GET", "/a.txt?after"))
	if now := f.lines("logs/plain/passed.log", 1); now[0].Target != "/a.txt?after" {
		t.Errorf("%+v", now)
	}
}
