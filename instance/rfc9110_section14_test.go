package instance

import (
	"fmt"
	"math"
	"mime"
	"strings"
	"testing"
)

// TestRFC9110Section14 is the Range field, rule by rule: what of a file is sent,
// as "start+length" for each part, "whole" for a 200 with all of it and "none" for
// a 416.
func TestRFC9110Section14(t *testing.T) {
	rep := representation{exists: true, etag: `"v1"`, modified: modified}
	many := func(n int, form, between string) string { // ranges of one byte, far enough from each other
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(form, i*100))
		}
		return strings.Join(all, between)
	}
	const range01 = "Range: bytes=0-1"
	for _, c := range []struct {
		rule   string
		method string
		fields []string
		size   int64
		want   string
	}{
		{"no Range", "GET", nil, 10, "whole"},

		{"14.1 names of units are case-insensitive", "GET", []string{"Range: Bytes=0-3"}, 10, "0+4"},
		{"14.1 but ASCII", "GET", []string{"Range: byte\u017f=0-3"}, 10, "whole"},
		{"14.1.1 invalid: a last position before the first (MAY ignore)", "GET", []string{"Range: bytes=3-1"}, 10, "whole"},
		{"14.1.1 invalid: a last position before the first (MAY ignore)", "GET", []string{"Range: bytes=4-3"}, 10, "whole"},
		{"14.1.1 invalid: a last position before the first (MAY ignore)", "GET", []string{"Range: bytes=99999999999999999999-1"}, 10, "whole"},
		{"14.1.1 invalid: no positions", "GET", []string{"Range: bytes=-"}, 10, "whole"},
		{"14.1.1 invalid: no positions", "GET", []string{"Range: bytes="}, 10, "whole"},
		{"14.1.1 invalid: no set", "GET", []string{"Range: bytes"}, 10, "whole"},
		{"14.1.1 invalid: no set", "GET", []string{"Range:"}, 10, "whole"},
		{"14.1.1 invalid: no unit", "GET", []string{"Range: 0-1"}, 10, "whole"},
		{"14.1.1 invalid: no digits", "GET", []string{"Range: bytes=a-1"}, 10, "whole"},
		{"14.1.1 invalid: no digits", "GET", []string{"Range: bytes=1-b"}, 10, "whole"},
		{"14.1.1 invalid: no digits", "GET", []string{"Range: bytes=+1-2"}, 10, "whole"},
		{"14.1.1 invalid: no digits", "GET", []string{"Range: bytes=--1"}, 10, "whole"},
		{"14.1.1 invalid: white space in a spec", "GET", []string{"Range: bytes=0 -1"}, 10, "whole"},
		{"14.1.1 invalid: white space before =", "GET", []string{"Range: bytes =0-1"}, 10, "whole"},
		{"14.1.1 one invalid spec makes the set invalid", "GET", []string{"Range: bytes=0-1,x"}, 10, "whole"},
		{"14.1.1 one invalid spec makes the set invalid", "GET", []string{"Range: bytes=5-3,0-1"}, 10, "whole"},
		{"14.1.1 one invalid spec makes the set invalid, not 416", "GET", []string{"Range: bytes=99-,x"}, 10, "whole"},

		{"14.1.2 first and last, both included", "GET", []string{"Range: bytes=0-3"}, 10, "0+4"},
		{"14.1.2 first and last, both included", "GET", []string{"Range: bytes=9-9"}, 10, "9+1"},
		{"14.1.2 no last: to the end", "GET", []string{"Range: bytes=5-"}, 10, "5+5"},
		{"14.1.2 a last at or beyond the end: to the end", "GET", []string{"Range: bytes=9-100"}, 10, "9+1"},
		{"14.1.2 MUST anticipate large numbers", "GET", []string{"Range: bytes=0-99999999999999999999"}, 10, "0+10"},
		{"14.1.2 MUST anticipate large numbers", "GET", []string{"Range: bytes=0-"}, math.MaxInt64, "0+9223372036854775807"},
		{"14.1.2 MUST anticipate large numbers", "GET", []string{"Range: bytes=99999999999999999999-"}, 10, "none"},
		{"14.1.2 MUST anticipate large numbers", "GET", []string{"Range: bytes=-99999999999999999999"}, 10, "0+10"},
		{"14.1.2 a suffix is the last bytes", "GET", []string{"Range: bytes=-3"}, 10, "7+3"},
		{"14.1.2 a suffix longer than the file is all of it", "GET", []string{"Range: bytes=-30"}, 10, "0+10"},
		{"14.1.2 a first position at or beyond the end is unsatisfiable", "GET", []string{"Range: bytes=10-"}, 10, "none"},
		{"14.1.2 a first position at or beyond the end is unsatisfiable", "GET", []string{"Range: bytes=10-20"}, 10, "none"},
		{"14.1.2 a suffix of no bytes is unsatisfiable", "GET", []string{"Range: bytes=-0"}, 10, "none"},
		{"14.1.2 unsatisfiable: all specs are", "GET", []string{"Range: bytes=10-20, -0, 99-"}, 10, "none"},
		{"14.1.2 satisfiable: one spec is", "GET", []string{"Range: bytes=10-20, 2-3, -0"}, 10, "2+2"},
		{"14.1.2 an empty file has no position", "GET", []string{"Range: bytes=0-"}, 0, "none"},
		{"14.1.2 an empty file has no position", "GET", []string{"Range: bytes=-0"}, 0, "none"},
		{"14.1.2 its suffix is satisfiable, but 14.4 has no way to say so", "GET", []string{"Range: bytes=-5"}, 0, "whole"},
		{"14.1.2 its suffix is satisfiable, but 14.4 has no way to say so", "GET", []string{"Range: bytes=0-,-5"}, 0, "whole"},

		{"14.2 MUST ignore it for a method other than GET", "HEAD", []string{range01}, 10, "whole"},
		{"14.2 MUST ignore it for a method other than GET", "POST", []string{range01}, 10, "whole"},
		{"14.2 MUST ignore a unit it does not understand", "GET", []string{"Range: lines=0-1"}, 10, "whole"},
		{"14.2 MUST ignore a unit it does not understand, not 416", "GET", []string{"Range: lines=99-"}, 10, "whole"},
		{"14.2 MAY ignore: two fields are no Range", "GET", []string{range01, range01}, 10, "whole"},
		{"14.2 MAY ignore: too many", "GET", []string{"Range: bytes=" + many(maxRanges+1, "%[1]d-%[1]d", ",")}, 10_000, "whole"},
		{"14.2 MAY ignore: too many, even close ones", "GET", []string{"Range: bytes=" + strings.Repeat("0-0,", maxRanges+1)}, 10_000, "whole"},
		{"14.2 MAY ignore: together larger than the file", "GET", []string{"Range: bytes=0-,0-"}, 10, "whole"},
		{"14.2 MAY ignore: together larger than the file", "GET", []string{"Range: bytes=0-599,-500"}, 1000, "whole"},
		{"14.2 MAY ignore: together larger than the file, no overflow", "GET", []string{"Range: bytes=0-,0-,0-"}, math.MaxInt64, "whole"},
		{"14.2 MAY ignore: a field that is too long", "GET", []string{range01 + strings.Repeat(" ", maxRangeField) + ",3-3"}, 10, "whole"},
		{"14.2 as many as there may be", "GET", []string{"Range: bytes=" + many(maxRanges, "%[1]d-%[1]d", ",")}, 10_000, many(maxRanges, "%d+1", " ")},
		{"14.2 together as large as the file", "GET", []string{"Range: bytes=0-499,500-999"}, 1000, "0+1000"},

		{"5.6.1.2 empty elements of a list", "GET", []string{"Range: bytes=,0-1,,"}, 10, "0+2"},
		{"5.6.1.2 empty elements of a list", "GET", []string{"Range: bytes=, ,\t,0-1"}, 10, "0+2"},
		{"5.6.1 at least one that is not empty", "GET", []string{"Range: bytes=,"}, 10, "whole"},
		{"5.6.1 white space around elements", "GET", []string{"Range: bytes=0-1 ,\t500-501"}, 1000, "0+2 500+2"},
		{"5.6.1 white space around elements; before the first leniently", "GET", []string{"Range: bytes= 0-3 "}, 10, "0+4"},

		{"15.3.7.2 the order of the request (SHOULD)", "GET", []string{"Range: bytes=-10,500-509,0-9"}, 1000, "990+10 500+10 0+10"},
		{"15.3.7.2 without those that are unsatisfiable", "GET", []string{"Range: bytes=0-9,1000-,500-509,-0"}, 1000, "0+10 500+10"},
		{"15.3.7.2 MAY coalesce: overlapping", "GET", []string{"Range: bytes=0-99,50-149,500-509"}, 1000, "0+150 500+10"},
		{"15.3.7.2 MAY coalesce: a gap below the overhead", "GET", []string{"Range: bytes=0-0,80-80,500-509"}, 1000, "0+81 500+10"},
		{"15.3.7.2 a larger gap is no reason", "GET", []string{"Range: bytes=0-0,81-81"}, 1000, "0+1 81+1"},
		{"15.3.7.2 one part in the end: no multipart", "GET", []string{"Range: bytes=0-1,3-4"}, 10, "0+5"},
		{"15.3.7.2 one part in the end: no multipart", "GET", []string{"Range: bytes=5-5,500-,0-1"}, 10, "0+6"},

		{"13.1.5 true: the Range applies", "GET", []string{range01, `If-Range: "v1"`}, 10, "0+2"},
		{"13.1.5 true: 416 as well", "GET", []string{"Range: bytes=99-", `If-Range: "v1"`}, 10, "none"},
		{"13.1.5 false: MUST ignore the Range", "GET", []string{range01, `If-Range: "v2"`}, 10, "whole"},
		{"13.1.5 false: MUST ignore the Range", "GET", []string{"Range: bytes=99-", `If-Range: "v2"`}, 10, "whole"},
		{"13.1.5 false: MUST ignore the Range, several", "GET", []string{"Range: bytes=0-0,500-500", `If-Range: "v2"`}, 1000, "whole"},
		{"13.1.5 MUST ignore it without a Range", "GET", []string{`If-Range: "v2"`}, 10, "whole"},
		{"13.1.5 MUST use the strong comparison", "GET", []string{range01, `If-Range: W/"v1"`}, 10, "whole"},
		{"13.1.5 one tag, no list and no *", "GET", []string{range01, `If-Range: "v1", "v2"`}, 10, "whole"},
		{"13.1.5 one tag, no list and no *", "GET", []string{range01, `If-Range: "v1"`, `If-Range: "v1"`}, 10, "whole"},
		{"13.1.5 one tag, no list and no *", "GET", []string{range01, `If-Range: *`}, 10, "whole"},
		{"13.1.5 an empty one is false", "GET", []string{range01, `If-Range:`}, 10, "whole"},
		{"13.1.5 a date: true if it is exactly ours", "GET", []string{range01, "If-Range: Mon, 06 May 2024 07:08:09 GMT"}, 10, "0+2"},
		{"13.1.5 a date: true if it is exactly ours, in any form", "GET", []string{range01, "If-Range: Mon May  6 07:08:09 2024"}, 10, "0+2"},
		{"13.1.5 a date: a later one is false", "GET", []string{range01, "If-Range: Mon, 06 May 2024 07:08:10 GMT"}, 10, "whole"},
		{"13.1.5 a date: an earlier one is false", "GET", []string{range01, "If-Range: Mon, 06 May 2024 07:08:08 GMT"}, 10, "whole"},
		{"13.1.5 neither tag nor date is false", "GET", []string{range01, "If-Range: tomorrow"}, 10, "whole"},
	} {
		req := parse(t, c.method, "/", c.fields...)
		set, v := rangesFor(&req, rep, c.size)
		got := ""
		switch v {
		case rangeIgnored:
			got = "whole"
		case rangeUnsatisfiable:
			got = "none"
		case rangeOne:
			got = describe(set.part)
		case rangeSeveral:
			got = describe(set.parts...)
		}
		if got != c.want {
			t.Errorf("%s: %s %q of %d: %s, want %s", c.rule, c.method, c.fields, c.size, got, c.want)
		}
	}
}

func describe(parts ...byteRange) string {
	var all []string
	for _, p := range parts {
		all = append(all, fmt.Sprintf("%d+%d", p.start, p.length))
	}
	return strings.Join(all, " ")
}

// TestRangesOnTheWire is what is sent, rule by rule: of a file that is kept in
// memory, and of one that is not.
func TestRangesOnTheWire(t *testing.T) {
	s := open(t, nil)
	for name, size := range map[string]int{"small.txt": 1000, "large.txt": 3_000_000} {
		content := strings.Repeat("0123456789", size/10)
		s.file(name, content)
		target, several := "/"+name, "Range: bytes=-10, 0-9,500-509"
		parts := []byteRange{{int64(size) - 10, 10}, {0, 10}, {500, 10}}
		tag := s.get(target).header.Get("ETag")

		one := s.get(target, "Range: bytes=2-4")
		one.want(t, "15.3.7.1 a single part", 206, "234")
		one.wantField(t, "15.3.7.1 MUST have Content-Range", "Content-Range", fmt.Sprintf("bytes 2-4/%d", size))
		one.wantField(t, "15.3.7.1 the type of the file", "Content-Type", "text/plain; charset=utf-8")
		one.wantField(t, "15.3.7 MUST have the ETag of a 200", "ETag", tag)

		many := s.get(target, several)
		if many.status != 206 || many.err != nil || many.length != int64(len(many.body)) {
			t.Fatalf("%s: %d, %d bytes, Content-Length %d, %v", name, many.status, len(many.body), many.length, many.err)
		}
		kind, parameters, err := mime.ParseMediaType(many.header.Get("Content-Type"))
		if err != nil || kind != "multipart/byteranges" {
			t.Errorf("15.3.7.2 MUST be multipart/byteranges: %q", many.header)
		}
		checkParts(t, strings.NewReader(many.body), parameters["boundary"], "text/plain; charset=utf-8", []byte(content), parts)
		many.wantField(t, "15.3.7.2 MUST NOT have Content-Range", "Content-Range", "")
		many.wantField(t, "15.3.7 MUST have the ETag of a 200", "ETag", tag)

		none := s.get(target, fmt.Sprintf("Range: bytes=%d-, -0", size))
		none.want(t, "15.5.17 none can be had", 416, "")
		none.wantField(t, "15.5.17 SHOULD say the length", "Content-Range", fmt.Sprintf("bytes */%d", size))

		for what, a := range map[string]answer{
			"13.1.5 false":           s.get(target, several, `If-Range: "x"`),
			"14.2 too many":          s.get(target, "Range: bytes="+strings.Repeat("0-0,", maxRanges+1)),
			"14.2 a unit unheard of": s.get(target, "Range: pages=1-2"),
		} {
			a.want(t, what, 200, content)
			a.wantField(t, what, "Content-Range", "")
			a.wantField(t, "14.3 "+what, "Accept-Ranges", "bytes")
		}
		head := s.do("HEAD", target, "", several)
		head.want(t, "14.2 MUST ignore it for HEAD", 200, "")
		if head.length != int64(size) {
			t.Errorf("9.3.2 HEAD says %d bytes, want %d", head.length, size)
		}
		s.get(target, several, "If-None-Match: "+tag).want(t, "13.2.2 preconditions first", 304, "")
		if a := s.get(target, several, "If-Range: "+tag); a.status != 206 || a.length != many.length {
			t.Errorf("13.1.5 true: %d, %d bytes", a.status, a.length)
		}
	}
}
