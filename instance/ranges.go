package instance

import (
	"math"
	"slices"
	"strings"

	"sited/protocol"
)

// byteRange is a part of a file.
type byteRange struct{ start, length int64 }

const (
	maxRanges     = 16      // ranges of one request; for more of them the whole file is sent
	maxRangeField = 1 << 10 // bytes of a Range field: maxRanges of the largest numbers fit
	partOverhead  = 80      // bytes that a part costs beside its content: a smaller gap is sent along
)

// verdict is what becomes of a Range field.
type verdict uint8

const (
	rangeIgnored       verdict = iota // the whole file: 200
	rangeOne                          // rangeSet.part: 206 with Content-Range
	rangeSeveral                      // rangeSet.parts: 206, multipart/byteranges
	rangeUnsatisfiable                // 416
)

// rangeSet is the parts of a file that are to be sent. They lie in the file, are
// not empty, and have at least partOverhead bytes between each other.
type rangeSet struct {
	part  byteRange   // for rangeOne
	parts []byteRange // for rangeSeveral: 2 to maxRanges, in the order to send them
}

// rangesFor says which parts of a file of that size a request asks for. The Range
// is ignored, as RFC 9110, section 14.2, demands or allows, unless it is the only
// one of a GET, in bytes, and well formed, its If-Range holds, and it asks for at
// most maxRanges that together are not larger than the file. Ranges that overlap
// or are close are made one (section 15.3.7.2). Only rangeSeveral allocates.
func rangesFor(r *protocol.Request, rep representation, size int64) (rangeSet, verdict) {
	value, found := only(r.Header, "Range")
	if !found || r.Method != protocol.MethodGet || len(value) > maxRangeField || !ifRange(r.Header, rep) {
		return rangeSet{}, rangeIgnored
	}
	unit, set, found := strings.Cut(value, "=")
	if !found || !sameToken(unit, "bytes") {
		return rangeSet{}, rangeIgnored
	}
	return parseRanges(set, size)
}

// parseRanges parses a range-set (RFC 9110, section 14.1.1), a list as in section
// 5.6.1.2.
func parseRanges(set string, size int64) (rangeSet, verdict) {
	var buf [maxRanges]byteRange
	parts := buf[:0]
	specs, left, ignored := 0, size, false
	for more := true; more; {
		var spec string
		spec, set, more = strings.Cut(set, ",")
		if spec = strings.Trim(spec, " \t"); spec == "" {
			continue
		}
		part, v := parseRange(spec, size)
		switch specs++; {
		case specs > maxRanges:
			return rangeSet{}, rangeIgnored
		case v == rangeIgnored:
			ignored = true
		case v == rangeUnsatisfiable:
		case part.length > left:
			ignored = true
		default:
			left -= part.length
			parts = join(parts, part)
		}
	}
	switch {
	case ignored || specs == 0:
		return rangeSet{}, rangeIgnored
	case len(parts) == 0:
		return rangeSet{}, rangeUnsatisfiable
	case len(parts) == 1:
		return rangeSet{part: parts[0]}, rangeOne
	}
	return rangeSet{parts: slices.Clone(parts)}, rangeSeveral
}

// parseRange parses an int-range or a suffix-range (RFC 9110, section 14.1.2). Its
// verdict is rangeIgnored for what is neither, and for a suffix of an empty file:
// that is satisfiable, but no Content-Range can say so.
func parseRange(spec string, size int64) (byteRange, verdict) {
	first, last, found := strings.Cut(spec, "-")
	if !found || first == "" && last == "" {
		return byteRange{}, rangeIgnored
	}
	if first == "" {
		n, valid := position(last)
		switch {
		case !valid, n > 0 && size == 0:
			return byteRange{}, rangeIgnored
		case n == 0:
			return byteRange{}, rangeUnsatisfiable
		}
		n = min(n, size)
		return byteRange{size - n, n}, rangeOne
	}
	start, valid := position(first)
	if !valid {
		return byteRange{}, rangeIgnored
	}
	end := size - 1
	if last != "" {
		n, valid := position(last)
		if !valid || n < start {
			return byteRange{}, rangeIgnored
		}
		end = min(end, n)
	}
	if start >= size {
		return byteRange{}, rangeUnsatisfiable
	}
	return byteRange{start, end - start + 1}, rangeOne
}

// position parses 1*DIGIT; a number too large for any file is the largest there is.
func position(s string) (n int64, valid bool) {
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return 0, false
		}
		d := int64(s[i] - '0')
		if n > (math.MaxInt64-d)/10 {
			n = math.MaxInt64
		} else {
			n = 10*n + d
		}
	}
	return n, s != ""
}

// join adds a range to parts, which then are as rangeSet wants them. One that is
// made of several takes the place of the first of these.
func join(parts []byteRange, r byteRange) []byteRange {
	place := len(parts)
	for i := 0; i < len(parts); {
		if !parts[i].near(r) {
			i++
			continue
		}
		r = r.and(parts[i])
		place = min(place, i)
		parts = slices.Delete(parts, i, i+1)
	}
	return slices.Insert(parts, place, r)
}

// near reports whether two ranges overlap, or are closer than what it costs to
// send them as two parts.
func (a byteRange) near(b byteRange) bool {
	if a.start > b.start {
		a, b = b, a
	}
	return b.start-(a.start+a.length) < partOverhead
}

// and is the smallest range that both are in.
func (a byteRange) and(b byteRange) byteRange {
	start := min(a.start, b.start)
	return byteRange{start, max(a.start+a.length, b.start+b.length) - start}
}

// ifRange reports whether a Range is to be honoured: the validator must be the
// current one, by strong comparison (RFC 9110, section 13.1.5). A date is compared
// for being the same; that it is a strong validator is for the client to know,
// which may not send one otherwise.
func ifRange(h protocol.Header, rep representation) bool {
	value, found := only(h, "If-Range")
	switch {
	case !found:
		return !h.Has("If-Range")
	case value == "":
		return false
	case value == rep.etag:
		return !isWeak(rep.etag)
	case value == rep.lastModified:
		return true
	}
	t, ok := httpDate(value)
	return ok && !rep.modified.IsZero() && rep.modified.Unix() == t.Unix()
}
