package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// logLine is a line of a log: what is shown of its members, if it is JSON.
type logLine struct {
	text []byte // as it is in the file
	at   time.Time
	json bool // what it says is below

	Time, Site, Remote, User, Method, Target, Error, Script string
	Status                                                  int
	Bytes                                                   uint64
	Duration                                                float64
	Stderr                                                  *string
}

// combinedLine has the time and, of a request, the status.
var combinedLine = regexp.MustCompile(`\[(\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\](?: "(?:[^"\\]|\\.)*" (\d{3}) )?`)

func parseLogLine(text []byte) logLine {
	line := logLine{text: text}
	if bytes.HasPrefix(text, []byte("{")) && json.Unmarshal(text, &line) == nil && (line.Status != 0 || line.Stderr != nil) {
		line.json = true
		line.at, _ = time.Parse(time.RFC3339, line.Time) // zero: as of the line before
		return line
	}
	line = logLine{text: text}
	if m := combinedLine.FindSubmatch(text); m != nil {
		line.at, _ = time.Parse("02/Jan/2006:15:04:05 -0700", string(m[1]))
		line.Status, _ = strconv.Atoi(string(m[2]))
	}
	return line
}

// logPrinter prints lines for people.
type logPrinter struct {
	raw      bool // lines as they are in the file
	terminal bool
	color    bool
	width    int // of the sites' labels
}

func (p *logPrinter) print(out *bufio.Writer, lines []logLine) error {
	for i := range lines {
		if _, err := fmt.Fprintln(out, p.text(&lines[i])); err != nil {
			return err
		}
	}
	return out.Flush()
}

// text is a line as it is shown. Of what came from a client, nothing gets to a
// terminal that it would obey.
func (p *logPrinter) text(l *logLine) string {
	switch {
	case p.raw && !p.terminal:
		return string(l.text)
	case p.raw || !l.json:
		return p.paint(l, printable(string(l.text)))
	}
	head := fmt.Sprintf("%s %-*s ", printable(l.Time), p.width, printable(l.Site))
	if l.Stderr != nil {
		return head + p.paint(l, "err") + " " + printable(l.Script+": "+*l.Stderr)
	}
	var b strings.Builder
	b.WriteString(head)
	b.WriteString(p.paint(l, strconv.Itoa(l.Status)))
	fmt.Fprintf(&b, " %-4s %s %s %s %s", orDash(l.Method), orDash(l.Target), shortDuration(l.Duration), shortSize(l.Bytes), orDash(l.Remote))
	if l.User != "" {
		b.WriteString(" " + printable(l.User))
	}
	if l.Error != "" {
		b.WriteString("  " + p.paint(l, printable(l.Error)))
	}
	return b.String()
}

// paint colours s by the class of the line's status.
func (p *logPrinter) paint(l *logLine, s string) string {
	if !p.color {
		return s
	}
	code := ""
	switch {
	case l.Stderr != nil:
		code = "35" // magenta
	case l.Status >= 500:
		code = "31" // red
	case l.Status >= 400:
		code = "33" // yellow
	case l.Status >= 300:
		code = "36" // cyan
	case l.Status >= 200:
		code = "32" // green
	default:
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s)
}

func shortDuration(seconds float64) string {
	if seconds < 1 {
		return strconv.FormatFloat(seconds*1000, 'f', 1, 64) + "ms"
	}
	return strconv.FormatFloat(seconds, 'f', 1, 64) + "s"
}

func shortSize(n uint64) string { return strings.ReplaceAll(humanize.IBytes(n), " ", "") }

// printable escapes what does not print: control characters, those that change
// the direction of text, and what is no UTF-8.
func printable(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		var b strings.Builder
		for i, r := range s {
			switch {
			case unicode.IsPrint(r) && (r != utf8.RuneError || strings.HasPrefix(s[i:], "\ufffd")):
				b.WriteRune(r)
			case r == utf8.RuneError:
				fmt.Fprintf(&b, `\x%02x`, s[i])
			default:
				quoted := strconv.QuoteRune(r)
				b.WriteString(quoted[1 : len(quoted)-1])
			}
		}
		return b.String()
	}
	return s
}
