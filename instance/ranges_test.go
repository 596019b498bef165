package instance

import (
	"fmt"
	"math"
	"testing"
)

func TestRangeFor(t *testing.T) {
	rep := representation{exists: true, etag: `"v1"`, modified: modified}
	const whole = -1
	const none = -2 // 416
	for _, c := range []struct {
		method        string
		fields        []string
		size          int64
		start, length int64
	}{
		{"GET", nil, 10, whole, 0},
		{"GET", []string{"Range: bytes=0-3"}, 10, 0, 4},
		{"GET", []string{"Range: Bytes=0-3"}, 10, 0, 4},
		{"GET", []string{"Range: bytes=5-"}, 10, 5, 5},
		{"GET", []string{"Range: bytes=9-9"}, 10, 9, 1},
		{"GET", []string{"Range: bytes=9-100"}, 10, 9, 1},
		{"GET", []string{"Range: bytes=0-99999999999999999999"}, 10, 0, 10},
		{"GET", []string{"Range: bytes=-3"}, 10, 7, 3},
		{"GET", []string{"Range: bytes=-30"}, 10, 0, 10},
		{"GET", []string{"Range: bytes=-99999999999999999999"}, 10, 0, 10},
		{"GET", []string{"Range: bytes= 0-3 "}, 10, 0, 4},
		{"GET", []string{"Range: bytes=0-"}, math.MaxInt64, 0, math.MaxInt64},

		{"GET", []string{"Range: bytes=10-"}, 10, none, 0},
		{"GET", []string{"Range: bytes=10-20"}, 10, none, 0},
		{"GET", []string{"Range: bytes=99999999999999999999-"}, 10, none, 0},
		{"GET", []string{"Range: bytes=-0"}, 10, none, 0},
		{"GET", []string{"Range: bytes=0-"}, 0, none, 0},
		{"GET", []string{"Range: bytes=-0"}, 0, none, 0},
		{"GET", []string{"Range: bytes=-5"}, 0, whole, 0},

		// Malformed, another unit, more than one: as if it were not there.
		{"GET", []string{"Range: bytes=3-1"}, 10, whole, 0},
		{"GET", []string{"Range: bytes=99999999999999999999-1"}, 10, whole, 0},
		{"GET", []string{"Range: bytes=a-1"}, 10, whole, 0},
		{"GET", []string{"Range: bytes=1-b"}, 10, whole, 0},
		{"GET", []string{"Range: bytes=+1-2"}, 10, whole, 0},
		{"GET", []string{"Range: bytes=--1"}, 10, whole, 0},
		{"GET", []string{"Range: bytes=0 -1"}, 10, whole, 0},
		{"GET", []string{"Range: bytes=-"}, 10, whole, 0},
		{"GET", []string{"Range: bytes="}, 10, whole, 0},
		{"GET", []string{"Range: bytes"}, 10, whole, 0},
		{"GET", []string{"Range: 0-1"}, 10, whole, 0},
		{"GET", []string{"Range: lines=0-1"}, 10, whole, 0},
		{"GET", []string{"Range: bytes=0-1,3-4"}, 10, whole, 0},
		{"HEAD", []string{"Range: bytes=0-1"}, 10, whole, 0},
		{"POST", []string{"Range: bytes=0-1"}, 10, whole, 0},

		// If-Range.
		{"GET", []string{"Range: bytes=0-1", `If-Range: "v1"`}, 10, 0, 2},
		{"GET", []string{"Range: bytes=0-1", `If-Range: "v2"`}, 10, whole, 0},
		{"GET", []string{"Range: bytes=0-1", `If-Range: W/"v1"`}, 10, whole, 0},
		{"GET", []string{"Range: bytes=0-1", `If-Range: *`}, 10, whole, 0},
		{"GET", []string{"Range: bytes=0-1", `If-Range: "v1", "v2"`}, 10, whole, 0},
		{"GET", []string{"Range: bytes=99-", `If-Range: "v2"`}, 10, whole, 0},
		{"GET", []string{"Range: bytes=0-1", "If-Range: Mon, 06 May 2024 07:08:09 GMT"}, 10, 0, 2},
		{"GET", []string{"Range: bytes=0-1", "If-Range: Mon, 06 May 2024 07:08:10 GMT"}, 10, whole, 0}, // an exact match, not "since"
		{"GET", []string{"Range: bytes=0-1", "If-Range: tomorrow"}, 10, whole, 0},
	} {
		req := parse(t, c.method, "/", c.fields...)
		part, ok, satisfiable := rangeFor(&req, rep, c.size)
		start, length := int64(whole), int64(0)
		switch {
		case !satisfiable:
			start = none
		case ok:
			start, length = part.start, part.length
		}
		if start != c.start || length != c.length {
			t.Errorf("%s %q of %d: %d, %d, want %d, %d", c.method, c.fields, c.size, start, length, c.start, c.length)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"0-3", "5-", "-3", "-0", "3-1", "-", "", "0-99999999999999999999", "9223372036854775807-", "-9223372036854775808"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, spec string, size int64) {
		if size < 0 {
			size = -(size + 1)
		}
		part, ok, satisfiable := parseRange(spec, size)
		if ok && !satisfiable {
			t.Fatalf("%q of %d: part of what can't be had", spec, size)
		}
		if ok && (part.start < 0 || part.length <= 0 || part.start > size-part.length) {
			t.Fatalf("%q of %d: %+v is not in the file", spec, size, part)
		}
		if !ok {
			return
		}
		again, ok, _ := parseRange(fmt.Sprintf("%d-%d", part.start, part.start+part.length-1), size)
		if !ok || again != part {
			t.Fatalf("%q of %d: %+v, written out it is %+v", spec, size, part, again)
		}
	})
}
