package protocol

import "iter"

// Field is one field line (RFC 9110, section 5): a name, which is a token, and
// a value without surrounding white space.
type Field struct{ Name, Value string }

// Header is an ordered list of field lines. Look-ups ignore the case of names
// and cost a walk over the list, which is shorter than hashing for the handful
// of fields a message has.
type Header []Field

// Get returns the value of the first field line with that name, or "".
func (h Header) Get(name string) string {
	for i := range h {
		if equalFold(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// Has reports whether a field line with that name is there, even an empty one.
func (h Header) Has(name string) bool {
	for i := range h {
		if equalFold(h[i].Name, name) {
			return true
		}
	}
	return false
}

// Values yields the values of all field lines with that name, in order.
func (h Header) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range h {
			if equalFold(h[i].Name, name) && !yield(h[i].Value) {
				return
			}
		}
	}
}

// Add appends a field line.
func (h *Header) Add(name, value string) { *h = append(*h, Field{name, value}) }

// Set makes value the only one of that name. The position of the first field
// line with that name is kept.
func (h *Header) Set(name, value string) {
	for i := range *h {
		if equalFold((*h)[i].Name, name) {
			(*h)[i].Value = value
			rest := (*h)[i+1:]
			rest.Del(name)
			*h = (*h)[:i+1+len(rest)]
			return
		}
	}
	h.Add(name, value)
}

// Del removes all field lines with that name.
func (h *Header) Del(name string) {
	kept := (*h)[:0]
	for _, f := range *h {
		if !equalFold(f.Name, name) {
			kept = append(kept, f)
		}
	}
	*h = kept
}

// Rendered is a list of field lines made ready to be sent, any number of times.
type Rendered struct{ text string }

// Render checks and renders field lines. Fields that are the engine's are left
// out, as they are in a Response.
func Render(h Header) (Rendered, error) {
	b, err := appendFields(nil, h)
	return Rendered{string(b)}, err
}

// equalFold compares two ASCII strings without regard to case. Unlike
// strings.EqualFold it knows no Unicode: U+212A is not a "k" in a field name.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}
