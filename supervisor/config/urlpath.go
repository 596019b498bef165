package config

import (
	"path"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// What a value may have for parts of the request.
const (
	pathPlaceholder = "{path}" // the canonical path
	restPlaceholder = "{rest}" // its part behind the fixed beginning of a pattern
)

var (
	placeholder = regexp.MustCompile(`\{[^{}]*\}?|\}`)

	// foreign are the variables of nginx and the placeholders of Caddy that come
	// in the same places.
	foreign = regexp.MustCompile(`\$(?:request_uri|document_uri|uri|args|is_args|query_string|host|scheme)\b|\{(?:http\.request\.[a-z._]+|uri|query|host)\}`)
)

// checkPlaceholders reports what looks like a placeholder and is none of known.
func (l *loader) checkPlaceholders(s string, at hcl.Range, known ...string) bool {
	only := "the only placeholder is " + known[0]
	if len(known) > 1 {
		only = "the placeholders are " + strings.Join(known, " and ")
	}
	if found := foreign.FindString(s); found != "" {
		remedy := "Leave it out."
		if strings.Contains(found, "uri") {
			remedy = "Write " + pathPlaceholder + " for the path that was asked for."
		}
		l.fail(at, "Unknown placeholder", "%s means nothing here; %s. %s", found, only, remedy)
		return false
	}
	for _, found := range placeholder.FindAllString(s, -1) {
		if !strings.HasPrefix(found, "{") || !strings.HasSuffix(found, "}") {
			l.fail(at, "Unknown placeholder", "%s has a brace without its other one; %s.", quote(s), only)
			return false
		}
		name := strings.Trim(found, "{}")
		names := make([]string, len(known))
		for i, k := range known {
			if names[i] = strings.Trim(k, "{}"); names[i] == name {
				name = ""
				break
			}
		}
		if name == "" && found != "{}" {
			continue
		}
		suggestion := ""
		if near := nearest(name, names); near != "" {
			suggestion = "{" + near + "}"
		}
		l.fail(at, "Unknown placeholder", "%s means nothing here; %s.%s", quote(found), only, didYouMean(suggestion))
		return false
	}
	return true
}

// checkURLPath reports why no file can be found at a path: one that is not
// canonical, or that of a dotfile. shown is the path as it is written, with
// placeholders in it.
func (l *loader) checkURLPath(p, shown, summary string, at hcl.Range) bool {
	clean := canonical(p)
	switch {
	case strings.ContainsAny(p, "?#"):
		l.fail(at, summary, "%s has a query or fragment, which no path has. Write the path alone.", quote(shown))
	case strings.Contains(shown, "/"+pathPlaceholder):
		l.fail(at, summary, "%s has two slashes in a row, because %s begins with one. Leave out the slash before it.", quote(shown), pathPlaceholder)
	case clean != p && shown == p:
		l.fail(at, summary, "%s has dot segments or repeated slashes, which no request has once it is understood. Write %q.", quote(shown), clean)
	case clean != p:
		l.fail(at, summary, "%s has dot segments or repeated slashes, which no request has once it is understood. Leave them out.", quote(shown))
	case dotfile(p):
		l.fail(at, summary, "%s is a dotfile or in a folder that is one; such files are never served. Give it another name.", quote(shown))
	default:
		return true
	}
	return false
}

// canonical is a path without dot segments and repeated slashes; a slash at its
// end stays.
func canonical(p string) string {
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// dotfile reports whether a path is one that is never served: /.well-known/ is
// meant to be seen (RFC 8615).
func dotfile(p string) bool {
	if rest, ok := strings.CutPrefix(p, "/.well-known"); ok && (rest == "" || rest[0] == '/') {
		p = rest
	}
	return strings.Contains(p, "/.")
}

// checkTry checks a path that is looked for instead of one that is not there.
func checkTry(l *loader, s string, at hcl.Range) (string, bool) {
	const summary = "Invalid path to try"
	if strings.HasPrefix(s, "=") {
		l.fail(at, summary, "%s is no path. Remove it: when nothing in the list is there, the answer is 404. Another page for that is an error_page block.", quote(s))
		return "", false
	}
	if !l.checkPlaceholders(s, at, pathPlaceholder) {
		return "", false
	}
	sample := strings.ReplaceAll(s, pathPlaceholder, "/x")
	if !strings.HasPrefix(sample, "/") {
		l.fail(at, summary, "%s is not a path from the root on. Write %q, or begin with %q, which is the path that was asked for.", quote(s), "/"+s, pathPlaceholder)
		return "", false
	}
	if !l.checkURLPath(sample, s, summary, at) {
		return "", false
	}
	if s == pathPlaceholder || s == pathPlaceholder+"/" {
		l.warn(at, "Nothing new to try", "%q is what was asked for, and that is looked for before this list. Remove it.", s)
	}
	return s, true
}
