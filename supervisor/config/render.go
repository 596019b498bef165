package config

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// The text of a diagnostic looks like that of hcl.NewDiagnosticTextWriter, which
// is not used for two reasons: only with colour does it show which token is
// meant, and it walks through the whole file for each diagnostic.
func renderText(d *hcl.Diagnostic, files map[string]*hcl.File, width int, color bool) string {
	severity, start, end := "Error", "", ""
	if d.Severity == hcl.DiagWarning {
		severity = "Warning"
	}
	if color {
		start, end = "\x1b[31m", "\x1b[0m"
		if d.Severity == hcl.DiagWarning {
			start = "\x1b[33m"
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s%s: %s\n\n", start, severity, end, d.Summary)
	if at := d.Subject; at != nil {
		file := files[at.Filename]
		fmt.Fprintf(&b, "  on %s line %d, column %d%s:\n", at.Filename, at.Start.Line, at.Start.Column, inBlock(file, at.Start.Byte))
		if line, marks := snippet(file, *at, width-6); line != "" {
			fmt.Fprintf(&b, "%4d: %s\n      %s%s%s\n", at.Start.Line, line, start, marks, end)
		}
		b.WriteByte('\n')
	}
	for line := range strings.SplitSeq(d.Detail, "\n") {
		b.WriteString(wrap(line, width))
		b.WriteByte('\n')
	}
	return b.String()
}

// inBlock names the top-level block around a place.
func inBlock(file *hcl.File, offset int) string {
	if file == nil {
		return ""
	}
	if nav, ok := file.Nav.(interface{ ContextString(offset int) string }); ok {
		if block := nav.ContextString(offset); block != "" {
			return ", in " + block
		}
	}
	return ""
}

// snippet is the line that at begins on and a line of marks below it. A line
// that is wider than width is cut, so that the marks are in sight.
func snippet(file *hcl.File, at hcl.Range, width int) (line, marks string) {
	if file == nil || at.Start.Byte > len(file.Bytes) || at.End.Byte < at.Start.Byte {
		return "", ""
	}
	src := file.Bytes
	begin := bytes.LastIndexByte(src[:at.Start.Byte], '\n') + 1
	stop := len(src)
	if n := bytes.IndexByte(src[at.Start.Byte:], '\n'); n >= 0 {
		stop = at.Start.Byte + n
	}
	begin = max(begin, at.Start.Byte-mostShown)
	before := printable(src[begin:at.Start.Byte])
	token := printable(src[at.Start.Byte:max(at.Start.Byte, min(at.End.Byte, stop))])
	after := printable(bytes.TrimRight(src[at.Start.Byte+tokenBytes(at, stop):stop], "\r"))
	if n := len(before) - width/2; n > 0 {
		before = append([]rune("…"), before[n:]...)
	}
	if room := max(width-len(before), 4); len(token) > room {
		token = append(token[:room-1:room-1], '…')
	}
	if room := max(width-len(before)-len(token), 1); len(after) > room {
		after = append(after[:room-1:room-1], '…')
	}
	line = string(before) + string(token) + string(after)
	return strings.TrimRight(line, " "), strings.Repeat(" ", len(before)) + strings.Repeat("^", max(1, len(token)))
}

// tokenBytes is how much of the range at is on its first line, which ends at
// stop.
func tokenBytes(at hcl.Range, stop int) int {
	return max(0, min(at.End.Byte, stop)-at.Start.Byte)
}

// mostShown bounds what is looked at of a line, in bytes before, in and after the
// token.
const mostShown = 4096

// printable is b with one character for each that a terminal would make
// something else of.
func printable(b []byte) []rune {
	b = b[:min(len(b), mostShown)]
	out := make([]rune, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == '\t':
			r = ' '
		case r < ' ', r >= 0x7f && r < 0xa0:
			r = utf8.RuneError
		}
		out, b = append(out, r), b[n:]
	}
	return out
}

// wrap breaks a line at spaces so that no part is wider than width, as far as
// that goes.
func wrap(s string, width int) string {
	var b strings.Builder
	column := 0
	for word := range strings.SplitSeq(s, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+n > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
