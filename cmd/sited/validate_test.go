package main_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"sited/rig"
)

var update = flag.Bool("update", false, "write what sited validate says into testdata/validate/*.txtar")

// want is the file of an archive that holds what is expected.
const want = "want.txt"

// TestValidate runs sited validate in a folder with the files of each archive.
func TestValidate(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/validate/*.txtar")
	if err != nil || len(names) < 12 {
		t.Fatalf("archives: %q, %v", names, err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(name)
			rig.Must(t, err)
			f := newFolder(t)
			expected := ""
			var kept []txtar.File
			for _, file := range archive.Files {
				if file.Name == want {
					expected = string(file.Data)
					continue
				}
				kept = append(kept, file)
				f.Write(file.Name, string(file.Data))
			}
			r := f.sited("", "validate")
			got := fmt.Sprintf("exit status %d\n%s\n%s", r.status, stable(r.stdout, f.Dir), stable(r.stderr, f.Dir))
			if *update {
				archive.Files = append(kept, txtar.File{Name: want, Data: []byte(got)})
				rig.Must(t, os.WriteFile(name, txtar.Format(archive), 0o644))
				return
			}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("sited validate (-want +got):\n%s", diff)
			}
		})
	}
}

// stable is text without the name of the temporary folder. A paragraph that has
// it is written on one line: where it is broken depends on that name's length.
func stable(text, dir string) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		if strings.Contains(p, dir) {
			if !strings.HasPrefix(p, " ") {
				p = strings.ReplaceAll(p, "\n", " ")
			}
			paragraphs[i] = strings.ReplaceAll(p, dir, "$DIR")
		}
	}
	return strings.TrimRight(strings.Join(paragraphs, "\n\n"), "\n ") + "\n"
}
