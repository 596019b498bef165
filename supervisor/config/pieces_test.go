package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func TestPieceEnd(t *testing.T) {
	for src, want := range map[string]int{
		"":                           0,
		"a = 1":                      5,
		"a {\n}\nb {\n}\n":           6,
		"a {\r\n}\r\nb {\r\n}\r\n":   8,
		"a {\n  b {\n  }\n}":         15,
		"a {\n}}\n} \n}\n":           12,
		"x = <<E\n}\nE\n":            10, // which is no piece that parses
		"/*\n}\n*/\nsite \"a\" {\n}": 5,
	} {
		if got := pieceEnd([]byte(src)); got != want {
			t.Errorf("%q: %d, want %d", src, got, want)
		}
	}
}

func inTurn(src []byte) *hcl.File { return cut(src, "f", &pieces{}).join(&pieces{}) }

// inParallel parses even few pieces by several goroutines.
func inParallel(src []byte) *hcl.File {
	t := cut(src, "f", &pieces{})
	parseAll(t.pieces, 3)
	return t.join(&pieces{})
}

// Whatever is parsed in pieces is what parsing it as a whole gives.
func FuzzPieces(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		src, err := readFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	for _, src := range []string{
		"", "\n", "}\n", "a = 1\n", "a = 1\nb {\n}\nc = 2\nb {\n}\n", "b {\n}\n\n# the end", "b {\n}\r\nb {\r\n}\r\n",
		"a {\n}\nx = <<E\n}\nE\nb {\n}\n", "/*\na {\n}\n*/\nb {\n}\n", "a {\n}\n/*\n}\n*/\n", "x = 1\na {\n}\nx = 2\n",
		"a {\n x = \"${ {\n}\n}\"\n}\n", "x = [\n{\n}\n]\n", "a {\n}\n\ufeffb {\n}\n", "x = \"\n}\n\"\n", "x = (\n}\n)\n",
	} {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		inPieces := inTurn(src)
		if ahead := inParallel(src); !reflect.DeepEqual(inPieces, ahead) {
			t.Fatalf("%q: %+v, by several goroutines %+v", src, inPieces, ahead)
		}
		if inPieces == nil {
			return
		}
		if d := checkText(src, "f"); d != nil {
			t.Fatalf("%q: %v", src, d)
		}
		if d := checkNesting(src, "f"); d != nil {
			t.Fatalf("%q: %v", src, d)
		}
		whole, diags := hclsyntax.ParseConfig(src, "f", hcl.InitialPos)
		if len(diags) > 0 {
			t.Fatalf("%q parses in pieces, but as a whole: %v", src, diags)
		}
		a, b := inPieces.Body.(*hclsyntax.Body), whole.Body.(*hclsyntax.Body)
		if len(a.Attributes) == 0 {
			a.Attributes = b.Attributes // nil or empty
		}
		if !reflect.DeepEqual(a.Attributes, b.Attributes) || !reflect.DeepEqual(a.Blocks, b.Blocks) {
			t.Fatalf("%q: %+v, want %+v", src, a, b)
		}
		if a.SrcRange != b.SrcRange || a.EndRange != b.EndRange {
			t.Fatalf("%q: at %v and %v, want %v and %v", src, a.SrcRange, a.EndRange, b.SrcRange, b.EndRange)
		}
	})
}

// A file of many blocks is read in pieces, and one that is wrong is not.
func TestParsePieces(t *testing.T) {
	good := strings.Repeat("site \"a\" {\n  root = \"x\"\n}\n", 3)
	if f := inTurn([]byte(good)); f == nil || len(f.Body.(*hclsyntax.Body).Blocks) != 3 {
		t.Errorf("%+v", f)
	}
	for _, bad := range []string{good + "site {\n", good + "}\n", "x = 1\n" + good + "x = 2\n", good + "y = " + strings.Repeat("(", maxNesting+1)} {
		if f := inTurn([]byte(bad)); f != nil {
			t.Errorf("%q was parsed", bad)
		}
	}
}

func TestSimple(t *testing.T) {
	for src, want := range map[string]bool{
		"site \"a\" {\n  port = 80\n}\n":             true,
		strings.Repeat("[", maxNesting):              false,
		strings.Repeat("1+", maxOperators) + "1":     false,
		strings.Repeat("a1 = 2\n", 10*maxOperators):  false, // not known at a glance
		strings.Repeat("abc def\n", 10*maxOperators): true,
	} {
		if got := simple([]byte(src)); got != want {
			t.Errorf("%.40q: %v", src, got)
		}
	}
}

// However many goroutines parse, what comes of it is one and the same.
func TestLoadInParallel(t *testing.T) {
	const sites = 40
	for what, bad := range map[string]string{
		"good":             "",
		"a syntax error":   "site \"bad\" {\n  root =\n}\n",
		"two of a name":    siteText("s3", 9000, ""),
		"an end that isnt": "locals {\n  x = <<E\n}\nE\n}\n",
		"an unknown block": "sight \"bad\" {\n}\n",
	} {
		files := map[string]string{"sites.hcl": ""}
		for i := range sites {
			block := siteText(fmt.Sprint("s", i), 8000+i, "")
			if i == sites/2 {
				block += bad
			}
			files["sites.hcl"] += block
			files[fmt.Sprintf("sites.d/%d.hcl", i)] = block
		}
		dir := write(t, files)
		for _, name := range []string{"sites.hcl", "sites.d"} {
			path := filepath.Join(dir, name)
			before := runtime.GOMAXPROCS(1)
			want := Load(path, noEnv)
			runtime.GOMAXPROCS(4)
			got := Load(path, noEnv)
			runtime.GOMAXPROCS(before)
			sameConfig(t, what+" in "+name, got, want)
			if got.HasErrors() != (bad != "" && what != "an end that isnt") {
				t.Errorf("%s in %s: %v", what, name, got.Diags)
			}
		}
	}
}

// What a goroutine panics at is left for the caller, who gets the panic.
func TestParseAllPanics(t *testing.T) {
	text := cut([]byte(strings.Repeat("a {\n}\n", fewPieces)), "f", &pieces{})
	bad := &piece{} // which is of no file
	parseAll(append([]*piece{bad}, text.pieces...), 2)
	for i, p := range text.pieces {
		if p.parsed == nil {
			t.Errorf("piece %d was not parsed", i)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("the caller got no panic")
		}
	}()
	bad.parse()
}
