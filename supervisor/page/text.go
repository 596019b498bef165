package page

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// line is a text that may hold anything, as HTML on one line: what can't be seen,
// or would turn the text around it, is written out and marked.
func line(s string) template.HTML { return written(s, "") }

// lines is line for a text that has lines of its own.
func lines(s string) template.HTML { return written(s, "\n\t") }

func written(s, kept string) template.HTML {
	if isPlain(s) {
		return template.HTML(s)
	}
	return template.HTML(escaped(s, kept, template.HTMLEscapeString, `<span class="esc">`, `</span>`))
}

// escaped is s with what is not seen, but for kept, written out between before and
// after, and all else as plain has it.
func escaped(s, kept string, plain func(string) string, before, after string) string {
	var b strings.Builder
	done := 0
	for i, r := range s {
		size := utf8.RuneLen(r)
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)) {
			size = 1
		} else if isSeen(r) || strings.ContainsRune(kept, r) {
			continue
		}
		b.WriteString(plain(s[done:i]) + before + code(s[i:i+size], r) + after)
		done = i + size
	}
	b.WriteString(plain(s[done:]))
	return b.String()
}

// isPlain reports whether s is HTML as it is, as most texts are.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '<' || c == '>' || c == '&' || c == '"' || c == '\'' {
			return false
		}
	}
	return true
}

// attr is line for the value of an attribute, which the template escapes.
func attr(s string) string {
	return escaped(s, "", func(plain string) string { return plain }, "", "")
}

// isSeen reports whether r shows itself and leaves alone what is around it:
// control characters, bidirectional overrides and zero-width ones do not.
func isSeen(r rune) bool {
	return r < utf8.RuneSelf && r >= ' ' && r != 0x7f ||
		r >= utf8.RuneSelf && !unicode.In(r, unicode.C, unicode.Zl, unicode.Zp)
}

func code(raw string, r rune) string {
	switch {
	case len(raw) == 1:
		return fmt.Sprintf(`\x%02x`, raw[0])
	case r > 0xffff:
		return fmt.Sprintf(`\U%08x`, r)
	default:
		return fmt.Sprintf(`\u%04x`, r)
	}
}

// rate writes a number of things per second with two digits that matter.
func rate(perSecond float64) string {
	switch {
	case perSecond <= 0 || math.IsNaN(perSecond):
		return "0"
	case perSecond < 0.05:
		return "<0.1"
	case perSecond < 9.95:
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	default:
		return humanize.Comma(int64(math.Round(perSecond)))
	}
}

// percent writes a share of 0 to 1.
func percent(share float64) string {
	switch p := share * 100; {
	case p <= 0 || math.IsNaN(p):
		return "0\u00a0%"
	case p < 0.1:
		return "<0.1\u00a0%"
	case p < 9.95:
		return strconv.FormatFloat(p, 'f', 1, 64) + "\u00a0%"
	default:
		return strconv.FormatFloat(p, 'f', 0, 64) + "\u00a0%"
	}
}

// took writes a time that something took, with two or three digits that matter.
func took(d time.Duration) string {
	unit, name := time.Microsecond, "µs"
	switch {
	case d <= 0:
		return "–"
	case d >= 100*time.Second:
		return ago(d)
	case d >= 999500*time.Microsecond:
		unit, name = time.Second, "s"
	case d >= 999500*time.Nanosecond:
		unit, name = time.Millisecond, "ms"
	case d < time.Microsecond:
		return "<1\u00a0µs"
	}
	v := float64(d) / float64(unit)
	digits := 0
	if v < 9.95 && unit > time.Microsecond {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + "\u00a0" + name
}

// ago writes how long something lasts in its two largest units.
func ago(d time.Duration) string {
	s := max(0, int64(d/time.Second))
	switch {
	case s < 60:
		return fmt.Sprintf("%d\u00a0s", s)
	case s < 3600:
		return fmt.Sprintf("%d\u00a0m %d\u00a0s", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%d\u00a0h %d\u00a0m", s/3600, s%3600/60)
	default:
		return fmt.Sprintf("%d\u00a0d %d\u00a0h", s/86400, s%86400/3600)
	}
}

// about is ago with one unit: it changes seldom, and with it the page.
func about(d time.Duration) string {
	s := max(0, int64(d/time.Second))
	switch {
	case s < 60:
		return fmt.Sprintf("%d\u00a0s", s)
	case s < 3600:
		return fmt.Sprintf("%d\u00a0m", s/60)
	case s < 86400:
		return fmt.Sprintf("%d\u00a0h", s/3600)
	default:
		return fmt.Sprintf("%d\u00a0d", s/86400)
	}
}

// count writes n with the word for so many.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + many
}
