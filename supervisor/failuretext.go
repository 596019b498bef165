package supervisor

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"sited/instance"
	"sited/protocol"
)

// MarshalJSON escapes what a terminal would obey or hide, as requests may hold
// it: some print JSON as it comes.
func (f SiteFailures) MarshalJSON() ([]byte, error) {
	type plain SiteFailures
	b, err := json.Marshal(plain(f))
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(b))
	for _, r := range string(b) {
		switch {
		case r < 0x7f || unicode.IsPrint(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out, nil
}

// Text is for a person: a block for each request, at most that many of each
// list, all with 0. Nothing in it is for a terminal to obey.
func (f *SiteFailures) Text(most int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "site %s, %s, generation %d\n", Printable(f.Site), f.State, f.Generation)
	seen := map[string]bool{}
	f.list(&b, "failed requests, newest first", "no failed requests since sited was started", f.Failed, most, seen)
	f.list(&b, "slowest requests of the last minutes", "no slow requests in the last minutes", f.Slowest, most, seen)
	return b.String()
}

// list writes one of the lists. What was seen before is only named again.
func (f *SiteFailures) list(b *strings.Builder, title, none string, flights []instance.Flight, most int, seen map[string]bool) {
	if len(flights) == 0 {
		fmt.Fprintf(b, "\n%s\n", none)
		return
	}
	shown := flights
	if most > 0 && most < len(flights) {
		shown = flights[:most]
		title += fmt.Sprintf(" (%d of %d)", most, len(flights))
	}
	fmt.Fprintf(b, "\n%s\n", title)
	for i := range shown {
		x := &shown[i]
		fmt.Fprintf(b, "\n%s  %s ago  id %s\n", x.Time.Local().Format("2006-01-02 15:04:05.000"), age(f.Time.Sub(x.Time)), Printable(x.ID))
		writeAnswer(b, x)
		if !seen[x.ID] {
			writeStory(b, x)
		}
		seen[x.ID] = true
	}
}

// writeAnswer writes what the client asked for and got, in two lines.
func writeAnswer(b *strings.Builder, x *instance.Flight) {
	request := strings.TrimSpace(Printable(x.Method) + " " + abridged(x.Target))
	if x.Version != "" {
		request += " HTTP/" + Printable(x.Version)
	}
	if request == "" {
		request = "(no request)"
	}
	fmt.Fprintf(b, "  %s\n  %d %s in %s ms", request, x.Status, protocol.StatusText(x.Status), millis(x.Phases.Total))
	if x.Error != "" {
		fmt.Fprintf(b, ": %s", abridged(x.Error))
	}
	b.WriteString("\n")
}

// writeStory writes all else.
func writeStory(b *strings.Builder, x *instance.Flight) {
	from := Printable(x.Remote)
	if x.User != "" {
		from += ", user " + Printable(x.User)
	}
	from += fmt.Sprintf(", generation %d", x.Generation)
	writeLines(b, "from", []string{strings.TrimPrefix(from, ", ")})
	writeLines(b, "bytes", []string{fmt.Sprintf("%d sent, %d received", x.Bytes, x.Received)})
	writeLines(b, "phases", []string{phases(&x.Phases)})
	trace := make([]string, len(x.Trace))
	for i, step := range x.Trace {
		trace[i] = abridged(step)
	}
	writeLines(b, "trace", trace)
	fields := make([]string, len(x.Headers))
	for i, h := range x.Headers {
		fields[i] = h.Name + ": " + h.Value
	}
	writeLines(b, "headers", fields)
	if x.Script != "" {
		writeLines(b, "script", []string{abridged(x.Script)})
		writeLines(b, "stderr", x.Stderr)
	}
}

// writeLines writes lines with what they are before the first one.
func writeLines(b *strings.Builder, what string, lines []string) {
	for _, line := range lines {
		fmt.Fprintf(b, "    %-8s %s\n", what, Printable(line))
		what = ""
	}
}

// phases lists the phases there were, in milliseconds.
func phases(p *instance.Phases) string {
	var list []string
	for _, phase := range []struct {
		name string
		took float64
	}{
		{"head", p.Head}, {"body", p.Body}, {"wait for a process", p.Wait}, {"first output", p.FirstOutput}, {"script", p.Script},
		{"handler", p.Handler}, {"first byte", p.FirstByte},
	} {
		if phase.took > 0 {
			list = append(list, phase.name+" "+millis(phase.took))
		}
	}
	return strings.Join(append(list, "total "+millis(p.Total)), ", ") + " ms"
}

// abridged is printable for a text that may be long: of one of more than 200
// characters the middle is left out.
func abridged(s string) string {
	const first, last = 139, 60
	s = Printable(s)
	if utf8.RuneCountInString(s) <= first+1+last {
		return s
	}
	all := []rune(s)
	return string(all[:first]) + "…" + string(all[len(all)-last:])
}

// millis writes seconds as milliseconds, to the microsecond where there are few.
func millis(s float64) string {
	digits := 3
	switch {
	case s >= 1:
		digits = 0
	case s >= 0.01:
		digits = 1
	}
	return strconv.FormatFloat(s*1000, 'f', digits, 64)
}

// age is how long ago something was, roughly.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return max(0, d).Truncate(time.Second).String()
	case d < time.Hour:
		return duration(d.Truncate(time.Minute))
	}
	return duration(d.Truncate(time.Hour))
}

// Printable escapes what is not to be printed: control characters, and those that
// change what is around them. It is as Go writes them in a string.
func Printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) < 0 {
		return s
	}
	var b []byte
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = fmt.Appendf(b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b = append(b, s[i:i+size]...)
		default:
			quoted := strconv.QuoteRune(r)
			b = append(b, quoted[1:len(quoted)-1]...)
		}
		i += size
	}
	return string(b)
}
