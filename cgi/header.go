package cgi

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sited/protocol"
)

const (
	maxHead   = 32 << 10 // bytes of an output's head
	maxFields = 128
)

// head is the head of a script's output (RFC 3875, section 6.2), understood.
type head struct {
	status   int
	header   protocol.Header
	length   int64  // of the body; -1: not said
	redirect string // local redirect: nothing else counts then
}

// headEnd looks for the empty line that ends a head. from is where a line
// begins; all before it was looked at. end is where the body begins, or 0 when
// the empty line is not there yet; next is then the from of the next call.
func headEnd(b []byte, from int) (end, next int) {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0, from
		}
		line := b[from : from+i]
		from += i + 1
		if len(line) == 0 || string(line) == "\r" {
			return from, from
		}
	}
}

// parseHead understands b, a head up to and with the empty line that ends it.
// Its errors quote nothing but names: values may be secret.
func parseHead(b []byte) (head, error) {
	raw, err := parseFields(b)
	if err != nil {
		return head{}, err
	}
	h := head{length: -1}
	var status, location, contentType, contentLength string
	own := map[string]*string{
		"status": &status, "location": &location, "content-type": &contentType, "content-length": &contentLength,
	}
	foreign := false // fields that a local redirect must not have
	for _, f := range raw {
		name := strings.ToLower(f.Name)
		switch value := own[name]; {
		case value == nil && strings.HasPrefix(name, "x-cgi-"):
			continue // for the server, not for the client (RFC 3875, section 6.3.5)
		case value == nil:
			foreign = true
			if !connectionField(name) {
				h.header = append(h.header, f)
			}
			continue
		case *value != "":
			return head{}, fmt.Errorf("field %s is there twice", f.Name)
		case f.Value == "":
			return head{}, fmt.Errorf("field %s is empty", f.Name)
		default:
			*value = f.Value
		}
		if name == "content-type" || name == "location" {
			h.header = append(h.header, f)
		}
	}
	if status == "" && location == "" && contentType == "" {
		return head{}, errors.New("none of Content-Type, Location and Status is there")
	}
	if status == "" && contentType == "" && contentLength == "" && !foreign && localPath(location) {
		return head{redirect: location}, nil
	}
	if h.status, err = answerStatus(status, location); err != nil {
		return head{}, err
	}
	if contentLength != "" {
		if h.length, err = decimal(contentLength); err != nil {
			return head{}, err
		}
	}
	return h, nil
}

// parseFields takes the lines of a head apart.
func parseFields(b []byte) (protocol.Header, error) {
	var fields protocol.Header
	for n := 1; ; n++ {
		line, rest, _ := bytes.Cut(b, []byte{'\n'})
		line, b = bytes.TrimSuffix(line, []byte{'\r'}), rest
		if len(line) == 0 {
			return fields, nil
		}
		if len(fields) == maxFields {
			return nil, fmt.Errorf("more than %d fields", maxFields)
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			return nil, fmt.Errorf("line %d has no colon: not a field (the head ends with an empty line)", n)
		}
		if !token(name) {
			return nil, fmt.Errorf("line %d does not begin with a field name", n)
		}
		value = bytes.Trim(value, " \t")
		for _, c := range value {
			if c < ' ' && c != '\t' || c == 0x7f {
				return nil, fmt.Errorf("line %d: control character %#02x in the value of %.40s", n, c, name)
			}
		}
		fields.Add(string(name), string(value))
	}
}

// token reports whether b is a token (RFC 9110, section 5.6.2).
func token(b []byte) bool {
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return len(b) > 0
}

// connectionField reports whether a field, its name in lower case, is about the
// connection, which is ours to speak about.
func connectionField(name string) bool {
	switch name {
	case "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade":
		return true
	}
	return strings.HasPrefix(name, "proxy-")
}

// answerStatus is the status of an answer with those fields; "" where one is
// not there.
func answerStatus(status, location string) (int, error) {
	switch {
	case status == "" && location != "":
		return 302, nil // RFC 3875, section 6.2.3
	case status == "":
		return 200, nil
	}
	code, _, _ := strings.Cut(status, " ")
	n, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || n < 200 || n > 599 {
		return 0, errors.New("the Status field is not a number from 200 to 599, perhaps followed by a reason")
	}
	return n, nil
}

// localPath reports whether a location is a local-Location (RFC 3875, section
// 6.3.2): path and query on this site. "//" begins a host, "#" is the client's.
func localPath(location string) bool {
	if !strings.HasPrefix(location, "/") || strings.HasPrefix(location, "//") {
		return false
	}
	for i := 0; i < len(location); i++ {
		if c := location[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// decimal is the value of a Content-Length (RFC 9110, section 8.6: 1*DIGIT).
func decimal(s string) (int64, error) {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, errors.New("Content-Length is not a number")
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, errors.New("Content-Length is too large")
	}
	return n, nil
}
