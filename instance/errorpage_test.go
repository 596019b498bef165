package instance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sited/protocol"
)

func TestErrorPageErrors(t *testing.T) {
	for _, c := range []struct {
		page ErrorPage
		want string
	}{
		{ErrorPage{"200", "/x.html"}, "from 400 to 599"},
		{ErrorPage{"600", "/x.html"}, "from 400 to 599"},
		{ErrorPage{"4", "/x.html"}, "from 400 to 599"},
		{ErrorPage{"3xx", "/x.html"}, "from 400 to 599"},
		{ErrorPage{"404xx", "/x.html"}, "from 400 to 599"},
		{ErrorPage{"xx", "/x.html"}, "from 400 to 599"},
		{ErrorPage{"", "/x.html"}, "from 400 to 599"},
		{ErrorPage{"404", "x.html"}, "from the root on"},
		{ErrorPage{"404", "/errors/"}, "from the root on"},
		{ErrorPage{"404", ""}, "from the root on"},
	} {
		spec := Defaults()
		spec.ErrorPages = []ErrorPage{c.page}
		if _, err := newPolicy(spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.page, err, c.want)
		}
	}
}

func TestErrorPageFor(t *testing.T) {
	p := mustPolicy(t, func(s *Spec) {
		s.ErrorPages = []ErrorPage{{"4xx", "/4.html"}, {"404", "/404.html"}, {"503", "/503.html"}}
	})
	for status, want := range map[int]string{404: "/404.html", 400: "/4.html", 499: "/4.html", 503: "/503.html", 500: ""} {
		if got := p.errorPage(status); got != want {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
}

func TestErrorPages(t *testing.T) {
	s := prepare(t, func(spec *Spec) {
		withScripts(spec)
		protecting(t, Protect{Glob: "/private/**"})(spec)
		spec.Connect = []string{"127.0.0.1:1"}
		spec.ErrorPages = []ErrorPage{
			{"4xx", "/errors/4xx.txt"}, {"404", "/404.html"}, {"405", "/gone.html"}, {"409", "/errors"}, {"411", "/.hidden"},
			{"412", "/out"}, {"416", "/large.html"}, {"501", "/x.sh"}, {"502", "/x.php"}, {"403", "/empty.html"},
		}
		spec.Headers = []HeaderRule{{Glob: "/**", Set: []protocol.Field{{Name: "X-Robots-Tag", Value: "noindex"}}, Always: true}}
	})
	s.file("errors/4xx.txt", "the fourth class")
	s.file("404.html", "<h1>Not here</h1>")
	s.file("empty.html", "")
	s.file("large.html", strings.Repeat("x", maxErrorPage+1))
	s.file(".hidden", "SECRET")
	s.file("x.sh", "SECRET")
	s.file("x.php", "SECRET")
	s.file("a.txt", "a")
	s.file("own.sh", "printf 'Status: 404 Mine\\r\\nContent-Type: text/plain\\r\\n\\r\\nmine'")
	s.file("quiet.sh", "exit 3")
	writeFile(t, filepath.Join(s.dir, "secret"), "SECRET")
	must(t, os.Symlink("../secret", filepath.Join(s.root, "out")))
	s.serve()
	for range 2 { // read, and from memory
		for _, c := range []struct {
			what, request string
			status        int
			kind, body    string // "": the built-in page
		}{
			{"exact", "GET /nothing HTTP/1.1\r\nHost: a\r\n", 404, "text/html; charset=utf-8", "<h1>Not here</h1>"},
			{"HEAD", "HEAD /nothing HTTP/1.1\r\nHost: a\r\n", 404, "text/html; charset=utf-8", ""},
			{"credentials", "GET /private/x HTTP/1.1\r\nHost: a\r\n", 401, "text/plain; charset=utf-8", "the fourth class"},
			{"no Host", "GET / HTTP/1.1\r\n", 400, "text/plain; charset=utf-8", "the fourth class"},
			{"no request", "\x00\x01\x02\r\n", 400, "text/plain; charset=utf-8", "the fourth class"},
			{"leaves the root", "GET /../x HTTP/1.1\r\nHost: a\r\n", 400, "text/plain; charset=utf-8", "the fourth class"},
			{"tunnel", "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n", 403, "text/html; charset=utf-8", ""},
			{"not there", "POST /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n", 405, "", ""},
			{"a folder", "PUT /errors/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n", 409, "", ""},
			{"a dotfile", "POST /a.txt HTTP/1.1\r\nHost: a\r\n", 411, "", ""},
			{"out of the root", "GET /a.txt HTTP/1.1\r\nHost: a\r\nIf-Match: \"x\"\r\n", 412, "", ""},
			{"too large", "GET /a.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=9-\r\n", 416, "", ""},
			{"a script", "BREW / HTTP/1.1\r\nHost: a\r\n", 501, "", ""},
			{"a script without block", "GET /quiet.sh HTTP/1.1\r\nHost: a\r\n", 502, "", ""},
			{"another class", "GET / HTTP/9.9\r\nHost: a\r\n", 505, "", ""},
		} {
			a := s.raw(c.request + "Connection: close\r\n\r\n")
			a.want(t, c.what, c.status, "")
			built := strings.Contains(a.body, protocol.StatusText(c.status)+"</title>")
			if built != (c.kind == "") || c.kind != "" && (a.body != c.body || a.header.Get("Content-Type") != c.kind) {
				t.Errorf("%s: %q %q, want %q %q", c.what, a.header.Get("Content-Type"), a.body, c.kind, c.body)
			}
			if strings.Contains(a.body, "SECRET") {
				t.Errorf("%s: shows what is not shown", c.what)
			}
			a.wantField(t, c.what, "X-Robots-Tag", "noindex")
			a.wantField(t, c.what, "ETag", "")
			a.wantField(t, c.what, "Last-Modified", "")
		}
	}
	if s.get("/private/x").header.Get("WWW-Authenticate") == "" || s.do("POST", "/a.txt", "x").header.Get("Allow") == "" || s.get("/a.txt", "Range: bytes=9-").header.Get("Content-Range") == "" {
		t.Error("a field that goes with the status is gone")
	}
	a := s.get("/own.sh")
	if a.status != 404 || a.body != "mine" {
		t.Errorf("a script's own page: %d %q", a.status, a.body)
	}
}

func TestErrorPageFollowsItsFile(t *testing.T) {
	s := open(t, func(spec *Spec) { spec.ErrorPages = []ErrorPage{{"404", "/404.html"}, {"503", "/404.html"}} })
	body := func(want string) func() bool {
		return func() bool { return strings.Contains(s.get("/nothing").body, want) }
	}
	eventually(t, "the built-in page", body("Not Found</title>"))
	s.file("404.html", "one")
	eventually(t, "the page, once it is there", body("one"))
	s.file("404.html", "two")
	eventually(t, "the page as it is now", body("two"))
	must(t, os.Rename(s.root, s.root+"-gone"))
	eventually(t, "the built-in page without a root", func() bool {
		a := s.get("/nothing")
		return a.status == 503 && strings.Contains(a.body, "Service Unavailable</title>")
	})
	writeFile(t, filepath.Join(s.root, "404.html"), "another root")
	eventually(t, "the page of another root", body("another root"))
	must(t, os.Remove(filepath.Join(s.root, "404.html")))
	eventually(t, "the built-in page again", body("Not Found</title>"))
}

// Without pages and rules for errors the engine's answers are as they were.
func TestErrorResponseIsNilWhereNothingIsToDo(t *testing.T) {
	for _, c := range []struct {
		change func(*Spec)
		hooked bool
	}{
		{func(*Spec) {}, false},
		{func(s *Spec) { s.Headers = []HeaderRule{{Glob: "/**", Remove: []string{"A"}}} }, false},
		{func(s *Spec) { s.Headers = []HeaderRule{{Glob: "/**", Remove: []string{"A"}, Always: true}} }, true},
		{func(s *Spec) { s.ErrorPages = []ErrorPage{{"4xx", "/x"}} }, true},
	} {
		s := prepare(t, c.change)
		s.serve()
		if hooked := s.Service().ErrorResponse != nil; hooked != c.hooked {
			t.Errorf("%+v: %v", s.spec, hooked)
		}
	}
}
