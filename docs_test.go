package sited_test

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"sited/metrics"
	"sited/supervisor/config"
)

// pages are the Markdown files that people read.
func pages(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, name := range walk(t, ".") {
		if strings.HasSuffix(name, ".md") && !strings.Contains(name, "testdata/") {
			found = append(found, name)
		}
	}
	if len(found) < 3 {
		t.Fatalf("found only %q: the test does not see the pages", found)
	}
	return found
}

var (
	fence = regexp.MustCompile("(?ms)^```([a-z ]*)\n(.*?)^```$")
	link  = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	title = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	links := 0
	for _, name := range pages(t) {
		text := fence.ReplaceAllString(string(read(t, name)), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: link %s: %v", name, m[1], err)
				continue
			}
			if target.Scheme != "" {
				continue
			}
			links++
			to := name
			if target.Path != "" {
				to = path.Join(path.Dir(name), target.Path)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: link %s leads nowhere: %v", name, m[1], err)
				continue
			}
			if target.Fragment != "" && !hasHeading(string(read(t, to)), target.Fragment) {
				t.Errorf("%s: link %s: %s has no such heading", name, m[1], to)
			}
		}
	}
	if links == 0 {
		t.Error("found no relative link: the test does not see them")
	}
}

// hasHeading reports whether a Markdown page has a heading with that anchor.
func hasHeading(text, anchor string) bool {
	for _, m := range title.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		if anchorOf(m[1]) == anchor {
			return true
		}
	}
	return false
}

// anchorOf is the anchor that GitHub and others give a heading.
func anchorOf(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// TestREADMEExamplesLoad takes every hcl example of README.md for a whole
// sites.hcl.
func TestREADMEExamplesLoad(t *testing.T) {
	examples := 0
	for _, m := range fence.FindAllStringSubmatch(string(read(t, "README.md")), -1) {
		if m[1] != "hcl" {
			continue
		}
		examples++
		dir := t.TempDir()
		file := filepath.Join(dir, "sites.hcl")
		write(t, file, m[2])
		write(t, filepath.Join(dir, "users.htpasswd"), "")
		if c := config.Load(file, unset); c.HasErrors() || len(c.Sites) == 0 {
			t.Errorf("this example has %d sites, and these errors:\n%s\n%s", len(c.Sites), m[2], diagnostics(t, c))
		}
		if formatted, diags := config.Format([]byte(m[2]), "README.md"); diags.HasErrors() || string(formatted) != m[2] {
			t.Errorf("this example is not as `sited fmt` writes it:\n%s\nbut:\n%s", m[2], formatted)
		}
	}
	if examples == 0 {
		t.Error("README.md has no hcl example")
	}
}

func unset(string) (string, bool) { return "", false }

func diagnostics(t *testing.T, c *config.Config) string {
	t.Helper()
	var b strings.Builder
	if err := c.WriteDiagnostics(&b, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

var metricName = regexp.MustCompile("`(sited_[a-z_]+)`")

// TestREADMENamesEveryMetric compares README.md with what is exported.
func TestREADMENamesEveryMetric(t *testing.T) {
	reg := metrics.New("test")
	site := reg.Site("a", metrics.Shape{
		Methods: []string{"GET"}, Scripts: []string{".php"}, BadRequests: []string{"field"},
		Rejected: []string{"max_connections"}, TunnelRefused: []string{"not_allowed"}, ScriptResults: []string{"ok"},
	})
	site.Request("GET", 200)
	families, err := reg.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var exported, named []string
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "sited_") {
			exported = append(exported, f.GetName())
		}
	}
	for _, m := range metricName.FindAllStringSubmatch(string(read(t, "README.md")), -1) {
		named = append(named, m[1])
	}
	slices.Sort(named)
	if diff := cmp.Diff(exported, slices.Compact(named)); diff != "" {
		t.Errorf("metrics that README.md names (-exported +named):\n%s", diff)
	}
}
