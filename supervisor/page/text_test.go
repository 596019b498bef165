package page

import (
	"math"
	"testing"
	"time"
)

func TestTexts(t *testing.T) {
	const ms, s, h = time.Millisecond, time.Second, time.Hour
	for _, tt := range []struct{ got, want string }{
		{rate(0), "0"}, {rate(math.NaN()), "0"}, {rate(.01), "<0.1"}, {rate(.05), "0.1"}, {rate(3.14), "3.1"}, {rate(9.94), "9.9"}, {rate(9.96), "10"}, {rate(12345.6), "12,346"},
		{percent(0), "0\u00a0%"}, {percent(.0001), "<0.1\u00a0%"}, {percent(.0123), "1.2\u00a0%"}, {percent(.0999), "10\u00a0%"}, {percent(1), "100\u00a0%"},
		{took(0), "–"}, {took(1), "<1\u00a0µs"}, {took(480 * time.Microsecond), "480\u00a0µs"}, {took(ms), "1.0\u00a0ms"}, {took(12 * ms), "12\u00a0ms"}, {took(999 * ms), "999\u00a0ms"},
		{took(999999 * time.Microsecond), "1.0\u00a0s"}, {took(999999 * time.Nanosecond), "1.0\u00a0ms"}, {took(30 * s), "30\u00a0s"}, {took(2 * h), "2\u00a0h 0\u00a0m"},
		{ago(-s), "0\u00a0s"}, {ago(59 * s), "59\u00a0s"}, {ago(61 * s), "1\u00a0m 1\u00a0s"}, {ago(25 * h), "1\u00a0d 1\u00a0h"},
		{about(-s), "0\u00a0s"}, {about(119 * s), "1\u00a0m"}, {about(119 * time.Minute), "1\u00a0h"}, {about(49 * h), "2\u00a0d"},
		{count(1, "site", "sites"), "1 site"}, {count(1000, "site", "sites"), "1,000 sites"},
		{string(line("a<b>&\"'")), "a&lt;b&gt;&amp;&#34;&#39;"}, {string(line("héllo ✓ 日本")), "héllo ✓ 日本"},
		{string(line("a\n\x1b\u202e\xff\U000e0041")), `a<span class="esc">\x0a</span><span class="esc">\x1b</span><span class="esc">\u202e</span><span class="esc">\xff</span><span class="esc">\U000e0041</span>`},
		{string(line("\ufffd\xff<")), "\ufffd" + `<span class="esc">\xff</span>&lt;`},
		{string(lines("a\n\tb\r")), "a\n\tb" + `<span class="esc">\x0d</span>`},
		{attr("a\x00<\u202e\xff"), `a\x00<\u202e\xff`},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}
