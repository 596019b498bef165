package instance

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sited/protocol"
)

// maxLogged bounds one string in a log line, in bytes. The part of a body that
// was kept has its own bound.
const maxLogged = 8 << 10

// appendJSON appends the line for an exchange in the format "json". Of the
// request's fields only Host, Referer and User-Agent are in it. Times are in
// UTC to the millisecond, the duration is in seconds to the microsecond.
func appendJSON(b []byte, c *clockText, site string, x *protocol.Exchange) []byte {
	b = append(b, `{"time":"`...)
	b = c.appendMillis(b, x.Start)
	b = append(b, `","id":"`...)
	b = x.ID.AppendTo(b)
	b = append(b, `","site":`...)
	b = appendQuoted(b, site)
	b = append(b, `,"remote":"`...)
	b = appendRemote(b, x)
	b = append(b, `","port":`...)
	b = strconv.AppendUint(b, uint64(x.Req.Remote.Port()), 10)
	if x.Req.User != "" {
		b = append(b, `,"user":`...)
		b = appendQuoted(b, capped(x.Req.User))
	}
	b = append(b, `,"method":`...)
	b = appendQuoted(b, capped(x.Req.Method))
	b = append(b, `,"target":`...)
	b = appendQuoted(b, loggedURI(x.Req.Target))
	b = append(b, `,"version":"`...)
	b = append(b, x.Req.Version...)
	b = append(b, `","host":`...)
	b = appendQuoted(b, loggedURI(x.Req.Host))
	b = append(b, `,"status":`...)
	b = appendStatus(b, statusOf(x))
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, x.Sent, 10)
	b = append(b, `,"received":`...)
	b = strconv.AppendInt(b, x.Received, 10)
	b = append(b, `,"duration":`...)
	b = appendSeconds(b, x.Took)
	b = append(b, `,"referer":`...)
	b = appendQuoted(b, loggedURI(x.Req.Header.Get("Referer")))
	b = append(b, `,"user_agent":`...)
	b = appendQuoted(b, capped(x.Req.Header.Get("User-Agent")))
	if x.Err != nil {
		b = append(b, `,"error":`...)
		b = appendQuoted(b, capped(x.Err.Error()))
	}
	if len(x.Kept) > 0 && statusOf(x) >= 400 {
		b = append(b, `,"body":`...)
		b = appendQuoted(b, string(x.Kept))
	}
	return append(b, "}\n"...)
}

// appendJSONStderr appends what a script wrote to its standard error, answering
// the request with that id.
func appendJSONStderr(b []byte, c *clockText, at time.Time, id protocol.ID, site, script, line string) []byte {
	b = append(b, `{"time":"`...)
	b = c.appendMillis(b, at)
	b = append(b, `","id":"`...)
	b = id.AppendTo(b)
	b = append(b, `","site":`...)
	b = appendQuoted(b, site)
	b = append(b, `,"script":`...)
	b = appendQuoted(b, script)
	b = append(b, `,"stderr":`...)
	b = appendQuoted(b, capped(line))
	return append(b, "}\n"...)
}

// appendCombined appends the line for an exchange in the format "combined",
// which is that of the Apache HTTP server, escaped as it does. Only a space in
// the user is escaped as well, as the line could not be taken apart otherwise.
// With withID the request's id takes the place of the identity, which nobody
// tells (RFC 1413) and which is "-" otherwise.
func appendCombined(b []byte, c *clockText, x *protocol.Exchange, withID bool) []byte {
	if x.Req.Remote.IsValid() {
		b = appendRemote(b, x)
	} else {
		b = append(b, '-')
	}
	if withID {
		b = x.ID.AppendTo(append(b, ' '))
		b = append(b, ' ')
	} else {
		b = append(b, " - "...)
	}
	b = appendOrDash(b, capped(x.Req.User), ' ')
	b = append(b, ' ')
	b = c.appendCombined(b, x.Start)
	b = append(b, ` "`...)
	b = appendRequestLine(b, x)
	b = append(b, `" `...)
	b = appendStatus(b, statusOf(x))
	b = append(b, ' ')
	if x.Sent > 0 {
		b = strconv.AppendInt(b, x.Sent, 10)
	} else {
		b = append(b, '-')
	}
	b = append(b, ` "`...)
	b = appendOrDash(b, loggedURI(x.Req.Header.Get("Referer")), 0)
	b = append(b, `" "`...)
	b = appendOrDash(b, capped(x.Req.Header.Get("User-Agent")), 0)
	return append(b, "\"\n"...)
}

// appendRequestLine appends the request line, or what could be read of it.
func appendRequestLine(b []byte, x *protocol.Exchange) []byte {
	if x.Req.Method == "" && x.Req.Target == "" {
		return append(b, '-')
	}
	if x.Req.Method != "" {
		b = appendSlashed(b, capped(x.Req.Method), 0)
		b = append(b, ' ')
	}
	b = appendSlashed(b, loggedURI(x.Req.Target), 0)
	if x.Req.Version == "" {
		return b
	}
	b = append(b, " HTTP/"...)
	return append(b, x.Req.Version...)
}

// appendCombinedStderr appends what a script wrote to its standard error: there
// is no such line in the combined format, so it begins with the time instead of
// an address.
func appendCombinedStderr(b []byte, c *clockText, at time.Time, id protocol.ID, script, line string) []byte {
	b = c.appendCombined(b, at)
	b = append(b, ` script "`...)
	b = appendSlashed(b, script, 0)
	b = append(b, `" id `...)
	b = id.AppendTo(b)
	b = append(b, ` stderr "`...)
	b = appendSlashed(b, capped(line), 0)
	return append(b, "\"\n"...)
}

// appendStatus appends a status, three digits for any there is.
func appendStatus(b []byte, status int) []byte {
	if status < 100 || status > 999 {
		return strconv.AppendInt(b, int64(status), 10)
	}
	return append3(b, status)
}

// statusOf is the status that the client got.
func statusOf(x *protocol.Exchange) int {
	if x.Res.Status == 0 {
		return 200
	}
	return x.Res.Status
}

// appendRemote appends the client's address, without a zone, if it is known.
func appendRemote(b []byte, x *protocol.Exchange) []byte {
	if addr := x.Req.Remote.Addr(); addr.IsValid() {
		if addr.Zone() != "" {
			addr = addr.WithZone("")
		}
		b = addr.Unmap().AppendTo(b)
	}
	return b
}

// loggedURI is a request-target, a Host or a Referer as it may be logged:
// without the user and password that it may have (RFC 3986, section 3.2.1), and
// capped.
func loggedURI(s string) string {
	if strings.IndexByte(s, '@') < 0 {
		return capped(s)
	}
	start := 0
	if scheme := strings.IndexAny(s, ":/?#"); scheme >= 0 && strings.HasPrefix(s[scheme:], "://") {
		start = scheme + len("://")
	} else if strings.HasPrefix(s, "//") {
		start = len("//")
	}
	end := len(s)
	if i := strings.IndexAny(s[start:], "/?#"); i >= 0 {
		end = start + i
	}
	if at := strings.LastIndexByte(s[start:end], '@'); at >= 0 {
		s = s[:start] + "***" + s[start+at:]
	}
	return capped(s)
}

// capped cuts what is longer than maxLogged bytes, not within a character.
func capped(s string) string { return limited(s, maxLogged) }

// limited cuts what is longer than most bytes, not within a character.
func limited(s string, most int) string {
	if len(s) <= most {
		return s
	}
	end := most
	for end > most-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}

// plain are the bytes that stand for themselves in both formats: printable ASCII
// but the quote and the backslash.
var plain = func() (t [256]bool) {
	for c := ' '; c <= '~'; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

func allPlain(s string) bool {
	for i := 0; i < len(s); i++ {
		if !plain[s[i]] {
			return false
		}
	}
	return true
}

// appendQuoted appends s as a JSON string (RFC 8259, section 7). Invalid UTF-8
// is replaced by U+FFFD; control characters, also those of Latin-1, which
// terminals obey, are escaped.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	if allPlain(s) {
		b = append(b, s...)
		return append(b, '"')
	}
	start := 0
	for i := 0; i < len(s); {
		if plain[s[i]] {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r >= 0xa0 && (r != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		switch r {
		case '"', '\\':
			b = append(b, '\\', byte(r))
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case utf8.RuneError:
			b = append(b, `\ufffd`...)
		default:
			b = append(b, `\u00`...)
			b = appendHex(b, byte(r))
		}
		i += size
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// appendOrDash appends s as appendSlashed does, or "-" if there is nothing.
func appendOrDash(b []byte, s string, also byte) []byte {
	if s == "" {
		return append(b, '-')
	}
	return appendSlashed(b, s, also)
}

// appendSlashed appends s escaped as the Apache HTTP server does in its logs:
// quotes and backslashes, and whatever is not printable ASCII. The byte also,
// unless it is 0, is escaped too.
func appendSlashed(b []byte, s string, also byte) []byte {
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if plain[c] && (c != also || also == 0) {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		b = append(b, '\\')
		switch c {
		case '"', '\\':
			b = append(b, c)
		case '\b':
			b = append(b, 'b')
		case '\n':
			b = append(b, 'n')
		case '\r':
			b = append(b, 'r')
		case '\t':
			b = append(b, 't')
		case '\v':
			b = append(b, 'v')
		default:
			b = append(b, 'x')
			b = appendHex(b, c)
		}
	}
	return append(b, s[start:]...)
}

func appendHex(b []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	return append(b, digits[c>>4], digits[c&15])
}
