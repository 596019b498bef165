package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A file from which everything was deleted is no wish to stop all sites.
func TestNoSiteBlock(t *testing.T) {
	const parses, broken = "locals { a = 1 }\n", "site \"b\" {{{\n"
	for name, test := range map[string]struct {
		files map[string]string
		load  string
		want  []string // summaries
		fatal bool
	}{
		"empty file":         {map[string]string{"sites.hcl": ""}, "sites.hcl", []string{"No site block"}, true},
		"only a comment":     {map[string]string{"sites.hcl": "# site \"a\" {}\n"}, "sites.hcl", []string{"No site block"}, true},
		"everything but":     {map[string]string{"sites.hcl": "admin {}\ndefaults {}\n" + parses}, "sites.hcl", []string{"No site block"}, true},
		"no file":            {map[string]string{"conf/notes.txt": ""}, "conf", []string{"No configuration"}, true},
		"files without":      {map[string]string{"a.hcl": "", "b.hcl": parses}, ".", []string{"No site block"}, true},
		"one of two files":   {map[string]string{"a.hcl": "", "b.hcl": siteText("b", 8002, "")}, ".", nil, false},
		"all refused":        {map[string]string{"a.hcl": "", "b.hcl": siteText("b", 8002, "  nonsense = 1\n")}, ".", []string{"Unknown argument"}, false},
		"nearly a site":      {map[string]string{"sites.hcl": "sites \"a\" {}\n"}, "sites.hcl", []string{"Unknown block"}, true},
		"without a label":    {map[string]string{"sites.hcl": "site {}\n"}, "sites.hcl", []string{"Missing label"}, true},
		"perhaps in another": {map[string]string{"a.hcl": parses, "b.hcl": broken}, ".", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := Load(filepath.Join(write(t, test.files), test.load), noEnv)
			if test.want != nil && !slices.Equal(summaries(c), test.want) || slices.Contains(summaries(c), "No site block") != slices.Contains(test.want, "No site block") {
				t.Errorf("got %q, want %q", summaries(c), test.want)
			}
			if c.Fatal() != test.fatal || c.Holds("running", filepath.Join(c.Path, "gone.hcl")) != test.fatal {
				t.Errorf("fatal %t, want %t; a running site must be held then", c.Fatal(), test.fatal)
			}
		})
	}
}

// What is missing under its own name, but there under a misspelt one, is said
// once, and refuses the site all the same.
func TestMisspeltIsNotMissingToo(t *testing.T) {
	for text, want := range map[string][]string{
		"ip = \"::1\"\nprot = 80\nroot = \".\"":                        {"Unknown argument"},
		"IP = \"::1\"\nprot = 80\nrot = \".\"":                         {"Unknown argument", "Unknown argument", "Unknown argument"},
		"ip = \"::1\"\nport = 80\nindx = []":                           {"Missing argument", "Unknown argument"},
		"ip = \"::1\"\nzzz = 80\nroot = \".\"":                         {"Missing argument", "Unknown argument"},
		"ip = \"::1\"\nport = 80\nroot = \".\"\nconnect { alow = [] }": {"Unknown argument"},
	} {
		c := Load(filepath.Join(write(t, map[string]string{"sites.hcl": "site \"a\" {\n" + text + "\n}\n"}), "sites.hcl"), noEnv)
		if got := slices.Sorted(slices.Values(summaries(c))); !slices.Equal(got, want) {
			t.Errorf("%s\ngot %q, want %q", text, got, want)
		}
		if !slices.Equal(c.Refused, []string{"a"}) || len(c.Sites) > 0 || c.Fatal() {
			t.Errorf("%s\nrefused %q, sites %v, fatal %t", text, c.Refused, c.Sites, c.Fatal())
		}
	}
}

func TestUnprotectedUploads(t *testing.T) {
	const all, part = "Anybody may ", "Only paths like "
	for protect, want := range map[string]map[string]string{ // method -> beginning of the warning
		"":                                {"PUT": all, "DELETE": all},
		`"/**" {}`:                        {},
		`"/**" { methods = ["PUT"] }`:     {"DELETE": all},
		`"/**" { methods = ["GET"] }`:     {"PUT": all, "DELETE": all},
		`"/private/**" {}`:                {"PUT": part, "DELETE": part},
		`"/probe/**" {}`:                  {"PUT": part, "DELETE": part},
		`"/*" {}`:                         {"PUT": part, "DELETE": part},
		`"/**/*.html" {}`:                 {"PUT": part, "DELETE": part},
		`"/[a-z]*/**" {}`:                 {"PUT": part, "DELETE": part},
		`"/{*,*/**}" {}`:                  {},
		"\"/*\" {}\nprotect \"/*/**\" {}": {},
		"\"/private/**\" {}\nprotect \"/**\" { methods = [\"PUT\", \"DELETE\"] }": {},
		"\"/private/**\" {}\nprotect \"/**\" { methods = [\"DELETE\"] }":          {"PUT": part},
	} {
		text := "methods = [\"GET\", \"PUT\", \"DELETE\"]\npasswords = \"users\"\n"
		if protect != "" {
			text += "protect " + protect + "\n"
		}
		c := Load(filepath.Join(write(t, map[string]string{"users": "a:x\n", "sites.hcl": siteText("a", 8001, text)}), "sites.hcl"), noEnv)
		if len(c.Sites) != 1 || c.HasErrors() {
			t.Errorf("protect %s: %v", protect, c.Diags)
		}
		got := map[string]string{}
		for _, d := range c.Diags {
			if m, ok := strings.CutPrefix(d.Summary, "Unprotected "); ok {
				got[m] = d.Detail[:min(len(want[m]), len(d.Detail))]
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("protect %s (-want +got):\n%s", protect, diff)
		}
	}
}
