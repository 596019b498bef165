package instance

import (
	"io/fs"
	"strconv"
	"strings"
	"time"

	"sited/protocol"
)

// representation is what preconditions are evaluated against.
type representation struct {
	exists   bool
	etag     string // strong
	modified time.Time
}

func represent(info fs.FileInfo) representation {
	if info == nil {
		return representation{}
	}
	return representation{exists: true, etag: etag(info), modified: info.ModTime()}
}

// etag is a strong entity tag: it changes with the time of modification, in
// nanoseconds, and the size.
func etag(info fs.FileInfo) string {
	b := make([]byte, 0, 40)
	b = append(b, '"')
	b = strconv.AppendUint(b, uint64(info.ModTime().UnixNano()), 36)
	b = append(b, '-')
	b = strconv.AppendUint(b, uint64(info.Size()), 36)
	b = append(b, '"')
	return string(b)
}

// precondition evaluates the conditional fields of a request in the order of
// RFC 9110, section 13.2.2, and returns 0 to go on, 304, or 412. If-Range is not
// of these: see ranges.
func precondition(r *protocol.Request, rep representation) int {
	safe := r.Method == protocol.MethodGet || r.Method == protocol.MethodHead
	if r.Header.Has("If-Match") {
		if !matches(r.Header, "If-Match", rep, true) {
			return 412
		}
	} else if t, ok := httpDate(r.Header.Get("If-Unmodified-Since")); ok {
		if !rep.exists || rep.modified.Truncate(time.Second).After(t) {
			return 412
		}
	}
	if r.Header.Has("If-None-Match") {
		if matches(r.Header, "If-None-Match", rep, false) {
			if safe {
				return 304
			}
			return 412
		}
	} else if t, ok := httpDate(r.Header.Get("If-Modified-Since")); ok && safe {
		if !rep.modified.Truncate(time.Second).After(t) {
			return 304
		}
	}
	return 0
}

// matches compares the entity tags in a field, strongly or weakly (RFC 9110,
// section 8.8.3.2); "*" matches whatever exists.
func matches(h protocol.Header, field string, rep representation, strong bool) bool {
	if !rep.exists {
		return false
	}
	for value := range h.Values(field) {
		if value == "*" {
			return true
		}
		for value != "" {
			var tag string
			tag, value = nextTag(value)
			weak := strings.HasPrefix(tag, "W/")
			if tag != "" && strings.TrimPrefix(tag, "W/") == rep.etag && !(weak && strong) {
				return true
			}
		}
	}
	return false
}

// nextTag takes the first entity tag off a list. What is no tag is skipped.
func nextTag(s string) (tag, rest string) {
	s = strings.TrimLeft(s, ", \t")
	opaque := strings.TrimPrefix(s, "W/")
	if !strings.HasPrefix(opaque, `"`) {
		_, rest, _ = strings.Cut(s, ",")
		return "", rest
	}
	end := strings.IndexByte(opaque[1:], '"')
	if end < 0 {
		return "", ""
	}
	n := len(s) - len(opaque) + end + 2
	return s[:n], s[n:]
}

// httpDate parses the three forms of an HTTP-date (RFC 9110, section 5.6.7).
func httpDate(s string) (time.Time, bool) {
	if s == "" {
		return time.Time{}, false
	}
	for _, layout := range []string{protocol.TimeFormat, time.ANSIC} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	t, err := time.Parse("Monday, 02-Jan-06 15:04:05 GMT", s)
	if err != nil {
		return time.Time{}, false
	}
	return inCentury(t, time.Now()), true
}

// inCentury gives a year of which only the last two digits were said its
// century: the latest that is not more than 50 years ahead of now.
func inCentury(t, now time.Time) time.Time {
	latest := now.AddDate(50, 0, 0)
	century := latest.Year() / 100 * 100
	t = t.AddDate(century+t.Year()%100-t.Year(), 0, 0)
	if t.After(latest) {
		t = t.AddDate(-100, 0, 0)
	}
	return t
}
