package instance

import (
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sited/protocol"
)

const source = "SOURCE" // in every script of a test's root, and nowhere else

// testRoot is a folder with something of everything, in which nothing may lead to
// the secret beside it.
func testRoot(t testing.TB) *os.Root {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"secret":                        "SECRET",
		"outside/index.html":            "SECRET",
		"root/index.html":               "index",
		"root/a.txt":                    "a",
		"root/dir/index.html":           "dir",
		"root/empty/x.bin":              "x",
		"root/.hidden":                  "DOT",
		"root/.git/config":              "DOT",
		"root/dir/.env":                 "DOT",
		"root/.well-known/x":            "known",
		"root/.well-known/.x":           "DOT",
		"root/private/index.html":       "private",
		"root/private/deep/x.txt":       "private",
		"root/x.sh":                     source,
		"root/app/index.sh":             source,
		"root/private/x.sh":             source,
		"root/upper.SH":                 source,
		"root/x.php":                    source,
		"root/noblock/index.php":        source,
		"root/folder.sh/index.html":     "folder",
		"root/folder.sh/inner.sh":       source,
		"root/..a":                      "DOT",
		"root/odd \n?#%/x;y.txt":        "odd",
		"root/priv\u00e9/" + "\xff.bin": "bytes",
	} {
		writeFile(t, filepath.Join(dir, name), content)
	}
	root, err := os.OpenRoot(filepath.Join(dir, "root"))
	must(t, err)
	t.Cleanup(func() { root.Close() })
	must(t, syscall.Mkfifo(filepath.Join(root.Name(), "fifo"), 0o644))
	for link, to := range map[string]string{
		"out": "../secret", "out.sh": "../secret", "outdir": "../outside", "absolute": filepath.Join(dir, "secret"), "proc": "/proc/self/environ",
		"in": "a.txt", "indir": "dir", "loop": "loop", "dangling": "nothing", "up": "dir/../../secret",
	} {
		must(t, os.Symlink(to, filepath.Join(root.Name(), link)))
	}
	return root
}

func findPolicy(t testing.TB) *policy {
	return mustPolicy(t, func(s *Spec) {
		s.Scripts = []Script{{Ext: ".sh"}}
		s.Index = []string{"index.php", "index.sh", "index.html"}
		s.Protect = []Protect{{Glob: "/private/**"}}
	})
}

func TestFind(t *testing.T) {
	root, p := testRoot(t), findPolicy(t)
	for _, c := range []struct {
		path               string
		status             int
		content            string // of a file
		leads, info        string // of a script
		redirect, isScript bool
	}{
		{path: "/", content: "index"},
		{path: "/a.txt", content: "a"},
		{path: "/a.txt/", status: 404},
		{path: "/a.txt/b", status: 404},
		{path: "/nothing", status: 404},
		{path: "/dir", redirect: true},
		{path: "/dir/", content: "dir"},
		{path: "/empty", redirect: true},
		{path: "/empty/", status: 404},
		{path: "/noblock/", status: 404}, // its index file would be refused
		{path: "/app/", isScript: true, leads: "/app/index.sh"},
		{path: "/x.sh", isScript: true, leads: "/x.sh"},
		{path: "/x.sh/", isScript: true, leads: "/x.sh", info: "/"},
		{path: "/x.sh/a/b.txt", isScript: true, leads: "/x.sh", info: "/a/b.txt"},
		{path: "/x.sh/y.sh", isScript: true, leads: "/x.sh", info: "/y.sh"},
		{path: "/upper.SH", isScript: true, leads: "/upper.SH"},
		{path: "/y.sh", status: 404},
		{path: "/folder.sh", redirect: true},
		{path: "/folder.sh/", content: "folder"},
		{path: "/folder.sh/inner.sh/i", isScript: true, leads: "/folder.sh/inner.sh", info: "/i"},
		{path: "/fifo", status: 404},
		{path: "/in", content: "a"},
		{path: "/indir", redirect: true},
		{path: "/indir/", content: "dir"},
		{path: "/out", status: 404},
		{path: "/out.sh", status: 404},
		{path: "/outdir", status: 404},
		{path: "/outdir/", status: 404},
		{path: "/absolute", status: 404},
		{path: "/proc", status: 404},
		{path: "/up", status: 404},
		{path: "/loop", status: 404},
		{path: "/dangling", status: 404},
		{path: "/odd \n?#%/x;y.txt", content: "odd"},
		{path: "/" + strings.Repeat("x", 300), status: 404},
		{path: strings.Repeat("/x", 3000), status: 404},
	} {
		before := descriptors(t)
		f, err := p.find(root, c.path)
		if err != nil {
			if protocol.StatusOf(err) != c.status {
				t.Errorf("%q: %v (%d), want %d", c.path, err, protocol.StatusOf(err), c.status)
			}
		} else {
			var content string
			if f.file != nil {
				b, err := io.ReadAll(f.file)
				must(t, err)
				content = string(b)
				f.file.Close()
			}
			if c.status != 0 || content != c.content || f.redirect != c.redirect || (f.script >= 0) != c.isScript ||
				c.isScript && (f.path != c.leads || f.pathInfo != c.info) {
				t.Errorf("%q: %+v, content %q, want %+v", c.path, f, content, c)
			}
		}
		eventually(t, "no descriptor is left open", func() bool { return descriptors(t) <= before })
	}
}

// A script that is put there between two looks at the disk is not shown either.
func TestFindNeverOpensAScript(t *testing.T) {
	root, p := testRoot(t), findPolicy(t)
	p.scripts = map[string]int{} // findScript then sees none, as if it had come too early
	before := descriptors(t)
	for _, path := range []string{"/x.php", "/noblock/index.php"} {
		if f, err := p.find(root, path); protocol.StatusOf(err) != 404 {
			t.Errorf("%s: %+v, %v", path, f, err)
		}
	}
	eventually(t, "no descriptor is left open", func() bool { return descriptors(t) <= before })
}

// No target ever opens a file outside the root, a dotfile or a script's source,
// and whoever gets to a file below /private/ was asked for credentials.
func FuzzTarget(f *testing.F) {
	root, plain := testRoot(f), findPolicy(f)
	trying := plain.spec
	trying.Listing = true
	trying.Try = []string{"{path}.txt", "/private{path}", "{path}/../.env", "{path}/../x.php", "/dir/..{path}", "/private/deep/x.txt"}
	more, err := newPolicy(trying)
	must(f, err)
	for _, s := range []string{
		"/", "/a.txt", "/../secret", "/%2e%2e/secret", "/..%2fsecret", "/dir/..%2f..%2fsecret", "/out", "/outdir/index.html", "/up",
		"/.hidden", "/%2ehidden", "/.git/config", "/.well-known/x", "/.well-known/.x", "/.well-known/../.hidden", "/..a", "/dir/./.env",
		"/private/", "/private/deep/x.txt", "//private//deep/x.txt", "/dir/../private/deep/x.txt", "/%70rivate/index.html", "/private;/x",
		"/x.sh", "/x.sh/y", "/x.php", "/x.PHP", "/x.php/", "/x.php%20", "/x.php.", "/x.php%2f", "/x.php/y", "/app/", "/noblock/", "/folder.sh/inner.sh/",
		"/fifo", "/odd%20%0a%3f%23%25/x;y.txt", "/priv%c3%a9/%ff.bin", "/a.txt?x=/../secret", "*", "http://test/private/",
	} {
		f.Add("GET", s)
		f.Add("POST", s)
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		req, err := protocol.ParseRequest(method+" "+target+" HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\n", testLimits, protocol.Versions{HTTP11: true})
		if err != nil {
			return
		}
		for _, p := range []*policy{plain, more} {
			checkTarget(t, root, p, target, &req)
		}
	})
}

func checkTarget(t *testing.T, root *os.Root, p *policy, target string, req *protocol.Request) {
	d := p.decide(req, nil)
	if d.Action != Read && d.Action != Submit {
		return
	}
	found, err := p.find(root, req.Path)
	if err != nil {
		return
	}
	defer found.close()
	guarded := d.Protect != nil || p.protectFor(req.Method, found.path) != nil
	if strings.HasPrefix(found.path, "/private/") && !guarded {
		t.Fatalf("%q leads to %q, which is not protected", target, found.path)
	}
	if found.path != path.Clean(found.path) && found.path != path.Clean(found.path)+"/" {
		t.Fatalf("%q leads to %q", target, found.path)
	}
	if found.file == nil || found.listing {
		return
	}
	b, err := io.ReadAll(found.file)
	must(t, err)
	switch content := string(b); {
	case content == "SECRET", content == "DOT", content == source:
		t.Fatalf("%q gets %s (%q)", target, content, found.path)
	case content == "private" && !guarded:
		t.Fatalf("%q gets to what is private by %q", target, found.path)
	}
	info, err := found.file.Stat()
	must(t, err)
	real, err := root.Stat(relative(found.path))
	if err != nil || !os.SameFile(info, real) {
		t.Fatalf("%q: what was opened is not %q: %v", target, found.path, err)
	}
}
