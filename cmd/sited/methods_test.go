package main_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"sited/rig"
)

func TestGetAndHead(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	f.run()
	addr := f.Addr("static")
	a := ask(t, addr, request("GET", "/hello.txt"))
	etag, modified := a.get("ETag"), a.get("Last-Modified")
	if a.status != 200 || a.body != "hello, world\n" || etag == "" || modified == "" || a.get("Accept-Ranges") != "bytes" {
		t.Fatalf("%+v", a)
	}
	if h := ask(t, addr, request("HEAD", "/hello.txt")); h.get("Content-Length") != "13" || h.get("ETag") != etag || h.get("Content-Type") != a.get("Content-Type") {
		t.Errorf("HEAD is not GET without the content: %+v", h)
	}
	for path, want := range map[string]string{"/": "text/html; charset=utf-8", "/hello.txt": "text/plain; charset=utf-8", "/digits": "application/octet-stream"} {
		if got := ask(t, addr, request("GET", path)).get("Content-Type"); got != want {
			t.Errorf("%s: Content-Type %q, want %q", path, got, want)
		}
	}
	const old = "Sun, 06 Nov 1994 08:49:37 GMT"
	tests := []struct {
		fields []string
		status int
		body   string
	}{
		{[]string{"If-None-Match: " + etag}, 304, ""},
		{[]string{`If-None-Match: "x", W/` + strings.TrimPrefix(etag, "W/")}, 304, ""},
		{[]string{`If-None-Match: *`}, 304, ""},
		{[]string{`If-None-Match: "x"`}, 200, "hello, world\n"},
		{[]string{"If-Modified-Since: " + modified}, 304, ""},
		{[]string{"If-Modified-Since: " + old}, 200, "hello, world\n"},
		{[]string{`If-None-Match: "x"`, "If-Modified-Since: " + modified}, 200, "hello, world\n"},
		{[]string{`If-Match: "x"`}, 412, "412"},
		{[]string{"If-Match: " + etag}, 200, "hello, world\n"},
		{[]string{"If-Unmodified-Since: " + old}, 412, "412"},
		{[]string{"Range: bytes=0-4"}, 206, "hello"},
		{[]string{"Range: bytes=-7"}, 206, ", world\n"[1:]},
		{[]string{"Range: bytes=7-"}, 206, "world\n"},
		{[]string{"Range: bytes=7-999"}, 206, "world\n"},
		{[]string{"Range: bytes=13-"}, 416, "416"},
		{[]string{"Range: lines=1-2"}, 200, "hello, world\n"},
		{[]string{"Range: bytes=5-1"}, 200, "hello, world\n"},
		{[]string{"Range: bytes=0-4", "If-Range: " + etag}, 206, "hello"},
		{[]string{"Range: bytes=0-4", `If-Range: "x"`}, 200, "hello, world\n"},
	}
	for _, tt := range tests {
		a := ask(t, addr, request("GET", "/hello.txt", tt.fields...))
		if a.status != tt.status || !strings.Contains(a.body, tt.body) || tt.status < 400 && a.body != tt.body {
			t.Errorf("%q: %d %q, want %d %q", tt.fields, a.status, a.body, tt.status, tt.body)
		}
		switch {
		case a.status == 304 && a.get("ETag") != etag:
			t.Errorf("%q: 304 without its ETag", tt.fields)
		case a.status == 416 && a.get("Content-Range") != "bytes */13":
			t.Errorf("416: Content-Range %q", a.get("Content-Range"))
		case a.status == 206 && !strings.HasSuffix(a.get("Content-Range"), "/13"):
			t.Errorf("206: Content-Range %q", a.get("Content-Range"))
		}
	}
	if a := ask(t, addr, request("GET", "/sub?x=%20y")); a.status != 301 || a.get("Location") != "/sub/?x=%20y" {
		t.Errorf("a folder without its slash: %d to %q", a.status, a.get("Location"))
	}
	if a := ask(t, addr, request("GET", "//sub")); a.status != 301 || !strings.HasPrefix(a.get("Location"), "/sub/") {
		t.Errorf("a redirect must not lead to another host: %d to %q", a.status, a.get("Location"))
	}
	if a := ask(t, f.Addr("app"), requestWith("POST", "/index.html", "x")); a.status != 405 || strings.Contains(a.get("Allow"), "POST") || !strings.Contains(a.get("Allow"), "GET") {
		t.Errorf("POST of a file: %d, Allow %q", a.status, a.get("Allow"))
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	f.run()
	for _, target := range []string{"/", "/hello.txt", "/nothing", "*"} {
		if a := ask(t, f.Addr("static"), request("OPTIONS", target)); a.status != 204 || a.get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("OPTIONS %s: %d, Allow %q", target, a.status, a.get("Allow"))
		}
	}
}

func TestPutAndDelete(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	p := f.run()
	addr, alice := f.Addr("upload"), basic("alice", "wonder")
	put := func(path, body string, fields ...string) *answer {
		t.Helper()
		return ask(t, addr, requestWith("PUT", path, body, append(fields, alice)...))
	}
	t.Run("ETag round trip", func(t *testing.T) {
		first := put("/a.txt", "one", "If-None-Match: *")
		if first.status != 201 || first.get("ETag") == "" {
			t.Fatalf("%+v", first)
		}
		if got := ask(t, addr, request("GET", "/a.txt")); got.get("ETag") != first.get("ETag") || got.body != "one" {
			t.Errorf("PUT said ETag %s, GET says %s with %q", first.get("ETag"), got.get("ETag"), got.body)
		}
		if a := put("/a.txt", "other", "If-None-Match: *"); a.status != 412 {
			t.Errorf("If-None-Match: * over a file: %d", a.status)
		}
		second := put("/a.txt", "two", "If-Match: "+first.get("ETag"))
		if second.status != 204 || second.get("ETag") == first.get("ETag") {
			t.Errorf("If-Match of what is there: %+v", second)
		}
		if a := put("/a.txt", "three", "If-Match: "+first.get("ETag")); a.status != 412 {
			t.Errorf("If-Match of what was there: %d", a.status)
		}
		if f.Read("upload/a.txt") != "two" {
			t.Errorf("stored: %q", f.Read("upload/a.txt"))
		}
		if a := ask(t, addr, request("DELETE", "/a.txt", alice, "If-Match: "+first.get("ETag"))); a.status != 412 {
			t.Errorf("DELETE of what was there: %d", a.status)
		}
		if a := ask(t, addr, request("DELETE", "/a.txt", alice, "If-Match: "+second.get("ETag"))); a.status != 204 || f.exists("upload/a.txt") {
			t.Errorf("DELETE: %d", a.status)
		}
	})
	t.Run("answers", func(t *testing.T) {
		for _, tt := range []struct {
			raw    string
			status int
		}{
			{requestWith("PUT", "/empty", "", alice), 201},
			{request("PUT", "/chunked", alice, "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n", 201},
			{requestWith("PUT", "/private", "x", alice), 409},
			{requestWith("PUT", "/new/", "x", alice), 409},
			{requestWith("PUT", "/no/parent", "x", alice), 409},
			{requestWith("PUT", "/public.txt/x", "x", alice), 409},
			{requestWith("PUT", "/part", "x", alice, "Content-Range: bytes 0-0/9"), 400},
			{requestWith("PUT", "/evil.php", "x", alice), 403},
			{requestWith("PUT", "/evil.pHp", "x", alice), 403},
			{requestWith("PUT", "/evil.php/", "x", alice), 403},
			{requestWith("PUT", "/.htaccess", "x", alice), 404},
			{requestWith("PUT", "/%2e%2e/x", "x", alice), 400},
			{request("DELETE", "/nothing", alice), 404},
			{request("DELETE", "/private", alice), 409},
			{request("DELETE", "/", alice), 409},
			{requestWith("POST", "/public.txt", "x", alice), 405},
		} {
			if a := ask(t, addr, tt.raw); a.status != tt.status {
				t.Errorf("%.40q: %d, want %d", tt.raw, a.status, tt.status)
			}
		}
		if f.Read("upload/chunked") != "abc" {
			t.Errorf("chunked: %q", f.Read("upload/chunked"))
		}
	})
	t.Run("killed half way", func(t *testing.T) {
		f.Write("upload/old.txt", "as it was")
		before := strings.Join(f.names("upload"), " ")
		for _, raw := range []string{
			request("PUT", "/old.txt", alice, "Content-Length: 100000") + strings.Repeat("x", 50_000),
			request("PUT", "/half.txt", alice, "Content-Length: 100000") + strings.Repeat("x", 50_000),
			request("PUT", "/half.txt", alice, "Transfer-Encoding: chunked") + "3\r\nabc\r\n",
			request("PUT", "/half.txt", alice, "Transfer-Encoding: chunked") + "3\r\nabc\r\nnonsense\r\n",
		} {
			for _, reset := range []bool{false, true} {
				w := dial(t, addr)
				w.send(t, raw)
				rig.Eventually(t, "the upload has begun or is over", func() bool {
					return strings.Contains(raw, "nonsense") || uploading(p) || len(f.names("upload")) > len(strings.Fields(before))
				})
				if reset {
					w.SetLinger(0)
				}
				w.Close()
				rig.Eventually(t, "nothing is left", func() bool { return strings.Join(f.names("upload"), " ") == before && !uploading(p) })
			}
		}
		if f.Read("upload/old.txt") != "as it was" {
			t.Errorf("old.txt: %q", f.Read("upload/old.txt"))
		}
	})
	t.Run("read while replaced", func(t *testing.T) {
		one, two := strings.Repeat("1", 100_000), strings.Repeat("2", 100_000)
		put("/whole.txt", one)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 20 {
				body := []string{two, one}[i%2]
				if a, err := exchange(addr, requestWith("PUT", "/whole.txt", body, alice)); err != nil || a.status != 204 {
					t.Errorf("PUT: %+v, %v", a, err)
				}
			}
		}()
		for over := false; !over; {
			select {
			case <-done:
				over = true
			default:
			}
			if a := ask(t, addr, request("GET", "/whole.txt")); a.body != one && a.body != two {
				t.Fatalf("a mixture of %d bytes", len(a.body))
			}
		}
	})
}

// uploading reports whether the process holds a file without a name, as it does
// while it receives an upload where the file system has such files.
func uploading(p *process) bool {
	p.Rig.T.Helper()
	folder := fmt.Sprintf("/proc/%d/fd/", p.Cmd.Process.Pid)
	open, err := os.ReadDir(folder)
	rig.Must(p.Rig.T, err)
	for _, e := range open {
		if to, err := os.Readlink(folder + e.Name()); err == nil && strings.Contains(to, "/upload/#") {
			return true
		}
	}
	return false
}

func TestTunnel(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	allowed := strings.Replace(threeSites, `connect { allow = ["@@echo"] }`, `connect { allow = ["@@echo", "`+f.IP+`:9", "localhost:*"] }`, 1)
	f.Config(allowed)
	p := f.run()
	f.echo()
	addr := f.Addr("app")
	open := func(t *testing.T) *wire {
		w := dial(t, addr)
		w.send(t, "CONNECT "+f.Addr("echo")+" HTTP/1.1\r\nHost: "+f.Addr("echo")+"\r\n\r\nearly ")
		if a := w.answer(t, "CONNECT"); a.status != 200 {
			t.Fatalf("%+v", a)
		}
		return w
	}
	read := func(t *testing.T, w *wire, n int) string {
		b := make([]byte, n)
		if _, err := io.ReadFull(w.r, b); err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	t.Run("both ways", func(t *testing.T) {
		w := open(t)
		if got := read(t, w, 6); got != "early " {
			t.Errorf("early: %q", got)
		}
		w.send(t, "one")
		if got := read(t, w, 3); got != "one" {
			t.Errorf("got %q", got)
		}
		if n := p.scrape()[`sited_tunnels{site="app"}`]; n != 1 {
			t.Errorf("%v tunnels open", n)
		}
		w.send(t, strings.Repeat("x", 100_000))
		w.CloseWrite()
		if rest, err := io.ReadAll(w.r); err != nil || len(rest) != 100_000 {
			t.Errorf("after our end: %d bytes, %v", len(rest), err)
		}
		rig.Eventually(t, "the bytes are counted", func() bool {
			m := p.scrape()
			return m[`sited_tunnels{site="app"}`] == 0 &&
				m[`sited_tunnel_bytes_total{direction="to_target",site="app"}`] == 100_009 &&
				m[`sited_tunnel_bytes_total{direction="to_client",site="app"}`] == 100_009
		})
	})
	t.Run("idle", func(t *testing.T) {
		f.Config(strings.Replace(allowed, "connect {", "timeouts { idle = \"400ms\" }\n  connect {", 1))
		p.reloads("applied")
		w := open(t)
		if rest, err := io.ReadAll(w.r); string(rest) != "early " || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		for target, status := range map[string]int{
			"127.0.0.1:1":     403, // not allowed
			"localhost:1":     403, // a name for a loopback address
			"LOCALHOST.:1":    403,
			f.IP + ":1":       403,
			f.IP + ":9":       502, // allowed, and nobody there
			"[::1]:1":         403,
			"a.example:99999": 400,
		} {
			if a := ask(t, addr, "CONNECT "+target+" HTTP/1.1\r\nHost: x\r\n\r\n"); a.status != status {
				t.Errorf("%s: %d, want %d", target, a.status, status)
			}
		}
		m := p.scrape()
		if m[`sited_tunnel_refused_total{reason="not_allowed",site="app"}`] != 3 || m[`sited_tunnel_refused_total{reason="special_purpose",site="app"}`] != 2 {
			t.Error("refusals are not counted by reason")
		}
	})
}
