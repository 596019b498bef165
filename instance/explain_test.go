package instance

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sited/protocol"
)

// What explain says is what a request gets.
func TestExplainAgreesWithServe(t *testing.T) {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		protecting(t, Protect{Glob: "/private/**"}, Protect{Glob: "/x.sh", Users: []string{"alice"}})(spec)
	})
	s.file("a.txt", "a")
	s.file("dir/index.html", "x")
	s.file("private/a.txt", "a")
	s.file("x.sh", plainText)
	s.file("x.php", source)
	must(t, os.Mkdir(filepath.Join(s.root, "bare"), 0o755))
	must(t, syscall.Mkfifo(filepath.Join(s.root, "fifo"), 0o644))
	must(t, os.Symlink("/etc/passwd", filepath.Join(s.root, "out")))
	for _, method := range []string{"OPTIONS", "HEAD", "GET", "POST", "PUT", "PATCH", "BREW", "DELETE"} {
		for _, target := range []string{
			"/", "/dir", "/dir/", "/bare/", "/nothing", "/no/thing", "/fifo", "/out", "/x.php", "/x.sh", "/x.sh/info", "/.hidden", "/../x", "/%zz",
			"/private/a.txt", "/private/nothing", "/a.txt/", "/a.txt/b", "/a.txt",
		} {
			fields := "Host: test\r\nAuthorization: " + basic("alice", "a") + "\r\nConnection: close\r\nContent-Length: 1\r\n"
			e, err := Explain(s.spec, method+" "+target+" HTTP/1.1\r\n"+fields+"\r\n")
			must(t, err)
			got := s.raw(method + " " + target + " HTTP/1.1\r\n" + fields + "\r\nx").status
			if e.Status == 0 { // a script's own
				e.Status = 200
			}
			if e.Status != got {
				t.Errorf("%s %s is explained as %d, but gets %d:\n%s", method, target, e.Status, got, strings.Join(e.Steps, "\n"))
			}
			if len(e.Steps) == 0 || e.Method != method {
				t.Errorf("%s %s: %+v", method, target, e)
			}
		}
	}
}

// The same with everything else that a block can say.
func TestExplainAgreesWithServeOnOtherAnswers(t *testing.T) {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		protecting(t, Protect{Glob: "/private/**"})(spec)
		spec.Try = []string{"{path}.html", "/front.sh"}
		spec.Listing = true
		spec.Redirects = []Redirect{{"/old/**", "/{rest}", 307}, {"/private/old", "/x", 301}}
		spec.ErrorPages = []ErrorPage{{"4xx", "/a.txt"}}
	})
	s.file("a.txt", "a")
	s.file("page.html", "page")
	s.file("front.sh", plainText)
	s.file("bare/x", "x")
	s.file("private/x", "x")
	for _, method := range []string{"OPTIONS", "HEAD", "GET", "POST", "PUT", "DELETE"} {
		for _, target := range []string{"/old/x", "/old", "/page", "/bare/", "/bare", "/private/old", "/private/", "/nothing", "/x.php", "/.git/x", "/a.txt"} {
			fields := "Host: test\r\nAuthorization: " + basic("alice", "a") + "\r\nConnection: close\r\nContent-Length: 1\r\n"
			e, err := Explain(s.spec, method+" "+target+" HTTP/1.1\r\n"+fields+"\r\n")
			must(t, err)
			got := s.raw(method + " " + target + " HTTP/1.1\r\n" + fields + "\r\nx").status
			if e.Status == 0 { // a script's own
				e.Status = 200
			}
			if e.Status != got {
				t.Errorf("%s %s is explained as %d, but gets %d:\n%s", method, target, e.Status, got, strings.Join(e.Steps, "\n"))
			}
		}
	}
}

func TestExplainTellsOtherAnswers(t *testing.T) {
	spec, _ := testSpec(t)
	withScripts(&spec)
	spec.Connect = []string{"*.example.org:443"}
	spec.Try = []string{"/.hidden", "{path}.html", "/bare/", "/dir", "/x.sh/y", "/spa.html"}
	spec.Listing = true
	spec.Redirects = []Redirect{{"/old/**", "/new/{rest}", 308}}
	spec.ErrorPages = []ErrorPage{{"4xx", "/spa.html"}, {"404", "/none.html"}, {"501", "/x.sh"}}
	spec.Headers = []HeaderRule{
		{Glob: "/**", Set: []protocol.Field{{Name: "X-A", Value: "1"}, {Name: "Vary", Value: "Origin"}}, Remove: []string{"X-B"}},
		{Glob: "/**", Set: []protocol.Field{{Name: "X-Always", Value: "2"}}, Always: true},
	}
	writeFile(t, filepath.Join(spec.Root, "spa.html"), "x")
	writeFile(t, filepath.Join(spec.Root, "x.sh"), "x")
	writeFile(t, filepath.Join(spec.Root, "bare/x"), "x")
	writeFile(t, filepath.Join(spec.Root, "dir/x"), "x")
	for request, want := range map[string][]string{
		"GET /old/x?y":              {`redirect "/old/**": sends to /new/x?y -> 308`, `header "/**": removes X-B; sets X-A: 1; adds to Vary: Origin`, "sets X-Always: 2"},
		"GET /route":                {`try "/.hidden": /.hidden: can't be served`, `try "{path}.html": /route.html: not there`, `/bare/: no index file`, `/dir: a folder, and`, `/x.sh/y: a script has no path`, `try "/spa.html": /spa.html: found`, "leads to /spa.html", "-> 200"},
		"GET /bare/":                {"lists the folder", "-> 200"},
		"POST /bare/":               {"/bare/ is none -> 405", "error_page: sends /spa.html", "sets X-Always"},
		"GET /x.sh":                 {"sets X-A: 1; adds to Vary: Origin; if the script's status is below 400"},
		"DELETE /x":                 {"404 Not Found", "error_page /none.html can't be sent"},
		"BREW /x":                   {"error_page /x.sh can't be sent, the built-in page is: neither"},
		"GET /%":                    {"before the site's rules", "error_page: sends /spa.html", "sets X-Always"},
		"CONNECT a:1":               {"error_page: sends /spa.html", "sets X-Always"},
		"CONNECT b.example.org:443": {"opens a tunnel"},
	} {
		e, err := Explain(spec, request+" HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
		must(t, err)
		steps := strings.Join(e.Steps, "\n")
		for _, w := range want {
			if !strings.Contains(steps, w) {
				t.Errorf("%s: no word of %q in:\n%s", request, w, steps)
			}
		}
		if e.Status >= 400 && strings.Contains(steps, "X-A:") || strings.Contains(request, "example.org") && strings.Contains(steps, "header") {
			t.Errorf("%s: a header rule that does not apply:\n%s", request, steps)
		}
	}
}

func TestExplainTellsWhy(t *testing.T) {
	spec, _ := testSpec(t)
	withScripts(&spec)
	spec.Connect = []string{"*.example.org:443"}
	spec.Protect = []Protect{{Glob: "/private/**", Users: []string{"alice"}}}
	spec.Index = []string{"index.html"}
	writeFile(t, filepath.Join(spec.Root, "private/index.html"), "x")
	writeFile(t, filepath.Join(spec.Root, "x.sh"), "x")
	for request, want := range map[string]string{
		"GET /private/":           "asks for alice",
		"GET /public":             "not protected",
		"GET /private/../private": "path /private",
		"GET /x.sh/info":          `PATH_INFO "/info"`,
		"GET /a%2ephp":            "no script block",
		"OPTIONS *":               "Allow: GET",
		"CONNECT a:1":             "connect.allow",
		"GET /%":                  "before the site's rules",
	} {
		e, err := Explain(spec, request+" HTTP/1.1\r\nHost: a\r\n\r\n")
		must(t, err)
		if steps := strings.Join(e.Steps, "\n"); !strings.Contains(steps, want) {
			t.Errorf("%s: no word of %q in:\n%s", request, want, steps)
		}
	}
	must(t, os.RemoveAll(spec.Root))
	e, err := Explain(spec, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	must(t, err)
	if e.Status != 503 {
		t.Errorf("without a root: %+v", e)
	}
	spec.Protect[0].Glob = "x"
	if _, err := Explain(spec, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err == nil {
		t.Error("a pattern that protects nothing is taken")
	}
}
