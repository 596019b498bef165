package instance

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"sited/metrics"
	"sited/protocol"
)

func TestGetAndHead(t *testing.T) {
	s := open(t, nil)
	s.file("index.html", "<p>index")
	s.file("a.css", "a{}")
	s.file("empty", "")
	s.file("dir/index.html", "dir")
	s.file("bare/x", "x")
	s.file("large.bin", strings.Repeat("0123456789", 20_000))
	at := time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)
	must(t, os.Chtimes(filepath.Join(s.root, "a.css"), at, at))

	for _, c := range []struct{ target, body, kind string }{
		{"/", "<p>index", "text/html; charset=utf-8"},
		{"/a.css?v=1", "a{}", "text/css; charset=utf-8"},
		{"/empty", "", "application/octet-stream"},
		{"/dir/", "dir", "text/html; charset=utf-8"},
		{"/dir/index.html", "dir", "text/html; charset=utf-8"},
		{"/dir/%2e%2e/a.css", "a{}", "text/css; charset=utf-8"},
		{"http://test/a.css", "a{}", "text/css; charset=utf-8"},
		{"/large.bin", strings.Repeat("0123456789", 20_000), "application/octet-stream"},
	} {
		get := s.get(c.target)
		get.want(t, "GET "+c.target, 200, c.body)
		get.wantField(t, "GET "+c.target, "Content-Type", c.kind)
		get.wantField(t, "GET "+c.target, "Accept-Ranges", "bytes")
		head := s.do("HEAD", c.target, "")
		head.want(t, "HEAD "+c.target, 200, "")
		sameHead(t, c.target, get, head)
	}
	a := s.get("/a.css")
	a.wantField(t, "a.css", "Last-Modified", "Mon, 06 May 2024 07:08:09 GMT")
	if tag := a.header.Get("ETag"); !strings.HasPrefix(tag, `"`) {
		t.Errorf("ETag %q is not a strong one", tag)
	}
	for _, target := range []string{"/nothing", "/bare/", "/a.css/", "/a.css/b", "/dir/nothing"} {
		get, head := s.get(target), s.do("HEAD", target, "")
		get.want(t, "GET "+target, 404, "")
		head.want(t, "HEAD "+target, 404, "")
		sameHead(t, target, get, head)
	}
}

// sameHead: RFC 9110, section 9.3.2.
func sameHead(t *testing.T, target string, get, head answer) {
	t.Helper()
	get.header.Del("Date")
	head.header.Del("Date")
	if fmt.Sprint(get.header) != fmt.Sprint(head.header) || get.length != head.length {
		t.Errorf("%s: GET has %v (%d), HEAD has %v (%d)", target, get.header, get.length, head.header, head.length)
	}
}

func TestConditionalGet(t *testing.T) {
	s := open(t, nil)
	s.file("a.txt", "0123456789")
	first := s.get("/a.txt")
	tag, date := first.header.Get("ETag"), first.header.Get("Last-Modified")
	for _, method := range []string{"GET", "HEAD"} {
		for _, field := range []string{"If-None-Match: " + tag, "If-None-Match: W/" + tag, "If-None-Match: *", "If-Modified-Since: " + date} {
			a := s.do(method, "/a.txt", "", field)
			a.want(t, method+" "+field, 304, "")
			a.wantField(t, field, "ETag", tag)
			if a.body != "" || a.header.Get("Content-Type") != "" {
				t.Errorf("%s %s: body %q, Content-Type %q", method, field, a.body, a.header.Get("Content-Type"))
			}
		}
		s.do(method, "/a.txt", "", `If-Match: "other"`).want(t, method+" If-Match", 412, "")
		s.do(method, "/nothing", "", "If-Match: *").want(t, method+" If-Match on nothing", 404, "")
	}
	s.get("/a.txt", "If-Match: "+tag).want(t, "If-Match", 200, "0123456789")
	s.file("a.txt", "9876543210")
	s.get("/a.txt", "If-None-Match: "+tag).want(t, "after a change", 200, "9876543210")

	// A connection goes on after every kind of answer.
	c := s.dial()
	defer c.Close()
	r := bufio.NewReader(c)
	for _, field := range []string{"If-None-Match: *", "Range: bytes=1-2", "Range: bytes=99-", `If-Match: "x"`, "X: y"} {
		fmt.Fprintf(c, "GET /a.txt HTTP/1.1\r\nHost: test\r\n%s\r\n\r\n", field)
		a := readAnswer(t, r, "GET")
		want := map[string]int{"If-None-Match: *": 304, "Range: bytes=1-2": 206, "Range: bytes=99-": 416, `If-Match: "x"`: 412, "X: y": 200}[field]
		if a.status != want || a.err != nil {
			t.Errorf("%s: %d, %v, want %d", field, a.status, a.err, want)
		}
	}
}

func TestRanges(t *testing.T) {
	s := open(t, nil)
	s.file("a.txt", "0123456789")
	s.file("empty", "")
	large := strings.Repeat("0123456789", 20_000)
	s.file("large", large)
	tag := s.get("/a.txt").header.Get("ETag")
	for _, c := range []struct {
		target, field, more string
		status              int
		body, contentRange  string
	}{
		{"/a.txt", "Range: bytes=2-4", "", 206, "234", "bytes 2-4/10"},
		{"/a.txt", "Range: bytes=-2", "", 206, "89", "bytes 8-9/10"},
		{"/a.txt", "Range: bytes=0-", "", 206, "0123456789", "bytes 0-9/10"},
		{"/a.txt", "Range: bytes=10-", "", 416, "", "bytes */10"},
		{"/a.txt", "Range: bytes=0-1,3-4", "", 206, "01234", "bytes 0-4/10"}, // as close as that they are one
		{"/a.txt", "Range: bytes=2-4", "If-Range: " + tag, 206, "234", "bytes 2-4/10"},
		{"/a.txt", "Range: bytes=2-4", `If-Range: "other"`, 200, "0123456789", ""},
		{"/a.txt", "Range: bytes=2-4", "If-None-Match: " + tag, 304, "", ""},
		{"/a.txt", "Range: bytes=20-", `If-Match: "other"`, 412, "", ""},
		{"/empty", "Range: bytes=0-", "", 416, "", "bytes */0"},
		{"/empty", "Range: bytes=-1", "", 200, "", ""},
		{"/large", "Range: bytes=100000-199998", "", 206, large[100_000:199_999], "bytes 100000-199998/200000"},
	} {
		more := c.more
		if more == "" {
			more = "X: y"
		}
		what := c.target + " " + c.field + " " + c.more
		a := s.get(c.target, c.field, more)
		a.want(t, what, c.status, c.body)
		a.wantField(t, what, "Content-Range", c.contentRange)
	}
	head := s.do("HEAD", "/a.txt", "", "Range: bytes=2-4")
	head.want(t, "HEAD with a range", 200, "")
	if head.length != 10 {
		t.Errorf("HEAD with a range: length %d", head.length)
	}
}

func TestRedirectToSlash(t *testing.T) {
	s := open(t, withScripts)
	for _, c := range []struct{ folder, target, location string }{
		{"dir", "/dir", "/dir/"},
		{"dir", "/dir?a=b&c=%20", "/dir/?a=b&c=%20"},
		{"dir", "//dir", "/dir/"},
		{"a b", "/a%20b", "/a%20b/"},
		{"x\r\nSet-Cookie: a=b", "/x%0d%0aSet-Cookie:%20a=b", "/x%0D%0ASet-Cookie:%20a=b/"},
		{`\evil.example`, "/%5cevil.example", "/%5Cevil.example/"},
		{"evil.example", "//evil.example", "/evil.example/"},
		{"q?#%", "/q%3f%23%25?q", "/q%3F%23%25/?q"},
		{"\xff", "/%ff", "/%FF/"},
		{"é", "/%c3%a9", "/%C3%A9/"},
		{"a:b;c", "/a:b;c", "/a:b;c/"},
	} {
		must(t, os.MkdirAll(filepath.Join(s.root, c.folder), 0o755))
		for _, method := range []string{"GET", "HEAD"} {
			a := s.do(method, c.target, "")
			a.want(t, method+" "+c.target, 301, "")
			a.wantField(t, c.target, "Location", c.location)
			if a.header.Get("Set-Cookie") != "" {
				t.Errorf("%s: a field was slipped in", c.target)
			}
		}
		u, err := url.Parse(c.location)
		if err != nil || u.Host != "" || u.Path != "/"+c.folder+"/" {
			t.Errorf("%s does not lead to %q on this site: %v", c.location, c.folder, err)
		}
	}
	post := s.do("POST", "/dir", "x") // which must stay a POST
	post.want(t, "POST /dir", 308, "")
	post.wantField(t, "POST /dir", "Location", "/dir/")
}

func TestReadOfWhatIsNoFile(t *testing.T) {
	s := open(t, nil)
	s.file("../outside/x", "SECRET")
	s.file("in/x", "inside")
	must(t, syscall.Mkfifo(filepath.Join(s.root, "fifo"), 0o644))
	for link, to := range map[string]string{"out": "../outside/x", "outdir": "../outside", "abs": filepath.Join(s.dir, "outside/x"), "ok": "in/x", "okdir": "in", "loop": "loop"} {
		must(t, os.Symlink(to, filepath.Join(s.root, link)))
	}
	s.get("/ok").want(t, "link inside", 200, "inside")
	s.get("/okdir/x").want(t, "link to a folder inside", 200, "inside")
	for _, target := range []string{"/fifo", "/out", "/outdir/x", "/outdir/", "/outdir", "/abs", "/loop", "/fifo/", "/out/x"} {
		s.get(target).want(t, target, 404, "")
		s.do("HEAD", target, "").want(t, "HEAD "+target, 404, "")
	}
	for _, target := range []string{"/../outside/x", "/%2e%2e/outside/x", "/in/%2e%2e/%2e%2e/outside/x", "/..%2foutside/x", "/in/x%00", "/%"} {
		if a := s.get(target); a.status != 400 {
			t.Errorf("%s: %d, want 400", target, a.status)
		}
	}
}

func TestUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("everything is readable to root")
	}
	s := open(t, nil)
	s.file("a.txt", "a")
	s.file("dir/index.html", "a")
	must(t, os.Chmod(filepath.Join(s.root, "a.txt"), 0))
	must(t, os.Chmod(filepath.Join(s.root, "dir/index.html"), 0))
	s.get("/a.txt").want(t, "file", 403, "")
	s.get("/dir/").want(t, "index file", 403, "")
}

func TestLastModifiedIsNotAheadOfDate(t *testing.T) {
	s := open(t, nil)
	s.file("a.txt", "a")
	later := time.Now().Add(24 * time.Hour)
	must(t, os.Chtimes(filepath.Join(s.root, "a.txt"), later, later))
	a := s.get("/a.txt")
	said, ok := httpDate(a.header.Get("Last-Modified"))
	date, _ := httpDate(a.header.Get("Date"))
	if !ok || said.After(date.Add(time.Second)) { // the Date field may be of the second before
		t.Errorf("Last-Modified %v, Date %v", said, date)
	}
	s.get("/a.txt", "If-None-Match: "+a.header.Get("ETag")).want(t, "by its tag", 304, "")
	s.get("/a.txt", "If-Modified-Since: "+a.header.Get("Last-Modified")).want(t, "by its date", 200, "a")
}

func TestRootIsReplaced(t *testing.T) {
	s := open(t, func(spec *Spec) {
		must(t, os.Remove(spec.Root))
		for _, release := range []string{"1", "2"} {
			writeFile(t, filepath.Join(filepath.Dir(spec.Root), "releases", release, "index.html"), release)
		}
		must(t, os.Symlink("releases/1", spec.Root))
	})
	s.get("/").want(t, "before", 200, "1")
	must(t, os.Symlink("releases/2", s.root+".next"))
	must(t, os.Rename(s.root+".next", s.root))
	eventually(t, "the new release is served", func() bool { return s.get("/").body == "2" })

	must(t, os.Remove(s.root))
	eventually(t, "the root is gone", func() bool { return s.get("/").status == 503 })
	must(t, os.Symlink("releases/1", s.root))
	s.get("/").want(t, "back again", 200, "1")
}

func TestRootIsMissingAtFirst(t *testing.T) {
	s := open(t, func(spec *Spec) { must(t, os.Remove(spec.Root)) })
	if said := s.log.String(); !strings.Contains(said, "until the root is there") {
		t.Errorf("the log does not warn: %s", said)
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "POST"} {
		s.do(method, "/a.txt", "").want(t, method, 503, "")
	}
	s.do("OPTIONS", "*", "").want(t, "OPTIONS", 204, "")
	s.file("a.txt", "a") // makes the root
	s.get("/a.txt").want(t, "GET", 200, "a")
}

func TestMethods(t *testing.T) {
	s := open(t, withScripts)
	s.file("a.txt", "a")
	s.file("x.php", "<?php")
	all := strings.Join(s.spec.Methods, ", ")
	for _, target := range []string{"*", "/", "/a.txt", "/nothing"} {
		a := s.do("OPTIONS", target, "")
		a.want(t, "OPTIONS "+target, 204, "")
		a.wantField(t, "OPTIONS "+target, "Allow", all)
	}
	post := s.do("POST", "/a.txt", "x")
	post.want(t, "POST of a file", 405, "")
	post.wantField(t, "POST of a file", "Allow", "GET, HEAD, PUT, DELETE, OPTIONS, CONNECT")
	patch := s.do("PATCH", "/a.txt", "x")
	patch.want(t, "PATCH", 405, "")
	patch.wantField(t, "PATCH", "Allow", all)
	s.do("TRACE", "/a.txt", "").want(t, "TRACE", 405, "")
	s.do("BREW", "/a.txt", "").want(t, "BREW", 501, "")
	s.do("get", "/a.txt", "").want(t, "get", 501, "")
	s.raw("POST /x.sh HTTP/1.1\r\nHost: test\r\n\r\n").want(t, "POST without a length", 411, "")
	s.raw("PUT /b.txt HTTP/1.1\r\nHost: test\r\n\r\n").want(t, "PUT without a length", 411, "")
	s.raw("PUT /b.txt HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n").want(t, "another coding", 501, "")
	s.get("/x.php").want(t, "script without a block", 403, "")

	few := open(t, func(spec *Spec) { spec.Methods = []string{"GET"} })
	few.file("a.txt", "a")
	for _, method := range []string{"HEAD", "PUT", "DELETE", "POST", "OPTIONS"} {
		a := few.do(method, "/a.txt", "")
		a.want(t, method, 405, "")
		a.wantField(t, method, "Allow", "GET")
	}
}

// Whatever a request asks for, no descriptor is left when it is over.
func TestNoDescriptorIsLeft(t *testing.T) {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		protecting(t, Protect{Glob: "/dir/index.html"})(spec)
		spec.Limits.MaxBody = 1000
	})
	s.file("a.txt", "0123456789")
	s.file("dir/index.html", "x")
	s.file("x.sh", "echo Content-Type: text/plain; echo; echo x")
	s.file("bad.sh", "exit 3")
	s.file("large", strings.Repeat("x", 1<<20))
	must(t, syscall.Mkfifo(filepath.Join(s.root, "fifo"), 0o644))
	must(t, os.Symlink("/etc/passwd", filepath.Join(s.root, "out")))
	tag := s.get("/a.txt").header.Get("ETag")
	round := func() {
		for _, target := range []string{"/", "/a.txt", "/a.txt/", "/a.txt/b", "/dir", "/dir/", "/nothing", "/fifo", "/out", "/x.sh", "/bad.sh", "/x.php"} {
			for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
				s.do(method, target, "")
			}
		}
		for _, field := range []string{"If-None-Match: *", `If-Match: "x"`, "Range: bytes=99-", "Range: bytes=1-2"} {
			s.get("/a.txt", field)
		}
		s.do("PUT", "/new", "x")
		s.do("PUT", "/new", "x", `If-Match: "x"`)
		s.do("PUT", "/new", strings.Repeat("x", 2000))
		s.do("PUT", "/no/new", "x")
		s.do("PUT", "/dir", "x")
		s.raw("PUT /new HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n" + strings.Repeat("x", 0xfff) + "\r\n0\r\n\r\n")
		s.raw("PUT /new HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nzzz\r\n")
		s.do("DELETE", "/new", "", "If-Match: "+tag)
		s.do("DELETE", "/new", "")
		s.do("DELETE", "/dir", "")
		s.do("CONNECT", "127.0.0.1:1", "")
		c := s.dial() // goes away in the middle of a large answer
		io.WriteString(c, "GET /large HTTP/1.1\r\nHost: test\r\n\r\n")
		io.ReadFull(c, make([]byte, 100))
		c.Close()
	}
	round() // what is opened once, stays
	settled := func() bool {
		return s.Stats() == Stats{} && s.metric("connections", "state", "idle")+s.metric("connections", "state", "active") == 0
	}
	eventually(t, "everything is over", settled)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the collector must not close what we forgot
	before := descriptors(t)
	for range 3 {
		round()
	}
	eventually(t, "everything is over", settled)
	eventually(t, "no descriptor is left", func() bool { return descriptors(t) <= before })
}

// BenchmarkServeFile is all that happens to a GET of 1 KiB but the network.
// benchSite is a site with one file of 1 KiB, and a request for it.
func benchSite(b *testing.B) (*Instance, protocol.Request) {
	b.Helper()
	spec, _ := testSpec(b)
	writeFile(b, filepath.Join(spec.Root, "a.html"), strings.Repeat("x", 1<<10))
	i, err := New(spec, Shared{Metrics: metrics.New("test"), Files: NewBudget(DefaultBudget), Log: slog.New(slog.DiscardHandler)})
	must(b, err)
	b.Cleanup(func() { i.Close(context.Background()) })
	return i, parse(b, "GET", "/a.html")
}

// BenchmarkCacheHit is the way of an answer from memory through the handler.
func BenchmarkCacheHit(b *testing.B) {
	i, req := benchSite(b)
	x := &protocol.Exchange{Ctx: context.Background()}
	hit := func() bool {
		x.Req, x.Res, x.Start = req, protocol.Response{Header: x.Res.Header[:0]}, time.Now()
		done, err := i.ServeQuick(x)
		return done && err == nil && x.Res.Status == 200
	}
	for deadline := time.Now().Add(10 * time.Second); !hit(); time.Sleep(settledTime / 4) {
		x.Req, x.Res, x.Start = req, protocol.Response{}, time.Now()
		must(b, i.Serve(x))
		x.Res.Body.Close()
		if time.Now().After(deadline) {
			b.Fatal("the file is never kept")
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if !hit() {
			b.Fatal(x.Res.Status)
		}
	}
}

func BenchmarkServeFile(b *testing.B) {
	i, req := benchSite(b)
	x := &protocol.Exchange{Ctx: context.Background()}
	b.ReportAllocs()
	for b.Loop() {
		x.Req = req
		x.Res = protocol.Response{Header: x.Res.Header[:0]}
		if err := i.Serve(x); err != nil || x.Res.Status != 200 {
			b.Fatal(x.Res.Status, err)
		}
		x.Res.Body.Close()
	}
}
