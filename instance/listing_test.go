package instance

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const asJSON = "Accept: application/json"

// listedNames are the names in a listing as JSON, folders with a slash.
func listedNames(t testing.TB, a answer) (names []string) {
	t.Helper()
	a.wantField(t, "listing", "Content-Type", "application/json")
	var all []struct{ Name, Type string }
	if err := json.Unmarshal([]byte(a.body), &all); err != nil {
		t.Fatalf("%v: %d %q", err, a.status, a.body)
	}
	names = []string{}
	for _, e := range all {
		if e.Type == "directory" {
			e.Name += "/"
		}
		names = append(names, e.Name)
	}
	return names
}

func TestListing(t *testing.T) {
	s := open(t, func(spec *Spec) { spec.Listing = true })
	s.file("files/b.txt", "bb")
	s.file("files/A.txt", "a")
	s.file("files/sub/x", "x")
	s.file("with/index.html", "index")
	at := time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)
	must(t, os.Chtimes(filepath.Join(s.root, "files/b.txt"), at, at))
	must(t, os.Chtimes(filepath.Join(s.root, "files/sub"), at, at))
	must(t, os.Mkdir(filepath.Join(s.root, "empty"), 0o755))

	a := s.get("/files/", asJSON)
	a.wantField(t, "JSON", "Vary", "Accept")
	var all []map[string]any
	must(t, json.Unmarshal([]byte(a.body), &all))
	if len(all) != 3 || fmt.Sprint(all[0]) != "map[mtime:Sat, 03 Feb 2024 04:05:06 GMT name:sub type:directory]" ||
		fmt.Sprint(all[2]) != "map[mtime:Sat, 03 Feb 2024 04:05:06 GMT name:b.txt size:2 type:file]" {
		t.Errorf("%s", a.body)
	}
	a = s.get("/files/")
	a.wantField(t, "page", "Content-Type", "text/html; charset=utf-8")
	a.wantField(t, "page", "Vary", "Accept")
	for _, want := range []string{
		`<meta name="viewport"`, "<title>/files/</title>", `href="/files/sub/">sub/</a>`, `href="/files/b.txt">b.txt</a>`,
		`<a href="/">Home</a>`, `<a href="/files/" aria-current="page">files</a>`, "1 folder, 2 files, 3 B", "2 B", `datetime="2024-02-03T04:05Z"`,
		`aria-sort="ascending"`, `href="?sort=size&amp;order=desc"`, `aria-label="Parent folder"`,
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %s in:\n%s", want, a.body)
		}
	}
	if outside := regexp.MustCompile(`(src|href)="?(https?:|//)|url\(|@import|<script`).FindString(a.body); outside != "" {
		t.Errorf("the page needs %s", outside)
	}
	head := s.do("HEAD", "/files/", "")
	if head.status != 200 || head.length != int64(len(a.body)) {
		t.Errorf("HEAD: %d, %d bytes of %d", head.status, head.length, len(a.body))
	}
	s.get("/files").want(t, "without its slash", 301, "")
	s.get("/with/").want(t, "with an index file", 200, "index")
	s.do("POST", "/files/", "x").want(t, "POST", 405, "")
	s.get("/nothing/").want(t, "nothing", 404, "")
	if got := listedNames(t, s.get("/empty/", asJSON)); len(got) != 0 {
		t.Errorf("empty: %q", got)
	}
	if body := s.get("/empty/").body; !strings.Contains(body, "0 folders, 0 files<") {
		t.Errorf("empty: %s", body)
	}
	for accept, kind := range map[string]string{
		"*/*": "text/html", "text/html, application/json": "text/html", "application/json;q=0.9, */*;q=0.8": "application/json",
		"application/json;q=0.5, text/html;q=0.6": "text/html", "image/png": "text/html",
	} {
		if got := s.get("/files/", "Accept: "+accept).header.Get("Content-Type"); !strings.HasPrefix(got, kind) {
			t.Errorf("Accept %s: %s", accept, got)
		}
	}
}

func TestNoListing(t *testing.T) {
	s := open(t, nil)
	s.file("files/b.txt", "bb")
	s.get("/files/").want(t, "a folder that is not listed", 404, "")
	s.do("POST", "/files/", "x").want(t, "POST", 404, "")
}

func TestListingOrder(t *testing.T) {
	s := open(t, func(spec *Spec) { spec.Listing = true })
	for i, name := range []string{"b", "A", "c"} {
		s.file(name, strings.Repeat("x", []int{2, 3, 1}[i]))
		at := time.Now().Add(-time.Duration([]int{1, 2, 3}[i]) * time.Hour)
		must(t, os.Chtimes(filepath.Join(s.root, name), at, at))
	}
	must(t, os.Mkdir(filepath.Join(s.root, "dir"), 0o755))
	must(t, os.Mkdir(filepath.Join(s.root, "Ear"), 0o755))
	at := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(filepath.Join(s.root, "dir"), at, at))
	for query, want := range map[string]string{
		"":                                "dir/ Ear/ A b c",
		"?sort=name&order=desc":           "Ear/ dir/ c b A",
		"?sort=size":                      "dir/ Ear/ c b A",
		"?order=desc&sort=size":           "dir/ Ear/ A b c",
		"?sort=time":                      "dir/ Ear/ c A b",
		"?sort=time&order=desc":           "Ear/ dir/ b A c",
		"?sort=x&order=y":                 "dir/ Ear/ A b c",
		"?sort=size&sort=x&&=&order=%00":  "dir/ Ear/ c b A",
		"?sort=%6eame&order=desc;a=b&x=y": "dir/ Ear/ A b c",
	} {
		if got := strings.Join(listedNames(t, s.get("/"+query, asJSON)), " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	page := s.get("/?sort=size&order=desc").body
	if !strings.Contains(page, `class="size" aria-sort="descending"><a href="?sort=size&amp;order=asc">`) {
		t.Errorf("the head of the column does not turn the order round:\n%s", page)
	}
}

// What a request would not get is not in the list either.
func TestListingHides(t *testing.T) {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		spec.Index = []string{"index.html"}
		spec.Listing = true
		protecting(t,
			Protect{Glob: "/pub/private/**"}, Protect{Glob: "/pub/*.key", Users: []string{"alice"}},
			Protect{Glob: "/pub/write/**", Methods: []string{"PUT"}}, Protect{Glob: "/pub/below/*"},
			Protect{Glob: "/mine/deep/**", Users: []string{"alice"}}, Protect{Glob: "/mine/**"})(spec)
	})
	for _, name := range []string{
		"pub/a.txt", "pub/.hidden", "pub/.git/config", "pub/x.php", "pub/x.sh", "pub/X.PHP", "pub/private/x", "pub/a.key", "pub/write/x", "pub/below/x",
		"pub/f.php/x", "mine/a", "mine/deep/x",
	} {
		s.file(name, "x")
	}
	writeFile(t, filepath.Join(s.dir, "secret"), "x")
	must(t, syscall.Mkfifo(filepath.Join(s.root, "pub/fifo"), 0o644))
	for name, to := range map[string]string{
		"in": "a.txt", "up": "../mine", "out": "../../secret", "outdir": "../../", "absolute": "/etc", "dangling": "nothing", "loop": "loop", "null": "/dev/null",
	} {
		must(t, os.Symlink(to, filepath.Join(s.root, "pub", name)))
	}
	want := []string{"up/", "write/", "a.txt", "in", "x.sh"}
	if got := listedNames(t, s.get("/pub/", asJSON)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	page := s.get("/pub/").body
	for _, name := range []string{"hidden", "git", "php", "PHP", "private", ".key", "below", "fifo", "out", "absolute", "dangling", "loop", "null"} {
		if strings.Contains(page, "/"+name) || strings.Contains(page, ">"+name) {
			t.Errorf("%s is in the page", name)
		}
	}
	s.get("/mine/", asJSON).want(t, "protected", 401, "")
	alice := "Authorization: " + basic("alice", "a")
	if got := listedNames(t, s.get("/mine/", asJSON, alice)); !slices.Equal(got, []string{"a"}) {
		t.Errorf("what another block protects is listed: %q", got)
	}
	if got := listedNames(t, s.get("/mine/deep/", asJSON, alice)); !slices.Equal(got, []string{"x"}) {
		t.Errorf("what the same block protects is not: %q", got)
	}
}

// No name becomes a part of the page, and every link leads to its file.
func TestListingEscapes(t *testing.T) {
	s := open(t, func(spec *Spec) { spec.Listing = true })
	names := []string{
		"<script>alert(1)</script>"[:17] + ">", `"><img src=x onerror=alert(1)>`, "javascript:alert(1)", "a&b=c;d", "a b+c", "100%25", "?x=y#z", `back\slash`,
		"{{.Path}}", "'single'", "new\nline", "\xff\xfe", "\u00e9\u202e.txt", "</title><b>",
	}
	for i, name := range names {
		names[i] = strings.ReplaceAll(name, "/", "_")
		s.file("x/<b>"+"/"+names[i], fmt.Sprint(i))
	}
	a := s.get("/x/%3Cb%3E/")
	for _, bad := range []string{"<script", "<img", "<b>", `"javascript:`, "\xff"} {
		if strings.Contains(a.body, bad) {
			t.Errorf("%q is in the page:\n%s", bad, a.body)
		}
	}
	if a.header.Get("Content-Security-Policy") == "" {
		t.Error("the page has no Content-Security-Policy")
	}
	links := regexp.MustCompile(`<th scope="row"><a href="(/[^"]*)">`).FindAllStringSubmatch(a.body, -1)
	if len(links) != len(names) {
		t.Fatalf("%d links for %d files:\n%s", len(links), len(names), a.body)
	}
	seen := map[string]bool{}
	for _, l := range links {
		target := strings.NewReplacer("&amp;", "&", "&#39;", "'", "&#43;", "+", "&#34;", `"`).Replace(l[1])
		if u, err := url.Parse(target); err != nil || u.Host != "" || u.RawQuery != "" {
			t.Errorf("%q is no path: %v", target, err)
		}
		seen[s.get(target).body] = true
	}
	if len(seen) != len(names) {
		t.Errorf("the links lead to %d of %d files", len(seen), len(names))
	}
	var all []struct{ Name string }
	must(t, json.Unmarshal([]byte(s.get("/x/%3Cb%3E/", asJSON).body), &all))
	if len(all) != len(names) {
		t.Errorf("%d of %d in the JSON", len(all), len(names))
	}
}

func TestListingIsBounded(t *testing.T) {
	s := open(t, func(spec *Spec) { spec.Listing = true })
	dir := filepath.Join(s.root, "many")
	must(t, os.Mkdir(dir, 0o755))
	for i := range maxListed {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%05d", i)), nil, 0o644))
	}
	a := s.get("/many/", asJSON)
	if n := len(listedNames(t, a)); n != maxListed || a.header.Get("Listing-Truncated") != "" {
		t.Errorf("%d entries, truncated %q", n, a.header.Get("Listing-Truncated"))
	}
	must(t, os.WriteFile(filepath.Join(dir, "one more"), nil, 0o644))
	a = s.get("/many/", asJSON)
	if n := len(listedNames(t, a)); n != maxListed {
		t.Errorf("%d entries", n)
	}
	a.wantField(t, "more", "Listing-Truncated", "?1")
	if body := s.get("/many/").body; !strings.Contains(body, "only 10,000 entries are shown") {
		t.Error("the page does not say that there are more")
	}
}

func BenchmarkListing(b *testing.B) {
	entries := make([]listed, 1000)
	for i := range entries {
		entries[i] = listed{name: fmt.Sprintf("file-%d.txt", i), size: int64(i) * 1000, modified: time.Now()}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := listingHTML("/a/b/", entries, false, order{by: "name"}); err != nil {
			b.Fatal(err)
		}
	}
}
