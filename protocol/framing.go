package protocol

import (
	"math"
	"strings"
)

// framing is what the head says of the message and of the connection.
type framing struct {
	length    int64 // of the body; -1: chunked
	keepAlive bool  // the client allows another request
	expects   bool  // the client waits for 100 Continue
}

// frame reads the fields that frame a request (RFC 9112, sections 3.2, 6 and 9.3),
// in one pass over the header, and sets req.Host and req.Length. What two
// recipients could read differently is refused.
func frame(req *Request, lim *Limits) (framing, *Error) {
	f := framing{keepAlive: req.Minor >= 1}
	var seen struct{ host, length, coding int }
	var host, length, coding string
	wantsClose, wantsKeep, unknown := false, false, false
	for i := range req.Header {
		name, value := req.Header[i].Name, req.Header[i].Value
		switch len(name) {
		case len("Host"):
			if equalFold(name, "Host") {
				seen.host++
				host = value
			}
		case len("Expect"):
			if !equalFold(name, "Expect") {
				break
			}
			f.expects = req.Minor >= 1 // RFC 9110, section 10.1.1: ignored in HTTP/1.0
			unknown = unknown || !equalFold(value, "100-continue")
		case len("Connection"):
			if equalFold(name, "Connection") {
				wantsClose = wantsClose || hasOption(value, "close")
				wantsKeep = wantsKeep || hasOption(value, "keep-alive")
			}
		case len("Content-Length"):
			if equalFold(name, "Content-Length") {
				seen.length++
				length = value
			}
		case len("Transfer-Encoding"):
			if equalFold(name, "Transfer-Encoding") {
				seen.coding++
				coding = value
			}
		}
	}
	if wantsClose {
		f.keepAlive = false
	} else if wantsKeep {
		f.keepAlive = true
	}
	if err := frameHost(req, seen.host, host); err != nil {
		return f, err
	}
	var err *Error
	switch {
	case seen.coding > 0 && seen.length > 0:
		err = bad(400, BadLength, "both Content-Length and Transfer-Encoding")
	case seen.coding > 0:
		f.length, err = -1, checkCoding(req, seen.coding, coding)
	case seen.length > 1:
		err = bad(400, BadLength, "more than one Content-Length")
	case seen.length == 1:
		f.length, err = parseLength(length, lim.MaxBody)
	}
	if err == nil && f.length != 0 && req.Method == MethodConnect {
		// RFC 9110, section 9.3.6: a CONNECT has no content. What follows the head
		// is the tunnel's, and nobody must read it as a body.
		err = bad(400, BadLength, "body in a CONNECT request")
	}
	if err == nil && unknown { // the last, for a 400 is a MUST of the fields above, and this is a MAY
		err = bad(417, BadExpect, "unknown expectation")
	}
	f.expects = f.expects && f.length != 0
	req.Length = f.length
	return f, err
}

// frameHost checks the Host field: exactly one, valid and not empty (RFC 9112,
// section 3.2); HTTP/1.0 may do without. A target that names the host wins
// over the field (section 3.2.2), which must be valid all the same.
func frameHost(req *Request, seen int, host string) *Error {
	switch {
	case seen > 1:
		return bad(400, BadHost, "more than one Host")
	case seen == 0 && req.Minor >= 1:
		return bad(400, BadHost, "no Host")
	case seen == 1 && !validAuthority(host, false):
		return bad(400, BadHost, "malformed Host")
	}
	if req.Host == "" {
		req.Host = host
	}
	return nil
}

// checkCoding accepts exactly "chunked", once. Where chunked is not the final
// coding, nobody can tell where the body ends: 400 (RFC 9112, section 6.3). Where
// it is, and another one before it, that one is not understood: 501 (section 6.1).
func checkCoding(req *Request, seen int, coding string) *Error {
	if req.Minor < 1 {
		return bad(400, BadTransferEncoding, "Transfer-Encoding in HTTP/1.0")
	}
	if seen > 1 {
		return bad(400, BadTransferEncoding, "more than one Transfer-Encoding")
	}
	if equalFold(coding, "chunked") {
		return nil
	}
	chunked, last := 0, ""
	for c := range strings.SplitSeq(coding, ",") {
		last = trimOWS(c)
		if equalFold(last, "chunked") {
			chunked++
		} else if !all(last, isToken) || last == "" {
			return bad(400, BadTransferEncoding, "malformed Transfer-Encoding")
		}
	}
	if chunked != 1 || !equalFold(last, "chunked") {
		return bad(400, BadTransferEncoding, "chunked is not the final transfer coding, or there twice")
	}
	return bad(501, BadTransferEncoding, "transfer coding other than chunked")
}

// parseLength: Content-Length = 1*DIGIT (RFC 9110, section 8.6), no sign and no list.
func parseLength(s string, most int64) (int64, *Error) {
	if !isDigits(s) {
		return 0, bad(400, BadLength, "malformed Content-Length")
	}
	var n int64
	for i := 0; i < len(s); i++ {
		d := int64(s[i] - '0')
		if n > (math.MaxInt64-d)/10 {
			n = math.MaxInt64
			break
		}
		n = n*10 + d
	}
	if n > most {
		return 0, bad(413, BadBodyTooLarge, "body over %d bytes (limits.max_body)", most)
	}
	return n, nil
}

// hasOption looks for a connection option in a list, ignoring case.
func hasOption(list, option string) bool {
	for o := range strings.SplitSeq(list, ",") {
		if equalFold(trimOWS(o), option) {
			return true
		}
	}
	return false
}
