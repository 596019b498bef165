package instance

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestTryPath(t *testing.T) {
	for _, c := range []struct{ entry, path, want string }{ // "": none
		{"/index.html", "/a/b", "/index.html"},
		{"{path}.html", "/a/b", "/a/b.html"},
		{"{path}.html", "/a/b/", "/a/b.html"},
		{"{path}.html", "/", ""},
		{"{path}/", "/a", "/a/"},
		{"{path}/", "/", "/"},
		{"/en{path}", "/a", "/en/a"},
		{"/en{path}{path}", "/a", "/en/a/a"},
		{"{path}/index.php", "/", "/index.php"},
		{"{path}", "/a%2e%2e/b", "/a%2e%2e/b"}, // decoded once, and never again
		{"/x{path}", "/a b?#c", "/x/a b?#c"},
		{"{path}/../../secret", "/a", ""},
		{"{path}/../../secret", "/a/b", "/secret"},
		{"/../secret", "/a", ""},
	} {
		got, ok := tryPath(c.entry, c.path)
		if !ok {
			got = ""
		}
		if got != c.want {
			t.Errorf("%s for %s: %q, want %q", c.entry, c.path, got, c.want)
		}
	}
}

func TestTryErrors(t *testing.T) {
	for entry, want := range map[string]string{
		"":               "begins with a slash",
		"index.html":     "begins with a slash",
		"=404":           "begins with a slash",
		"/{uri}":         "no placeholder but",
		"/a{":            "no placeholder but",
		"/../index.html": "out of the root",
	} {
		spec := Defaults()
		spec.Try = []string{entry}
		if _, err := newPolicy(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", entry, err, want)
		}
	}
}

func TestFallback(t *testing.T) {
	root := testRoot(t)
	policy := func(listing bool, try ...string) *policy {
		return mustPolicy(t, func(s *Spec) {
			s.Scripts = []Script{{Ext: ".sh"}}
			s.Index = []string{"index.php", "index.sh", "index.html"}
			s.Try, s.Listing = try, listing
		})
	}
	for _, c := range []struct {
		try     string // separated by blanks
		path    string
		listing bool
		leads   string // "": 404
		absent  string
	}{
		{try: "/index.html", path: "/a.txt", leads: "/a.txt"},
		{try: "/index.html", path: "/nothing", leads: "/index.html", absent: "nothing"},
		{try: "/index.html", path: "/no/thing/", leads: "/index.html", absent: "no/thing"},
		{try: "/a.txt", path: "/empty/", leads: "/a.txt", absent: "empty/index.sh empty/index.html"},
		{try: "/a.txt", path: "/empty/", listing: true, leads: "/empty/", absent: "empty/index.sh empty/index.html"},
		{try: "/a.txt", path: "/empty", leads: "/empty"}, // wants its slash first
		{try: "{path}.txt /index.html", path: "/a", leads: "/a.txt", absent: "a"},
		{try: "{path}.txt /index.html", path: "/b", leads: "/index.html", absent: "b b.txt"},
		{try: "{path}.txt /index.html", path: "/a/", leads: "/a.txt", absent: "a"},
		{try: "/dir /a.txt", path: "/x", leads: "/a.txt", absent: "x dir"}, // a folder is none, and never a redirect
		{try: "/dir/", path: "/x", leads: "/dir/index.html", absent: "x dir/index.sh"},
		{try: "/empty/ /a.txt", path: "/x", listing: true, leads: "/a.txt", absent: "x empty/index.sh empty/index.html empty"},
		{try: "/app/", path: "/x", leads: "/app/index.sh", absent: "x"},
		{try: "/x.sh", path: "/x", leads: "/x.sh", absent: "x"},
		{try: "/x.sh/info /a.txt", path: "/x", leads: "/a.txt", absent: "x x.sh/info"},
		{try: "/x.php /a.txt", path: "/x", leads: "/a.txt", absent: "x"},
		{try: "/.hidden /a.txt", path: "/x", leads: "/a.txt", absent: "x"},
		{try: "{path}/.env /a.txt", path: "/dir/x", leads: "/a.txt", absent: "dir/x"},
		{try: "/out /outdir/index.html /absolute /a.txt", path: "/x", leads: "/a.txt", absent: "x out outdir/index.html absolute"},
		{try: "/fifo /loop /a.txt", path: "/x", leads: "/a.txt", absent: "x fifo loop"},
		{try: "/a.txt", path: "/out", leads: "/a.txt", absent: "out"},
		{try: "/a.txt", path: "/index.html/x", leads: "/a.txt", absent: "index.html/x"},
		{try: "/nothing {path}.html", path: "/x", absent: "x nothing x.html"},
		{try: "/odd", path: "/%2e%2e/secret"},
	} {
		before := descriptors(t)
		f, err := policy(c.listing, strings.Fields(c.try)...).find(root, c.path)
		f.close()
		if (err != nil) != (c.leads == "") || f.path != c.leads {
			t.Errorf("%s, try %s: %+v, %v; want %q", c.path, c.try, f, err, c.leads)
		}
		if c.absent != "" && !slices.Equal(f.absent, strings.Fields(c.absent)) {
			t.Errorf("%s, try %s: absent %q, want %q", c.path, c.try, f.absent, c.absent)
		}
		if after := descriptors(t); after > before {
			t.Errorf("%s, try %s: %d descriptors before, %d after", c.path, c.try, before, after)
		}
	}
}

func TestTryOnTheWire(t *testing.T) {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		protecting(t, Protect{Glob: "/private/**"})(spec)
		spec.Try = []string{"{path}.html", "/private{path}", "/index.html"}
	})
	s.file("index.html", "the app")
	s.file("about.html", "about")
	s.file("private/secret", "secret")
	s.file(".hidden", "DOT")
	must(t, os.Mkdir(filepath.Join(s.root, "bare"), 0o755))
	for range 2 { // from the disk, and from memory
		s.get("/about").want(t, "without its extension", 200, "about")
		s.get("/a/b/c").want(t, "a route of the app", 200, "the app")
		s.get("/bare/").want(t, "a folder without index", 200, "the app")
		s.do("HEAD", "/a/b/c", "").want(t, "HEAD", 200, "")
		a := s.get("/a/b/c")
		a.wantField(t, "type", "Content-Type", "text/html; charset=utf-8")
		a.wantField(t, "its own name", "Location", "")
		s.get("/secret").want(t, "a protected fallback", 401, "")
		s.get("/secret", "Authorization: "+basic("alice", "a")).want(t, "with credentials", 200, "secret")
		s.get("/.hidden").want(t, "dotfile", 404, "")
		s.get("/x.php").want(t, "script without block", 403, "")
		s.do("POST", "/a/b", "x").want(t, "POST to a file", 405, "")
		s.do("DELETE", "/a/b", "").want(t, "DELETE", 404, "")
		s.get("/bare").want(t, "folder", 301, "")
	}
	// What comes up under the name itself is the answer from then on.
	s.do("PUT", "/route", "mine").want(t, "PUT", 201, "")
	s.get("/route").want(t, "uploaded", 200, "mine")
	s.do("DELETE", "/route", "").want(t, "DELETE", 204, "")
	s.get("/route").want(t, "deleted", 200, "the app")
	s.file("route.html", "later")
	eventually(t, "an earlier entry counts once it is there", func() bool { return s.get("/route").body == "later" })
}

func TestTryScript(t *testing.T) {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		spec.Try = []string{"/front.sh/x", "/front.sh"}
	})
	s.file("front.sh", plainText+`printf '%s %s %s [%s] %s ' "$REQUEST_METHOD" "$REQUEST_URI" "$SCRIPT_NAME" "$PATH_INFO" "$QUERY_STRING"; cat`)
	s.get("/blog/a%20b?c=d").want(t, "GET", 200, "GET /blog/a%20b?c=d /front.sh [] c=d ")
	s.do("POST", "/blog/a", "body").want(t, "POST", 200, "POST /blog/a /front.sh []  body")
	s.do("PUT", "/blog/a", "body").want(t, "PUT is for the path itself", 409, "")
}

// A file that can't be read is told, not passed over for a later entry.
func TestTryTellsOtherErrors(t *testing.T) {
	if syscall.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	s := open(t, func(spec *Spec) { spec.Try = []string{"/a.txt", "/b.txt"} })
	s.file("a.txt", "a")
	s.file("b.txt", "b")
	must(t, os.Chmod(filepath.Join(s.root, "a.txt"), 0))
	s.get("/x").want(t, "unreadable", 403, "")
}
