package protocol

import (
	"strings"
	"testing"
)

// dechunk decodes src in pieces of at most size bytes and returns the data, how
// much was used, and whether the end was reached.
func dechunk(src string, size int) (data string, used int, done bool, err *Error) {
	var d chunked
	var out strings.Builder
	for used < len(src) && !done && err == nil {
		piece := []byte(src[used:min(used+size, len(src))])
		for len(piece) > 0 && !done && err == nil {
			var n int
			var run []byte
			n, run, done, err = d.next(piece)
			out.Write(run)
			used += n
			piece = piece[n:]
		}
	}
	return out.String(), used, done, err
}

func TestChunked(t *testing.T) {
	long := strings.Repeat("x", maxChunkExtra)
	tests := []struct {
		name, src, data string
		used            int // all of src when 0; not looked at for an error
		done, ok        bool
	}{
		{"empty", "0\r\n\r\n", "", 0, true, true},
		{"one", "3\r\nabc\r\n0\r\n\r\n", "abc", 0, true, true},
		{"several", "3\r\nabc\r\n1\r\nd\r\n000\r\n\r\n", "abcd", 0, true, true},
		{"hexadecimal", "A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n", "01234567890123456789a", 0, true, true},
		{"CRLF in the data", "4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", 0, true, true},
		{"next request behind", "0\r\n\r\nGET", "", 5, true, true},
		{"extensions", "1;a;b=c;d=\"e f\"\r\nx\r\n0;z\r\n\r\n", "x", 0, true, true},
		{"white space before an extension", "1 \t;a\r\nx\r\n0\r\n\r\n", "", 0, false, false},
		{"trailers", "0\r\nA: b\r\nC: d\r\n\r\n", "", 0, true, true},
		{"not the end", "3\r\nabc\r\n0\r\n", "abc", 0, false, true},
		{"in a chunk", "5\r\nabc", "abc", 0, false, true},
		{"leading zeros", "0000000000000001\r\nx\r\n0\r\n\r\n", "x", 0, true, true},
		{"largest size", "7fffffffffffffff\r\nx", "x", 0, false, true},
		{"2^63", "8000000000000000\r\nx", "", 0, false, false},
		{"17 digits", "00000000000000001\r\n", "", 0, false, false},
		{"no size", "\r\n", "", 0, false, false},
		{"no size before an extension", ";a\r\n", "", 0, false, false},
		{"minus", "-1\r\n", "", 0, false, false},
		{"0x", "0x1\r\n", "", 0, false, false},
		{"underscore", "1_0\r\n", "", 0, false, false},
		{"space before", " 1\r\n", "", 0, false, false},
		{"space behind", "1 \r\n", "", 0, false, false},
		{"LF", "1\nx", "", 0, false, false},
		{"CR", "1\rx", "", 0, false, false},
		{"LF in an extension", "1;a\nx", "", 0, false, false},
		{"NUL in an extension", "1;\x00", "", 0, false, false},
		{"CR in an extension", "1;a\rb\r\n", "", 0, false, false},
		{"extensions too long", "1;" + long + "x", "", 0, false, false},
		{"extensions too long together", strings.Repeat("1;"+long[:1000]+"\r\nx\r\n", 5), "xxxx", 0, false, false},
		{"longer than said", "1\r\nxy", "x", 0, false, false},
		{"LF behind data", "1\r\nx\n", "x", 0, false, false},
		{"CR behind data", "1\r\nx\ry", "x", 0, false, false},
		{"LF at the end", "0\r\n\n", "", 0, false, false},
		{"CR at the end", "0\r\n\rx", "", 0, false, false},
		{"trailer not a field", "0\r\nab\r\n", "", 0, false, false},
		{"trailer folded", "0\r\nA: b\r\n c\r\n", "", 0, false, false},
		{"trailer with a NUL", "0\r\nA: \x00\r\n", "", 0, false, false},
		{"trailer with LF", "0\r\nA: b\n\r\n", "", 0, false, false},
		{"trailers too long", "0\r\nA: " + strings.Repeat("x", maxTrailer), "", 0, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 7, 1 << 20} {
				data, used, done, err := dechunk(tt.src, size)
				if data != tt.data || done != tt.done || (err == nil) != tt.ok {
					t.Fatalf("by %d: %q, done %t, %v", size, data, done, err)
				}
				want := tt.used
				if want == 0 {
					want = len(tt.src)
				}
				if tt.ok && used != want {
					t.Errorf("by %d: used %d, want %d", size, used, want)
				}
			}
		})
	}
}
