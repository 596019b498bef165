package instance

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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
