package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sited/instance"
)

// defaultRedirectStatus is the one that promises nothing about later requests.
const defaultRedirectStatus = 302

func redirectStatusArg(name string, field func(*instance.Redirect) *int) argument[instance.Redirect] {
	return argument[instance.Redirect]{name, func(l *loader, to *instance.Redirect, e hcl.Expression) bool {
		v, said, ok := l.value(e)
		if !ok {
			return said
		}
		if n, ok := whole(v.value); ok && slices.Contains([]int64{301, 302, 303, 307, 308}, n) { // RFC 9110, section 15.4
			*field(to) = int(n)
		} else {
			l.fail(v.at, "Invalid number", "%s must be 301 or 308 for what has moved for good, 302 or 307 for now, or 303. With 307 and 308 the method stays.", name)
		}
		return true
	}}
}

// checkTo checks where a redirect leads: a path, or an http or https URL (RFC
// 3986), with placeholders behind the host.
func checkTo(l *loader, s string, at hcl.Range) (string, bool) {
	if !l.checkPlaceholders(s, at, pathPlaceholder, restPlaceholder) {
		return "", false
	}
	if problem := targetProblem(s); problem != "" {
		l.fail(at, "Invalid target", "%s", problem)
		return "", false
	}
	return s, true
}

// targetProblem says what is wrong with the target of a redirect.
func targetProblem(s string) string {
	scheme, rest, absolute := strings.Cut(s, "://")
	switch {
	case s == "":
		return `to must say where the redirect leads: a path such as "/new/{rest}", or a URL such as "https://example.org{path}".`
	case strings.HasPrefix(s, "//"):
		return fmt.Sprintf("%s names another host, and nothing says how to reach it. Write %q, or a path with one slash.", quote(s), "https:"+s)
	case strings.HasPrefix(s, "/"+pathPlaceholder):
		return fmt.Sprintf("%s begins with two slashes, because {path} begins with one. Leave out the first.", quote(s))
	case strings.HasPrefix(s, "/"), strings.HasPrefix(s, pathPlaceholder):
		return referenceProblem(s, "")
	case !absolute, strings.ContainsAny(scheme, "/?#"):
		return neither(s)
	case !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https"):
		return fmt.Sprintf("%s leads out of the web: a redirect goes to http:// or https://, or to a path.", quote(s))
	}
	host := rest
	if i := strings.IndexAny(rest, "/?#{"); i >= 0 {
		host = rest[:i]
	}
	switch {
	case host == "":
		return fmt.Sprintf("%s has no host. Write it like %q.", quote(s), "https://example.org{path}")
	case strings.Contains(host, "@"):
		return "The URL has a user, and perhaps a password, in it, which is not to be sent to anybody (RFC 9110, section 4.2.4). Leave out all that is between the slashes and the host."
	case strings.ContainsFunc(host, func(r rune) bool { return r > 127 }):
		return fmt.Sprintf("%s has a host that is not in ASCII. Write the form that is in the DNS, which begins with xn--.", quote(s))
	}
	return referenceProblem(s, host)
}

// referenceProblem says what of a target can't be in a URI (RFC 3986, appendix A).
func referenceProblem(s, host string) string {
	sample := strings.NewReplacer(pathPlaceholder, "/x", restPlaceholder, "x").Replace(s)
	if escaped := escapeOthers(sample); escaped != sample {
		if strings.ContainsFunc(host, func(r rune) bool { return strings.ContainsRune(" \"<>\\^`|", r) }) {
			return fmt.Sprintf("%s is not the name of a host.", quote(host))
		}
		return fmt.Sprintf("%s has characters that can't be in a URL. Write them percent-encoded: %s.", quote(s), quote(escapeOthers(s)))
	}
	if _, err := url.Parse(sample); err != nil {
		remedy := ""
		if _, ok := errors.AsType[url.EscapeError](err); ok {
			remedy = " A percent sign itself is written %25."
		}
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return fmt.Sprintf("%s is not a URL: %v.%s", quote(s), err, remedy)
	}
	return ""
}

// otherScheme finds the scheme of a URL that has no host, which is not taken for
// a host and its port.
var otherScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+-]*:[^0-9]`)

// neither is what is wrong with a target that is no path and has no scheme and
// host.
func neither(s string) string {
	first, _, _ := strings.Cut(s, "/")
	switch {
	case otherScheme.MatchString(s):
		return fmt.Sprintf("%s leads out of the web: a redirect goes to http:// or https://, or to a path.", quote(s))
	case strings.ContainsAny(first, ".:") && !strings.Contains(first, "{"):
		return fmt.Sprintf("%s is neither a path nor a URL. Write %q for a path of this site, or %q.", quote(s), "/"+s, "https://"+s)
	default:
		return fmt.Sprintf("%s is neither a path nor a URL. Write %q.", quote(s), "/"+s)
	}
}

// escapeOthers percent-encodes the bytes that RFC 3986 has no place for, but
// braces: the placeholders stay.
func escapeOthers(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`|", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// decodeRedirects puts redirects before the inherited ones.
func (l *loader) decodeRedirects(s *site, blocks []*hclsyntax.Block) {
	var own []instance.Redirect
	here := map[string]hcl.Range{}
	for _, b := range blocks {
		r := instance.Redirect{Glob: b.Labels[0], Status: defaultRedirectStatus}
		at := b.LabelRanges[0]
		given := said{}
		decode(l, b.Body, redirectArgs, &r, "", given)
		valid := l.checkGlob(b)
		switch {
		case given["to"] == nil && !misspelt(b.Body, argNames(redirectArgs), "to"):
			l.fail(b.TypeRange, missingArgument, `A redirect block needs to, where it leads: to = "/new/{rest}", or to = "https://example.org{path}".`)
		case valid && r.To != "":
			l.checkRedirect(r, at, given["to"].Range())
		}
		if first, twice := here[r.Glob]; twice && valid {
			l.warn(at, "Redirect without effect", "The one for %q at %s comes first and decides. Remove one of them.", r.Glob, place(first))
		} else {
			here[r.Glob] = at
		}
		own = append(own, r)
	}
	s.spec.Redirects = slices.Concat(own, s.spec.Redirects)
}

// checkRedirect checks what becomes of a pattern and a target together.
func (l *loader) checkRedirect(r instance.Redirect, at, to hcl.Range) {
	fixed := fixedPart(r.Glob)
	if strings.Contains(r.To, restPlaceholder) && fixed == r.Glob {
		l.warn(at, "Narrow pattern", "This is one path, so {rest} is always empty. For everything below write %q.", strings.TrimSuffix(r.Glob, "/")+"/**")
	}
	if again := comesBack(r, fixed); again != "" {
		l.fail(to, "Redirect loop", "This leads to %s, which the pattern %q matches again, and so on for ever. Lead to a path that it does not match, or narrow the pattern.", quote(again), r.Glob)
	}
}

// fixedPart is what every path has that a pattern matches: the part before its
// first wildcard.
func fixedPart(glob string) string {
	if i := strings.IndexAny(glob, wildcards); i >= 0 {
		return glob[:i]
	}
	return glob
}

// comesBack is a path of this site that a redirect leads to and matches, over and
// over; "" when there is none that is easily found.
func comesBack(r instance.Redirect, fixed string) string {
	const (
		rounds       = 10
		longest      = 256
		alternatives = 16 // of a pattern: each of {a,b} doubles the work
	)
	if strings.Count(r.Glob, "{")+strings.Count(r.Glob, ",") > alternatives {
		return ""
	}
	if !strings.HasPrefix(r.To, "/") && !strings.HasPrefix(r.To, pathPlaceholder) {
		return ""
	}
	to, _, _ := strings.Cut(r.To, "#")
	to, _, _ = strings.Cut(to, "?")
	plain := !strings.Contains(to, "{")
	to, err := url.PathUnescape(to)
	if err != nil {
		return ""
	}
	next := func(from string) string {
		if plain {
			return canonical(to)
		}
		rest, ok := strings.CutPrefix(from, fixed)
		if !ok { // "/old/**" matches "/old", too
			rest = ""
		}
		return canonical("/" + strings.NewReplacer(pathPlaceholder, from, restPlaceholder, rest).Replace(to))
	}
	if !plain && !doublestar.MatchUnvalidated(r.Glob, fixed+"x") {
		return ""
	}
	first := next(fixed + "x")
	for at, i := first, 0; i < rounds && len(at) < longest; i++ {
		if !doublestar.MatchUnvalidated(r.Glob, at) {
			return ""
		}
		at = next(at)
	}
	return first
}
