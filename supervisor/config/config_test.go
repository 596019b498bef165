package config

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func noEnv(string) (string, bool) { return "", false }

// write makes a folder with these files.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func siteText(label string, port int, more string) string {
	return fmt.Sprintf("site %q {\n  ip   = \"127.0.0.1\"\n  port = %d\n  root = \".\"\n%s}\n", label, port, more)
}

func summaries(c *Config) []string {
	var all []string
	for _, d := range c.Diags {
		all = append(all, d.Summary)
	}
	return all
}

func TestFilesAndHash(t *testing.T) {
	dir := write(t, map[string]string{
		"sites.hcl": siteText("a", 8001, "  index     = [chomp(file(\"index.txt\"))]\n  passwords = \"users\"\n  protect \"/**\" {}\n"),
		"index.txt": "home.html\n",
		"users":     "alice:x\n",
	})
	path := filepath.Join(dir, "sites.hcl")
	read := func() *Config { return Load(path, noEnv) }
	change := func(name, data string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	first := read()
	if first.HasErrors() || len(first.Sites) != 1 {
		t.Fatalf("sites %v, diagnostics %v", first.Sites, first.Diags)
	}
	var files []string
	for _, f := range first.Files {
		if len(f.Hash) != 64 {
			t.Errorf("%s has hash %q", f.Path, f.Hash)
		}
		files = append(files, fmt.Sprintf("%s %s", f.Kind, filepath.Base(f.Path)))
	}
	if diff := cmp.Diff([]string{"function index.txt", "config sites.hcl", "passwords users"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if read().Hash() != first.Hash() {
		t.Error("the hash of unchanged files changed")
	}
	change("users", "bob:x\n")
	if read().Hash() != first.Hash() {
		t.Error("the content of the password file is in the hash")
	}
	change("index.txt", "other.html\n")
	second := read()
	if second.Hash() == first.Hash() {
		t.Error("what file() read is not in the hash")
	}
	if err := os.Remove(filepath.Join(dir, "users")); err != nil {
		t.Fatal(err)
	}
	third := read()
	if third.Hash() == second.Hash() {
		t.Error("a password file that went away is not in the hash: its return would change nothing")
	}
	if !slices.Contains(third.Files, File{Path: filepath.Join(dir, "users"), Kind: KindPasswords}) {
		t.Errorf("the missing password file is not listed: %v", third.Files)
	}
	link := filepath.Join(dir, "link.hcl")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if c := Load(link, noEnv); c.Path != link || c.Hash() == third.Hash() {
		t.Errorf("path %s, want %s; and the path is part of the hash", c.Path, link)
	}
}

func TestUnreadableFiles(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo.hcl")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := write(t, map[string]string{
		"large.hcl":      strings.Repeat("# comment\n", maxConfig/10+1),
		"huge.hcl":       strings.Repeat("x", maxFile+1),
		"binary.hcl":     "site \"a\" {\n  ip = \"\x00\"\n}\n",
		"latin1.hcl":     "# gr\xfc\xdfe\n",
		"deep.hcl":       "locals { a = " + strings.Repeat("(", 300000) + " }\n",
		"long.hcl":       "locals { a = 1" + strings.Repeat("+1", 300000) + " }\n",
		"minus.hcl":      "locals { a = " + strings.Repeat("-", 300000) + "1 }\n",
		"template.hcl":   "locals { a = " + strings.Repeat(`"${`, 300000) + " }\n",
		"conf.d/x.hcl/y": "",
	})
	for path, detail := range map[string]string{
		fifo:                               "a FIFO",
		filepath.Join(dir, "large.hcl"):    "larger than 1MiB",
		filepath.Join(dir, "huge.hcl"):     "larger than 1MiB",
		filepath.Join(dir, "binary.hcl"):   "byte 0x0",
		filepath.Join(dir, "latin1.hcl"):   "byte 0xfc",
		filepath.Join(dir, "deep.hcl"):     "more than 200 brackets",
		filepath.Join(dir, "long.hcl"):     "more than 1000 operators",
		filepath.Join(dir, "minus.hcl"):    "more than 1000 operators",
		filepath.Join(dir, "template.hcl"): "more than 200 brackets",
		filepath.Join(dir, "conf.d"):       "a directory",
		filepath.Join(dir, "none.hcl"):     "no such file",
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			c := Load(path, noEnv)
			if !c.Fatal() || !c.HasErrors() || len(c.Diags) != 1 {
				t.Fatalf("fatal %t, diagnostics %v; want one error, and fatal", c.Fatal(), c.Diags)
			}
			if d := c.Diagnostics()[0]; !strings.Contains(d.Detail, detail) || !strings.HasPrefix(d.File, path) {
				t.Errorf("in file %s: %s; want %q", d.File, d.Detail, detail)
			}
		})
	}
}

func TestLongChainOfLocals(t *testing.T) {
	const n = 20000
	var b strings.Builder
	b.WriteString("locals {\n")
	for i := range n {
		fmt.Fprintf(&b, "  a%d = local.a%d\n", i, i+1)
	}
	fmt.Fprintf(&b, "  a%d = 8001\n}\n%s", n, strings.Replace(siteText("a", 8001, ""), "8001", "local.a0", 1))
	c := Load(filepath.Join(write(t, map[string]string{"sites.hcl": b.String()}), "sites.hcl"), noEnv)
	if c.HasErrors() || len(c.Sites) != 1 || c.Sites[0].Addr.Port() != 8001 {
		t.Errorf("sites %v, diagnostics %v", c.Sites, c.Diags)
	}
}

func TestHolds(t *testing.T) {
	files := map[string]string{
		"a.hcl": siteText("a", 8001, ""),
		"b.hcl": siteText("b", 8002, "") + siteText("bad", 8003, "  nonsense = 1\n"),
		"c.hcl": siteText("c", 8004, ""),
	}
	dir := write(t, files)
	before := Load(dir, noEnv)
	// The header of c's block is now beyond recognition.
	if err := os.WriteFile(filepath.Join(dir, "c.hcl"), []byte("}\n\"c\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	after := Load(dir, noEnv)
	if after.Fatal() {
		t.Fatalf("fatal: %v", after.Diags)
	}
	for site, want := range map[string]bool{"a": false, "b": false, "bad": true, "c": true, "gone": false} {
		if got := after.Holds(site, before.Origin(site)); got != want {
			t.Errorf("Holds(%q) = %t, want %t", site, got, want)
		}
	}
	if got := before.Origin("c"); got != filepath.Join(dir, "c.hcl") {
		t.Errorf("origin of c is %q", got)
	}
}

// A file that can't be read may have had the defaults that protect other sites.
func TestUnreadableFileInDirectory(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		fatal bool
	}{
		"defaults may be lost":   {map[string]string{"a.hcl": siteText("a", 8001, "")}, true},
		"defaults are elsewhere": {map[string]string{"a.hcl": siteText("a", 8001, "") + "defaults {}\n"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, test.files)
			if err := syscall.Mkfifo(filepath.Join(dir, "z.hcl"), 0o600); err != nil {
				t.Fatal(err)
			}
			c := Load(dir, noEnv)
			if c.Fatal() != test.fatal || (len(c.Sites) == 1) == test.fatal || !c.HasErrors() {
				t.Errorf("fatal %t, sites %d, errors %q; want fatal %t", c.Fatal(), len(c.Sites), summaries(c), test.fatal)
			}
		})
	}
}

func TestDiagnosticsAsData(t *testing.T) {
	dir := write(t, map[string]string{"sites.hcl": siteText("a", 8001, "  methods = [\"GET\", \"get\"]\n")})
	path := filepath.Join(dir, "sites.hcl")
	t.Chdir(dir)
	got := Load("sites.hcl", noEnv).Diagnostics()
	want := []Diagnostic{{
		Severity: "error", Site: "a", Summary: "Unknown method", File: path, Line: 5, Column: 21,
		Detail: `"get" is not a method that can be given here. Did you mean "GET"? It is one of: GET, HEAD, POST, PUT, DELETE, OPTIONS, CONNECT, PATCH.`,
		Text: `Error: Unknown method

  on sites.hcl line 5, column 21, in site "a":
   5:   methods = ["GET", "get"]
                          ^^^^^

"get" is not a method that can be given here. Did you mean "GET"? It is one
of: GET, HEAD, POST, PUT, DELETE, OPTIONS, CONNECT, PATCH.
`,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWriteDiagnostics(t *testing.T) {
	dir := write(t, map[string]string{"sites.hcl": siteText("a", 0, "  root_ = 1\n")})
	c := Load(filepath.Join(dir, "sites.hcl"), noEnv)
	var plain, colored bytes.Buffer
	if err := errors.Join(c.WriteDiagnostics(&plain, false), c.WriteDiagnostics(&colored, true)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(plain.String(), "Error: "); n != 2 || strings.Contains(plain.String(), "\x1b") {
		t.Errorf("%d errors in plain text:\n%s", n, plain.String())
	}
	if n := strings.Count(colored.String(), "\x1b[31m"); n != 4 {
		t.Errorf("%d coloured pieces:\n%q", n, colored.String())
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	if c.WriteDiagnostics(full, false) == nil {
		t.Error("no error from a full device")
	}
}

func TestManyDiagnosticsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 150 {
		b.WriteString(siteText(fmt.Sprintf("s%d", i), 8000+i, "  nonsense = 1\n"))
		b.WriteString(siteText(fmt.Sprintf("w%d", i), 18000+i, "  methods = [\"PUT\"]\n"))
	}
	c := Load(filepath.Join(write(t, map[string]string{"sites.hcl": b.String()}), "sites.hcl"), noEnv)
	if len(c.Diags) != maxDiags+1 || len(c.Diags.Errs()) != maxDiags {
		t.Errorf("%d diagnostics, %d of them errors", len(c.Diags), len(c.Diags.Errs()))
	}
	if last := c.Diags[maxDiags]; !strings.HasPrefix(last.Detail, "200 more") {
		t.Errorf("the last one is %v", last)
	}
	if len(c.Refused) != 150 || len(c.Sites) != 150 {
		t.Errorf("%d refused, %d valid; want 150 of each", len(c.Refused), len(c.Sites))
	}
}

// Values from the environment are not shown beside the expressions they are in.
func TestSecretsStayOut(t *testing.T) {
	dir := write(t, map[string]string{"sites.hcl": "locals { secret = env(\"TOKEN\") }\n" +
		strings.Replace(siteText("a", 8001, ""), "8001", "local.secret + upper(local.secret, 1)", 1)})
	c := Load(filepath.Join(dir, "sites.hcl"), func(string) (string, bool) { return "hunter2", true })
	if !c.HasErrors() {
		t.Fatal("no error")
	}
	for _, d := range c.Diagnostics() {
		if strings.Contains(d.Text+d.Detail, "hunter2") {
			t.Errorf("a secret is shown:\n%s", d.Text)
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "127.0.0.1:81", false},
		{"127.0.0.1:80", "127.0.0.2:80", false},
		{"0.0.0.0:80", "127.0.0.1:80", true},
		{"0.0.0.0:80", "[::1]:80", false},
		{"0.0.0.0:80", "[::]:80", true},
		{"[::]:80", "127.0.0.1:80", true},
		{"[::]:80", "[::1]:80", true},
		{"[::]:80", "[::1]:81", false},
	} {
		a, b := netip.MustParseAddrPort(test.a), netip.MustParseAddrPort(test.b)
		if overlap(a, b) != test.want || overlap(b, a) != test.want {
			t.Errorf("overlap(%s, %s) is not %t both ways", a, b, test.want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"root", "index", "methods", "max_connections"}
	for given, want := range map[string]string{
		"rot": "root", "ROOT": "root", "method": "methods", "max_conections": "max_connections",
		"idx": "index", "": "", "zzzz": "", strings.Repeat("x", 1000): "", "indxe": "index",
	} {
		if got := nearest(given, names); got != want {
			t.Errorf("nearest(%.20q) = %q, want %q", given, got, want)
		}
	}
	values := append(siteMethods(), "json", "combined")
	for given, want := range map[string]string{
		"get": "GET", "GTE": "GET", "PSOT": "POST", "PATHC": "PATCH", "DELTE": "DELETE", "DLETE": "DELETE", "OPTONS": "OPTIONS",
		"jsn": "json", "combind": "combined", "FETCH": "", "PURGE": "", "LINK": "", "MOVE": "", "COPY": "", "LOCK": "", "SEARCH": "", "text": "",
	} {
		if got := nearestValue(given, values); got != want {
			t.Errorf("nearestValue(%q) = %q, want %q", given, got, want)
		}
	}
	for _, test := range []struct {
		a, b string
		want int
	}{{"GTE", "GET", 1}, {"abcd", "badc", 2}, {"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestFormat(t *testing.T) {
	got, diags := Format([]byte("site \"a\" {\nport=80\n   root  =   \"x\" # here\n}\n"), "x.hcl")
	if want := "site \"a\" {\n  port = 80\n  root = \"x\" # here\n}\n"; string(got) != want || len(diags) > 0 {
		t.Errorf("got %q, %v; want %q", got, diags, want)
	}
	again, _ := Format(got, "x.hcl")
	if !bytes.Equal(got, again) {
		t.Errorf("formatting twice changes %q to %q", got, again)
	}
	if got, diags := Format([]byte("site \"a\" {\n port = = 1\n}\n"), "x.hcl"); got != nil || !diags.HasErrors() ||
		diags[0].Subject.Filename != "x.hcl" || diags[0].Subject.Start.Line != 2 {
		t.Errorf("got %q, %v; want an error on line 2", got, diags)
	}
}

func TestSnippet(t *testing.T) {
	line := strings.Repeat("a", 50000) + "TOKEN" + strings.Repeat("b", 50000)
	dir := write(t, map[string]string{"sites.hcl": "locals {\n\tx = " + line + "\n}\n" + siteText("a", 8001, "")})
	for _, d := range Load(filepath.Join(dir, "sites.hcl"), noEnv).Diagnostics() {
		for l := range strings.Lines(d.Text) {
			if marked := strings.HasPrefix(l, "   2:") || strings.Contains(l, "^"); marked && len([]rune(l)) > plainWidth+1 {
				t.Errorf("%d characters: %.100s", len([]rune(l)), l)
			}
		}
		if !strings.Contains(d.Text, "^") || len(d.Text) > 4096 {
			t.Errorf("no mark, or too long: %d characters: %.300s", len(d.Text), d.Text)
		}
	}
}
