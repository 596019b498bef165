package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// resource is a path of a site, with what it led to.
type resource struct {
	addr    string // of the site, host:port
	path    string
	kind    string // for the summary
	size    int64  // about how large the file is
	history *history
	sibling *history // of the precompressed file beside it; nil for none

	// rewritten: the file is emptied and written again in place. No server can
	// give a whole answer while that happens; see mixed.
	rewritten bool
	// grows: the file is appended to, so that a version has many contents.
	grows bool
}

// request is one request to a resource.
type request struct {
	of         *resource
	method     string
	spans      string // Range: "2-10", "2-", "-10"; "" for none
	ifRange    string
	ifNone     string // If-None-Match: an entity tag that had has
	gzip       bool   // Accept-Encoding: gzip
	close      bool   // Connection: close
	start, end moment

	had   body     // what ifNone was seen with
	hadIn *history // in this one
}

// answer is what came. Its body is the reader's and good until the next one.
type answer struct {
	status   int
	fields   []string // lines, for showing
	body     []byte
	length   int64 // Content-Length; -1: none
	tag      string
	modified string
	coding   string
	span     string // Content-Range
	location string
	close    bool
	err      error // what kept the answer from being read to its end
}

// verdict is what a right answer was.
type verdict struct {
	kind string
	late moment // how long before the request began its content had been replaced
}

// check says whether an answer is one that the request may get: its content was
// on disk, as a whole, at some moment since start less staleness and tolerance.
func check(q *request, a *answer) (verdict, error) {
	h, encoded := q.of.history, false
	if a.coding != "" {
		if a.coding != "gzip" || !q.gzip || q.of.sibling == nil {
			return verdict{}, fmt.Errorf("Content-Encoding %q", a.coding)
		}
		h, encoded = q.of.sibling, true
	}
	states := h.during(q.start, q.end, staleness+tolerance)
	if q.of.rewritten && (a.status == 500 || errors.Is(a.err, io.ErrUnexpectedEOF)) && rewriting(q, states) {
		return verdict{kind: "cut short while rewritten"}, nil
	}
	if a.err != nil {
		return verdict{}, a.err
	}
	if err := framing(q, a); err != nil {
		return verdict{}, err
	}
	v, err := byStatus(q, a, h, states)
	if err == nil && encoded {
		v.kind = "gzip " + v.kind
	}
	return v, err
}

// framing compares the length that was announced with what must follow.
func framing(q *request, a *answer) error {
	bodiless := q.method == "HEAD" || a.status == 304 || a.status == 204
	switch {
	case a.length < 0 && (!bodiless || q.method == "HEAD" && a.status == 200):
		return errors.New("no Content-Length")
	case bodiless && len(a.body) > 0:
		return fmt.Errorf("a body of %d bytes where there is none", len(a.body))
	case !bodiless && int64(len(a.body)) != a.length:
		return fmt.Errorf("%d bytes, and Content-Length says %d", len(a.body), a.length)
	}
	return nil
}

func byStatus(q *request, a *answer, h *history, states []state) (verdict, error) {
	switch a.status {
	case 200:
		if q.method == "HEAD" {
			return checkHead(q, a, h, states)
		}
		return checkWhole(q, a, h, states)
	case 206:
		return checkPart(q, a, h, states)
	case 304:
		return checkUnchanged(q, a, h, states)
	case 404:
		return one(q, "404", states, func(s *state) bool { return s.presence == absent })
	case 301:
		if a.location != q.of.path+"/" {
			return verdict{}, fmt.Errorf("field Location has %q", a.location)
		}
		return one(q, "301", states, func(s *state) bool { return s.presence == folder })
	case 416:
		return checkUnsatisfiable(q, a, states)
	}
	return verdict{}, fmt.Errorf("status %d", a.status)
}

// one finds the state that the answer is of: the latest one that fits.
func one(q *request, kind string, states []state, fits func(*state) bool) (verdict, error) {
	for i := len(states) - 1; i >= 0; i-- {
		if fits(&states[i]) {
			return verdict{kind: kind, late: max(0, q.start-states[i].until)}, nil
		}
	}
	return verdict{}, errors.New("not what was on disk at any moment that counts")
}

func checkWhole(q *request, a *answer, h *history, states []state) (verdict, error) {
	size := int64(len(a.body))
	var of version
	v, err := one(q, "200", states, func(s *state) bool {
		of = s.version
		return s.has(size) && s.version.equal(a.body, 0)
	})
	if err != nil && q.of.rewritten && mixed(q, a.body, states) {
		return verdict{kind: "200 mixed while rewritten"}, nil
	}
	if err != nil {
		return v, err
	}
	if q.ifNone != "" && q.ifNone == a.tag {
		return v, errors.New("the client has this version: 304 is the answer")
	}
	return v, q.learn(a, h, states, body{of, size})
}

// learn notes the validators of an answer. While a file is rewritten in place
// its validators may be those of a moment before its content.
func (q *request) learn(a *answer, h *history, states []state, of body) error {
	if q.of.rewritten && len(states) != 1 {
		return nil
	}
	return h.learn(of, validators{a.tag, a.modified}, !q.of.rewritten && !q.of.grows)
}

func checkHead(q *request, a *answer, h *history, states []state) (verdict, error) {
	known, ok := h.contentOf(a.tag)
	if ok && known.size != a.length {
		return verdict{}, fmt.Errorf("Content-Length %d, and %s was seen with %d bytes", a.length, a.tag, known.size)
	}
	return one(q, "HEAD 200", states, func(s *state) bool {
		return s.has(a.length) && (!ok || known.size == 0 || known.version == s.version)
	})
}

func checkUnchanged(q *request, a *answer, h *history, states []state) (verdict, error) {
	if q.ifNone == "" || a.tag != q.ifNone {
		return verdict{}, fmt.Errorf("ETag %q, and If-None-Match has %q", a.tag, q.ifNone)
	}
	if q.hadIn != h { // the sibling's: a 304 has no Content-Encoding
		states = q.hadIn.during(q.start, q.end, staleness+tolerance)
	}
	return one(q, "304", states, func(s *state) bool {
		return s.has(q.had.size) && (q.had.size == 0 || q.had.version == s.version)
	})
}

func checkPart(q *request, a *answer, h *history, states []state) (verdict, error) {
	first, last, size, err := contentRange(a.span)
	if err != nil {
		return verdict{}, err
	}
	if from, to := wantedRange(q.spans, size); first != from || last != to {
		return verdict{}, fmt.Errorf("Content-Range %q for Range %q", a.span, q.spans)
	}
	if last-first+1 != int64(len(a.body)) {
		return verdict{}, fmt.Errorf("%d bytes of Content-Range %q", len(a.body), a.span)
	}
	if q.ifRange != "" && a.tag != q.ifRange {
		return verdict{}, fmt.Errorf("a part, though If-Range has %s and this is %s", q.ifRange, a.tag)
	}
	var of version
	v, err := one(q, "206", states, func(s *state) bool {
		of = s.version
		return s.has(size) && s.version.equal(a.body, first)
	})
	if err != nil && q.of.rewritten && rewriting(q, states) {
		return verdict{kind: "206 mixed while rewritten"}, nil
	}
	if err != nil {
		return v, err
	}
	if len(a.body) < headSize { // may be like a part of another version
		return v, nil
	}
	return v, q.learn(a, h, states, body{of, size})
}

func checkUnsatisfiable(q *request, a *answer, states []state) (verdict, error) {
	first, _, _ := strings.Cut(q.spans, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	size, err2 := strconv.ParseInt(strings.TrimPrefix(a.span, "bytes */"), 10, 64)
	if first == "" { // the last n bytes of nothing
		from, err = 0, nil
	}
	if q.spans == "" || err != nil || err2 != nil || from < size {
		return verdict{}, fmt.Errorf("it can be satisfied: Range %q, Content-Range %q", q.spans, a.span)
	}
	if q.gzip && q.of.sibling != nil { // may be of the sibling: an error has no Content-Encoding
		states = append(q.of.sibling.during(q.start, q.end, staleness+tolerance), states...)
	}
	return one(q, "416", states, func(s *state) bool { return s.has(size) })
}

// contentRange takes "bytes first-last/size" apart.
func contentRange(s string) (first, last, size int64, err error) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	spans, total, ok2 := strings.Cut(rest, "/")
	from, to, ok3 := strings.Cut(spans, "-")
	first, err = strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	size, err3 := strconv.ParseInt(total, 10, 64)
	if !ok || !ok2 || !ok3 || errors.Join(err, err2, err3) != nil || first < 0 || first > last || last >= size {
		return 0, 0, 0, fmt.Errorf("Content-Range %q", s)
	}
	return first, last, size, nil
}

// wantedRange is the first and last position that spans asks for of size bytes.
func wantedRange(spans string, size int64) (first, last int64) {
	from, to, _ := strings.Cut(spans, "-")
	first, err := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	switch {
	case err != nil:
		return max(0, size-last), size - 1
	case err2 != nil:
		return first, size - 1
	}
	return first, min(last, size-1)
}

// overlapping are the states that lasted while the request was answered.
func overlapping(q *request, states []state) []state {
	var found []state
	for _, s := range states {
		if s.until > q.start {
			found = append(found, s)
		}
	}
	return found
}

// rewriting reports whether the file changed in place while the request was
// answered.
func rewriting(q *request, states []state) bool { return len(overlapping(q, states)) > 1 }

// mixed says whether b is what a reader may find in a file that is rewritten
// while it reads: its length is one that the file had, and each record is one
// that was at its place, all of it while the request was answered.
func mixed(q *request, b []byte, states []state) bool {
	now := overlapping(q, states)
	length := false
	for i := range now {
		length = length || now[i].has(int64(len(b)))
	}
	if !length || len(now) < 2 {
		return false
	}
	for at := 0; at < len(b); at += recordSize {
		end := min(at+recordSize, len(b))
		whole := false
		for i := range now {
			s := &now[i]
			whole = whole || s.presence == there && s.most >= int64(end) && s.version.equal(b[at:end], int64(at))
		}
		if !whole {
			return false
		}
	}
	return true
}
