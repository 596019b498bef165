// Package sited_test keeps the house in order: who may import whom, how long a
// file may be, and that the pages and the demo are what they say.
package sited_test

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "sited"

// rooms lists every package and the ones of ours that its code may import. The
// arrows point one way: what is further down knows nothing of what is above.
var rooms = map[string][]string{
	"cmd/sited":         {"supervisor", "supervisor/config"},
	"supervisor":        {"supervisor/config", "supervisor/page", "instance", "protocol", "metrics"},
	"supervisor/config": {"instance"},
	"supervisor/page":   {},
	"instance":          {"protocol", "cgi", "metrics"},
	"cgi":               {"protocol"},
	"protocol":          {},
	"metrics":           {},
	"bench":             {}, // programs beside the house, which look at it from outside
	"bench/soak":        {},
	"chaos":             {},
	"rig":               {}, // runs the real binary for tests; imported by them alone
}

// forbidden are packages of the standard library that a room does without: HTTP
// on the sites' side is our own.
var forbidden = map[string][]string{
	"protocol": {"net/http"},
	"cgi":      {"net/http", "net/http/cgi", "net/http/fcgi"},
	"instance": {"net/http"},
}

// maxLines and maxTestLines are how long a Go file may be: tables of cases are
// read less closely than code.
const (
	maxLines     = 450
	maxTestLines = 800
)

func TestImportsPointOneWay(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range goFiles(t) {
		room := path.Dir(name)
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		allowed, known := rooms[room]
		if !known {
			t.Errorf("%s: package %s has no entry in rooms (house_test.go). Add it with the packages it may import, or put the file into a package that is there.", name, room)
			continue
		}
		seen[room] = true
		for _, imported := range importsOf(t, name) {
			if slices.Contains(forbidden[room], imported) {
				t.Errorf("%s imports %s, which %s does without.", name, imported, room)
			}
			ours, ok := strings.CutPrefix(imported, module+"/")
			if ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s. Package %s may import %q of ours: pass a value or an interface down instead, or change rooms (house_test.go) and say why in docs/adr.",
					name, imported, room, allowed)
			}
		}
	}
	for _, room := range slices.Sorted(maps.Keys(rooms)) {
		if !seen[room] {
			t.Errorf("rooms (house_test.go) has package %s, which has no Go file. Remove the entry.", room)
		}
	}
}

// TestRoomsHaveNoCycle guards the table itself.
func TestRoomsHaveNoCycle(t *testing.T) {
	var visit func(room string, way []string)
	visit = func(room string, way []string) {
		if slices.Contains(way, room) {
			t.Fatalf("rooms (house_test.go) lets packages import in a circle: %s", strings.Join(append(way, room), " -> "))
		}
		for _, next := range rooms[room] {
			visit(next, append(way, room))
		}
	}
	for room := range rooms {
		visit(room, nil)
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, name := range goFiles(t) {
		most := maxLines
		if strings.HasSuffix(name, "_test.go") {
			most = maxTestLines
		}
		if lines := bytes.Count(read(t, name), []byte("\n")); lines > most {
			t.Errorf("%s has %d lines; %d is the most. What is the second thing it is about? Give that a file of its own.", name, lines, most)
		}
	}
}

// goFiles are the Go files of the module, by slash-separated path from the root.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, name := range walk(t, ".") {
		if strings.HasSuffix(name, ".go") && !strings.Contains(name, "testdata/") {
			files = append(files, name)
		}
	}
	if len(files) < 50 {
		t.Fatalf("found only %d Go files: the test does not see the module", len(files))
	}
	return files
}

// walk lists the files below dir, without those of folders that begin with a
// dot and of bin, which make writes. Reading them in this process, and not by
// the go command, lets go test know what its cached result depends on.
func walk(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != dir && (strings.HasPrefix(d.Name(), ".") || name == "bin" || name == "logs") {
			return filepath.SkipDir
		}
		if !d.IsDir() {
			files = append(files, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func importsOf(t *testing.T, name string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, read(t, name), parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatalf("%s: import %s: %v", name, spec.Path.Value, err)
		}
		paths = append(paths, p)
	}
	return paths
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
