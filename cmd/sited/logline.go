package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"sited/supervisor"
)

// logLine is a line of a log: what is shown of its members, if it is in one of
// the formats.
type logLine struct {
	text     []byte // as it is in the file
	at       time.Time
	known    bool // what it says is below
	combined bool // in the format combined

	Time, ID, Site, Remote, User, Method, Target, Version string
	Referer, Error, Script                                string
	UserAgent                                             string `json:"user_agent"`
	Status                                                int
	Bytes                                                 uint64
	Duration                                              *float64
	Stderr                                                *string
}

// parseLogLine takes a line apart; site is whose it is if it does not say so, or "".
func parseLogLine(text []byte, site string) logLine {
	line := logLine{text: text}
	if bytes.HasPrefix(text, []byte("{")) && json.Unmarshal(text, &line) == nil && (line.Status != 0 || line.Stderr != nil) {
		line.known = true
		line.at, _ = time.Parse(time.RFC3339, line.Time) // zero: as of the line before
		return line
	}
	line = logLine{text: text, Site: site}
	if line.parseCombined(string(text)) {
		line.known, line.combined = true, true
		return line
	}
	return logLine{text: text, Site: site}
}

// shownTime is as long as a time in the format json, which has milliseconds.
const shownTime = "2006-01-02T15:04:05.000Z"

// logPrinter prints lines for people.
type logPrinter struct {
	raw      bool // lines as they are in the file
	json     bool // lines as objects
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
	if p.raw || p.json || !l.known {
		text := string(l.text)
		if p.json {
			text = l.asJSON()
		}
		if p.terminal || !p.raw && !p.json {
			text = p.paint(l, supervisor.Printable(text))
		}
		return text
	}
	head := fmt.Sprintf("%-*s %-*s ", len(shownTime), supervisor.Printable(l.Time), p.width, orDash(l.Site))
	if l.Stderr != nil {
		return head + p.paint(l, "err") + " " + supervisor.Printable(l.Script+": "+*l.Stderr)
	}
	var b strings.Builder
	b.WriteString(head)
	b.WriteString(p.paint(l, strconv.Itoa(l.Status)))
	fmt.Fprintf(&b, " %-4s %s %s %s %s", orDash(l.Method), orDash(l.Target), shortDuration(l.Duration), shortSize(l.Bytes), orDash(l.Remote))
	if l.User != "" {
		b.WriteString(" " + supervisor.Printable(l.User))
	}
	if l.Error != "" {
		b.WriteString("  " + p.paint(l, supervisor.Printable(l.Error)))
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
	return supervisor.Printable(s)
}

func shortDuration(seconds *float64) string {
	switch {
	case seconds == nil: // the format combined does not say
		return "-"
	case *seconds < 1:
		return strconv.FormatFloat(*seconds*1000, 'f', 1, 64) + "ms"
	}
	return strconv.FormatFloat(*seconds, 'f', 1, 64) + "s"
}

func shortSize(n uint64) string { return strings.ReplaceAll(humanize.IBytes(n), " ", "") }
