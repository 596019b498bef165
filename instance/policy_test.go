package instance

import (
	"slices"
	"strings"
	"testing"

	"sited/protocol"
)

var testLimits = protocol.Limits{MaxBody: 1 << 20, MaxHeader: 16 << 10, MaxURI: 8 << 10, MaxConnections: 10}

// parse is what a request for target becomes before anybody decides about it.
func parse(t testing.TB, method, target string, fields ...string) protocol.Request {
	t.Helper()
	head := method + " " + target + " HTTP/1.1\r\nHost: test\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
	req, err := protocol.ParseRequest(head, testLimits, protocol.Versions{HTTP10: true, HTTP11: true})
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return req
}

func mustPolicy(t testing.TB, change func(*Spec)) *policy {
	t.Helper()
	spec := Defaults()
	spec.Root = "/nowhere"
	spec.Methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT"}
	change(&spec)
	p, err := newPolicy(spec)
	must(t, err)
	return p
}

func TestProtectFor(t *testing.T) {
	p := func(globs ...string) *policy {
		return mustPolicy(t, func(s *Spec) {
			for _, g := range globs {
				s.Protect = append(s.Protect, Protect{Glob: g})
			}
		})
	}
	spellings := []string{ // of something in or below /private
		"/private", "/private/", "/private/x", "/private/x/", "/private/x/y/z.html",
		"//private", "///private//x", "/./private/x", "/a/../private/x", "/private/x/../y", "/private/./x",
		"/%70rivate/x", "/%70%72%69%76%61%74%65/x", "/private%2fx", "/private%2Fx", "/private/%2e/x", "/a/%2e%2e/private/x",
		"/a/%2E./private/x", "/a/..%2fprivate", "/%2fprivate", "/private/%ff", "/private/a%0ab", "/private/..;/x", "/private;/../private/x",
		"/private/.hidden", "/private?x=1", "/private/%5c", "http://test/private/x",
	}
	for _, target := range spellings {
		req := parse(t, "GET", target)
		if p("/private/**").protectFor("GET", req.Path) == nil {
			t.Errorf("%s (%q) is not protected by /private/**", target, req.Path)
		}
	}
	for _, c := range []struct {
		glob, target string
		want         bool
	}{
		{"/private/**", "/privatex", false},
		{"/private/**", "/a/private/x", false},
		{"/private/**", "/Private/x", false}, // another folder on the file systems there are
		{"/private/**", "/private/../x", false},
		{"/private/**", "/private%2f..%2fx", false},
		{"/private/**", "/private;/x", false},
		{"/private/**", "/", false},
		{"/private/*", "/private/x", true},
		{"/private/*", "/private/x/", true},
		{"/private/*", "/private/", true},
		{"/private/*", "/private/x/y", false},
		{"/private", "/private", true},
		{"/private", "/private/", true},
		{"/private", "/private/x", false},
		{"/**", "/", true},
		{"/**", "/x", true},
		{"/**", "/x/y/", true},
		{"/**/*.key", "/a.key", true},
		{"/**/*.key", "/a/b/c.key", true},
		{"/**/*.key", "/a/b/c.key/", true},
		{"/**/*.key", "/a/b/c.key2", false},
		{"/{a,b}/**", "/b/x", true},
		{"/{a,b}/**", "/c/x", false},
		{"/[a-c]/**", "/b/x", true},
		{"/a b/**", "/a%20b/x", true},
		{"/a.html", "/a%2Ehtml", true},
	} {
		req := parse(t, "GET", c.target)
		if got := p(c.glob).protectFor("GET", req.Path) != nil; got != c.want {
			t.Errorf("protect %q and %s (%q): %v, want %v", c.glob, c.target, req.Path, got, c.want)
		}
	}
}

func TestProtectForFirstMatchDecides(t *testing.T) {
	p := mustPolicy(t, func(s *Spec) {
		s.Protect = []Protect{
			{Glob: "/a/**", Users: []string{"alice"}},
			{Glob: "/**", Methods: []string{"PUT", "DELETE"}},
			{Glob: "/b/**", Methods: []string{"GET"}},
		}
	})
	for _, c := range []struct {
		method, path string
		want         int // -1: none
	}{
		{"GET", "/a/x", 0}, {"PUT", "/a/x", 0}, {"OPTIONS", "/a", 0},
		{"PUT", "/b/x", 1}, {"DELETE", "/", 1},
		{"GET", "/b/x", 2}, {"HEAD", "/b/x", 2}, {"GET", "/c", -1},
	} {
		want := (*Protect)(nil)
		if c.want >= 0 {
			want = &p.spec.Protect[c.want]
		}
		if got := p.protectFor(c.method, c.path); got != want {
			t.Errorf("%s %s: %+v, want block %d", c.method, c.path, got, c.want)
		}
	}
}

func TestNewPolicyErrors(t *testing.T) {
	for _, c := range []struct{ glob, target, want string }{
		{glob: "private/**", want: "begins with a slash"},
		{glob: "", want: "begins with a slash"},
		{glob: "**", want: "begins with a slash"},
		{glob: "/{a,b", want: "not a valid pattern"},
		{glob: "/[a", want: "not a valid pattern"},
		{glob: "/**", target: "example.org", want: "port is missing"},
	} {
		spec := Defaults()
		spec.Protect = []Protect{{Glob: c.glob}}
		if c.target != "" {
			spec.Connect = []string{c.target}
		}
		if _, err := newPolicy(spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("protect %q, connect %q: %v, want %q", c.glob, c.target, err, c.want)
		}
	}
}

func TestScriptNames(t *testing.T) {
	p := mustPolicy(t, func(s *Spec) { s.Scripts = []Script{{Ext: ".php"}, {Ext: ".SH"}} })
	for _, c := range []struct {
		name     string
		block    int
		isScript bool
	}{
		{"x.php", 0, true}, {"/a/x.PHP", 0, true}, {"/x.Php", 0, true}, {"x.y.php", 0, true}, {".php", 0, true},
		{"x.sh", 1, true},
		{"x.cgi", -1, true}, {"x.PHTML", -1, true}, {"x.phar", -1, true}, {"x.asp", -1, true},
		{"x.php.txt", -1, false}, {"x.php.", -1, false}, {"x.php ", -1, false}, {"x.php\x00", -1, false},
		{"x", -1, false}, {"php", -1, false}, {"/x.php/y", -1, false}, {"", -1, false}, {"/", -1, false},
	} {
		if block, isScript := p.script(c.name); block != c.block || isScript != c.isScript {
			t.Errorf("script(%q) = %d, %v, want %d, %v", c.name, block, isScript, c.block, c.isScript)
		}
	}
}

func TestHidden(t *testing.T) {
	for path, want := range map[string]bool{
		"/":                               false,
		"/a.b/c.d":                        false,
		"/a./b":                           false,
		"/.git":                           true,
		"/.git/config":                    true,
		"/a/.b/c":                         true,
		"/a/.htaccess":                    true,
		"/..a":                            true,
		"/...":                            true,
		"/.well-known":                    false,
		"/.well-known/":                   false,
		"/.well-known/acme-challenge/x":   false,
		"/.well-known/.git":               true,
		"/.well-known/a/.b":               true,
		"/.well-known-secrets/x":          true,
		"/.well-knownx":                   true,
		"/a/.well-known/x":                true,
		"/" + tempPrefix + "ABCDEFGHIJKL": true,
	} {
		if got := hidden(path); got != want {
			t.Errorf("hidden(%q) = %v", path, got)
		}
	}
}

func TestAllowFor(t *testing.T) {
	p := mustPolicy(t, func(s *Spec) { s.Methods = []string{"GET", "POST", "PUT", "PATCH"} })
	if got := p.allowFor(false); got != "GET, PUT" {
		t.Errorf("for a file: %q", got)
	}
	if got := p.allowFor(true); got != "GET, POST, PUT, PATCH" {
		t.Errorf("for a script: %q", got)
	}
	if !slices.Equal(p.spec.Methods, []string{"GET", "POST", "PUT", "PATCH"}) {
		t.Errorf("the spec was changed: %q", p.spec.Methods)
	}
}
