package config

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/rogpeppe/go-internal/txtar"

	"sited/instance"
)

// expensive is what makes an expression take long or much memory by itself: the
// file's author may do that, the fuzzer needs not.
var expensive = regexp.MustCompile(`[0-9]{5}|[0-9][eE]|(?s:for.*for)`)

// FuzzLoad checks that no file makes Load panic, and that no invalid site comes
// out of it.
func FuzzLoad(f *testing.F) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if strings.HasSuffix(file.Name, ".hcl") {
				f.Add(file.Data)
			}
		}
	}
	dir := f.TempDir()
	path := filepath.Join(dir, "sites.hcl")
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 1<<14 || expensive.Match(src) {
			t.Skip()
		}
		if err := os.WriteFile(path, src, 0o600); err != nil {
			t.Fatal(err)
		}
		c := load(path, edge{env: noEnv, lookPath: fakeLookPath})
		if c.Fatal() && len(c.Sites) > 0 {
			t.Error("sites in spite of a fatal error")
		}
		if (c.Fatal() || len(c.Refused) > 0) && !c.HasErrors() {
			t.Errorf("fatal %t, refused %q, and no error", c.Fatal(), c.Refused)
		}
		for _, d := range c.Diagnostics() {
			if d.Summary == "" || d.Detail == "" || d.Text == "" {
				t.Errorf("incomplete diagnostic %+v", d)
			}
		}
		seen := map[string]bool{}
		for _, s := range c.Sites {
			if problem := invalid(s); problem != "" {
				t.Errorf("site %q: %s: %+v", s.Name, problem, s)
			}
			if seen[s.Name] || slices.Contains(c.Refused, s.Name) {
				t.Errorf("site %q is there twice, or refused too", s.Name)
			}
			seen[s.Name] = true
		}
		if formatted, diags := Format(src, "x"); !diags.HasErrors() {
			if again, diags := Format(formatted, "x"); diags.HasErrors() || string(again) != string(formatted) {
				t.Errorf("formatting %q gives %q, and then %q, %v", src, formatted, again, diags)
			}
		}
	})
}

// invalid says what is wrong with a spec.
func invalid(s instance.Spec) string {
	inRange := func(d time.Duration) bool { return d >= time.Millisecond && d <= 24*time.Hour }
	abs := func(p string) bool { return filepath.IsAbs(p) && filepath.Clean(p) == p }
	switch {
	case !labelPattern.MatchString(s.Name):
		return "name"
	case !s.Addr.IsValid() || s.Addr.Port() == 0 || s.Addr.Addr().Zone() != "":
		return "address"
	case !abs(s.Root), s.Passwords != "" && !abs(s.Passwords):
		return "path"
	case s.Logs.Passed != "" && !abs(s.Logs.Passed), s.Logs.Failed != "" && !abs(s.Logs.Failed):
		return "log path"
	case len(s.Methods) == 0, len(s.Versions) == 0:
		return "nothing is served"
	case len(s.Protect) > 0 && s.Passwords == "":
		return "protected without passwords"
	case s.Logs.Format != "json" && s.Logs.Format != "combined", s.Logs.Body < 0, s.Logs.Body > 1<<20:
		return "logs"
	case s.Logs.MaxSize < 0, s.Logs.MaxSize > 1<<40, s.Logs.MaxAge < 0, s.Logs.MaxAge > 10_000*time.Hour, s.Logs.Keep < 0, s.Logs.Keep > 100_000,
		!slices.Contains([]string{"gzip", "zstd", "none"}, s.Logs.Compress):
		return "rotation"
	case s.Limits.MaxBody < 0, s.Limits.MaxBody > 1<<50, s.Limits.MaxHeader < 1<<10, s.Limits.MaxHeader > 1<<20,
		s.Limits.MaxURI < 256, s.Limits.MaxURI > 64<<10, s.Limits.MaxConnections < 1, s.Limits.MaxConnections > 1e6:
		return "limits"
	case !inRange(s.Timeouts.Header), !inRange(s.Timeouts.Body), !inRange(s.Timeouts.Write), !inRange(s.Timeouts.Idle), !inRange(s.Timeouts.Drain):
		return "timeouts"
	case slices.ContainsFunc(s.Methods, func(m string) bool { return !slices.Contains(siteMethods(), m) }):
		return "methods"
	case slices.ContainsFunc(s.Protect, func(p instance.Protect) bool { return !strings.HasPrefix(p.Glob, "/") }):
		return "pattern"
	case slices.ContainsFunc(s.Scripts, func(x instance.Script) bool {
		return !extensionPattern.MatchString(x.Ext) || x.Workers < 0 || x.Workers > 1024 || !inRange(x.Timeout)
	}):
		return "script"
	}
	return invalidAnswers(s)
}

// invalidAnswers says what is wrong with what a spec says about files and answers.
func invalidAnswers(s instance.Spec) string {
	glob := func(g string) bool { return strings.HasPrefix(g, "/") && doublestar.ValidatePattern(g) }
	seen := map[string]bool{}
	for _, entry := range s.Try {
		if p := strings.ReplaceAll(entry, "{path}", "/x"); !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "{}?#") || canonical(p) != p {
			return "try"
		}
	}
	for _, name := range s.Precompressed {
		if instance.Codings[name] == "" || seen[name] {
			return "precompressed"
		}
		seen[name] = true
	}
	for _, r := range s.Redirects {
		u, err := url.Parse(strings.NewReplacer("{path}", "/x", "{rest}", "x").Replace(r.To))
		if err != nil || !glob(r.Glob) || r.Status < 301 || r.Status > 308 || (u.Host == "") == (u.Scheme != "") || u.User != nil ||
			u.Host == "" && (!strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//")) || strings.ContainsFunc(r.To, unicode.IsControl) {
			return "redirect"
		}
	}
	for _, p := range s.ErrorPages {
		if !statusPattern.MatchString(p.Status) || !strings.HasPrefix(p.File, "/") || canonical(p.File) != p.File || seen[p.Status] {
			return "error page"
		}
		seen[p.Status] = true
	}
	for _, h := range s.Headers {
		here := map[string]bool{}
		for _, f := range h.Set {
			if strings.ContainsAny(f.Value, "\r\n\x00") || strings.Trim(f.Value, " \t") != f.Value {
				return "field value"
			}
			h.Remove = append(slices.Clone(h.Remove), f.Name)
		}
		if !glob(h.Glob) || len(h.Remove) == 0 {
			return "header rule"
		}
		for _, name := range h.Remove {
			if lower := strings.ToLower(name); !instance.IsFieldName(name) || ownField(lower) != "" || here[lower] {
				return "field name"
			} else {
				here[lower] = true
			}
		}
	}
	if m := s.Limits; m.MaxClientConnections < 0 || m.MaxClientConnections > 1e6 || m.MaxInFlight < 0 || m.MaxInFlight > 1e6 ||
		m.Cache < 0 && m.Cache != instance.SharedCache || m.Cache > 64<<30 {
		return "limits"
	}
	return ""
}
