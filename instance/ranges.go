package instance

import (
	"strconv"
	"strings"

	"sited/protocol"
)

// byteRange is a part of a file.
type byteRange struct{ start, length int64 }

// rangeFor says which part of a file of that size a GET asks for: ok is false
// when it is all of it, because there is no Range, it is malformed, If-Range
// does not hold, or it asks for several ranges. satisfiable is false for 416.
// RFC 9110, sections 13.1.5 and 14.2.
func rangeFor(r *protocol.Request, rep representation, size int64) (part byteRange, ok, satisfiable bool) {
	value := r.Header.Get("Range")
	if value == "" || r.Method != protocol.MethodGet || !ifRange(r.Header.Get("If-Range"), rep) {
		return byteRange{}, false, true
	}
	unit, spec, found := strings.Cut(value, "=")
	if !found || !strings.EqualFold(unit, "bytes") || strings.Contains(spec, ",") {
		return byteRange{}, false, true
	}
	return parseRange(strings.Trim(spec, " \t"), size)
}

// parseRange: int-range or suffix-range.
func parseRange(spec string, size int64) (part byteRange, ok, satisfiable bool) {
	first, last, found := strings.Cut(spec, "-")
	if !found || first == "" && last == "" {
		return byteRange{}, false, true
	}
	if first == "" {
		n, valid := position(last)
		if !valid {
			return byteRange{}, false, true
		}
		if n > 0 && size == 0 { // satisfiable, but no Content-Range can say so
			return byteRange{}, false, true
		}
		n = min(n, size)
		return byteRange{size - n, n}, n > 0, n > 0
	}
	start, valid := position(first)
	if !valid {
		return byteRange{}, false, true
	}
	end := size - 1
	if last != "" {
		n, valid := position(last)
		if !valid || n < start {
			return byteRange{}, false, true
		}
		end = min(end, n)
	}
	if start >= size {
		return byteRange{}, false, false
	}
	return byteRange{start, end - start + 1}, true, true
}

// position parses 1*DIGIT; a number too large for any file is the largest there is.
func position(s string) (int64, bool) {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, s != "" && (err == nil || n > 0)
}

// ifRange reports whether a Range is to be honoured: the validator must match
// strongly.
func ifRange(value string, rep representation) bool {
	if value == "" || value == rep.etag {
		return true
	}
	t, ok := httpDate(value)
	return ok && rep.modified.UTC().Format(protocol.TimeFormat) == t.UTC().Format(protocol.TimeFormat)
}
