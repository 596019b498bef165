package instance

import (
	"testing"
	"time"
)

// TestRFC9110Section13 is the conditional requests, rule by rule: what the status
// is, or 0 to go on. If-Range is in the table of section 14.
func TestRFC9110Section13(t *testing.T) {
	const (
		at     = "Mon, 06 May 2024 07:08:09 GMT"
		before = "Mon, 06 May 2024 07:08:08 GMT"
		later  = "Mon, 06 May 2024 07:08:10 GMT"
	)
	is := representation{exists: true, etag: `"v1"`, modified: modified}
	gone := representation{}
	dateless := representation{exists: true, etag: `"v1"`}
	for _, c := range []struct {
		rule   string
		method string
		fields []string
		rep    representation
		want   int
	}{
		{"no precondition", "GET", nil, is, 0},
		{"no precondition", "PUT", nil, gone, 0},
		{"If-Range is no precondition", "GET", []string{`If-Range: "v2"`}, is, 0},

		{"13.1.1 true if a tag matches", "GET", []string{`If-Match: "v1"`}, is, 0},
		{"13.1.1 false: MUST NOT perform the method; 412", "GET", []string{`If-Match: "v2"`}, is, 412},
		{"13.1.1 false: MUST NOT perform the method; 412", "DELETE", []string{`If-Match: "v2"`}, is, 412},
		{"13.1.1 any tag of the list", "PUT", []string{`If-Match: "v0", "v1"`}, is, 0},
		{"13.1.1 any tag of the list, 5.3 lines are one list", "PUT", []string{`If-Match: "v0"`, `If-Match: "v1"`}, is, 0},
		{"13.1.1 MUST use the strong comparison", "PUT", []string{`If-Match: W/"v1"`}, is, 412},
		{"13.1.1 * is true if a representation exists", "PUT", []string{`If-Match: *`}, is, 0},
		{"13.1.1 * is false if none exists", "PUT", []string{`If-Match: *`}, gone, 412},
		{"13.1.1 a tag is false if none exists", "PUT", []string{`If-Match: "v1"`}, gone, 412},
		{"13.1.1 an empty field matches nothing", "PUT", []string{`If-Match:`}, is, 412},

		{"13.1.2 a match: 304 to GET", "GET", []string{`If-None-Match: "v1"`}, is, 304},
		{"13.1.2 a match: 304 to HEAD", "HEAD", []string{`If-None-Match: "v1"`}, is, 304},
		{"13.1.2 a match: 412 to any other", "PUT", []string{`If-None-Match: "v1"`}, is, 412},
		{"13.1.2 a match: 412 to any other", "POST", []string{`If-None-Match: "v1"`}, is, 412},
		{"13.1.2 MUST use the weak comparison", "HEAD", []string{`If-None-Match: W/"v1"`}, is, 304},
		{"13.1.2 MUST use the weak comparison", "DELETE", []string{`If-None-Match: W/"v1"`}, is, 412},
		{"13.1.2 any tag of the list", "GET", []string{`If-None-Match: "v2", W/"v1"`}, is, 304},
		{"13.1.2 any tag of the list, 5.3 lines are one list", "GET", []string{`If-None-Match: "v2"`, `If-None-Match: "v1"`}, is, 304},
		{"13.1.2 no match: go on", "GET", []string{`If-None-Match: "v2"`}, is, 0},
		{"13.1.2 * is false if a representation exists", "GET", []string{`If-None-Match: *`}, is, 304},
		{"13.1.2 * is false if a representation exists", "PUT", []string{`If-None-Match: *`}, is, 412},
		{"13.1.2 * is true if none exists", "PUT", []string{`If-None-Match: *`}, gone, 0},
		{"13.1.2 a tag is true if none exists", "PUT", []string{`If-None-Match: "v1"`}, gone, 0},

		{"13.1.3 modified at that time: SHOULD 304", "GET", []string{"If-Modified-Since: " + at}, is, 304},
		{"13.1.3 modified earlier: SHOULD 304", "HEAD", []string{"If-Modified-Since: " + later}, is, 304},
		{"13.1.3 modified later: go on", "GET", []string{"If-Modified-Since: " + before}, is, 0},
		{"13.1.3 any form of a date", "GET", []string{"If-Modified-Since: Monday, 06-May-24 07:08:09 GMT"}, is, 304},
		{"13.1.3 any form of a date", "GET", []string{"If-Modified-Since: Mon May  6 07:08:09 2024"}, is, 304},
		{"13.1.3 MUST ignore what is no date", "GET", []string{"If-Modified-Since: 2024-05-06T07:08:09Z"}, is, 0},
		{"13.1.3 MUST ignore what is no date", "GET", []string{"If-Modified-Since:"}, is, 0},
		{"13.1.3 MUST ignore more than one member", "GET", []string{"If-Modified-Since: " + at, "If-Modified-Since: " + at}, is, 0},
		{"13.1.3 MUST ignore more than one member", "GET", []string{"If-Modified-Since: " + at + ", " + at}, is, 0},
		{"13.1.3 MUST ignore it unless GET or HEAD", "PUT", []string{"If-Modified-Since: " + at}, is, 0},
		{"13.1.3 MUST ignore it unless GET or HEAD", "PUT", []string{"If-Modified-Since: " + at}, gone, 0},
		{"13.1.3 MUST ignore it without a date of our own", "GET", []string{"If-Modified-Since: " + at}, dateless, 0},
		{"13.1.3 MUST ignore it without a date of our own", "GET", []string{"If-Modified-Since: " + at}, gone, 0},
		{"13.1.3 MUST ignore it with If-None-Match", "GET", []string{`If-None-Match: "v2"`, "If-Modified-Since: " + at}, is, 0},
		{"13.1.3 MUST ignore it with If-None-Match", "GET", []string{`If-None-Match: "v1"`, "If-Modified-Since: " + before}, is, 304},
		{"13.1.3 MUST ignore it with If-None-Match, even an empty one", "GET", []string{`If-None-Match:`, "If-Modified-Since: " + at}, is, 0},

		{"13.1.4 modified at that time: go on", "GET", []string{"If-Unmodified-Since: " + at}, is, 0},
		{"13.1.4 modified earlier: go on", "PUT", []string{"If-Unmodified-Since: " + later}, is, 0},
		{"13.1.4 modified later: MUST NOT perform the method; 412", "GET", []string{"If-Unmodified-Since: " + before}, is, 412},
		{"13.1.4 modified later: MUST NOT perform the method; 412", "DELETE", []string{"If-Unmodified-Since: " + before}, is, 412},
		{"13.1.4 any form of a date", "PUT", []string{"If-Unmodified-Since: Monday, 06-May-24 07:08:08 GMT"}, is, 412},
		{"13.1.4 MUST ignore what is no date", "PUT", []string{"If-Unmodified-Since: yesterday"}, is, 0},
		{"13.1.4 MUST ignore a list of dates", "PUT", []string{"If-Unmodified-Since: " + before + ", " + before}, is, 0},
		{"13.1.4 MUST ignore a list of dates", "PUT", []string{"If-Unmodified-Since: " + before, "If-Unmodified-Since: " + before}, is, 0},
		{"13.1.4 MUST ignore it without a date of our own", "PUT", []string{"If-Unmodified-Since: " + before}, dateless, 0},
		{"13.1.4 MUST ignore it without a date of our own", "PUT", []string{"If-Unmodified-Since: " + before}, gone, 0},
		{"13.1.4 MUST ignore it with If-Match", "PUT", []string{`If-Match: "v1"`, "If-Unmodified-Since: " + before}, is, 0},
		{"13.1.4 MUST ignore it with If-Match", "PUT", []string{`If-Match: "v2"`, "If-Unmodified-Since: " + later}, is, 412},

		{"13.2.2 step 1 before 3: 412 first", "GET", []string{`If-None-Match: "v1"`, `If-Match: "v2"`}, is, 412},
		{"13.2.2 step 1 true, on to 3", "GET", []string{`If-Match: "v1"`, `If-None-Match: "v1"`}, is, 304},
		{"13.2.2 step 1 true, on to 3", "PUT", []string{`If-Match: "v1"`, `If-None-Match: *`}, is, 412},
		{"13.2.2 step 1 true, on to 4", "GET", []string{`If-Match: "v1"`, "If-Modified-Since: " + at}, is, 304},
		{"13.2.2 step 2 before 3: 412 first", "GET", []string{`If-None-Match: "v1"`, "If-Unmodified-Since: " + before}, is, 412},
		{"13.2.2 step 2 before 4: 412 first", "GET", []string{"If-Modified-Since: " + later, "If-Unmodified-Since: " + before}, is, 412},
		{"13.2.2 step 2 true, on to 3", "GET", []string{"If-Unmodified-Since: " + at, `If-None-Match: "v1"`}, is, 304},
		{"13.2.2 step 2 true, on to 4", "GET", []string{"If-Unmodified-Since: " + at, "If-Modified-Since: " + at}, is, 304},
		{"13.2.2 step 3 true: not step 4, on to 5", "GET", []string{`If-None-Match: "v2"`, "If-Modified-Since: " + later, "Range: bytes=0-1"}, is, 0},
		{"13.2.2 step 3 before 5: 304 to a range as well", "GET", []string{`If-None-Match: "v1"`, "Range: bytes=0-1", `If-Range: "v1"`}, is, 304},
		{"13.2.2 all of them", "GET", []string{`If-Match: "v1"`, "If-Unmodified-Since: " + before, `If-None-Match: "v2"`, "If-Modified-Since: " + later}, is, 0},
	} {
		for _, lastModified := range []string{"", at} { // the second way to compare must come to the same
			rep := c.rep
			if !rep.modified.IsZero() {
				rep.lastModified = lastModified
			}
			req := parse(t, c.method, "/", c.fields...)
			if got := precondition(&req, rep); got != c.want {
				t.Errorf("%s: %s %q, exists %v, Last-Modified %q: %d, want %d", c.rule, c.method, c.fields, rep.exists, rep.lastModified, got, c.want)
			}
		}
	}
}

// TestPreconditionsOnTheWire is the rules that are kept by where the preconditions
// are evaluated, and by what is sent then.
func TestPreconditionsOnTheWire(t *testing.T) {
	s := open(t, nil)
	s.file("a.txt", "0123456789")
	s.file("dir/index.html", "x")
	first := s.get("/a.txt")
	tag, date := first.header.Get("ETag"), first.header.Get("Last-Modified")
	for _, c := range []struct {
		rule, method, target, field string
		status                      int
	}{
		{"13.2.1 MUST ignore them where it is no 2xx without them", "GET", "/nothing", "If-None-Match: *", 404},
		{"13.2.1 MUST ignore them where it is no 2xx without them", "GET", "/nothing", "If-Match: *", 404},
		{"13.2.1 MUST ignore them where it is no 2xx without them", "GET", "/dir", `If-Match: "x"`, 301},
		{"13.2.1 MUST ignore them where it is no 2xx without them", "DELETE", "/dir/", `If-Match: "x"`, 409},
		{"13.2.1 MUST ignore them for OPTIONS", "OPTIONS", "/a.txt", `If-Match: "x"`, 204},
		{"13.2.1 MUST ignore them for OPTIONS", "OPTIONS", "/a.txt", `If-None-Match: *`, 204},
		{"13.1.1 before the method is done", "DELETE", "/a.txt", `If-Match: "x"`, 412},
		{"13.1.1 before the method is done", "GET", "/a.txt", `If-Match: "x"`, 412},
		{"13.1.2", "GET", "/a.txt", "If-None-Match: " + tag, 304},
		{"13.1.3", "HEAD", "/a.txt", "If-Modified-Since: " + date, 304},
		{"13.1.4", "GET", "/a.txt", "If-Unmodified-Since: " + date, 200},
	} {
		a := s.do(c.method, c.target, "", c.field)
		if a.status != c.status {
			t.Errorf("%s: %s %s %s: %d, want %d", c.rule, c.method, c.target, c.field, a.status, c.status)
		}
		if c.status == 304 && (a.header.Get("ETag") != tag || a.header.Get("Date") == "" || a.header.Get("Content-Length") != "" || a.body != "") {
			t.Errorf("15.4.5 a 304 MUST have Date and ETag and no content: %v %q", a.header, a.body)
		}
	}
}

// TestRFC9110Section88 is the validators.
func TestRFC9110Section88(t *testing.T) {
	for _, c := range []struct {
		a, b         string
		strong, weak bool
	}{ // the table of 8.8.3.2
		{`W/"1"`, `W/"1"`, false, true},
		{`W/"1"`, `W/"2"`, false, false},
		{`W/"1"`, `"1"`, false, true},
		{`"1"`, `"1"`, true, true},
		// 8.8.3: opaque and case-sensitive, and so is the mark of a weak one.
		{`"a"`, `"A"`, false, false},
		{`"1"`, `1`, false, false},
		{`w/"1"`, `"1"`, false, false},
		{`""`, `""`, true, true},
		{``, ``, false, false},
		{`W/`, `W/`, false, false},
	} {
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			if got := sameTag(pair[0], pair[1], true); got != c.strong {
				t.Errorf("8.8.3.2 strong comparison of %q: %v", pair, got)
			}
			if got := sameTag(pair[0], pair[1], false); got != c.weak {
				t.Errorf("8.8.3.2 weak comparison of %q: %v", pair, got)
			}
		}
	}

	s := open(t, nil)
	s.file("a.txt", "one")
	first := s.get("/a.txt")
	tag := first.header.Get("ETag")
	if n := tagLength(tag); n != len(tag) || isWeak(tag) {
		t.Errorf("8.8.3 ETag is %q, not a strong entity tag", tag)
	}
	if again := s.get("/a.txt").header.Get("ETag"); again != tag {
		t.Errorf("8.8.1 ETag changed from %q to %q without the file", tag, again)
	}
	if head := s.do("HEAD", "/a.txt", ""); head.header.Get("ETag") != tag || head.header.Get("Last-Modified") != first.header.Get("Last-Modified") {
		t.Errorf("8.8 HEAD has the validators %v, GET %v", head.header, first.header)
	}
	if _, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", first.header.Get("Last-Modified")); err != nil {
		t.Errorf("8.8.2 Last-Modified SHOULD be sent, as an IMF-fixdate: %v", err)
	}
	s.file("a.txt", "two") // of the same size
	eventually(t, "8.8.1 a strong validator MUST change with the content", func() bool { return s.get("/a.txt").header.Get("ETag") != tag })
}
