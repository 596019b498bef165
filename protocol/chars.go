package protocol

// Classes of bytes, so that each byte of a head is looked up once.
const (
	isToken  = 1 << iota // RFC 9110, section 5.6.2
	isValue              // field-content, SP and HTAB: RFC 9110, section 5.5
	isTarget             // what may stand in a request-target: visible ASCII but "#" and what RFC 3986 never allows
	isHost               // reg-name and IPv4address of RFC 3986, section 3.2.2, without percent-encoding
)

var class = func() (t [256]uint8) {
	for c := range t {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			t[c] |= isToken | isHost
		}
		if c == ' ' || c == '\t' || c > ' ' && c != 0x7f {
			t[c] |= isValue
		}
		if c > ' ' && c < 0x7f {
			t[c] |= isTarget
		}
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] |= isToken
	}
	for _, c := range "-._~!$&'()*+,;=" {
		t[c] |= isHost
	}
	// "#" begins a fragment, which is never sent; the others belong in no URI,
	// and some intermediaries read them as something else. Browsers do send
	// "|", "^", "`", "{" and "}" bare in a query, so these pass.
	for _, c := range "#\"<>\\" {
		t[c] &^= isTarget
	}
	return t
}()

// all reports whether every byte of s is of that class.
func all(s string, of uint8) bool {
	for i := 0; i < len(s); i++ {
		if class[s[i]]&of == 0 {
			return false
		}
	}
	return true
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
