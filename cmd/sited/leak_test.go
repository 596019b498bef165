package main_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sited/rig"
)

const (
	leakRequests = 1000
	leakReloads  = 50
	leakAtOnce   = 16
)

// leakSites has a site that nobody touches, one that gets every kind of request
// and changes at work, and (with extra) one that comes and goes.
func leakSites(index, busy, extra string) string {
	return `
admin {
  @admin
}
defaults {
  timeouts {
    body  = "30s"
    drain = "30s"
  }
}
site "calm" {
  @calm
  root = "static"
}
site "busy" {
  @busy
  root      = "app"
  index     = ["` + index + `"]
  methods   = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT"]
  passwords = "users.htpasswd"
  protect "/**" { methods = ["PUT", "DELETE"] }
  script ".sh" {
    command = ["/bin/sh"]
    workers = 4
    timeout = "10s"
  }
  script ".slow" {
    command = ["/bin/sh"]
    timeout = "300ms"
  }
  script ".none" { command = ["no-such-interpreter"] }
  connect { allow = ["@@echo"] }
  ` + busy + `
}
` + extra
}

// leakRequest is a kind of request: what is sent, and the answer it must get; 0
// for a client that goes away without one.
type leakRequest struct {
	raw    func(i int) string
	status int
}

func leakKinds(f *folder) []leakRequest {
	alice, wrong := basic("alice", "wonder"), basic("alice", "wrong")
	same := func(raw string) func(int) string { return func(int) string { return raw } }
	own := func(method, body string) func(int) string {
		return func(i int) string { return requestWith(method, fmt.Sprintf("/file-%d", i%leakAtOnce), body, alice) }
	}
	tunnel := "CONNECT " + f.Addr("echo") + " HTTP/1.1\r\nHost: x\r\n\r\n"
	return []leakRequest{
		{same(request("GET", "/")), 200},
		{same(request("HEAD", "/index.html")), 200},
		{same(request("GET", "/index.html", "Range: bytes=1-2")), 206},
		{same(request("GET", "/nothing")), 404},
		{own("PUT", "contents"), -1}, // 201 or 204
		{own("DELETE", ""), -1},      // 204 or 404
		{same(requestWith("PUT", "/x", "x", wrong)), 401},
		{same(requestWith("PUT", "/x", "x")), 401},
		{same(requestWith("POST", "/echo.sh", "12345")), 200},
		{same(request("POST", "/echo.sh", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n"), 200},
		{same(requestWith("POST", "/echo.sh", strings.Repeat("x", 100_000))), 200},
		{same(request("GET", "/silent.sh")), 502},
		{same(request("GET", "/x.none")), 503},
		{same("rubbish\r\n\r\n"), 400},
		{same("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400},
		{same(request("PUT", "/x", alice, "Transfer-Encoding: chunked") + "zz\r\n"), 400},
		{same("GET / HT"), 0},
		{same(request("PUT", "/half", alice, "Content-Length: 100000") + "half of it"), 0},
		{same(request("POST", "/echo.sh", "Content-Length: 100000") + "half of it"), 0},
		{same(request("GET", "/slow.slow")), 0},
		{same(tunnel + "hello"), 200},
		{same(tunnel), 0},
		{same("CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n\r\n"), 403},
	}
}

// make sends the request and checks its answer.
func (k leakRequest) make(addr string, i int) error {
	w, err := connect(addr)
	if err != nil {
		return err
	}
	defer w.Close()
	raw := k.raw(i)
	if _, err := io.WriteString(w, raw); err != nil || k.status == 0 {
		if i%2 == 0 {
			w.SetLinger(0) // goes with a reset
		}
		return err
	}
	method, _, _ := strings.Cut(raw, " ")
	a, err := w.readFinal(method)
	switch {
	case err != nil:
		return fmt.Errorf("%.40q: %w", raw, err)
	case k.status > 0 && a.status != k.status, k.status < 0 && a.status != 201 && a.status != 204 && a.status != 404:
		return fmt.Errorf("%.40q: %d: %s", raw, a.status, a.body)
	case method == "CONNECT" && a.status == 200:
		w.CloseWrite()
		if b, err := io.ReadAll(w.r); string(b) != "hello" || err != nil {
			return fmt.Errorf("tunnel: %q, %w", b, err)
		}
	}
	return nil
}

// TestLeaks has one process answer a thousand requests of all kinds and reload
// fifty times meanwhile. It must then have as many goroutines, descriptors and
// children as before, and a site that was not changed must not have noticed.
func TestLeaks(t *testing.T) {
	t.Parallel()
	f := newFolder(t, "calm", "busy", "extra", "echo")
	for name, text := range map[string]string{
		"static/index.html": "calm", "app/index.html": "busy", "app/other.html": "busy",
		"app/echo.sh":    "printf 'Content-Type: text/plain\\n\\n'; cat",
		"app/silent.sh":  "exit 1",
		"app/slow.slow":  "printf 'Content-Type: text/plain\\n\\n'; sleep 30",
		"app/x.none":     "x",
		"users.htpasswd": user(t, "alice", "wonder"),
	} {
		f.Write(name, text)
	}
	start := leakSites("index.html", "", "")
	f.Config(start)
	f.echo()
	p := f.run()
	before := p.figures()

	var load sync.WaitGroup
	load.Go(func() { f.leakLoad() })
	load.Go(func() { f.leakReload(p, start) })
	over := make(chan struct{})
	go func() {
		load.Wait()
		close(over)
	}()
	asked := f.leakCalm(t, over)
	if asked < 100 {
		t.Errorf("the site that nobody touches was asked %d times only", asked)
	}
	if s := p.site("calm"); s.Generation != 1 || s.State != "serving" {
		t.Errorf("the site that nobody touches: %+v", s)
	}
	if s := p.site("busy"); s.Generation < 5 || !s.ConfigCurrent {
		t.Errorf("the site that changes: %+v", s)
	}
	var after figures
	defer func() { t.Logf("before %+v, after %+v, %d requests to the calm site", before, after, asked) }()
	rig.Eventually(t, "everything is as before", func() bool {
		after = p.figures()
		return after.goroutines <= before.goroutines && after.descriptors <= before.descriptors && after.children == 0
	})
	m := p.scrape()
	for _, gauge := range []string{`http_requests_in_flight{site="busy"}`, `connections{site="busy",state="idle"}`,
		`connections{site="busy",state="active"}`, `tunnels{site="busy"}`, `script_processes{script=".sh",site="busy"}`, `script_processes{script=".slow",site="busy"}`, `panics_total{site="busy"}`} {
		if m["sited_"+gauge] != 0 {
			t.Errorf("%s is %v", gauge, m["sited_"+gauge])
		}
	}
	for _, name := range f.names("app") {
		if strings.HasPrefix(name, ".") {
			t.Errorf("an upload was left behind: %s", name)
		}
	}
}

// figures are what must not grow.
type figures struct{ goroutines, descriptors, children int }

func (p *process) figures() figures {
	p.Rig.T.Helper()
	return figures{int(p.scrape()["go_goroutines"]), p.Descriptors(), len(p.Children())}
}

// leakLoad sends the requests, some at a time.
func (f *folder) leakLoad() {
	kinds := leakKinds(f)
	var next atomic.Int64
	var group sync.WaitGroup
	for range leakAtOnce {
		group.Go(func() {
			for i := int(next.Add(1)); i <= leakRequests; i = int(next.Add(1)) {
				if err := kinds[i%len(kinds)].make(f.Addr("busy"), i); err != nil {
					f.T.Error(err)
				}
			}
		})
	}
	group.Wait()
}

// leakReload changes, breaks, adds and removes sites, and ends with start.
func (f *folder) leakReload(p *process, start string) {
	const extra = "site \"extra\" {\n  @extra\n  root = \"static\"\n}\n"
	texts := []string{
		leakSites("other.html", "", ""),
		leakSites("index.html", "nonsense = 1", extra),
		leakSites("other.html", "limits { max_connections = 500 }", extra),
		leakSites("index.html", "", "") + "site {{{",
		start,
	}
	for i := range leakReloads {
		f.ReplaceConfig(texts[i%len(texts)])
		if r, err := p.reload(); err != nil || r.Result == "" {
			f.T.Errorf("reload %d: %+v, %v", i, r, err)
		}
	}
}

// leakCalm asks the calm site, on a connection that is kept all the time and on
// new ones, until over, and returns how often.
func (f *folder) leakCalm(t *testing.T, over <-chan struct{}) (asked int) {
	t.Helper()
	kept := dial(t, f.Addr("calm"))
	defer kept.Close()
	for {
		select {
		case <-over:
			return asked
		default:
		}
		_, err := io.WriteString(kept, request("GET", "/"))
		a, err2 := kept.readFinal("GET")
		b, err3 := exchange(f.Addr("calm"), request("GET", "/"))
		if err := errors.Join(err, err2, err3); err != nil || a.body != "calm" || b.body != "calm" {
			t.Errorf("the site that nobody touches: %v, %+v, %+v", err, a, b)
			<-over
			return asked
		}
		asked += 2
	}
}
