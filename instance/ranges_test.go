package instance

import (
	"math"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sited/protocol"
)

func TestPosition(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "7": 7, "007": 7, "9223372036854775806": math.MaxInt64 - 1, "9223372036854775807": math.MaxInt64,
		"9223372036854775808": math.MaxInt64, "99999999999999999999": math.MaxInt64, "10000000000000000000000": math.MaxInt64,
		"": -1, "-1": -1, "+1": -1, " 1": -1, "1 ": -1, "0x1": -1, "1_0": -1, "99999999999999999999x": -1, "\u0661": -1,
	} {
		n, valid := position(s)
		if !valid {
			n = -1
		}
		if n != want {
			t.Errorf("position(%q) = %d, want %d", s, n, want)
		}
	}
}

func TestJoin(t *testing.T) {
	r := func(pairs ...int64) (parts []byteRange) {
		for i := 0; i < len(pairs); i += 2 {
			parts = append(parts, byteRange{pairs[i], pairs[i+1] - pairs[i]})
		}
		return parts
	}
	for _, c := range []struct {
		what      string
		in, parts []byteRange
	}{
		{"apart", r(0, 10, 1000, 1010), r(0, 10, 1000, 1010)},
		{"apart, not ascending", r(1000, 1010, 0, 10), r(1000, 1010, 0, 10)},
		{"the same twice", r(0, 10, 0, 10), r(0, 10)},
		{"one in the other", r(0, 100, 10, 20), r(0, 100)},
		{"the other in the one", r(10, 20, 0, 100), r(0, 100)},
		{"overlapping", r(0, 10, 5, 20), r(0, 20)},
		{"overlapping, not ascending", r(5, 20, 0, 10), r(0, 20)},
		{"adjoining", r(0, 10, 10, 20), r(0, 20)},
		{"a gap below the overhead", r(0, 10, 10+partOverhead-1, 200), r(0, 200)},
		{"a gap of the overhead", r(0, 10, 10+partOverhead, 200), r(0, 10, 10+partOverhead, 200)},
		{"the last bridges the others", r(0, 10, 1000, 1010, 5, 995), r(0, 1010)},
		{"a bridge grows towards those before", r(0, 10, 150, 160, 300, 310, 220, 230, 80, 90), r(0, 310)},
		{"the place of the first", r(5000, 5010, 0, 10, 9000, 9010, 1000, 1010, 5, 995), r(5000, 5010, 0, 1010, 9000, 9010)},
		{"at the end of all numbers", r(math.MaxInt64-10, math.MaxInt64, math.MaxInt64-20, math.MaxInt64-10), r(math.MaxInt64-20, math.MaxInt64)},
	} {
		var parts []byteRange
		for _, part := range c.in {
			parts = join(parts, part)
		}
		if !slices.Equal(parts, c.parts) {
			t.Errorf("%s: %v becomes %v, want %v", c.what, c.in, parts, c.parts)
		}
	}
}

func TestRangesAllocateNothing(t *testing.T) {
	rep := representation{exists: true, etag: `"v1"`, modified: modified}
	for _, fields := range [][]string{
		nil,
		{"Range: bytes=0-99"},
		{"Range: bytes=-5", `If-Range: "v1"`},
		{"Range: bytes=0-5", "If-Range: Mon, 06 May 2024 07:08:09 GMT"},
		{"Range: bytes=0-5,6-9,3-12"}, // one part in the end
		{"Range: bytes=99999999999999999999-"},
		{"Range: bytes=nonsense"},
	} {
		req := parse(t, "GET", "/", append([]string{"User-Agent: test", "Accept: */*"}, fields...)...)
		if n := testing.AllocsPerRun(100, func() { rangesFor(&req, rep, 10_000) }); n != 0 {
			t.Errorf("%q: %v allocations", fields, n)
		}
	}
}

func BenchmarkRanges(b *testing.B) {
	rep := representation{exists: true, etag: `"v1"`, modified: modified}
	for name, field := range map[string]string{"none": "X: y", "one": "Range: bytes=0-99", "several": "Range: bytes=0-99, 1000-1099, -100"} {
		b.Run(name, func(b *testing.B) {
			req := parse(b, "GET", "/", "User-Agent: test", "Accept: */*", "Accept-Encoding: gzip, deflate, br", "Accept-Language: en", "Connection: keep-alive", field)
			for b.Loop() {
				rangesFor(&req, rep, 10_000)
			}
		})
	}
}

var rangeSpec = regexp.MustCompile(`\A([0-9]*)-([0-9]*)\z`)

// wantedRange is one range-spec, naively: start and end (exclusive) of what it asks
// for, with numbers of any size.
func wantedRange(spec string, size int64) (start, end int64, v verdict) {
	m := rangeSpec.FindStringSubmatch(strings.Trim(spec, " \t"))
	if m == nil || m[1]+m[2] == "" {
		return 0, 0, rangeIgnored
	}
	number := func(s string) *big.Int {
		n, _ := new(big.Int).SetString(s, 10)
		if n == nil || n.Cmp(big.NewInt(math.MaxInt64)) > 0 { // left out, or beyond any file
			return big.NewInt(math.MaxInt64)
		}
		return n
	}
	all := big.NewInt(size)
	from, to := number(m[1]), number(m[2])
	if m[1] == "" { // the last bytes
		if to.Sign() > 0 && size == 0 {
			return 0, 0, rangeIgnored
		}
		from = new(big.Int).Sub(all, to)
		if from.Sign() < 0 {
			from.SetInt64(0)
		}
		to = all
	} else {
		if to.Cmp(from) < 0 {
			return 0, 0, rangeIgnored
		}
		to = new(big.Int).Add(to, big.NewInt(1))
		if to.Cmp(all) > 0 {
			to = all
		}
	}
	if from.Cmp(to) >= 0 {
		return 0, 0, rangeUnsatisfiable
	}
	return from.Int64(), to.Int64(), rangeOne
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{
		"0-3", "5-", "-3", "-0", "3-1", "-", "", " 0-3\t", "0-99999999999999999999", "9223372036854775807-", "-9223372036854775808",
		"0-9,500-509", "500-509,0-9,-5", "0-,0-", ",,0-1,,", "0-1,x", "-1,0-", "99999-,0-1", "0-0,81-81,162-162", "0-0,160-160,80-80",
		"1-1,101-101,201-201,301-301,401-401,501-501,601-601,701-701,801-801,901-901,1001-1001,1101-1101,1201-1201,1301-1301,1401-1401,1501-1501,1601-1601",
	} {
		f.Add(s, int64(10))
		f.Add(s, int64(2000))
	}
	f.Fuzz(func(t *testing.T, set string, size int64) {
		if size < 0 {
			size = -(size + 1)
		}
		req := protocol.Request{Method: "GET", Header: protocol.Header{{Name: "Range", Value: "bytes=" + set}}}
		got, v := rangesFor(&req, representation{exists: true}, size)
		parts := got.parts
		if v == rangeOne {
			parts = []byteRange{got.part}
		}
		if n := len(parts); (v == rangeOne) != (n == 1) || (v == rangeSeveral) != (n > 1) || n > maxRanges {
			t.Fatalf("%q of %d: verdict %d with %v", set, size, v, parts)
		}
		for i, a := range parts {
			if a.start < 0 || a.length <= 0 || a.start > size-a.length {
				t.Fatalf("%q of %d: %+v is not in the file", set, size, a)
			}
			for _, b := range parts[:i] {
				if max(a.start, b.start)-min(a.start+a.length, b.start+b.length) < partOverhead {
					t.Fatalf("%q of %d: %+v and %+v are no two parts", set, size, a, b)
				}
			}
		}
		wanted(t, set, size, v, parts)
	})
}

// wanted compares with the naive reading of each spec of the set.
func wanted(t *testing.T, set string, size int64, v verdict, parts []byteRange) {
	t.Helper()
	want := rangeUnsatisfiable
	n := 0
	total := new(big.Int)
	var first int64 = -1
	for _, spec := range strings.Split(set, ",") {
		if strings.Trim(spec, " \t") == "" {
			continue
		}
		n++
		start, end, one := wantedRange(spec, size)
		switch {
		case one == rangeIgnored:
			want = rangeIgnored
		case one == rangeOne && want != rangeIgnored:
			want = rangeOne
			total.Add(total, big.NewInt(end-start))
			if first < 0 {
				first = start
			}
			inside := func(p byteRange) bool { return p.start <= start && end <= p.start+p.length }
			if len(parts) > 0 && !slices.ContainsFunc(parts, inside) {
				t.Fatalf("%q of %d: %q is not in %v", set, size, spec, parts)
			}
			if n == 1 && len(parts) > 0 && !inside(parts[0]) {
				t.Fatalf("%q of %d: the first is not the first of %v", set, size, parts)
			}
		}
	}
	if n == 0 || n > maxRanges || len("bytes=")+len(set) > maxRangeField || total.Cmp(big.NewInt(size)) > 0 {
		want = rangeIgnored
	}
	if v != want && !(v == rangeSeveral && want == rangeOne) {
		t.Fatalf("%q of %d: verdict %d, want %d", set, size, v, want)
	}
	if v == rangeOne && n == 1 && (parts[0].start != first || big.NewInt(parts[0].length).Cmp(total) != 0) {
		t.Fatalf("%q of %d: %v, want %v bytes from %d", set, size, parts, total, first)
	}
}
