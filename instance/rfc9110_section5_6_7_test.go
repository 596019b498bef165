package instance

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sited/protocol"
)

// TestRFC9110Section567 is the forms of a date, rule by rule. want is in the form
// of RFC 3339, "" for what is no date.
func TestRFC9110Section567(t *testing.T) {
	const example = "1994-11-06T08:49:37Z"
	for _, c := range []struct{ rule, date, want string }{
		{"MUST accept IMF-fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", example},
		{"MUST accept rfc850-date", "Sunday, 06-Nov-94 08:49:37 GMT", example},
		{"MUST accept asctime-date", "Sun Nov  6 08:49:37 1994", example},
		{"asctime-date: 2DIGIT / ( SP 1DIGIT )", "Sun Nov 06 08:49:37 1994", example},
		{"asctime-date: 2DIGIT / ( SP 1DIGIT )", "Wed Nov 16 08:49:37 1994", "1994-11-16T08:49:37Z"},
		{"asctime-date: 2DIGIT / ( SP 1DIGIT )", "Sun Nov 6 08:49:37 1994", ""},
		{"asctime-date: 2DIGIT / ( SP 1DIGIT )", "Sun Nov 6  08:49:37 1994", ""},
		{"asctime-date: 2DIGIT / ( SP 1DIGIT )", "Sun Nov    08:49:37 1994", ""},
		{"asctime-date has no zone", "Sun Nov  6 08:49:37 1994 GMT", ""},

		{"case-sensitive", "sun, 06 Nov 1994 08:49:37 GMT", ""},
		{"case-sensitive", "SUN, 06 NOV 1994 08:49:37 GMT", ""},
		{"case-sensitive", "Sun, 06 nov 1994 08:49:37 GMT", ""},
		{"case-sensitive", "Sun, 06 Nov 1994 08:49:37 gmt", ""},
		{"case-sensitive", "sunday, 06-Nov-94 08:49:37 GMT", ""},
		{"case-sensitive", "Sun NOV  6 08:49:37 1994", ""},

		{"GMT: no other zone", "Sun, 06 Nov 1994 08:49:37 UTC", ""},
		{"GMT: no other zone", "Sun, 06 Nov 1994 08:49:37 CET", ""},
		{"GMT: no other zone", "Sun, 06 Nov 1994 08:49:37 +0000", ""},
		{"GMT: no other zone", "Sun, 06 Nov 1994 08:49:37", ""},
		{"GMT: no other zone", "Sunday, 06-Nov-94 08:49:37 EST", ""},

		{"day-name of three letters", "Sunday, 06 Nov 1994 08:49:37 GMT", ""},
		{"day-name of three letters", "Sux, 06 Nov 1994 08:49:37 GMT", ""},
		{"day-name of three letters", "Sux Nov  6 08:49:37 1994", ""},
		{"day-name-l is written out", "Sun, 06-Nov-94 08:49:37 GMT", ""},
		{"day-name-l is written out", "Sundaz, 06-Nov-94 08:49:37 GMT", ""},
		{"day-name-l: each of them", "Monday, 07-Nov-94 08:49:37 GMT", "1994-11-07T08:49:37Z"},
		{"day-name-l: each of them", "Tuesday, 08-Nov-94 08:49:37 GMT", "1994-11-08T08:49:37Z"},
		{"day-name-l: each of them", "Wednesday, 09-Nov-94 08:49:37 GMT", "1994-11-09T08:49:37Z"},
		{"day-name-l: each of them", "Thursday, 10-Nov-94 08:49:37 GMT", "1994-11-10T08:49:37Z"},
		{"day-name-l: each of them", "Friday, 11-Nov-94 08:49:37 GMT", "1994-11-11T08:49:37Z"},
		{"day-name-l: each of them", "Saturday, 12-Nov-94 08:49:37 GMT", "1994-11-12T08:49:37Z"},
		{"the grammar does not tie the day-name to the date", "Mon, 06 Nov 1994 08:49:37 GMT", example},

		{"day = 2DIGIT", "Sun, 6 Nov 1994 08:49:37 GMT", ""},
		{"day = 2DIGIT", "Sun,  6 Nov 1994 08:49:37 GMT", ""},
		{"day = 2DIGIT", "Sun, +6 Nov 1994 08:49:37 GMT", ""},
		{"a day of that month", "Sun, 00 Nov 1994 08:49:37 GMT", ""},
		{"a day of that month", "Sun, 31 Nov 1994 08:49:37 GMT", ""},
		{"a day of that month", "Sun, 32 Oct 1994 08:49:37 GMT", ""},
		{"a day of that month", "Sun, 29 Feb 1994 08:49:37 GMT", ""},
		{"a day of that month", "Thu, 29 Feb 1996 08:49:37 GMT", "1996-02-29T08:49:37Z"},
		{"a day of that month", "Tue, 29 Feb 2000 08:49:37 GMT", "2000-02-29T08:49:37Z"},
		{"a day of that month", "Thu, 29 Feb 1900 08:49:37 GMT", ""},
		{"month", "Sun, 06 Now 1994 08:49:37 GMT", ""},
		{"year = 4DIGIT", "Sun, 06 Nov 94 08:49:37 GMT", ""},
		{"year = 4DIGIT", "Sun, 06 Nov 19940 8:49:37 GMT", ""},
		{"year = 4DIGIT", "Sun, 06 Nov -994 08:49:37 GMT", ""},
		{"date2: two digits of the year", "Sunday, 06-Nov-1994 08:49:37 GMT", ""},
		{"date2: two digits of the year", "Sunday, 06-Nov-+4 08:49:37 GMT", ""},
		{"date2: hyphens", "Sunday, 06 Nov 94 08:49:37 GMT", ""},

		{"hour = 00 to 23", "Sun, 06 Nov 1994 23:49:37 GMT", "1994-11-06T23:49:37Z"},
		{"hour = 00 to 23", "Sun, 06 Nov 1994 24:49:37 GMT", ""},
		{"minute = 00 to 59", "Sun, 06 Nov 1994 08:60:37 GMT", ""},
		{"second = 00 to 60", "Sun, 06 Nov 1994 08:49:61 GMT", ""},
		{"second = 60 is a leap second, at the end of a day", "Sat, 31 Dec 2016 23:59:60 GMT", "2017-01-01T00:00:00Z"},
		{"second = 60 is a leap second, at the end of a day", "Saturday, 31-Dec-16 23:59:60 GMT", "2017-01-01T00:00:00Z"},
		{"second = 60 is a leap second, at the end of a day", "Sat, 31 Dec 2016 08:49:60 GMT", ""},
		{"two digits each", "Sun, 06 Nov 1994 8:49:37 GMT", ""},
		{"two digits each", "Sun, 06 Nov 1994  8:49:37 GMT", ""},
		{"colons", "Sun, 06 Nov 1994 08.49.37 GMT", ""},
		{"no fraction", "Sun, 06 Nov 1994 08:49:37.0 GMT", ""},

		{"single spaces", "Sun,06 Nov 1994 08:49:37 GMT", ""},
		{"single spaces", "Sun,\t06 Nov 1994 08:49:37 GMT", ""},
		{"single spaces", "Sun, 06\tNov 1994 08:49:37 GMT", ""},
		{"single spaces", "Sun, 06-Nov 1994 08:49:37 GMT", ""},
		{"single spaces", "Sun, 06 Nov-1994 08:49:37 GMT", ""},
		{"single spaces", "Sun, 06 Nov 1994T08:49:37 GMT", ""},
		{"single spaces", "Sun, 06 Nov  1994 08:49:37 GMT", ""},
		{"single spaces", "Sunday,  06-Nov-94 08:49:37 GMT", ""},
		{"single spaces", "Sunday, 06-Nov-94T08:49:37 GMT", ""},
		{"single spaces", "Sunday, 06-Nov-94 08:49:37  GMT", ""},
		{"single spaces", "Sun-Nov  6 08:49:37 1994", ""},
		{"nothing around", " Sun, 06 Nov 1994 08:49:37 GMT", ""},
		{"nothing around", "Sun, 06 Nov 1994 08:49:37 GMT ", ""},
		{"nothing around", "Sun, 06 Nov 1994 08:49:37 GMT, x", ""},
		{"nothing around", "Sun, 06 Nov 1994 08:49:37 GMT\x00", ""},
		{"nothing around", "\"Sun, 06 Nov 1994 08:49:37 GMT\"", ""},

		{"no other form", "", ""},
		{"no other form", "0", ""},
		{"no other form", "784111777", ""},
		{"no other form", "1994-11-06T08:49:37Z", ""},
		{"no other form", "Sun, 06 Nov 1994", ""},
		{"no other form", strings.Repeat("x", len("Sun, 06 Nov 1994 08:49:37 GMT")), ""},
		{"no other form", strings.Repeat("x", len("Sun Nov  6 08:49:37 1994")), ""},
		{"no other form", ", ", ""},
	} {
		got := ""
		if at, ok := httpDate(c.date); ok {
			got = at.Format(time.RFC3339Nano)
		}
		if got != c.want {
			t.Errorf("%s: %q is %q, want %q", c.rule, c.date, got, c.want)
		}
	}
}

// RFC 9110, section 5.6.7: a year that appears to be more than 50 years in the
// future MUST be taken for the most recent one in the past with those digits.
func TestTwoDigitYears(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		now  time.Time
		date string
		year int // 0: no such day
	}{
		{at, "Sunday, 22-Nov-26 11:00:00 GMT", 2026},
		{at, "Sunday, 22-Nov-00 11:00:00 GMT", 2000},
		{at, "Sunday, 22-Nov-69 11:00:00 GMT", 2069},
		{at, "Sunday, 22-Nov-75 11:00:00 GMT", 2075},
		{at, "Sunday, 22-Nov-76 11:00:00 GMT", 2076},
		{at, "Sunday, 22-Nov-76 12:00:00 GMT", 2076},
		{at, "Sunday, 22-Nov-76 12:00:01 GMT", 1976},
		{at, "Sunday, 22-Nov-77 11:00:00 GMT", 1977},
		{at, "Sunday, 22-Nov-99 11:00:00 GMT", 1999},
		{at, "Sunday, 29-Feb-00 11:00:00 GMT", 2000},
		{at, "Sunday, 29-Feb-76 11:00:00 GMT", 2076},
		{at, "Sunday, 29-Feb-80 11:00:00 GMT", 1980},
		{at, "Sunday, 29-Feb-99 11:00:00 GMT", 0},
		{at.AddDate(34, 0, 0), "Sunday, 02-Jan-01 00:00:00 GMT", 2101},
		{at.AddDate(34, 0, 0), "Sunday, 02-Jan-11 00:00:00 GMT", 2011},
		{at.AddDate(34, 0, 0), "Sunday, 29-Feb-00 00:00:00 GMT", 0}, // 2100 has none
		{at.In(time.FixedZone("", 14*3600)), "Sunday, 22-Nov-76 12:00:01 GMT", 1976},
	} {
		got, ok := rfc850Date(c.date, func() time.Time { return c.now })
		if ok != (c.year != 0) || ok && (got.Year() != c.year || got.Format("02-Jan-06 15:04:05") != c.date[8:26]) {
			t.Errorf("in %d, %s is %v, %v, want the year %d", c.now.Year(), c.date, got, ok, c.year)
		}
	}
	soon := time.Now().UTC().AddDate(40, 0, 0).Truncate(time.Second)
	if got, ok := httpDate(soon.Format("Monday, 02-Jan-06 15:04:05 GMT")); !ok || !got.Equal(soon) {
		t.Errorf("in 40 years: %v, %v", got, ok)
	}
}

func BenchmarkHTTPDate(b *testing.B) {
	for name, s := range map[string]string{"fixdate": "Sun, 06 Nov 1994 08:49:37 GMT", "rfc850": "Sunday, 06-Nov-94 08:49:37 GMT", "asctime": "Sun Nov  6 08:49:37 1994"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				httpDate(s)
			}
		})
	}
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun Nov 16 08:49:37 1994",
		"Saturday, 29-Feb-00 00:00:00 GMT", "Sat, 31 Dec 2016 23:59:60 GMT", "Sun, 31 Feb 1994 08:49:37 GMT", "Wed, 01 Jan 0000 00:00:00 GMT",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := httpDate(s)
		theirs, err := http.ParseTime(s)
		leap := strings.Contains(s, ":60")
		if !ok {
			// What others take in the one form that is to be sent, we take.
			if err == nil && theirs.Format(protocol.TimeFormat) == s {
				t.Fatalf("%q is no date, but net/http reads %v", s, theirs)
			}
			return
		}
		if at.Location() != time.UTC || at.Nanosecond() != 0 {
			t.Fatalf("%q is %v", s, at)
		}
		if err != nil && !leap {
			t.Fatalf("%q is %v, but net/http says %v", s, at, err)
		}
		rfc850 := strings.Contains(s, "-")
		if err == nil && !at.Equal(theirs) && !(rfc850 && (at.Year()-theirs.Year())%100 == 0 && at.YearDay() == theirs.YearDay()) {
			t.Fatalf("%q is %v, but net/http reads %v", s, at, theirs)
		}
		if rfc850 && (at.After(time.Now().AddDate(50, 0, 1)) || at.Before(time.Now().AddDate(-50, 0, -1))) {
			t.Fatalf("%q is %v, more than 50 years away", s, at)
		}
		if again, ok := httpDate(at.Format(protocol.TimeFormat)); !ok || !again.Equal(at) {
			t.Fatalf("%q is %v, but that reads as %v", s, at, again)
		}
	})
}
