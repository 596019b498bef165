package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what Load returns into testdata/*.txtar")

const (
	wantText  = "want.txt"  // who is refused, and all diagnostics
	wantSites = "want.json" // the valid sites
)

// TestGolden loads the files of each archive. The comment of an archive may have
// lines "env NAME=value" and "load PATH"; sites.hcl is loaded unless said
// otherwise.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) < 12 {
		t.Fatalf("archives: %v, %v", names, err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			name, err = filepath.Abs(name)
			if err != nil {
				t.Fatal(err)
			}
			path, env := instructions(string(archive.Comment))
			t.Chdir(unpack(t, archive))
			text, sites := render(t, load(path, edge{env: env, lookPath: fakeLookPath}))
			if *update {
				set(archive, wantText, text)
				set(archive, wantSites, sites)
				if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(get(archive, wantText), text); diff != "" {
				t.Errorf("diagnostics (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(get(archive, wantSites), sites); diff != "" {
				t.Errorf("sites (-want +got):\n%s", diff)
			}
		})
	}
}

func instructions(comment string) (path string, env func(string) (string, bool)) {
	path = "sites.hcl"
	vars := map[string]string{}
	for line := range strings.Lines(comment) {
		if v, ok := strings.CutPrefix(line, "env "); ok {
			name, value, _ := strings.Cut(strings.TrimSpace(v), "=")
			vars[name] = value
		}
		if v, ok := strings.CutPrefix(line, "load "); ok {
			path = strings.TrimSpace(v)
		}
	}
	return path, func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func fakeLookPath(name string) (string, error) {
	if name == "php-cgi" || name == "sh" {
		return "/usr/bin/" + name, nil
	}
	return "", errors.New("not found")
}

func unpack(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range archive.Files {
		if f.Name == wantText || f.Name == wantSites {
			continue
		}
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// render is c without the name of the temporary folder, in which it was read.
func render(t *testing.T, c *Config) (text, sites string) {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "admin %s", c.Admin.Addr)
	if len(c.Admin.Hosts) > 0 {
		fmt.Fprintf(&b, " %q", c.Admin.Hosts)
	}
	fmt.Fprintf(&b, ", fatal %t, refused %q\n\n", c.Fatal(), c.Refused)
	for _, d := range c.located {
		fmt.Fprintf(&b, "%-5s %-8s %s", [...]string{"?", "error", "warn"}[d.diag.Severity], d.site, d.diag.Summary)
		if at := d.diag.Subject; at != nil && at.CanSliceBytes(c.sources[at.Filename].Bytes) {
			fmt.Fprintf(&b, ": %s %s", at, bytes.ReplaceAll(at.SliceBytes(c.sources[at.Filename].Bytes), []byte("\n"), []byte(" ")))
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprintln(&b)
	for _, d := range c.Diags {
		// Where lines break depends on how long the folder's name is.
		fmt.Fprintln(&b, renderText(d, c.sources, 1000, false))
	}
	if len(c.Sites) > 0 {
		j, err := json.MarshalIndent(c.Sites, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		sites = string(j) + "\n"
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(b.String(), dir, "$DIR"), strings.ReplaceAll(sites, dir, "$DIR")
}

func get(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func set(a *txtar.Archive, name, data string) {
	var kept []txtar.File
	for _, f := range a.Files {
		if f.Name != name {
			kept = append(kept, f)
		}
	}
	if data != "" {
		kept = append(kept, txtar.File{Name: name, Data: []byte(data)})
	}
	a.Files = kept
}
