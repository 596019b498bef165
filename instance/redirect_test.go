package instance

import (
	"net/url"
	"strings"
	"testing"

	"sited/protocol"
)

func TestRedirectLocation(t *testing.T) {
	for _, c := range []struct{ glob, to, target, want string }{
		{"/old", "/new", "/old", "/new"},
		{"/old/**", "/new/{rest}", "/old/a/b.html", "/new/a/b.html"},
		{"/old/**", "/new/{rest}", "/old/", "/new/"},
		{"/old/**", "/new/{rest}", "/old", "/new/"},
		{"/old*/**", "/new/{rest}", "/old2/x", "/new/2/x"},
		{"/**", "https://example.org{path}", "/a/b", "https://example.org/a/b"},
		{"/**", "https://example.org{path}", "/", "https://example.org/"},
		{"/**", "{path}.html", "/a", "/a.html"},
		{"/a/{b,c}", "/x{rest}", "/a/b", "/xb"},
		{"/old/*", "/new#{rest}", "/old/x", "/new#x"},
		{`/a\*b`, "/{rest}", "/a*b", "/*b"},

		// A query goes along, unless there is one already.
		{"/old", "/new", "/old?a=b&c", "/new?a=b&c"},
		{"/old", "/new#top", "/old?a=b", "/new?a=b#top"},
		{"/old", "/new?x=1", "/old?a=b", "/new?x=1"},
		{"/old", "/new", "/old?", "/new"},
		{"/s/*", "/search?q={rest}", "/s/a&b=c%23d+e?x", "/search?q=a%26b%3Dc%23d%2Be"},

		// What was decoded is encoded again.
		{"/old/**", "/new/{rest}", "/old/a%20b%3fc%23d%25e", "/new/a%20b%3Fc%23d%25e"},
		{"/old/**", "/new/{rest}", "/old/%ff%0d%0aSet-Cookie:%20x", "/new/%FF%0D%0ASet-Cookie:%20x"},
		{"/old/**", "/new/{rest}", "/old/a;b=c,d@e:f", "/new/a;b=c,d@e:f"},

		// No spelling leads to another host.
		{"/old/**", "/{rest}", "/old//evil.com", "/evil.com"},
		{"/old/**", "/{rest}", "/old/%2f%2fevil.com", "/evil.com"},
		{"/old/**", "/{rest}", `/old/%5cevil.com`, "/%5Cevil.com"},
		{"/old/**", "/{rest}", `/old/%5c%5cevil.com`, "/%5C%5Cevil.com"},
		{"/old**", "/{rest}", "/old/evil.com", "/evil.com"},
		{"/old/**", "{rest}", "/old/evil.com", "/evil.com"},
		{"/old/**", "{rest}", "/old/javascript:alert(1)", "/javascript:alert(1)"},
		{"/**", "{path}/", "/", "/"},
		{"/**", "/{path}", "/evil.com", "/evil.com"},
		{"/old/**", "https://example.org{rest}", "/old/.evil.com", "https://example.org/.evil.com"},
		{"/old/**", "https://example.org{rest}", "/old/@evil.com", "https://example.org/@evil.com"},
		{"/old/**", "https://example.org{rest}?a", "/old", "https://example.org/?a"},
	} {
		r, err := newRedirect(Redirect{Glob: c.glob, To: c.to, Status: 301})
		if err != nil {
			t.Errorf("%q: %v", c.to, err)
			continue
		}
		req := parse(t, "GET", c.target)
		if got := r.location(req.Path, req.Query); got != c.want {
			t.Errorf("%s to %s: %s leads to %q, want %q", c.glob, c.to, c.target, got, c.want)
		}
	}
}

func TestRedirectErrors(t *testing.T) {
	for _, c := range []struct {
		Redirect
		want string
	}{
		{Redirect{"old", "/x", 301}, "begins with a slash"},
		{Redirect{"/{a", "/x", 301}, "not a valid pattern"},
		{Redirect{"/a", "/x", 304}, "304 is no status of a redirect"},
		{Redirect{"/a", "/x", 0}, "301, 302, 303, 307 or 308"},
		{Redirect{"/a", "", 301}, "neither a path nor a URL"},
		{Redirect{"/a", "b", 301}, "neither a path nor a URL"},
		{Redirect{"/a", "?x", 301}, "neither a path nor a URL"},
		{Redirect{"/a", "javascript:alert(1)", 301}, "neither a path nor a URL"},
		{Redirect{"/a", "https://", 301}, "neither a path nor a URL"},
		{Redirect{"/a", "https:///x", 301}, "neither a path nor a URL"},
		{Redirect{"/a", "https://{rest}", 301}, "neither a path nor a URL"},
		{Redirect{"/a", "https://{rest}.example.org/", 301}, "neither a path nor a URL"},
		{Redirect{"/a", "https://user@{rest}", 301}, "neither a path nor a URL"},
		{Redirect{"/a", "https{rest}://example.org", 301}, "neither a path nor a URL"},
		{Redirect{"/a", "//example.org", 301}, `begins with "//"`},
		{Redirect{"/a", "/%zz", 301}, "not a URL"},
		{Redirect{"/a", `/\example.org`, 301}, "%5C"},
		{Redirect{"/a", "/a b", 301}, "%20"},
		{Redirect{"/a", "/a\r\nSet-Cookie: x", 301}, "%0D"},
		{Redirect{"/a", "/\u00e9", 301}, "percent-encoded"},
		{Redirect{"/a", "/{pth}", 301}, `"{pth}"`},
		{Redirect{"/a", "/{path", 301}, `"{" without`},
		{Redirect{"/a", "/path}", 301}, `"}" without`},
	} {
		spec := Defaults()
		spec.Redirects = []Redirect{c.Redirect}
		if _, err := newPolicy(spec); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "redirect") {
			t.Errorf("%+v: %v, want %q", c.Redirect, err, c.want)
		}
	}
}

func TestDecideRedirect(t *testing.T) {
	p := mustPolicy(t, func(s *Spec) {
		s.Methods = []string{"GET", "POST", "PUT", "OPTIONS", "CONNECT", "TRACE"}
		s.Protect = []Protect{{Glob: "/old/private/**"}}
		s.Redirects = []Redirect{
			{"/old/**", "/new/{rest}", 308},
			{"/old/x", "/never", 301},
			{"/.git/**", "/gone", 301},
			{"/a", "/b", 302},
		}
	})
	for _, c := range []struct {
		method, target string
		action         Action
		status         int
		location       string
		protected      bool
	}{
		{"GET", "/old/x", Elsewhere, 308, "/new/x", false}, // the first that matches
		{"POST", "/old/x", Elsewhere, 308, "/new/x", false},
		{"PUT", "/old/x", Elsewhere, 308, "/new/x", false},
		{"GET", "/old/x.php", Elsewhere, 308, "/new/x.php", false},
		{"GET", "/.git/config", Elsewhere, 301, "/gone", false},
		{"GET", "/old/private/x", Elsewhere, 308, "/new/private/x", true},
		{"GET", "/a", Elsewhere, 302, "/b", false},
		{"GET", "/a/", Read, 0, "", false}, // only where the pattern says so
		{"GET", "/x/../a", Elsewhere, 302, "/b", false},
		{"GET", "/%61", Elsewhere, 302, "/b", false},
		{"DELETE", "/old/x", Refuse, 405, "", false},
		{"BREW", "/old/x", Refuse, 501, "", false},
		{"OPTIONS", "/old/x", Options, 0, "", false},
		{"TRACE", "/old/x", Refuse, 501, "", false},
	} {
		req := parse(t, c.method, c.target)
		for _, tr := range []*trace{nil, {}} {
			d := p.decide(&req, tr)
			if d.Action != c.action || d.Status != c.status || d.Location != c.location || (d.Protect != nil) != c.protected {
				t.Errorf("%s %s: %+v, want %+v", c.method, c.target, d, c)
			}
			if said := tr != nil && strings.Contains(strings.Join(tr.steps, "\n"), "redirect"); said != (tr != nil && d.Action == Elsewhere) {
				t.Errorf("%s %s: the trace is %q", c.method, c.target, tr.steps)
			}
		}
	}
}

func TestRedirectOnTheWire(t *testing.T) {
	s := open(t, func(spec *Spec) {
		protecting(t, Protect{Glob: "/old/private/**"})(spec)
		spec.Redirects = []Redirect{{"/old/**", "/{rest}", 301}, {"/form", "/other", 307}}
	})
	s.file("old/x", "never seen")
	a := s.get("/old/x?a=b")
	a.want(t, "GET", 301, "")
	a.wantField(t, "GET", "Location", "/x?a=b")
	a = s.do("POST", "/form", "body")
	a.want(t, "POST", 307, "")
	a.wantField(t, "POST", "Location", "/other")
	s.do("HEAD", "/old/x", "").want(t, "HEAD", 301, "")
	a = s.get("/old/private/x")
	a.want(t, "protected", 401, "")
	a.wantField(t, "protected", "Location", "")
	s.get("/old/private/x", "Authorization: "+basic("alice", "a")).want(t, "with credentials", 301, "")
	for _, target := range []string{"/old//evil.com", "/old/%2f%2fevil.com", "/old/%5cevil.com", "/old/%09/evil.com", "/old/.//evil.com", "/old/%2e%2f/evil.com"} {
		location := s.get(target).header.Get("Location")
		u, err := url.Parse(location)
		if err != nil || u.Host != "" || u.Scheme != "" || strings.HasPrefix(location, "//") || strings.HasPrefix(location, `/\`) {
			t.Errorf("%s leads to %q", target, location)
		}
	}
}

// The value is always one of a field, and what a request says never changes the
// scheme or host that the block names.
func FuzzRedirect(f *testing.F) {
	for _, to := range []string{"/{rest}", "{rest}", "{path}", "/new{rest}#{path}", "/s?q={rest}&p={path}", "https://example.org{rest}", "http://[::1]:80{path}x", "HTTPS://example.org/{rest}{rest}"} {
		for _, target := range []string{"/old/x?y", "/old//evil.com", "/old/%2f%2fevil.com", "/old/%5c/evil", "/old/@evil", "/old/%0d%0ax", "/old:x", "/old", "/"} {
			f.Add("/old/**", to, target)
			f.Add("/old**", to, target)
			f.Add("/**", to, target)
		}
	}
	f.Fuzz(func(t *testing.T, glob, to, target string) {
		r, err := newRedirect(Redirect{Glob: glob, To: to, Status: 302})
		if err != nil {
			return
		}
		path, query, err := protocol.SplitPath(target)
		if err != nil {
			return
		}
		got := r.location(path, query)
		for i := 0; i < len(got); i++ {
			if got[i] <= ' ' || got[i] >= 0x7f || got[i] == '\\' {
				t.Fatalf("%q and %q: %q", to, target, got)
			}
		}
		u, err := url.Parse(got)
		if err != nil {
			t.Fatalf("%q and %q: %v", to, target, err)
		}
		plain, err := url.Parse(r.location("/x", ""))
		if err != nil || u.Scheme != plain.Scheme || u.Host != plain.Host || u.User.String() != plain.User.String() {
			t.Fatalf("%q and %q: %q is elsewhere than %q", to, target, got, plain)
		}
		if strings.HasPrefix(got, "//") || r.within && (u.Host != "" || got[0] != '/') {
			t.Fatalf("%q and %q: %q", to, target, got)
		}
	})
}
