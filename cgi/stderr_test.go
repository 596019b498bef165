package cgi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLines(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"lines", "a\nb\r\n\nc", []string{"a", "b", "c"}},
		{"as long as may be", long + "\nb\n", []string{long, "b"}},
		{"too long", long + "yyy\nb\n", []string{long, "b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, step := range []int{1, 7, 1 << 20} {
				var got []string
				l := lines{tell: func(s string) { got = append(got, s) }}
				for b := []byte(test.text); len(b) > 0; b = b[min(step, len(b)):] {
					l.write(b[:min(step, len(b))])
				}
				l.close()
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%d bytes at a time (-want +got):\n%s", step, diff)
				}
			}
		})
	}
}

func TestTooManyLines(t *testing.T) {
	var got []string
	l := lines{tell: func(s string) { got = append(got, s) }}
	for i := range maxLines + 3 {
		l.write(fmt.Appendf(nil, "%d\n", i))
	}
	l.close()
	if len(got) != maxLines+1 || got[maxLines-1] != "999" || got[maxLines] != "(3 further lines were dropped)" {
		t.Errorf("%d lines, the last %q", len(got), got[len(got)-1])
	}
}

// All that a script wrote to standard error is told before its end, also what
// it wrote right before it exited.
func TestStderr(t *testing.T) {
	b := newBench(t, Config{})
	b.get(b.script("#!/bin/sh\necho one >&2; printf 'Content-Type: a/b\\n\\n'; printf 'two\\nthree' >&2; exit 1"))
	eventually(t, "told", func() bool { return b.stderrText() == "one\ntwo\nthree" })

	silent := b.call(b.dir+"/script", "GET", "")
	silent.Stderr = nil
	b.whole(silent)
}
