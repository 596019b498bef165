package instance

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"sited/protocol"
)

// redirect is a Redirect made ready.
type redirect struct {
	glob   string
	fixed  string // what every path begins with that the glob matches, but for those above a "/**"
	to     []reference
	within bool // to is a path: the client stays with this host
	query  bool // to has a query of its own
	status int
}

// reference is a piece of a URL reference: text, or what takes the place of a
// placeholder, percent-encoded.
type reference struct {
	text    string
	of      placeholder
	inQuery bool // behind the "?", where more is to be encoded
	begins  bool // ends the host and begins the path: with a slash, whatever it holds
}

type placeholder uint8

const (
	literal placeholder = iota
	ofPath
	ofRest
)

func newRedirect(r Redirect) (redirect, error) {
	made := redirect{glob: r.Glob, fixed: fixedPrefix(r.Glob), status: r.Status, query: strings.Contains(r.To, "?")}
	err := checkGlob(r.Glob)
	if err == nil && !slices.Contains([]int{301, 302, 303, 307, 308}, r.Status) {
		err = fmt.Errorf("%d is no status of a redirect: write 301, 302, 303, 307 or 308", r.Status)
	}
	if err == nil {
		err = made.parse(r.To)
	}
	if err != nil {
		return redirect{}, fmt.Errorf("redirect %q: %w", r.Glob, err)
	}
	return made, nil
}

var errReference = errors.New(`"to" is neither a path nor a URL: begin it with "/", or with a scheme and a host as in "https://example.org{path}"`)

// parse takes the URL reference apart and sees to it that nothing of a request
// can ever become a part of its scheme or host.
func (r *redirect) parse(to string) error {
	for i := 0; i < len(to); i++ {
		if c := to[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`|", c) >= 0 {
			return fmt.Errorf(`"to" holds %q, which no URL does: write it percent-encoded (%%%02X)`, rune(c), c)
		}
	}
	for rest := to; rest != ""; {
		text, placed, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return errors.New(`"to" has a "}" without a "{": a brace that is meant is written %7B or %7D`)
		}
		if text != "" {
			r.to = append(r.to, reference{text: text})
		}
		if !found {
			break
		}
		name, behind, closed := strings.Cut(placed, "}")
		if !closed {
			return errors.New(`"to" has a "{" without a "}": a brace that is meant is written %7B or %7D`)
		}
		of, known := map[string]placeholder{"path": ofPath, "rest": ofRest}[name]
		if !known {
			return fmt.Errorf(`"to" has "{%s}", but there are "{path}" and "{rest}" only: a brace that is meant is written %%7B`, name)
		}
		r.to = append(r.to, reference{of: of, inQuery: strings.Contains(to[:len(to)-len(rest)+len(text)], "?")})
		rest = behind
	}
	if to == "" {
		return errReference
	}
	r.within = to[0] == '/' || r.to[0].of != literal
	if r.within {
		if strings.HasPrefix(to, "//") {
			return errors.New(`"to" begins with "//": another host is written with its scheme, as in "https://example.org/"`)
		}
		if _, err := url.Parse(r.location("/x", "")); err != nil {
			return fmt.Errorf(`"to" is not a URL: %w`, err)
		}
		return nil
	}
	return r.parseHost()
}

// parseHost checks the beginning of a reference that is no path: it names scheme
// and host in full before anything of the request comes.
func (r *redirect) parseHost() error {
	scheme, rest, found := strings.Cut(r.to[0].text, "://")
	u, err := url.Parse(r.location("/x", ""))
	if !found || scheme == "" || rest == "" || err != nil || u.Host == "" || u.Scheme != strings.ToLower(scheme) {
		return errReference
	}
	if len(r.to) > 1 && !strings.ContainsAny(rest, "/?#") {
		r.to[1].begins = true
		if u, err = url.Parse(r.location("/x", "")); err != nil || u.Hostname() == "" {
			return errReference
		}
	}
	return nil
}

// fixedPrefix is the part of a pattern before its first special character.
func fixedPrefix(glob string) string {
	if i := strings.IndexAny(glob, `*?[{\`); i >= 0 {
		return glob[:i]
	}
	return glob
}

// redirectFor returns the redirect block for a canonical path: the first that
// matches; nil when none does.
func (p *policy) redirectFor(path string) *redirect {
	for i := range p.redirects {
		if r := &p.redirects[i]; doublestar.MatchUnvalidated(r.glob, path) {
			return r
		}
	}
	return nil
}

// location is the value of the Location field (RFC 9110, section 10.2.2) for a
// request. A reference that is a path never leads to another host: it never
// begins with "//".
func (r *redirect) location(path, query string) string {
	rest, ok := strings.CutPrefix(path, r.fixed)
	if !ok { // "/old/**" matches "/old", too
		rest = ""
	}
	b := make([]byte, 0, 64+len(path)+len(query))
	for _, piece := range r.to {
		value := rest
		switch piece.of {
		case literal:
			b = append(b, piece.text...)
			continue
		case ofPath:
			value = path
		case ofRest:
		}
		if piece.begins && !strings.HasPrefix(value, "/") {
			b = append(b, '/')
		}
		b = appendEscaped(b, value, piece.inQuery)
	}
	to := string(b)
	if r.within {
		to = "/" + strings.TrimLeft(to, "/")
	}
	if query == "" || r.query {
		return to
	}
	to, fragment, has := strings.Cut(to, "#")
	if to += "?" + query; has {
		to += "#" + fragment
	}
	return to
}

// escapePath percent-encodes a path (RFC 3986, section 3.3).
func escapePath(path string) string {
	return string(appendEscaped(make([]byte, 0, len(path)+16), path, false))
}

// appendEscaped percent-encodes what has no place in a path or, where inQuery
// says so, could end a value in a query.
func appendEscaped(dst []byte, s string, inQuery bool) []byte {
	const digits = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~/", c) >= 0,
			!inQuery && strings.IndexByte("!$&'()*+,;=:@", c) >= 0:
			dst = append(dst, c)
		default:
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

// redirectTo answers with what a redirect block says.
func redirectTo(x *protocol.Exchange, d Decision) error {
	x.Res.Status = d.Status
	x.Res.Header.Add("Location", d.Location)
	return nil
}
