package config

import (
	"slices"
	"strings"
	"testing"

	"sited/instance"
)

func TestRedirectLoops(t *testing.T) {
	for _, test := range []struct{ glob, to, want string }{
		{"/a", "/a", "/a"},
		{"/a", "/a?x=1", "/a"},
		{"/a", "/a/", ""},
		{"/a", "/b", ""},
		{"/a/**", "/b/{rest}", ""},
		{"/a/**", "/a", "/a"}, // "/a/**" matches "/a", too
		{"/a/**", "/ab/{rest}", ""},
		{"/a/*", "/a/{rest}/", ""},  // ends after the first
		{"/a/*", "/a/b/{rest}", ""}, // likewise
		{"/a/*", "/a/b{rest}", "/a/bx"},
		{"/**", "{path}/", "/x/"},
		{"/**", "https://example.org{path}", ""},
		{"/a b", "/a%20b", "/a b"},
		{"/*.html", "/{rest}", ""}, // no request for what the fixed part and "x" make
		{"/{x,y/x}", "/y/{rest}", ""},
		{strings.Repeat("/{a,b}", 50), "{path}", ""}, // not looked into: too much work
	} {
		r := instance.Redirect{Glob: test.glob, To: test.to}
		if got := comesBack(r, fixedPart(r.Glob)); got != test.want {
			t.Errorf("redirect %q to %q comes back to %q, want %q", test.glob, test.to, got, test.want)
		}
	}
}

// What an expression could not give, because of an error elsewhere, is not missing
// too.
func TestUnknownValuesAreNotMissing(t *testing.T) {
	more := "  header \"/**\" { set = local.fields }\n" +
		"  redirect \"/a\" { to = local.to }\n" +
		"  error_page \"404\" { file = local.page }\n" +
		"  listing = local.listing\n"
	dir := write(t, map[string]string{"a.hcl": siteText("a", 8001, more), "b.hcl": "locals { fields = { } \n", "c.hcl": siteText("c", 8002, "")})
	c := Load(dir, noEnv)
	for _, d := range c.Diagnostics() {
		if strings.HasSuffix(d.File, "a.hcl") {
			t.Errorf("an error that goes with the one in b.hcl: %s: %s", d.Summary, d.Detail)
		}
	}
	if !slices.Equal(c.Refused, []string{"a"}) || c.Fatal() || !c.HasErrors() {
		t.Errorf("refused %q, fatal %t, diagnostics %v; want a alone", c.Refused, c.Fatal(), c.Diags)
	}
}

// The rules of one site are never those of another, whatever they have in common.
func TestSitesDoNotShareRules(t *testing.T) {
	text := "defaults {\n  header \"/**\" { set = { X-A = \"0\" } }\n  redirect \"/0\" { to = \"/x\" }\n  error_page \"404\" { file = \"/0\" }\n}\n"
	for i, label := range []string{"a", "b", "c"} {
		text += siteText(label, 8001+i, strings.ReplaceAll("  header \"/L\" { remove = [\"X-L\"] }\n  redirect \"/L\" { to = \"/x\" }\n  error_page \"40N\" { file = \"/L\" }\n", "L", label))
		text = strings.ReplaceAll(text, "40N", []string{"404", "403", "404"}[i])
	}
	c := loadText(t, t.TempDir(), text)
	if len(c.Sites) != 3 {
		t.Fatal(c.Diags)
	}
	for i, want := range []string{"/0 /a | /a /0 | 404 /a", "/0 /b | /b /0 | 404 /0, 403 /b", "/0 /c | /c /0 | 404 /c"} {
		s := c.Sites[i]
		var headers, redirects, pages []string
		for _, h := range s.Headers {
			headers = append(headers, strings.ReplaceAll(h.Glob, "/**", "/0"))
		}
		for _, r := range s.Redirects {
			redirects = append(redirects, r.Glob)
		}
		for _, p := range s.ErrorPages {
			pages = append(pages, p.Status+" "+p.File)
		}
		got := strings.Join(headers, " ") + " | " + strings.Join(redirects, " ") + " | " + strings.Join(pages, ", ")
		if got != want {
			t.Errorf("site %s has %s, want %s", s.Name, got, want)
		}
	}
}
