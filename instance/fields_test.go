package instance

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sited/protocol"
)

func TestSetFields(t *testing.T) {
	p := mustPolicy(t, func(s *Spec) {
		s.Headers = []HeaderRule{
			{Glob: "/**", Set: []protocol.Field{{Name: "X-All", Value: "1"}}, Always: true},
			{Glob: "/assets/**", Set: []protocol.Field{{Name: "cache-control", Value: "max-age=60"}, {Name: "Vary", Value: "Origin, accept"}}},
			{Glob: "/assets/*.js", Set: []protocol.Field{{Name: "Cache-Control", Value: "no-store"}}, Remove: []string{"x-all", "X-None"}},
		}
	})
	for _, c := range []struct {
		path   string
		status int
		before protocol.Header
		want   protocol.Header
	}{
		{"/a", 200, nil, protocol.Header{{Name: "X-All", Value: "1"}}},
		{"/a", 404, nil, protocol.Header{{Name: "X-All", Value: "1"}}},
		{"/a", 200, protocol.Header{{Name: "x-all", Value: "0"}, {Name: "B", Value: "b"}, {Name: "X-ALL", Value: "2"}}, protocol.Header{{Name: "x-all", Value: "1"}, {Name: "B", Value: "b"}}},
		{
			"/assets/a.css", 200, nil,
			protocol.Header{{Name: "X-All", Value: "1"}, {Name: "cache-control", Value: "max-age=60"}, {Name: "Vary", Value: "Origin"}, {Name: "Vary", Value: "accept"}},
		},
		{"/assets/a.css", 404, nil, protocol.Header{{Name: "X-All", Value: "1"}}},
		{
			"/assets/a.css", 304, protocol.Header{{Name: "Vary", Value: "Accept"}},
			protocol.Header{{Name: "Vary", Value: "Accept"}, {Name: "X-All", Value: "1"}, {Name: "cache-control", Value: "max-age=60"}, {Name: "Vary", Value: "Origin"}},
		},
		{
			"/assets/a.css", 200, protocol.Header{{Name: "vary", Value: "x , *"}},
			protocol.Header{{Name: "vary", Value: "x , *"}, {Name: "X-All", Value: "1"}, {Name: "cache-control", Value: "max-age=60"}},
		},
		{
			"/assets/a.js", 200, nil,
			protocol.Header{{Name: "cache-control", Value: "no-store"}, {Name: "Vary", Value: "Origin"}, {Name: "Vary", Value: "accept"}},
		},
	} {
		got := append(protocol.Header{}, c.before...)
		p.setFields(&got, c.path, c.status)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s %d %v (-want +got):\n%s", c.path, c.status, c.before, diff)
		}
	}
}

func TestSetFieldsCostsNothingWhereNoneMatches(t *testing.T) {
	p := mustPolicy(t, func(s *Spec) {
		s.Headers = []HeaderRule{{Glob: "/assets/**", Set: []protocol.Field{{Name: "A", Value: "b"}}}}
	})
	h := protocol.Header{{Name: "B", Value: "b"}}
	if n := testing.AllocsPerRun(100, func() { p.setFields(&h, "/a/b.html", 200) }); n != 0 || len(h) != 1 {
		t.Errorf("%v allocations, %v", n, h)
	}
}

func TestHeaderRuleErrors(t *testing.T) {
	for _, c := range []struct {
		rule HeaderRule
		want string
	}{
		{HeaderRule{Glob: "x"}, "begins with a slash"},
		{HeaderRule{Glob: "/[a"}, "not a valid pattern"},
		{HeaderRule{Glob: "/**", Set: []protocol.Field{{Name: "a b", Value: "c"}}}, `"a b" is not the name`},
		{HeaderRule{Glob: "/**", Set: []protocol.Field{{Name: "", Value: "c"}}}, `"" is not the name`},
		{HeaderRule{Glob: "/**", Set: []protocol.Field{{Name: "A", Value: "b\r\nC: d"}}}, "the value of A"},
		{HeaderRule{Glob: "/**", Remove: []string{"a:"}}, `"a:" is not the name`},
	} {
		spec := Defaults()
		spec.Headers = []HeaderRule{c.rule}
		if _, err := newPolicy(spec); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "header") {
			t.Errorf("%+v: %v, want %q", c.rule, err, c.want)
		}
	}
}

func TestHeaderRulesOnTheWire(t *testing.T) {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		spec.Connect = []string{"127.0.0.1:1"}
		spec.Listing = true
		spec.Headers = []HeaderRule{
			{Glob: "/**", Set: []protocol.Field{{Name: "X-Site", Value: "yes"}}},
			{Glob: "/**", Set: []protocol.Field{{Name: "X-Always", Value: "yes"}}, Remove: []string{"X-Powered-By"}, Always: true},
			{Glob: "/*.txt", Set: []protocol.Field{{Name: "Cache-Control", Value: "max-age=60"}}},
		}
		spec.Redirects = []Redirect{{"/moved", "/a.txt", 302}}
	})
	s.file("a.txt", "abc")
	s.file("dir/b.bin", "b")
	s.file("ok.sh", "printf 'Content-Type: text/plain\\r\\nX-Powered-By: me\\r\\nCache-Control: private\\r\\n\\r\\nok'")
	s.file("bad.sh", "printf 'Status: 418 Teapot\\r\\nContent-Type: text/plain\\r\\nX-Powered-By: me\\r\\n\\r\\n'")
	s.file("jump.sh", "printf 'Location: /a.txt\\r\\n\\r\\n'")
	tag := s.get("/a.txt").header.Get("ETag")
	for range 2 {
		for _, c := range []struct {
			what, method, target, body, field string
			status                            int
			cache                             string
		}{
			{what: "file", method: "GET", target: "/a.txt", status: 200, cache: "max-age=60"},
			{what: "HEAD", method: "HEAD", target: "/a.txt", status: 200, cache: "max-age=60"},
			{what: "304", method: "GET", target: "/a.txt", field: "If-None-Match: " + tag, status: 304, cache: "max-age=60"},
			{what: "206", method: "GET", target: "/a.txt", field: "Range: bytes=0-1", status: 206, cache: "max-age=60"},
			{what: "redirect", method: "GET", target: "/moved", status: 302},
			{what: "to the slash", method: "GET", target: "/dir", status: 301},
			{what: "listing", method: "GET", target: "/dir/", status: 200},
			{what: "OPTIONS", method: "OPTIONS", target: "/a.txt", status: 204, cache: "max-age=60"},
			{what: "upload", method: "PUT", target: "/new.bin", body: "x", status: 201},
			{what: "delete", method: "DELETE", target: "/new.bin", status: 204},
			{what: "script", method: "GET", target: "/ok.sh", status: 200, cache: "private"},
			{what: "script's own error", method: "GET", target: "/bad.sh", status: 418},
			{what: "local redirect", method: "GET", target: "/jump.sh", status: 200, cache: "max-age=60"}, // as if /a.txt had been asked for
			{what: "404", method: "GET", target: "/nothing.txt", status: 404},
			{what: "416", method: "GET", target: "/a.txt", field: "Range: bytes=9-", status: 416},
			{what: "412", method: "GET", target: "/a.txt", field: `If-Match: "x"`, status: 412},
			{what: "405", method: "POST", target: "/a.txt", body: "x", status: 405},
			{what: "tunnel refused", method: "CONNECT", target: "example.org:443", status: 403},
		} {
			field := c.field
			if field == "" {
				field = "X-Nothing: 1"
			}
			a := s.do(c.method, c.target, c.body, field)
			if a.status != c.status {
				t.Errorf("%s: status %d, want %d", c.what, a.status, c.status)
			}
			site := "yes"
			if c.status >= 400 {
				site = ""
			}
			a.wantField(t, c.what, "X-Site", site)
			a.wantField(t, c.what, "X-Always", "yes")
			a.wantField(t, c.what, "X-Powered-By", "")
			a.wantField(t, c.what, "Cache-Control", c.cache)
		}
	}
	a := s.raw("GET / HTTP/1.1\r\n\r\n")
	a.want(t, "no Host", 400, "")
	a.wantField(t, "no Host", "X-Always", "yes")
	a.wantField(t, "no Host", "X-Site", "")
}

// The head of a tunnel that was opened is left alone.
func TestHeaderRulesLeaveTunnelsAlone(t *testing.T) {
	p := mustPolicy(t, func(s *Spec) {
		s.Headers = []HeaderRule{{Glob: "/**", Set: []protocol.Field{{Name: "A", Value: "b"}}, Always: true}}
	})
	x := &protocol.Exchange{Req: parse(t, "CONNECT", "example.org:443"), Res: protocol.Response{Status: 200}}
	p.applyHeaders(x)
	if len(x.Res.Header) != 0 {
		t.Errorf("%v", x.Res.Header)
	}
	x.Req.Method = "GET"
	p.applyHeaders(x)
	if len(x.Res.Header) != 1 {
		t.Errorf("%v", x.Res.Header)
	}
}
