package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const combinedTime = "02/Jan/2006:15:04:05 -0700"

// parseCombined takes a line in the format combined apart, of a request or of a
// script's standard error. It reports false for any other line.
func (l *logLine) parseCombined(text string) bool {
	if strings.HasPrefix(text, "[") {
		return l.parseCombinedStderr(text)
	}
	head, rest, ok := strings.Cut(text, " [")
	fields := strings.Split(head, " ")
	if !ok || len(fields) != 3 || !l.cutTime(&rest) {
		return false
	}
	var status, size string
	request, ok := cutQuoted(&rest)
	if ok {
		status, rest, _ = strings.Cut(strings.TrimPrefix(rest, " "), " ")
		size, rest, ok = strings.Cut(rest, " ")
	}
	referer, ok2 := cutQuoted(&rest)
	rest = strings.TrimPrefix(rest, " ")
	agent, ok3 := cutQuoted(&rest)
	n, err := strconv.Atoi(status)
	if !ok || !ok2 || !ok3 || rest != "" || err != nil {
		return false
	}
	if l.Bytes, err = strconv.ParseUint(size, 10, 64); err != nil && size != "-" {
		return false
	}
	l.Remote, l.ID, l.User = noDash(fields[0]), noDash(fields[1]), unslashed(noDash(fields[2]))
	l.Status, l.Referer, l.UserAgent = n, unslashed(noDash(referer)), unslashed(noDash(agent))
	l.parseRequestLine(noDash(request))
	return true
}

// parseCombinedStderr is for `[time] script ".php" id ID stderr "text"`.
func (l *logLine) parseCombinedStderr(text string) bool {
	rest := text[1:]
	if !l.cutTime(&rest) {
		return false
	}
	rest, ok := strings.CutPrefix(rest, "script ")
	script, ok2 := cutQuoted(&rest)
	rest, ok3 := strings.CutPrefix(rest, " id ")
	id, rest, ok4 := strings.Cut(rest, " stderr ")
	said, ok5 := cutQuoted(&rest)
	if !ok || !ok2 || !ok3 || !ok4 || !ok5 || rest != "" {
		return false
	}
	said = unslashed(said)
	l.ID, l.Script, l.Stderr = id, unslashed(script), &said
	return true
}

// cutTime takes a time, of which the opening bracket is gone, from text.
func (l *logLine) cutTime(text *string) bool {
	stamp, rest, ok := strings.Cut(*text, "] ")
	at, err := time.Parse(combinedTime, stamp)
	if !ok || err != nil {
		return false
	}
	l.at, l.Time, *text = at, at.UTC().Format(time.RFC3339), rest
	return true
}

var versionEnd = regexp.MustCompile(` HTTP/(\d\.\d)$`)

// parseRequestLine takes apart what could be read of a request line.
func (l *logLine) parseRequestLine(s string) {
	if at := versionEnd.FindStringSubmatchIndex(s); at != nil {
		l.Version, s = s[at[2]:], s[:at[0]]
	}
	method, target, ok := strings.Cut(s, " ")
	if !ok {
		method, target = "", s
	}
	l.Method, l.Target = unslashed(method), unslashed(target)
}

// cutQuoted takes a string in quotes from text, and returns it escaped as it is.
func cutQuoted(text *string) (string, bool) {
	s, ok := strings.CutPrefix(*text, `"`)
	for i := 0; ok && i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			*text = s[i+1:]
			return s[:i], true
		}
	}
	return "", false
}

func noDash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// unslashed undoes the escapes of the Apache HTTP server.
func unslashed(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	letters := map[byte]byte{'b': '\b', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		if s[i] == 'x' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		if c, ok := letters[s[i]]; ok {
			b = append(b, c)
		} else {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// asJSON is the line as an object: as it is, if it is one; what the format json
// would say of it, as far as it is known, if it is in the format combined; and else
// an object with the line as it is.
func (l *logLine) asJSON() string {
	var object any
	switch {
	case !l.combined:
		if bytes.HasPrefix(l.text, []byte("{")) && json.Valid(l.text) {
			return string(l.text)
		}
		object = struct {
			Site string `json:"site,omitempty"`
			Line string `json:"line"`
		}{l.Site, string(l.text)}
	case l.Stderr != nil:
		object = struct {
			Time   string `json:"time"`
			ID     string `json:"id,omitempty"`
			Site   string `json:"site,omitempty"`
			Script string `json:"script"`
			Stderr string `json:"stderr"`
		}{l.Time, l.ID, l.Site, l.Script, *l.Stderr}
	default:
		object = struct {
			Time      string `json:"time"`
			ID        string `json:"id,omitempty"`
			Site      string `json:"site,omitempty"`
			Remote    string `json:"remote"`
			User      string `json:"user,omitempty"`
			Method    string `json:"method"`
			Target    string `json:"target"`
			Version   string `json:"version"`
			Status    int    `json:"status"`
			Bytes     uint64 `json:"bytes"`
			Referer   string `json:"referer"`
			UserAgent string `json:"user_agent"`
		}{l.Time, l.ID, l.Site, l.Remote, l.User, l.Method, l.Target, l.Version, l.Status, l.Bytes, l.Referer, l.UserAgent}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(object) // strings and numbers have no error
	return strings.TrimSuffix(b.String(), "\n")
}
