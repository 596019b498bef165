package config

import (
	"path/filepath"
	"reflect"
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
		if checkText(src, "f") != nil {
			return
		}
		inPieces := parsePieces(src, "f", &pieces{})
		if inPieces == nil {
			return
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
	if f := parsePieces([]byte(good), "f", &pieces{}); f == nil || len(f.Body.(*hclsyntax.Body).Blocks) != 3 {
		t.Errorf("%+v", f)
	}
	for _, bad := range []string{good + "site {\n", good + "}\n", "x = 1\n" + good + "x = 2\n", good + "y = " + strings.Repeat("(", maxNesting+1)} {
		if f := parsePieces([]byte(bad), "f", &pieces{}); f != nil {
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
