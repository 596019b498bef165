package instance

import (
	"strings"
	"time"
)

// httpDate parses the three forms of an HTTP-date (RFC 9110, section 5.6.7), which
// are case-sensitive and have single spaces. The time is in UTC. The name of the
// day must be one, but need not be that of the date. A leap second is the second
// that comes after it.
func httpDate(s string) (time.Time, bool) {
	switch {
	case len(s) == len("Sun, 06 Nov 1994 08:49:37 GMT"):
		return fixDate(s)
	case len(s) == len("Sun Nov  6 08:49:37 1994"):
		return asctimeDate(s)
	}
	return rfc850Date(s, time.Now)
}

// fixDate parses an IMF-fixdate of the right length: "Sun, 06 Nov 1994 08:49:37 GMT".
func fixDate(s string) (time.Time, bool) {
	if s[3:5] != ", " || s[7] != ' ' || s[11] != ' ' || s[16] != ' ' || s[25:] != " GMT" || !isShortDay(s[:3]) {
		return time.Time{}, false
	}
	return dateOf(digits(s[12:16]), s[8:11], digits(s[5:7]), s[17:25])
}

// asctimeDate parses an asctime-date of the right length: "Sun Nov  6 08:49:37 1994".
func asctimeDate(s string) (time.Time, bool) {
	if s[3] != ' ' || s[7] != ' ' || s[10] != ' ' || s[19] != ' ' || !isShortDay(s[:3]) {
		return time.Time{}, false
	}
	day := s[8:10]
	if day[0] == ' ' {
		day = day[1:]
	}
	return dateOf(digits(s[20:]), s[4:7], digits(day), s[11:19])
}

// rfc850Date parses an rfc850-date: "Sunday, 06-Nov-94 08:49:37 GMT".
func rfc850Date(s string, now func() time.Time) (time.Time, bool) {
	name, s, found := strings.Cut(s, ", ")
	if !found || !isDay(name) || len(s) != len("06-Nov-94 08:49:37 GMT") ||
		s[2] != '-' || s[6] != '-' || s[9] != ' ' || s[18:] != " GMT" {
		return time.Time{}, false
	}
	year := digits(s[7:9])
	if year < 0 {
		return time.Time{}, false
	}
	latest := now().UTC().AddDate(50, 0, 0)
	year += latest.Year() / 100 * 100
	t, ok := dateOf(year, s[3:6], digits(s[:2]), s[10:18])
	if year > latest.Year() || ok && t.After(latest) { // the latest that is not more than 50 years ahead
		t, ok = dateOf(year-100, s[3:6], digits(s[:2]), s[10:18])
	}
	return t, ok
}

// dateOf is the time for a date and "hh:mm:ss". Numbers below zero are none.
func dateOf(year int, monthName string, day int, clock string) (time.Time, bool) {
	month := monthOf(monthName)
	hour, minute, second := digits(clock[:2]), digits(clock[3:5]), digits(clock[6:])
	if year < 0 || month == 0 || clock[2] != ':' || clock[5] != ':' ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return time.Time{}, false
	}
	if second == 60 && (hour != 23 || minute != 59) {
		return time.Time{}, false
	}
	if day < 1 || day > 28 && time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Day() != day {
		return time.Time{}, false
	}
	return time.Date(year, month, day, hour, minute, second, 0, time.UTC), true
}

// digits is the number that s is, or -1 when it is not all digits. s is short.
func digits(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return -1
		}
		n = 10*n + int(s[i]-'0')
	}
	return n
}

func isShortDay(s string) bool {
	switch s {
	case "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun":
		return true
	}
	return false
}

func isDay(s string) bool {
	switch s {
	case "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday":
		return true
	}
	return false
}

// monthOf is 0 for what is no month.
func monthOf(s string) time.Month {
	switch s {
	case "Jan":
		return time.January
	case "Feb":
		return time.February
	case "Mar":
		return time.March
	case "Apr":
		return time.April
	case "May":
		return time.May
	case "Jun":
		return time.June
	case "Jul":
		return time.July
	case "Aug":
		return time.August
	case "Sep":
		return time.September
	case "Oct":
		return time.October
	case "Nov":
		return time.November
	case "Dec":
		return time.December
	}
	return 0
}
