package instance

import (
	"strings"
	"testing"
	"time"

	"sited/protocol"
)

var modified = time.Date(2024, 5, 6, 7, 8, 9, 500, time.UTC)

func TestPrecondition(t *testing.T) {
	const (
		at     = "Mon, 06 May 2024 07:08:09 GMT"
		before = "Mon, 06 May 2024 07:08:08 GMT"
		later  = "Mon, 06 May 2024 07:08:10 GMT"
	)
	is := representation{exists: true, etag: `"v1"`, modified: modified}
	gone := representation{}
	for _, c := range []struct {
		method string
		fields []string
		rep    representation
		want   int
	}{
		{"GET", nil, is, 0},
		{"PUT", nil, gone, 0},

		// If-Match: strong comparison.
		{"GET", []string{`If-Match: "v1"`}, is, 0},
		{"GET", []string{`If-Match: "v2"`}, is, 412},
		{"PUT", []string{`If-Match: "v0", "v1"`}, is, 0},
		{"PUT", []string{`If-Match: "v0"`, `If-Match: "v1"`}, is, 0},
		{"PUT", []string{`If-Match: "v0", , W/"v9" ,"v1"`}, is, 0},
		{"PUT", []string{`If-Match: W/"v1"`}, is, 412},
		{"PUT", []string{`If-Match: v1`}, is, 412},
		{"PUT", []string{`If-Match: *`}, is, 0},
		{"PUT", []string{`If-Match: *`}, gone, 412},
		{"PUT", []string{`If-Match: "v1"`}, gone, 412},
		{"PUT", []string{`If-Match:`}, is, 412},
		{"DELETE", []string{`If-Match: "V1"`}, is, 412},
		{"PUT", []string{`If-Match: "a,"v1"`}, is, 412}, // not the end of a tag

		// If-Unmodified-Since, and only without If-Match.
		{"GET", []string{"If-Unmodified-Since: " + at}, is, 0},
		{"GET", []string{"If-Unmodified-Since: " + later}, is, 0},
		{"GET", []string{"If-Unmodified-Since: " + before}, is, 412},
		{"PUT", []string{"If-Unmodified-Since: " + before}, is, 412},
		{"PUT", []string{"If-Unmodified-Since: " + at}, gone, 412},
		{"PUT", []string{"If-Unmodified-Since: yesterday"}, is, 0},
		{"PUT", []string{`If-Match: "v1"`, "If-Unmodified-Since: " + before}, is, 0},
		{"PUT", []string{`If-Match: "v2"`, "If-Unmodified-Since: " + later}, is, 412},

		// If-None-Match: weak comparison.
		{"GET", []string{`If-None-Match: "v1"`}, is, 304},
		{"HEAD", []string{`If-None-Match: W/"v1"`}, is, 304},
		{"GET", []string{`If-None-Match: "v2", W/"v1"`}, is, 304},
		{"GET", []string{`If-None-Match: "v2"`}, is, 0},
		{"GET", []string{`If-None-Match: *`}, is, 304},
		{"PUT", []string{`If-None-Match: *`}, is, 412},
		{"PUT", []string{`If-None-Match: *`}, gone, 0},
		{"PUT", []string{`If-None-Match: "v1"`}, is, 412},
		{"PUT", []string{`If-None-Match: "v1"`}, gone, 0},
		{"DELETE", []string{`If-None-Match: W/"v1"`}, is, 412},
		{"GET", []string{`If-None-Match: w/"v1"`}, is, 0}, // case-sensitive

		// If-Modified-Since: for GET and HEAD, and only without If-None-Match.
		{"GET", []string{"If-Modified-Since: " + at}, is, 304},
		{"HEAD", []string{"If-Modified-Since: " + later}, is, 304},
		{"GET", []string{"If-Modified-Since: " + before}, is, 0},
		{"GET", []string{"If-Modified-Since: Monday, 06-May-24 07:08:09 GMT"}, is, 304},
		{"GET", []string{"If-Modified-Since: Mon May  6 07:08:09 2024"}, is, 304},
		{"GET", []string{"If-Modified-Since: 2024-05-06T07:08:09Z"}, is, 0},
		{"PUT", []string{"If-Modified-Since: " + at}, is, 0},
		{"PUT", []string{"If-Modified-Since: " + at}, gone, 0},
		{"GET", []string{`If-None-Match: "v2"`, "If-Modified-Since: " + at}, is, 0},
		{"GET", []string{`If-None-Match: "v1"`, "If-Modified-Since: " + before}, is, 304},

		// The order of both: what fails first.
		{"GET", []string{`If-Match: "v2"`, `If-None-Match: "v1"`}, is, 412},
		{"GET", []string{`If-Match: "v1"`, `If-None-Match: "v1"`}, is, 304},
		{"GET", []string{"If-Unmodified-Since: " + at, "If-Modified-Since: " + at}, is, 304},
	} {
		req := parse(t, c.method, "/", c.fields...)
		if got := precondition(&req, c.rep); got != c.want {
			t.Errorf("%s %q, exists %v: %d, want %d", c.method, c.fields, c.rep.exists, got, c.want)
		}
	}
}

func TestHTTPDate(t *testing.T) {
	want := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	for s, ok := range map[string]bool{
		"Sun, 06 Nov 1994 08:49:37 GMT":     true,
		"Sunday, 06-Nov-94 08:49:37 GMT":    true,
		"Sun Nov  6 08:49:37 1994":          true,
		"":                                  false,
		"Sun, 06 Nov 1994 08:49:37":         false,
		"Sun, 06 Nov 1994 08:49:37 +0000":   false,
		"Sun, 06 Nov 1994 08:49:37 CET":     false,
		"Sun, 31 Feb 1994 08:49:37 GMT":     false,
		"Sun, 06 Nov 1994 24:49:37 GMT":     false,
		"784111777":                         false,
		"Sun, 06 Nov 1994 08:49:37 GMT, x":  false,
		"Sunday, 06-Nov-1994 08:49:37 GMT":  false,
		"Sun, 06 Nov 94 08:49:37 GMT":       false,
		" Sun, 06 Nov 1994 08:49:37 GMT":    false,
		"Sun, 06 Nov 1994 08:49:37 GMT\x00": false,
	} {
		got, valid := httpDate(s)
		if valid != ok || ok && !got.Equal(want) {
			t.Errorf("httpDate(%q) = %v, %v", s, got, valid)
		}
	}
}

// RFC 9110, section 5.6.7: a year that appears to be more than 50 years in the
// future is the most recent one in the past with those digits.
func TestTwoDigitYears(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		date string
		year int
	}{
		{"Sunday, 22-Nov-26 11:00:00 GMT", 2026},
		{"Sunday, 22-Nov-00 11:00:00 GMT", 2000},
		{"Sunday, 22-Nov-69 11:00:00 GMT", 2069},
		{"Sunday, 22-Nov-75 11:00:00 GMT", 2075},
		{"Sunday, 22-Nov-76 11:00:00 GMT", 2076},
		{"Sunday, 22-Nov-76 13:00:00 GMT", 1976},
		{"Sunday, 22-Nov-77 11:00:00 GMT", 1977},
		{"Sunday, 22-Nov-99 11:00:00 GMT", 1999},
	} {
		raw, err := time.Parse("Monday, 02-Jan-06 15:04:05 GMT", c.date)
		must(t, err)
		if got := inCentury(raw, now); got.Year() != c.year || got.YearDay() != raw.AddDate(c.year-raw.Year(), 0, 0).YearDay() {
			t.Errorf("%s is %v, want the year %d", c.date, got, c.year)
		}
	}
	if got := inCentury(time.Date(2001, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC)); got.Year() != 2101 {
		t.Errorf("in 2060, 01 is %d", got.Year())
	}
	soon := time.Now().UTC().AddDate(40, 0, 0).Truncate(time.Second)
	if got, ok := httpDate(soon.Format("Monday, 02-Jan-06 15:04:05 GMT")); !ok || !got.Equal(soon) {
		t.Errorf("in 40 years: %v, %v", got, ok)
	}
}

func FuzzHTTPDate(f *testing.F) {
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Saturday, 29-Feb-00 00:00:00 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := httpDate(s)
		if !ok {
			return
		}
		if at.Location() != time.UTC {
			t.Fatalf("%q is not in UTC: %v", s, at)
		}
		whole := at.Truncate(time.Second)
		again, ok := httpDate(whole.Format(protocol.TimeFormat))
		if !ok || !again.Equal(whole) {
			t.Fatalf("%q is %v, but that reads as %v", s, at, again)
		}
		if strings.Contains(s, "-") && at.After(time.Now().AddDate(50, 0, 1)) {
			t.Fatalf("%q is %v, more than 50 years ahead", s, at)
		}
	})
}

func FuzzMatches(f *testing.F) {
	for _, s := range []string{`"v1"`, `W/"v1"`, `*`, `"a", "b" , W/"c"`, `"`, `W/`, `,,,`, `"v1`, `x"v1"`, `"a,"v1"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		rep := representation{exists: true, etag: `"v1"`}
		h := protocol.Header{{Name: "If-Match", Value: value}}
		strong, weak := matches(h, "If-Match", rep, true), matches(h, "If-Match", rep, false)
		if strong && !weak {
			t.Fatalf("%q matches strongly, but not weakly", value)
		}
		if weak && value != "*" && !strings.Contains(value, `"v1"`) {
			t.Fatalf("%q matches without holding the tag", value)
		}
		for rest := value; rest != ""; {
			tag, left := nextTag(rest)
			if len(left) >= len(rest) {
				t.Fatalf("nextTag(%q) gets nowhere", rest)
			}
			opaque := strings.TrimPrefix(tag, "W/")
			if tag != "" && (len(opaque) < 2 || opaque[0] != '"' || strings.Count(opaque, `"`) != 2 || opaque[len(opaque)-1] != '"') {
				t.Fatalf("nextTag(%q) = %q", rest, tag)
			}
			rest = left
		}
	})
}
