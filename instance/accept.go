package instance

import (
	"strings"

	"sited/protocol"
)

// accepts is how much a client wants a media type, from 0 (not at all) to 1000,
// by the Accept fields of its request (RFC 9110, section 12.5.1): the most
// specific media range that matches decides. mediaType is type/subtype, in lower
// case and without parameters; a range with parameters of its own is for another
// one. Without an Accept field everything is welcome; what is malformed is
// skipped.
func accepts(h protocol.Header, mediaType string) int {
	if !h.Has("Accept") {
		return 1000
	}
	kind, _, _ := strings.Cut(mediaType, "/")
	best, quality := 0, 0
	for value := range h.Values("Accept") {
		for value != "" {
			var element string
			element, value = nextElement(value, ',')
			name, parameters := nextElement(element, ';')
			q := weightOf(parameters)
			specific := 0
			switch name = strings.Trim(name, " \t"); {
			case q == notListed:
			case sameToken(name, mediaType):
				specific = 3
			case len(name) == len(kind)+2 && sameToken(name[:len(kind)], kind) && name[len(kind):] == "/*":
				specific = 2
			case name == "*/*":
				specific = 1
			}
			if specific > best || specific == best && specific > 0 && q > quality {
				best, quality = specific, q
			}
		}
	}
	return quality
}

// nextElement takes s apart at the first separator outside a quoted string (RFC
// 9110, section 5.6.4).
func nextElement(s string, separator byte) (element, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// weightOf reads the weight among the parameters of a media range, 1000 when
// there is none. It is notListed when it is malformed, or the range has parameters
// of its own. What follows the weight is no parameter of the range.
func weightOf(parameters string) int {
	for parameters != "" {
		var p string
		p, parameters = nextElement(parameters, ';')
		name, value, _ := strings.Cut(strings.Trim(p, " \t"), "=")
		switch {
		case sameToken(name, "q") && value != "":
			return qvalue(value)
		case name != "":
			return notListed
		}
	}
	return 1000
}
