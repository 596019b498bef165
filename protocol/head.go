package protocol

import (
	"bytes"
	"strings"
)

const (
	maxFields      = 256 // field lines in one head
	maxMethod      = 32  // bytes of a method: longer than any there is
	requestLinePad = maxMethod + len("  HTTP/1.1\r\n")
	maxSalvage     = 1024 // bytes of a broken request line to keep for the log
)

// headScan finds the end of a request head in a buffer that grows. It looks at
// every byte once, however the bytes arrive. The zero value is ready.
type headScan struct {
	start  int // where the request line begins, after an empty line before it
	pos    int // the next byte to look at
	line   int // where the current line begins
	fields int // where the field lines begin; 0: not there yet
}

// scan looks at what is new in b and returns the end of the head, the index
// after its empty line, or 0 when more is needed. A broken rule that can be
// seen before the head is complete is an error at once.
func (s *headScan) scan(b []byte, lim *Limits) (int, *Error) {
	for {
		i := bytes.IndexByte(b[s.pos:], '\n')
		if i < 0 {
			s.pos = len(b)
			return 0, s.tooLong(b, len(b), lim)
		}
		nl := s.pos + i
		s.pos = nl + 1
		if nl == s.line || b[nl-1] != '\r' {
			return 0, s.bareLF()
		}
		if err := s.tooLong(b, nl+1, lim); err != nil {
			return 0, err
		}
		empty := nl == s.line+1
		switch {
		case empty && s.fields > 0:
			return nl + 1, nil
		case empty && s.start > 0:
			return 0, bad(400, BadRequestLine, "more than one empty line before the request")
		case empty: // RFC 9112, section 2.2: one empty line before a request is ignored
			s.start = nl + 1
		case s.fields == 0:
			if !hasVersion(b[s.line:nl]) { // HTTP/0.9, or no HTTP at all: no more will come
				return 0, bad(400, BadRequestLine, "request line without a version")
			}
			s.fields = nl + 1
		}
		s.line = nl + 1
	}
}

// hasVersion reports whether a line, which ends in CR, may be a request line. Most
// end with the version.
func hasVersion(line []byte) bool {
	const version = " HTTP/"
	end := len(line) - len("1.1\r")
	return end >= len(version) && string(line[end-len(version):end]) == version || bytes.Contains(line, []byte(version))
}

// tooLong checks the limits for a head that reaches to end, and that what looks
// like a request line begins with a method: TLS and other protocols are turned
// away without waiting for a line end that never comes.
func (s *headScan) tooLong(b []byte, end int, lim *Limits) *Error {
	if s.fields > 0 {
		if end-s.fields > lim.MaxHeader+len("\r\n") {
			return bad(431, BadHeadTooLarge, "header section over %d bytes (limits.max_header)", lim.MaxHeader)
		}
		return nil
	}
	if end > s.line && class[b[s.line]]&isToken == 0 && b[s.line] != '\r' {
		return bad(400, BadRequestLine, "request does not begin with a method")
	}
	if end-s.line > lim.MaxURI+requestLinePad {
		return bad(414, BadURITooLong, "request line over limits.max_uri (%d bytes)", lim.MaxURI)
	}
	return nil
}

func (s *headScan) bareLF() *Error {
	if s.fields == 0 {
		return bad(400, BadRequestLine, "request line ends with a bare LF")
	}
	return bad(400, BadField, "field line ends with a bare LF")
}

// parseHead parses a complete head, up to and with its empty line, into req.
// Strings of req are parts of head. On an error req holds what could be read.
// RFC 9112, sections 2 to 5.
func parseHead(head string, req *Request, lim *Limits, versions Versions) *Error {
	line, rest, _ := cutLine(head)
	if err := parseRequestLine(line, req, lim, versions); err != nil {
		return err
	}
	return parseFields(rest, req)
}

// cutLine takes the first line off, without its CRLF; ok is false when none is
// complete, or it ends otherwise.
func cutLine(s string) (line, rest string, ok bool) {
	lf := strings.IndexByte(s, '\n')
	if lf < 1 || s[lf-1] != '\r' {
		return s, "", false
	}
	return s[:lf-1], s[lf+1:], true
}

// parseRequestLine: method SP request-target SP HTTP-version, with exactly one
// space between them (RFC 9112, section 3).
func parseRequestLine(line string, req *Request, lim *Limits, versions Versions) *Error {
	method, rest, ok := cutSpace(line)
	if !ok || method == "" || !all(method, isToken) {
		req.Target = salvage(line)
		return bad(400, BadRequestLine, "request line is not method SP target SP version")
	}
	req.Method = salvage(method)
	target, version, ok := cutSpace(rest)
	req.Target = salvage(target)
	if !ok || target == "" {
		return bad(400, BadRequestLine, "request line is not method SP target SP version")
	}
	if err := parseVersion(version, req, versions); err != nil {
		return err
	}
	if len(target) > lim.MaxURI {
		return bad(414, BadURITooLong, "target over %d bytes (limits.max_uri)", lim.MaxURI)
	}
	if len(method) > maxMethod {
		return bad(501, BadRequestLine, "method over %d bytes", maxMethod)
	}
	req.Target = target
	return parseTarget(req)
}

// cutSpace cuts s at its first space.
func cutSpace(s string) (before, after string, ok bool) {
	if i := strings.IndexByte(s, ' '); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// parseVersion: "HTTP/" DIGIT "." DIGIT, case-sensitive (RFC 9112, section 2.3).
func parseVersion(v string, req *Request, served Versions) *Error {
	if len(v) != len("HTTP/1.1") || v[:5] != "HTTP/" || v[6] != '.' || !isDigits(v[5:6]) || !isDigits(v[7:8]) {
		return bad(400, BadVersion, "malformed HTTP version")
	}
	req.Version, req.Minor = v[5:], int(v[7]-'0')
	switch {
	case v == "HTTP/1.1" && served.HTTP11, v == "HTTP/1.0" && served.HTTP10:
		return nil
	}
	return bad(505, BadVersion, "version %s is not served", v)
}

// parseFields parses field lines, each ended by CRLF, up to the empty line
// (RFC 9112, section 5): no white space before the colon, no folding, no bare CR.
func parseFields(rest string, req *Request) *Error {
	for {
		line, next, ok := cutLine(rest)
		if !ok {
			return bad(400, BadField, "header section has no end")
		}
		if line == "" {
			return nil
		}
		if len(req.Header) == maxFields {
			return bad(431, BadHeadTooLarge, "more than %d field lines", maxFields)
		}
		field, err := parseField(line)
		if err != nil {
			return err
		}
		req.Header = append(req.Header, field)
		rest = next
	}
}

func parseField(line string) (Field, *Error) {
	if line[0] == ' ' || line[0] == '\t' {
		return Field{}, bad(400, BadField, "folded field line (obs-fold)")
	}
	colon := strings.IndexByte(line, ':')
	if colon <= 0 || !all(line[:colon], isToken) {
		return Field{}, bad(400, BadField, "malformed field name")
	}
	value := trimOWS(line[colon+1:])
	if !all(value, isValue) {
		return Field{}, bad(400, BadField, "control character in the value of %s", salvage(line[:colon]))
	}
	return Field{line[:colon], value}, nil
}

// trimOWS removes optional white space: SP and HTAB only (RFC 9110, section 5.6.3).
func trimOWS(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// salvageLine fills in what can be told of a request whose head is not complete
// or not valid, for the log.
func salvageLine(b []byte, req *Request) {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	words := strings.Fields(salvage(strings.TrimRight(string(line[:min(len(line), maxSalvage)]), "\r")))
	if len(words) > 1 && all(words[0], isToken) {
		req.Method = words[0]
		words = words[1:]
	}
	if len(words) > 0 {
		req.Target = words[0]
	}
}

// blank reports whether b holds nothing but the empty line that may stand before
// a request, or its beginning.
func blank(b []byte) bool { return len(b) <= 2 && string(b) == "\r\n"[:len(b)] }

func salvage(s string) string { return s[:min(len(s), maxSalvage)] }
