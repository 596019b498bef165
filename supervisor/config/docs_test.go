package config

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sited/instance"
)

// The reference is docs/configuration.md. In it, a block fenced as "hcl" is a
// whole file, and one fenced as "hcl site" the inside of a site block.
const reference = "../../docs/configuration.md"

func readReference(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// exampleFolder has the files that the examples mention.
func exampleFolder(t *testing.T) string {
	t.Helper()
	return write(t, map[string]string{
		"users.htpasswd":            "alice:$2y$05$aSm7.a.LK/vYnu.sY/Zf2u8uzcMVSD59.URKRefXTCwTwkHtYrk1S\n",
		"ports.json":                `{"app": 8080}`,
		"sites/app/index.html":      "",
		"sites/busy/index.html":     "",
		"sites/blog/admin/x.html":   "",
		"sites/docs/index.html":     "",
		"sites/app/sorry.html":      "",
		"sites/app/errors/404.html": "",
		"sites/shop/index.php":      "",
		"sites/www/index.html":      "",
	})
}

func loadText(t *testing.T, dir, text string) *Config {
	t.Helper()
	path := filepath.Join(dir, "sites.hcl")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return load(path, edge{env: noEnv, lookPath: fakeLookPath})
}

// inSite is a whole file around the inside of a site block.
func inSite(inside string) string {
	for _, need := range []string{`ip = "127.0.0.1"`, `port = 8080`, `root = "sites/app"`} {
		name, _, _ := strings.Cut(need, " ")
		if !regexp.MustCompile(`(?m)^` + name + `\s*=`).MatchString(inside) {
			inside = need + "\n" + inside
		}
	}
	return "site \"example\" {\n" + inside + "\n}\n"
}

func TestReferenceExamples(t *testing.T) {
	fences := regexp.MustCompile("(?ms)^```hcl( site)?\n(.*?)^```$").FindAllStringSubmatch(readReference(t), -1)
	if len(fences) < 8 {
		t.Fatalf("%d examples found", len(fences))
	}
	dir := exampleFolder(t)
	for _, f := range fences {
		text := f[2]
		if formatted, diags := Format([]byte(text), "example"); diags.HasErrors() || string(formatted) != text {
			t.Errorf("not formatted, or wrong: %v\n%s", diags, text)
		}
		if f[1] != "" {
			text = inSite(text)
		} else if !strings.Contains("\n"+text, "\nsite ") {
			text += inSite("")
		}
		if c := loadText(t, dir, text); c.HasErrors() {
			t.Errorf("%v\nin:\n%s", c.Diags, text)
		}
	}
}

// row is one argument's row in the reference.
type row struct{ kind, fallback, limits, example, meaning string }

// rows are those of each block, by the block's name and the argument's.
func rows(text string) map[string]map[string]row {
	all := map[string]map[string]row{}
	var section string
	argument := regexp.MustCompile("^\\| `([a-z_]+)` \\|")
	for line := range strings.Lines(text) {
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			section = strings.TrimSpace(heading)
			all[section] = map[string]row{}
		} else if strings.HasPrefix(line, "## ") {
			section = ""
		}
		if m := argument.FindStringSubmatch(line); m != nil && section != "" {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			for len(cells) < 6 {
				cells = append(cells, "")
			}
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			all[section][m[1]] = row{cells[1], cells[2], cells[3], cells[4], cells[5]}
		}
	}
	return all
}

// shapes are all blocks that have arguments, by name.
func shapes() map[string]shape {
	found := map[string]shape{}
	for _, s := range language().blocks {
		if s.name == blockDefaults || s.name == blockLocals {
			continue
		}
		found[s.name] = s
		for _, inner := range s.blocks {
			found[inner.name] = inner
		}
	}
	return found
}

// around is a whole file with an argument of the block of that name, or with
// none.
func around(block, argument string) string {
	switch block {
	case blockAdmin:
		return "admin {\n" + argument + "\n}\n" + inSite("")
	case blockSite:
		return inSite(argument)
	case "protect":
		return inSite("passwords = \"users.htpasswd\"\nprotect \"/**\" {\n" + argument + "\n}")
	case "script":
		return inSite("script \".php\" {\n" + argument + "\n}")
	case "redirect":
		if !strings.HasPrefix(argument, "to ") {
			argument = "to = \"/new/{rest}\"\n" + argument
		}
		return inSite("redirect \"/old/**\" {\n" + argument + "\n}")
	case "header":
		if !strings.HasPrefix(argument, "set ") {
			argument = "set = { X-Example = \"1\" }\n" + argument
		}
		return inSite("header \"/**\" {\n" + argument + "\n}")
	case "error_page":
		return inSite("error_page \"404\" {\n" + argument + "\n}")
	}
	if argument == "" {
		return inSite("")
	}
	return inSite(block + " {\n" + argument + "\n}")
}

// TestReferenceIsComplete checks that every argument has its row, that the
// example in it is right, and that the default in it is what holds.
func TestReferenceIsComplete(t *testing.T) {
	documented := rows(readReference(t))
	dir := exampleFolder(t)
	for name, s := range shapes() {
		if diff := cmp.Diff(slices.Sorted(slices.Values(s.args)), slices.Sorted(maps.Keys(documented[name]))); diff != "" {
			t.Errorf("arguments of %s (-table in the code +reference):\n%s", name, diff)
		}
		for argument, r := range documented[name] {
			if r.kind == "" || r.fallback == "" || r.limits == "" || r.meaning == "" {
				t.Errorf("%s.%s: an empty cell in %+v", name, argument, r)
			}
			example := code(r.example)
			if !strings.HasPrefix(example, argument+" = ") {
				t.Errorf("%s.%s: the example is %q", name, argument, r.example)
				continue
			}
			if c := loadText(t, dir, around(name, example)); c.HasErrors() {
				t.Errorf("%s.%s: %v", name, argument, c.Diags)
			}
			checkDefault(t, dir, name, argument, r.fallback)
		}
	}
}

func checkDefault(t *testing.T, dir, block, argument, fallback string) {
	t.Helper()
	if strings.HasPrefix(fallback, "required") || fallback == "none" {
		return
	}
	if fallback == "shared" {
		if c := loadText(t, dir, around(block, "")); len(c.Sites) != 1 || c.Sites[0].Limits.Cache != instance.SharedCache {
			t.Errorf("%s.%s: is not shared when it is left out: %v", block, argument, c.Diags)
		}
		return
	}
	value := code(fallback)
	if value == "" {
		t.Errorf("%s.%s: the default is %q; want a value, none, shared, or required", block, argument, fallback)
		return
	}
	without := loadText(t, dir, around(block, ""))
	with := loadText(t, dir, around(block, argument+" = "+strings.ReplaceAll(value, "LABEL", "example")))
	if without.HasErrors() || with.HasErrors() || len(with.Sites) != 1 {
		t.Errorf("%s.%s: %v, %v", block, argument, without.Diags, with.Diags)
		return
	}
	if !reflect.DeepEqual(without.Admin, with.Admin) || !reflect.DeepEqual(without.Sites[0], with.Sites[0]) {
		t.Errorf("%s.%s: %s is not what holds when it is left out", block, argument, value)
	}
}

// code is what stands between the backticks of a cell that has nothing else.
func code(cell string) string {
	inner, ok := strings.CutPrefix(cell, "`")
	if inner, ok2 := strings.CutSuffix(inner, "`"); ok && ok2 {
		return inner
	}
	return ""
}

func TestReferenceNamesFunctionsAndBlocks(t *testing.T) {
	text := readReference(t)
	l := newLoader("x", edge{env: noEnv})
	for name := range l.functions() {
		if !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, "`"+name+"(") {
			t.Errorf("the function %s is not in the reference", name)
		}
	}
	for _, s := range language().blocks {
		if !strings.Contains(text, "\n### "+s.name+"\n") {
			t.Errorf("the block %s has no section", s.name)
		}
	}
}
