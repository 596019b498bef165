package instance

import (
	"strings"

	"sited/protocol"
)

// acceptedCoding picks the content coding to send from available, which has names
// in lower case and the most wanted first, at most maxCodings of them. coding is
// "" for none: the representation as it is, "identity". That it is also when
// nothing is acceptable; identityOK is false then, and whenever the client does
// not want identity. Without Accept-Encoding nothing is encoded.
//
// The highest weight wins, then the order of available (RFC 9110, section
// 12.5.3). Identity wins only with a weight of its own above that of all codings.
func acceptedCoding(h protocol.Header, available []string) (coding string, identityOK bool) {
	available = available[:min(len(available), maxCodings)]
	value, found := only(h, "Accept-Encoding")
	if found && strings.IndexByte(value, ';') < 0 && strings.IndexByte(value, '*') < 0 {
		return firstListed(value, available), true
	}
	w := unlisted()
	for value := range h.Values("Accept-Encoding") {
		w.add(value, available)
	}
	return w.best(available)
}

const maxCodings = 8

// firstListed is the first of available that is in a list without weights: what
// most clients send, all alike.
func firstListed(list string, available []string) string {
	for _, name := range available {
		for rest, more := list, true; more; {
			var element string
			element, rest, more = strings.Cut(rest, ",")
			if isCoding(strings.Trim(element, " \t"), name) {
				return name
			}
		}
	}
	return ""
}

// weights are what the fields of a request give to each coding that is available,
// to identity and to all others ("*"), in thousandths.
type weights struct {
	coding          [maxCodings]int
	identity, other int
}

const notListed = -1

func unlisted() weights {
	w := weights{identity: notListed, other: notListed}
	for i := range w.coding {
		w.coding[i] = notListed
	}
	return w
}

// add takes the elements of one field line in. Of two for the same name the lower
// weight counts. With a weight that is none, or another parameter, a coding is not
// used, and "identity" and "*" are as if they were not there: what nobody asked
// for is not forbidden.
func (w *weights) add(value string, available []string) {
	for more := true; more; {
		var element string
		element, value, more = strings.Cut(value, ",")
		name, weight := splitWeight(element)
		switch {
		case sameToken(name, "identity"):
			lower(&w.identity, weight)
		case name == "*":
			lower(&w.other, weight)
		default:
			for i := range available {
				if isCoding(name, available[i]) {
					lower(&w.coding[i], max(weight, 0))
				}
			}
		}
	}
}

// lower sets a weight to another one, if that is one and the first or the lower.
func lower(old *int, weight int) {
	if weight != notListed && (*old == notListed || weight < *old) {
		*old = weight
	}
}

func (w *weights) best(available []string) (coding string, identityOK bool) {
	most := 0
	for i := range available {
		weight := w.coding[i]
		if weight == notListed {
			weight = w.other
		}
		if weight > most {
			coding, most = available[i], weight
		}
	}
	if w.identity > most {
		coding = ""
	}
	return coding, w.identity > 0 || w.identity == notListed && w.other != 0
}

// splitWeight takes an element of the list apart: codings [ weight ]. The weight
// is notListed when it is none.
func splitWeight(element string) (name string, weight int) {
	name, rest, found := strings.Cut(element, ";")
	name = strings.Trim(name, " \t")
	if !found {
		return name, 1000
	}
	rest = strings.Trim(rest, " \t")
	if len(rest) < len("q=0") || rest[0]|0x20 != 'q' || rest[1] != '=' {
		return name, notListed
	}
	return name, qvalue(rest[2:])
}

// qvalue reads a weight (RFC 9110, section 12.4.2) in thousandths. It is notListed
// for what is none. s is not empty.
func qvalue(s string) int {
	if s[0] != '0' && s[0] != '1' || len(s) > len("0.000") || len(s) > 1 && s[1] != '.' {
		return notListed
	}
	n := int(s[0] - '0')
	for i := 2; i < len("0.000"); i++ {
		n *= 10
		if i < len(s) {
			if !isDigit(s[i]) {
				return notListed
			}
			n += int(s[i] - '0')
		}
	}
	if n > 1000 {
		return notListed
	}
	return n
}

// isCoding reports whether a client means the coding of that name: the old names
// of two are the same (RFC 9110, section 8.4.1).
func isCoding(s, name string) bool {
	if sameToken(s, name) {
		return true
	}
	return (name == "gzip" || name == "compress") && len(s) == len("x-")+len(name) && sameToken(s[:2], "x-") && sameToken(s[2:], name)
}

// sameToken compares a token with one in lower case, ASCII both, without regard
// to case.
func sameToken(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
