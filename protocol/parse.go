package protocol

import "strings"

// ParseRequest parses a request head as a Server does, without a connection:
// for `sited explain` and for tests. head ends with an empty line. The error is
// an *Error; the Request holds what could be read, and a Body that is empty.
func ParseRequest(head string, lim Limits, versions Versions) (Request, error) {
	req := Request{Path: "/", Minor: 1, Body: strings.NewReader("")}
	var s headScan
	end, err := s.scan([]byte(head), &lim)
	if err == nil && end == 0 {
		err = bad(400, BadTruncated, "head has no end")
	}
	if err == nil {
		err = parseHead(head[s.start:end], &req, &lim, versions)
	}
	if err == nil {
		_, err = frame(&req, &lim)
	}
	if err != nil {
		return req, err
	}
	return req, nil
}

// SplitPath takes a path with an optional query apart, as they stand in a
// request-target, and makes the path canonical. The error is an *Error.
func SplitPath(target string) (path, query string, err error) {
	raw, query, _ := strings.Cut(target, "?")
	if raw == "" || raw[0] != '/' || !all(target, isTarget) {
		return "", "", bad(400, BadTarget, "not a path: it begins with a slash and holds URI characters only")
	}
	path, bad := canonicalPath(raw)
	if bad != nil {
		return "", "", bad
	}
	return path, query, nil
}
