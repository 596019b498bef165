package config

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sameConfig compares what was loaded; what is for rendering alone is left out.
func sameConfig(t *testing.T, what string, got, want *Config) {
	t.Helper()
	for _, c := range []*Config{got, want} {
		if len(c.Files) == 0 {
			t.Fatalf("%s: nothing was read", what)
		}
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateComparable(Config{}.Admin.Addr)); d != "" {
		t.Fatalf("%s: %s", what, d)
	}
	if got.Hash() != want.Hash() || got.Fatal() != want.Fatal() || !cmp.Equal(got.origin, want.origin) {
		t.Fatalf("%s: hash %s, fatal %t, %v, want %s, %t, %v", what, got.Hash(), got.Fatal(), got.origin, want.Hash(), want.Fatal(), want.origin)
	}
	var shown, wanted strings.Builder
	if err := got.WriteDiagnostics(&shown, false); err != nil {
		t.Fatal(err)
	}
	if err := want.WriteDiagnostics(&wanted, false); err != nil {
		t.Fatal(err)
	}
	if shown.String() != wanted.String() {
		t.Fatalf("%s:\n%s\nwant:\n%s", what, shown.String(), wanted.String())
	}
}

// A configuration that is edited again and again is what it would be if it were
// loaded for the first time.
func TestReloaderIsLoad(t *testing.T) {
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	dir := write(t, map[string]string{"users.htpasswd": ""})
	for i := range 6 {
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprint("r", i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	block := func() string {
		i := random.IntN(6)
		extra := []string{
			"", "", "", "", "  listing = true\n", "  limits { max_body = local.size }\n", "  passwords = \"users.htpasswd\"\n  protect \"/**\" {}\n",
			"  try = [\"/index.html\"]\n  script \".sh\" {}\n", "  methods = [\"GET\", \"PUT\"]\n", "  lisitng = true\n", "  root = \n", "  index = [\n", "  try = [env(\"X\", \"/a\")]\n",
		}
		return fmt.Sprintf("# %d\nsite \"s%d\" {\n  ip = \"127.0.0.1\"\n  port = %d\n  root = \"r%d\"\n%s}\n", random.IntN(3), i, 8000+random.IntN(8), i, extra[random.IntN(len(extra))])
	}
	shared := []string{
		"locals {\n  size = \"1MiB\"\n}\n", "locals {\n  size = \"2MiB\"\n}\n", "locals {\n  size = \"2MiB\"\n}\ndefaults {\n  listing = true\n}\n",
		"locals {\n  size = trimspace(file(\"size\"))\n}\n", "admin {\n  port = 8001\n}\nlocals { size = \"1MiB\" }\n",
	}
	passwords := []string{"", "alice:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n", "rubbish\n"}
	var r Reloader
	recalled := 0
	file := filepath.Join(dir, "sites.hcl")
	parts := []string{shared[0], block(), block(), block(), block()}
	for step := range 600 {
		switch n := random.IntN(12); {
		case n == 0:
			parts[0] = shared[random.IntN(len(shared))]
		case n == 1:
			put(t, filepath.Join(dir, "users.htpasswd"), passwords[random.IntN(len(passwords))])
		case n == 2:
			put(t, filepath.Join(dir, "size"), []string{"1MiB", "3MiB"}[random.IntN(2)])
		case n < 5 && len(parts) < 7:
			parts = slices.Insert(parts, 1+random.IntN(len(parts)), block())
		case n < 7 && len(parts) > 1:
			i := 1 + random.IntN(len(parts)-1)
			parts = slices.Delete(parts, i, i+1)
		case len(parts) > 1:
			parts[1+random.IntN(len(parts)-1)] = block()
		}
		put(t, file, strings.Join(parts, ""))
		if last := r.last; last != nil {
			recalled += len(last.sites)
		}
		sameConfig(t, fmt.Sprintf("step %d", step), r.Load(file, noEnv), Load(file, noEnv))
	}
	if recalled == 0 {
		t.Error("nothing was ever remembered")
	}
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What is remembered is not looked at again, unless there is an error.
func TestReloaderRemembers(t *testing.T) {
	dir := write(t, map[string]string{"sites.hcl": ""})
	file := filepath.Join(dir, "sites.hcl")
	text := func(label string, port int) string {
		return strings.Replace(siteText(label, port, ""), `root = "."`, `root = "site"`, 1)
	}
	old := text("old", 8001)
	if err := os.Mkdir(filepath.Join(dir, "site"), 0o755); err != nil {
		t.Fatal(err)
	}
	var r Reloader
	load := func(all string) *Config {
		t.Helper()
		put(t, file, all)
		return r.Load(file, noEnv)
	}
	if c := load(old); len(c.Sites) != 1 || len(c.Diags) > 0 {
		t.Fatal(c.Diags)
	}
	if err := os.Remove(filepath.Join(dir, "site")); err != nil {
		t.Fatal(err)
	}
	c := load("# moved\n\n" + text("new", 8002) + old)
	if len(c.Sites) != 2 || len(c.Diags) != 1 || c.Diagnostics()[0].Site != "new" || c.Diagnostics()[0].Line != 6 {
		t.Errorf("%+v %v", c.Sites, c.Diagnostics())
	}
	if c = load(old + text("new", 8001)); len(c.Refused) != 1 || len(c.Diags) != 3 { // two roots, one address
		t.Errorf("%v %v", c.Refused, c.Diags)
	}
}

// What is remembered is only what Load would say again.
func TestReloaderForgets(t *testing.T) {
	for what, edit := range map[string]struct {
		before, after func(t *testing.T, path string)
	}{
		"a file becomes a folder": {
			func(t *testing.T, path string) { put(t, path, siteText("a", 8001, "")) },
			func(t *testing.T, path string) {
				if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o755)); err != nil {
					t.Fatal(err)
				}
				put(t, filepath.Join(path, "a.hcl"), siteText("a", 8001, ""))
			},
		},
		"a warning about defaults": {
			func(t *testing.T, path string) {
				put(t, path, "defaults {\n  script \".php\" {\n    command = [\"no-such-interpreter\"]\n  }\n}\n"+siteText("a", 8001, ""))
			},
			func(*testing.T, string) {},
		},
		"more warnings than are shown": {
			func(t *testing.T, path string) {
				var all strings.Builder
				for i := range maxDiags + 20 {
					all.WriteString(strings.Replace(siteText(fmt.Sprint("s", i), 8000+i, ""), `root = "."`, `root = "away"`, 1))
				}
				put(t, path, all.String())
			},
			func(*testing.T, string) {},
		},
	} {
		path := filepath.Join(t.TempDir(), "sites.hcl")
		edit.before(t, path)
		var r Reloader
		r.Load(path, noEnv)
		edit.after(t, path)
		sameConfig(t, what, r.Load(path, noEnv), Load(path, noEnv))
	}
}
