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

	// lastModified is modified as an HTTP-date, when that is at hand: it spares
	// parsing the same one. "" when it is not, and when Last-Modified says
	// another time because modified is ahead of now.
	lastModified string
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
// of these: see ranges. A date that is none, or one of several, is ignored, and
// so are all dates where there is no time of modification (sections 13.1.3 and
// 13.1.4).
func precondition(r *protocol.Request, rep representation) int {
	safe := r.Method == protocol.MethodGet || r.Method == protocol.MethodHead
	if r.Header.Has("If-Match") {
		if !matches(r.Header, "If-Match", rep, true) {
			return 412
		}
	} else if since(r.Header, "If-Unmodified-Since", rep) == isModified {
		return 412
	}
	if r.Header.Has("If-None-Match") {
		if matches(r.Header, "If-None-Match", rep, false) {
			if safe {
				return 304
			}
			return 412
		}
	} else if safe && since(r.Header, "If-Modified-Since", rep) == isUnmodified {
		return 304
	}
	return 0
}

// change is what a date in a request says of the representation.
type change uint8

const (
	notKnown change = iota // no date, or nothing to compare it with
	isModified
	isUnmodified
)

// since compares the time of modification, in whole seconds, with the date in a
// field.
func since(h protocol.Header, field string, rep representation) change {
	value, found := only(h, field)
	if !found || value == "" || !rep.exists || rep.modified.IsZero() {
		return notKnown
	}
	if value == rep.lastModified {
		return isUnmodified
	}
	t, ok := httpDate(value)
	switch {
	case !ok:
		return notKnown
	case rep.modified.Unix() > t.Unix():
		return isModified
	}
	return isUnmodified
}

// only returns the value of the one field line with that name. Where there are
// several found is false: they would be a list, which the fields that this is for
// are not.
func only(h protocol.Header, name string) (value string, found bool) {
	for v := range h.Values(name) {
		if found {
			return "", false
		}
		value, found = v, true
	}
	return value, found
}

// matches compares the entity tags in a field, strongly or weakly (RFC 9110,
// section 8.8.3.2); "*" matches whatever exists.
func matches(h protocol.Header, field string, rep representation, strong bool) bool {
	if !rep.exists {
		return false
	}
	for value := range h.Values(field) {
		if value == rep.etag && sameTag(value, rep.etag, strong) {
			return true
		}
		for value != "" {
			var tag string
			tag, value = nextTag(value)
			if tag == "*" || tag != "" && sameTag(tag, rep.etag, strong) {
				return true
			}
		}
	}
	return false
}

// sameTag is the strong or the weak comparison of two entity tags.
func sameTag(a, b string, strong bool) bool {
	if isWeak(a) {
		if strong {
			return false
		}
		a = a[2:]
	}
	if isWeak(b) {
		if strong {
			return false
		}
		b = b[2:]
	}
	return a == b && a != ""
}

func isWeak(tag string) bool { return strings.HasPrefix(tag, "W/") }

// nextTag takes the first element, an entity tag or "*", off a list. The tag is
// "" for an element that is neither.
func nextTag(s string) (tag, rest string) {
	s = strings.TrimLeft(s, ", \t")
	n := tagLength(s)
	end := strings.IndexByte(s[n:], ',')
	if end < 0 {
		end = len(s) - n
	}
	if strings.Trim(s[n:n+end], " \t") == "" {
		tag = s[:n]
	}
	return tag, s[n+end:]
}

// tagLength is how many bytes at the beginning of s are an entity tag or "*".
func tagLength(s string) int {
	if strings.HasPrefix(s, "*") {
		return 1
	}
	opaque := strings.TrimPrefix(s, "W/")
	if !strings.HasPrefix(opaque, `"`) {
		return 0
	}
	end := strings.IndexByte(opaque[1:], '"')
	if end < 0 {
		return 0
	}
	return len(s) - len(opaque) + end + 2
}
