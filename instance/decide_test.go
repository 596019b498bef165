package instance

import (
	"strings"
	"testing"

	"sited/protocol"
)

func TestDecide(t *testing.T) {
	p := mustPolicy(t, func(s *Spec) {
		s.Methods = []string{"GET", "POST", "PUT", "PATCH", "OPTIONS", "CONNECT", "TRACE"}
		s.Scripts = []Script{{Ext: ".sh"}}
		s.Protect = []Protect{{Glob: "/private/**"}}
	})
	const (
		length  = "Content-Length: 3"
		empty   = "Content-Length: 0"
		chunked = "Transfer-Encoding: chunked"
		ranged  = "Content-Range: bytes 0-2/3"
	)
	for _, c := range []struct {
		method, target string
		fields         []string
		action         Action
		status         int
		protected      bool
	}{
		{method: "GET", target: "/", action: Read},
		{method: "GET", target: "/a.txt", action: Read},
		{method: "GET", target: "/a/", action: Read},
		{method: "GET", target: "/a.sh", action: Read},
		{method: "GET", target: "/a.sh/info", action: Read},
		{method: "GET", target: "/private/a", action: Read, protected: true},
		{method: "GET", target: "/%70rivate//a", action: Read, protected: true},
		{method: "GET", target: "/.well-known/x", action: Read},

		{method: "POST", target: "/a.sh", fields: []string{length}, action: Submit},
		{method: "POST", target: "/a.sh", fields: []string{empty}, action: Submit},
		{method: "POST", target: "/a.sh", fields: []string{chunked}, action: Submit},
		{method: "POST", target: "/a.txt", fields: []string{length}, action: Submit}, // the disk says 405 or 404
		{method: "POST", target: "/a.sh", status: 411},
		{method: "POST", target: "/a.php", status: 411},
		{method: "PATCH", target: "/a.sh", fields: []string{length}, action: Submit},
		{method: "PATCH", target: "/a.sh", action: Submit},

		{method: "PUT", target: "/a.txt", fields: []string{length}, action: Upload},
		{method: "PUT", target: "/a.txt", fields: []string{empty}, action: Upload},
		{method: "PUT", target: "/a.txt", fields: []string{chunked}, action: Upload},
		{method: "PUT", target: "/private/a.txt", fields: []string{length}, action: Upload, protected: true},
		{method: "PUT", target: "/a.txt", status: 411},
		{method: "PUT", target: "/a.txt", fields: []string{length, ranged}, status: 400},
		{method: "PUT", target: "/a.sh", fields: []string{length}, status: 403},
		{method: "PUT", target: "/a.SH", fields: []string{length}, status: 403},
		{method: "PUT", target: "/a.sh/", fields: []string{length}, status: 403},
		{method: "PUT", target: "/a.php", fields: []string{length}, status: 403},
		{method: "PUT", target: "/a/", fields: []string{length}, status: 409},
		{method: "PUT", target: "/", fields: []string{length}, status: 409},
		{method: "PUT", target: "/.user.ini", fields: []string{length}, status: 404},

		{method: "OPTIONS", target: "*", action: Options},
		{method: "OPTIONS", target: "/a", action: Options},
		{method: "OPTIONS", target: "/private/", action: Options, protected: true},
		{method: "CONNECT", target: "example.org:443", action: Connect},

		{method: "GET", target: "/.git/config", status: 404},
		{method: "GET", target: "/a/%2egit", status: 404},
		{method: "GET", target: "/a.php", status: 403},
		{method: "GET", target: "/a.PHP", status: 403},
		{method: "GET", target: "/a.php/", status: 403},
		{method: "GET", target: "/a%2ephp", status: 403},
		{method: "POST", target: "/a.php", fields: []string{length}, status: 403},
		{method: "TRACE", target: "/a", status: 501},

		// Protected comes with whatever else is wrong, so that 401 comes first.
		{method: "GET", target: "/private/.git", status: 404, protected: true},
		{method: "GET", target: "/private/a.php", status: 403, protected: true},
		{method: "POST", target: "/private/a", status: 411, protected: true},
		{method: "PUT", target: "/private/", fields: []string{length}, status: 409, protected: true},
		{method: "HEAD", target: "/private/a", status: 405, protected: true}, // not listed
		{method: "DELETE", target: "/private/a", status: 405, protected: true},
		{method: "DELETE", target: "/a", status: 405},
		{method: "TRACE", target: "/private/a", status: 501, protected: true},
		// A method that nobody knows is nobody's to protect.
		{method: "BREW", target: "/private/a", status: 501},
		{method: "get", target: "/private/a", status: 501},
	} {
		req := parse(t, c.method, c.target, c.fields...)
		for _, tr := range []*trace{nil, {}} {
			d := p.decide(&req, tr)
			if d.Action != c.action || d.Status != c.status || (d.Protect != nil) != c.protected {
				t.Errorf("%s %s %q: %v %d, protected %v; want %v %d, %v",
					c.method, c.target, c.fields, d.Action, d.Status, d.Protect != nil, c.action, c.status, c.protected)
			}
			if (d.Action == Refuse) != (d.Why != "") {
				t.Errorf("%s %s: action %v, because %q", c.method, c.target, d.Action, d.Why)
			}
			if tr != nil && d.Action == Refuse && !strings.Contains(strings.Join(tr.steps, "\n"), d.Why) {
				t.Errorf("%s %s: the trace %q does not say %q", c.method, c.target, tr.steps, d.Why)
			}
		}
	}
}

// Whether a path is protected does not depend on anything but method and path.
func TestDecideProtectsEveryKnownMethod(t *testing.T) {
	for _, listed := range [][]string{nil, protocol.Methods()} {
		p := mustPolicy(t, func(s *Spec) {
			s.Methods = listed
			s.Protect = []Protect{{Glob: "/private/**"}}
		})
		for _, method := range protocol.Methods() {
			if method == "CONNECT" {
				continue // has no path
			}
			for target, want := range map[string]bool{
				"/private": true, "/private/": true, "/private/x.txt": true, "/private/x.php": true, "/private/.x": true, "/public": false,
			} {
				req := parse(t, method, target)
				if d := p.decide(&req, nil); (d.Protect != nil) != want {
					t.Errorf("%s %s with methods %q: protected %v", method, target, listed, d.Protect != nil)
				}
			}
		}
	}
}

func TestDecideConnectIsProtectedAsTheRoot(t *testing.T) {
	p := mustPolicy(t, func(s *Spec) { s.Protect = []Protect{{Glob: "/**", Methods: []string{"CONNECT"}}} })
	req := parse(t, "CONNECT", "example.org:443")
	if d := p.decide(&req, nil); d.Protect == nil || d.Action != Connect {
		t.Errorf("%+v", d)
	}
}

func BenchmarkDecide(b *testing.B) {
	p := mustPolicy(b, func(s *Spec) {
		s.Scripts = []Script{{Ext: ".php"}}
		s.Protect = []Protect{{Glob: "/private/**"}, {Glob: "/**", Methods: []string{"PUT", "DELETE"}}}
	})
	req := parse(b, "GET", "/assets/css/style.css")
	b.ReportAllocs()
	for b.Loop() {
		if d := p.decide(&req, nil); d.Action != Read {
			b.Fatal(d)
		}
	}
}
