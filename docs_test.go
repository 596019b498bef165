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

// examples are the blocks of a page that are fenced as kind; there must be some.
func examples(t *testing.T, page, kind string) []string {
	t.Helper()
	var found []string
	for _, m := range fence.FindAllStringSubmatch(string(read(t, page)), -1) {
		if m[1] == kind {
			found = append(found, m[2])
		}
	}
	if len(found) == 0 {
		t.Fatalf("%s has no %s example", page, kind)
	}
	return found
}

// TestExamplesLoad takes every hcl example of a page for a whole sites.hcl. The
// reference has a test of its own.
func TestExamplesLoad(t *testing.T) {
	for _, page := range []string{"README.md", operations} {
		for _, text := range examples(t, page, "hcl") {
			dir := t.TempDir()
			file := filepath.Join(dir, "sites.hcl")
			write(t, file, text)
			write(t, filepath.Join(dir, "users.htpasswd"), "")
			if c := config.Load(file, unset); c.HasErrors() || len(c.Sites) == 0 {
				t.Errorf("%s: this example has %d sites, and these errors:\n%s\n%s", page, len(c.Sites), text, diagnostics(t, c))
			}
			if formatted, diags := config.Format([]byte(text), page); diags.HasErrors() || string(formatted) != text {
				t.Errorf("%s: this example is not as `sited fmt` writes it:\n%s\nbut:\n%s", page, text, formatted)
			}
		}
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

// exportedMetrics are the names of all metrics of ours, sorted.
func exportedMetrics(t *testing.T) []string {
	t.Helper()
	reg := metrics.New("test")
	site := reg.Site("a", metrics.Shape{
		Methods: []string{"GET"}, Scripts: []string{".php"}, BadRequests: []string{"field"},
		Rejected: []string{"max_connections"}, TunnelRefused: []string{"not_allowed"}, ScriptResults: []string{"ok"},
	})
	site.Limits(10, 5)
	families, err := reg.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var exported []string
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "sited_") {
			exported = append(exported, f.GetName())
		}
	}
	return exported
}

// TestREADMENamesEveryMetric compares README.md with what is exported.
func TestREADMENamesEveryMetric(t *testing.T) {
	var named []string
	for _, m := range metricName.FindAllStringSubmatch(string(read(t, "README.md")), -1) {
		named = append(named, m[1])
	}
	slices.Sort(named)
	if diff := cmp.Diff(exportedMetrics(t), slices.Compact(named)); diff != "" {
		t.Errorf("metrics that README.md names (-exported +named):\n%s", diff)
	}
}
