package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sited/instance"
)

// setArg reads header fields: an object of strings.
func setArg(name string) argument[instance.HeaderRule] {
	return argument[instance.HeaderRule]{name, func(l *loader, to *instance.HeaderRule, e hcl.Expression) bool {
		entries, said, ok := l.entries(e)
		if !ok {
			return said
		}
		values, first := map[string]string{}, map[string]hcl.Range{}
		for _, x := range entries {
			field, ok := l.fieldName(x.name, first)
			value, valid := l.fieldValue(x.value)
			if ok && valid {
				values[field] = value
			}
		}
		for _, field := range slices.Sorted(maps.Keys(values)) {
			to.Set = append(to.Set, struct{ Name, Value string }{field, values[field]})
		}
		return true
	}}
}

// removeArg reads names of header fields.
func removeArg(name string) argument[instance.HeaderRule] {
	return argument[instance.HeaderRule]{name, func(l *loader, to *instance.HeaderRule, e hcl.Expression) bool {
		items, said, ok := l.items(e)
		if !ok {
			return said
		}
		first := map[string]hcl.Range{}
		for _, v := range items {
			if field, ok := l.fieldName(v, first); ok {
				to.Remove = append(to.Remove, field)
			}
		}
		return true
	}}
}

// fieldName is v as the name of a field that a site may change. first has the
// places of those before it, by name in lower case.
func (l *loader) fieldName(v item, first map[string]hcl.Range) (string, bool) {
	s, ok := l.text(v)
	if !ok {
		return "", false
	}
	lower := strings.ToLower(s)
	if before, twice := first[lower]; twice {
		l.fail(v.at, "Repeated field", "%s is here already, at %s:%d; the case of a field's name makes no difference. Remove one of them.",
			quote(s), place(before), before.Start.Column)
		return "", false
	}
	first[lower] = v.at
	if !instance.IsFieldName(s) {
		remedy := `Write it like "Cache-Control".`
		if bare := strings.TrimRight(s, ": \t"); instance.IsFieldName(bare) {
			remedy = "Write " + quote(bare) + "."
		}
		l.fail(v.at, "Invalid field name", "%s can't be the name of a header field, which has letters, digits and \"-\" (RFC 9110, section 5.6.2). %s", quote(s), remedy)
		return "", false
	}
	if why := ownField(lower); why != "" {
		l.fail(v.at, "Reserved field", "%s can't be set or removed: %s", s, why)
		return "", false
	}
	return s, true
}

// fieldValue is v as the value of a field, without the white space around it
// (RFC 9110, section 5.5).
func (l *loader) fieldValue(v item) (string, bool) {
	s, ok := l.text(v)
	if !ok {
		return "", false
	}
	s = strings.Trim(s, " \t")
	i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
	if i < 0 {
		return s, true
	}
	remedy := "Remove it."
	if strings.TrimRight(s, "\r\n") == s[:i] {
		remedy = "chomp() takes off the newline at the end of a text."
	} else if s[i] == '\r' || s[i] == '\n' {
		remedy = "Write it in one line."
	}
	l.fail(v.at, "Invalid field value", "The control character %#02x can't be in the value of a header field. %s", s[i], remedy)
	return "", false
}

// ownField says why a field, by its name in lower case, is not for a site to
// change, and what to do instead; "" when it is.
func ownField(lower string) string {
	switch lower {
	case "date", "connection", "content-length", "transfer-encoding", "keep-alive", "upgrade", "trailer", "te":
		return "sited writes it, because it goes with the connection and the way the message is framed. Leave it out."
	case "content-range", "accept-ranges", "etag", "last-modified":
		return "sited writes it, because it goes with the very bytes that are sent. Leave it out."
	case "content-encoding":
		return "sited writes it, because it goes with the very bytes that are sent. Leave it out; precompressed has compressed files sent."
	case "location":
		return "sited writes it where an answer leads elsewhere. Write a redirect block."
	case "allow":
		return "sited writes it, because it lists the methods that the site has. Change methods."
	case "www-authenticate", "proxy-authenticate":
		return "sited writes it where it asks for a password. Write a protect block."
	case "set-cookie2":
		return "it is obsolete (RFC 6265, section 9.4), and sited leaves it out. Set-Cookie is the field of today."
	}
	return ""
}

// decodeHeaders adds to the inherited header rules.
func (l *loader) decodeHeaders(s *site, blocks []*hclsyntax.Block) {
	s.spec.Headers, s.headers = slices.Clone(s.spec.Headers), slices.Clone(s.headers)
	for _, b := range blocks {
		r := instance.HeaderRule{Glob: b.Labels[0]}
		at := b.LabelRanges[0]
		if l.checkGlob(b) && strings.HasSuffix(r.Glob, "/") {
			l.warnNarrow(at, r.Glob, "covers")
		}
		wrong := len(l.diags) + len(l.tainted)
		decode(l, b.Body, headerArgs, &r, "", said{})
		if len(r.Set)+len(r.Remove) == 0 && len(l.diags)+len(l.tainted) == wrong && !meantField(b.Body) {
			l.fail(b.TypeRange, missingArgument, `A header block needs fields in set or names in remove: set = { X-Frame-Options = "DENY" }.`)
		}
		for _, name := range r.Remove {
			for _, f := range r.Set {
				if strings.EqualFold(f.Name, name) {
					l.fail(elementAt(b.Body.Attributes["remove"].Expr, name), "Field set and removed", "%s is in set as well, which replaces what is there. Take it out of one of them.", quote(name))
				}
			}
		}
		s.spec.Headers = append(s.spec.Headers, r)
		s.headers = append(s.headers, at)
	}
}

// meantField reports whether body has set or remove, but misspelt or as a block,
// which has been reported.
func meantField(body *hclsyntax.Body) bool {
	names := argNames(headerArgs)
	return misspelt(body, names, "set") || misspelt(body, names, "remove") ||
		slices.ContainsFunc(body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == "set" || b.Type == "remove" })
}
