package protocol

import (
	"bytes"
	"net/netip"
	"strings"
)

// parseTarget resolves the request-target (RFC 9112, section 3.2) into Path,
// Query and, where the target names it, Host.
func parseTarget(req *Request) *Error {
	t := req.Target
	if !all(t, isTarget) {
		return bad(400, BadTarget, "character in the target that no URI has")
	}
	if req.Method == MethodConnect { // authority-form, and no other
		if !validAuthority(t, true) {
			return bad(400, BadTarget, "target of CONNECT is not host:port")
		}
		req.Host, req.Path = t, "/"
		return nil
	}
	if t == "*" { // asterisk-form
		if req.Method != MethodOptions {
			return bad(400, BadTarget, "target * with a method other than OPTIONS")
		}
		req.Path = "/"
		return nil
	}
	if t[0] != '/' { // absolute-form
		if len(t) < 7 || !equalFold(t[:7], "http://") {
			return bad(400, BadTarget, "target is neither a path nor an http URI")
		}
		t = t[7:]
		end := strings.IndexAny(t, "/?")
		if end < 0 {
			end = len(t)
		}
		if !validAuthority(t[:end], false) {
			return bad(400, BadTarget, "malformed authority in the target")
		}
		req.Host, t = t[:end], t[end:]
	}
	path := t
	if i := strings.IndexByte(t, '?'); i >= 0 {
		path, req.Query = t[:i], t[i+1:]
	}
	if path == "" { // http://host and http://host?query
		path = "/"
	}
	var err *Error
	req.Path, err = canonicalPath(path)
	return err
}

// canonicalPath decodes a path once and removes its dot segments and repeated
// slashes, so that every spelling of a path that a file system would take for
// the same becomes the same string. A path that leaves the root, a malformed
// escape and NUL are errors. RFC 3986, sections 2.4, 5.2.4 and 6.2.2.
func canonicalPath(raw string) (string, *Error) {
	if isCanonical(raw) {
		return raw, nil
	}
	p := make([]byte, 1, len(raw))
	p[0] = '/'
	segment := 1 // where the current segment begins in p
	for i := 1; i <= len(raw); i++ {
		c := byte('/') // the end closes the last segment
		if i < len(raw) {
			c = raw[i]
		}
		if c == '%' {
			if i+2 >= len(raw) || unhex(raw[i+1]) < 0 || unhex(raw[i+2]) < 0 {
				return "", bad(400, BadTarget, "malformed percent-encoding in the path")
			}
			c = byte(unhex(raw[i+1])<<4 | unhex(raw[i+2]))
			i += 2
		}
		if c == 0 {
			return "", bad(400, BadTarget, "NUL in the path")
		}
		if c != '/' {
			p = append(p, c)
			continue
		}
		switch string(p[segment:]) {
		case "", ".":
			p = p[:segment]
			continue
		case "..":
			if segment == 1 {
				return "", bad(400, BadTarget, "path leaves the root")
			}
			p = p[:segment-1]
			segment = bytes.LastIndexByte(p, '/') + 1
			p = p[:segment]
			continue
		}
		if i < len(raw) {
			p = append(p, '/')
			segment = len(p)
		}
	}
	return string(p), nil
}

// isCanonical reports whether canonicalPath would return raw as it is.
func isCanonical(raw string) bool {
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '%':
			return false
		case '/':
			if i+1 < len(raw) && (raw[i+1] == '/' || raw[i+1] == '.') {
				return false
			}
		}
	}
	return true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// validAuthority checks uri-host [":" port] without user information (RFC 9110,
// sections 4.2.1 and 4.2.4: an empty host and userinfo are errors). The port is
// required where withPort says so.
func validAuthority(a string, withPort bool) bool {
	host, port, hasPort := a, "", false
	if strings.HasPrefix(a, "[") { // IP-literal
		end := strings.IndexByte(a, ']')
		if end < 0 || !validIPv6(a[1:end]) {
			return false
		}
		if rest := a[end+1:]; rest != "" {
			if rest[0] != ':' {
				return false
			}
			port, hasPort = rest[1:], true
		}
	} else {
		host, port, hasPort = strings.Cut(a, ":")
		if host == "" || !all(host, isHost) {
			return false
		}
	}
	if !hasPort {
		return !withPort
	}
	if port == "" { // "host:" is allowed by the grammar of RFC 3986
		return !withPort
	}
	return validPort(port, withPort)
}

// validPort reports whether s is the number of a TCP port, or 0 unless notZero is
// set.
func validPort(s string, notZero bool) bool {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		if n = 10*n + int(s[i]-'0'); n > 0xffff {
			return false
		}
	}
	return n > 0 || !notZero
}

func validIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6() && a.Zone() == ""
}
