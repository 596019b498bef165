package protocol

import (
	"io"
	"regexp"
	"strings"
	"testing"
)

// RFC 9112, sections 2 to 5: the message, its first line, its fields.

func TestRFC9112Section2_1(t *testing.T) { testRules(t, messageFormatRules) }

var messageFormatRules = []rule{
	{must, "a start-line, field lines, an empty line, each ended by CRLF", get(), keeps("GET / ")},
	{must, "a body follows the empty line", post("hello", "Content-Length: 5"), keeps("POST /p hello")},
	{may, "no field line at all", "GET / HTTP/1.0\r\n\r\n", closes("GET / ")},
}

func TestRFC9112Section2_2(t *testing.T) { testRules(t, messageParsingRules) }

var messageParsingRules = []rule{
	{must, "a superset of US-ASCII: bytes over 127 in a value", get("X: \xe4\xff"), keeps("GET / ")},
	{may, "take a bare LF for CRLF: not in the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", refuses(400, BadRequestLine)},
	{may, "take a bare LF for CRLF: not in the field lines", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", refuses(400, BadField)},
	{may, "take a bare LF for CRLF: not at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", refuses(400, BadField)},
	{may, "take a bare LF for CRLF: not before the request", "\n" + get(), refuses(400, BadRequestLine)},
	{may, "take a bare LF for CRLF: not everywhere either", "GET / HTTP/1.1\nHost: a\n\n", refuses(400, BadRequestLine)},
	{must, "a bare CR is invalid: in the target", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", refuses(400, BadTarget)},
	{must, "a bare CR is invalid: before the version", "GET / \rHTTP/1.1\r\nHost: a\r\n\r\n", refuses(400, BadRequestLine)},
	{must, "a bare CR is invalid: at the end of the request line", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", refuses(400, BadVersion)},
	{must, "a bare CR is invalid: in a value", get("X: a\rb"), refuses(400, BadField)},
	{must, "a bare CR is invalid: before CRLF", get("X: a\r"), refuses(400, BadField)},
	{must, "a bare CR is invalid: in front of a value", get("X:\ra"), refuses(400, BadField)},
	{must, "a bare CR is invalid: in a name", get("X\r: a"), refuses(400, BadField)},
	{must, "a bare CR is invalid: as a field line's end", get("X: a\rY: b"), refuses(400, BadField)},
	{must, "a bare CR is invalid: in the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n\r\n", refuses(400, BadField)},
	{must, "a bare CR is invalid: before the request", "\r" + get(), refuses(400, BadRequestLine)},
	{should, "one empty line before a request is read over", "\r\n" + get(), keeps("GET / ")},
	{should, "one empty line between two requests, too", post("hi", "Content-Length: 2") + "\r\n" + get(), keeps("GET / ").after(keeps("POST /p hi"))},
	{ours, "but no more than one", "\r\n\r\n" + get(), refuses(400, BadRequestLine)},
	{must, "white space before the first field line: refused", crlf("GET / HTTP/1.1", " Host: a"), refuses(400, BadField)},
	{must, "white space before the first field line, with another behind", crlf("GET / HTTP/1.1", " X: y", "Host: a"), refuses(400, BadField)},
	{must, "a tab before the first field line: refused", crlf("GET / HTTP/1.1", "\tX: y", "Host: a"), refuses(400, BadField)},
	{should, "400 and close for what is not HTTP: TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", refuses(400, BadRequestLine)},
	{should, "400 and close for what is not HTTP: NUL", "\x00\x00\x00\x00", refuses(400, BadRequestLine)},
	{should, "400 and close for what is not HTTP: SSH", "SSH-2.0-OpenSSH_9.2\r\n", refuses(400, BadRequestLine)},
}

func TestRFC9112Section2_3(t *testing.T) { testRules(t, versionRules) }

var versionRules = []rule{
	{must, "HTTP/1.1", get(), keeps("GET / ")},
	{must, "HTTP/1.0", crlf("GET / HTTP/1.0", "X: y"), closes("GET / ")},
	{must, "HTTP-name is case-sensitive", crlf("GET / http/1.1", "Host: a"), refuses(400, BadRequestLine)},
	{must, "HTTP-name is case-sensitive: Http", crlf("GET / Http/1.1", "Host: a"), refuses(400, BadRequestLine)},
	{must, "one DIGIT before the dot and one behind: HTTP/1.10", crlf("GET / HTTP/1.10", "Host: a"), refuses(400, BadVersion)},
	{must, "one DIGIT before the dot and one behind: HTTP/11", crlf("GET / HTTP/11", "Host: a"), refuses(400, BadVersion)},
	{must, "one DIGIT before the dot and one behind: HTTP/01.1", crlf("GET / HTTP/01.1", "Host: a"), refuses(400, BadVersion)},
	{must, "one DIGIT before the dot and one behind: HTTP/1,1", crlf("GET / HTTP/1,1", "Host: a"), refuses(400, BadVersion)},
	{must, "one DIGIT before the dot and one behind: HTTP/1.x", crlf("GET / HTTP/1.x", "Host: a"), refuses(400, BadVersion)},
	{must, "no sign: HTTP/+1.1", crlf("GET / HTTP/+1.1", "Host: a"), refuses(400, BadVersion)},
	{may, "a version that isn't served: the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\n", refuses(505, BadVersion)},
	{may, "a version that isn't served: HTTP/3.0", crlf("GET / HTTP/3.0", "Host: a"), refuses(505, BadVersion)},
	{may, "a version that isn't served: HTTP/0.9", crlf("GET / HTTP/0.9", "Host: a"), refuses(505, BadVersion)},
	{ours, "HTTP/0.9 as it was: no version", "GET /\r\n\r\n", refuses(400, BadRequestLine)},
}

func TestRFC9112Section3(t *testing.T) {
	testRules(t, requestLineRules)
	t.Run("SHOULD 8000 octets of a request line", func(t *testing.T) {
		s := serve(t, echo, func(v *Service) { v.Limits.MaxURI = 8 << 10 }) // the limit unless it is set
		target := "/" + strings.Repeat("a", 8000-len("GET / HTTP/1.1\r\n"))
		c := s.dial()
		for range 2 {
			c.send(crlf("GET "+target+" HTTP/1.1", "Host: a"))
			c.want(200, "GET "+target+" ")
		}
	})
}

var requestLineRules = []rule{
	{must, "exactly one SP between the words", get(), keeps("GET / ")},
	{may, "other white space as SP: not two of them", crlf("GET  / HTTP/1.1", "Host: a"), refuses(400, BadRequestLine)},
	{may, "other white space as SP: not two before the version", crlf("GET /  HTTP/1.1", "Host: a"), refuses(400, BadVersion)},
	{may, "other white space as SP: no HTAB", crlf("GET\t/ HTTP/1.1", "Host: a"), refuses(400, BadRequestLine)},
	{may, "other white space as SP: no HTAB before the version", crlf("GET /\tHTTP/1.1", "Host: a"), refuses(400, BadRequestLine)},
	{may, "other white space as SP: no VT", crlf("GET\v/ HTTP/1.1", "Host: a"), refuses(400, BadRequestLine)},
	{may, "other white space as SP: no FF", crlf("GET /\f HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{may, "trailing white space", crlf("GET / HTTP/1.1 ", "Host: a"), refuses(400, BadVersion)},
	{may, "leading white space", " " + get(), refuses(400, BadRequestLine)},
	{must, "the version is there", crlf("GET /", "Host: a"), refuses(400, BadRequestLine)},
	{must, "the target is there", crlf("GET HTTP/1.1", "Host: a"), refuses(400, BadRequestLine)},
	{must, "the method is there", crlf("/ HTTP/1.1", "Host: a"), refuses(400, BadRequestLine)},
	{should, "501 for a method longer than any", crlf(strings.Repeat("M", 33)+" / HTTP/1.1", "Host: a"), refuses(501, BadRequestLine)},
	{must, "414 for a target over the limit", crlf("GET /"+strings.Repeat("a", 100)+" HTTP/1.1", "Host: a"), refuses(414, BadURITooLong)},
	{must, "414 for a target far over the limit", crlf("GET /"+strings.Repeat("a", 300)+" HTTP/1.1", "Host: a"), refuses(414, BadURITooLong)},
	{must, "414 before the line has an end", "GET /" + strings.Repeat("a", 300), refuses(414, BadURITooLong)},
	{must, "a target at the limit", crlf("GET /"+strings.Repeat("a", 99)+" HTTP/1.1", "Host: a"), keeps("GET /" + strings.Repeat("a", 99) + " ")},
}

func TestRFC9112Section3_1(t *testing.T) { testRules(t, requestMethodRules) }

var requestMethodRules = []rule{
	{must, "a token", crlf("G@T / HTTP/1.1", "Host: a"), refuses(400, BadRequestLine)},
	{must, "a token: no quotes", crlf("\"GET\" / HTTP/1.1", "Host: a"), refuses(400, BadRequestLine)},
	{must, "a token: nothing over 127", crlf("G\xc9T / HTTP/1.1", "Host: a"), refuses(400, BadRequestLine)},
	{must, "case-sensitive: get is not GET", crlf("get /x HTTP/1.1", "Host: a"), to("get", 200, "get /x ")},
	{may, "any token is left to the handler", crlf("BREW /x HTTP/1.1", "Host: a"), to("BREW", 200, "BREW /x ")},
	{may, "any token, of any letters", crlf("M-S'E*ARCH!~ /x HTTP/1.1", "Host: a"), to("M-S'E*ARCH!~", 200, "M-S'E*ARCH!~ /x ")},
}

func TestRFC9112Section3_2(t *testing.T) { testRules(t, requestTargetRules) }

var requestTargetRules = []rule{
	{should, "400 for an invalid request line: a space in the target", crlf("GET /a b HTTP/1.1", "Host: a"), refuses(400, BadVersion)},
	{should, "400 for an invalid request line: a fragment", crlf("GET /a#b HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{should, "400 for an invalid request line: a quote", crlf("GET /a\"b HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{should, "400 for an invalid request line: a backslash", crlf("GET /a\\b HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{should, "400 for an invalid request line: over 127", crlf("GET /\xe4 HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{should, "400 for an invalid request line: DEL", crlf("GET /\x7f HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{should, "400 for an invalid request line: NUL", crlf("GET /\x00 HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{should, "400 for an invalid request line: a malformed escape", crlf("GET /%4 HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{should, "400 for an invalid request line: an escape that is none", crlf("GET /%zz HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "400 without Host", crlf("GET / HTTP/1.1", "X: y"), refuses(400, BadHost)},
	{must, "400 without Host, also for CONNECT", crlf("CONNECT a:1 HTTP/1.1", "X: y"), refuses(400, BadHost)},
	{must, "400 without Host, whatever else is wrong with the fields", crlf("GET / HTTP/1.1", "Expect: tea"), refuses(400, BadHost)},
	{may, "HTTP/1.0 does without", crlf("GET / HTTP/1.0", "X: y"), closes("GET / ")},
	{must, "400 for two Hosts", get("Host: b"), refuses(400, BadHost)},
	{must, "400 for two Hosts that are the same", get("Host: a"), refuses(400, BadHost)},
	{must, "400 for two Hosts, spelt differently", get("hOST: a"), refuses(400, BadHost)},
	{must, "400 for two Hosts in HTTP/1.0", crlf("GET / HTTP/1.0", "Host: a", "Host: a"), refuses(400, BadHost)},
	{must, "400 for an invalid Host: empty, which no http URI has", crlf("GET / HTTP/1.1", "Host:"), refuses(400, BadHost)},
	{must, "400 for an invalid Host: a path", crlf("GET / HTTP/1.1", "Host: a/b"), refuses(400, BadHost)},
	{must, "400 for an invalid Host: a scheme", crlf("GET / HTTP/1.1", "Host: http://a"), refuses(400, BadHost)},
	{must, "400 for an invalid Host: a list", crlf("GET / HTTP/1.1", "Host: a, b"), refuses(400, BadHost)},
	{must, "400 for an invalid Host: user information", crlf("GET / HTTP/1.1", "Host: u@a"), refuses(400, BadHost)},
	{must, "400 for an invalid Host: a port over 65535", crlf("GET / HTTP/1.1", "Host: a:99999"), refuses(400, BadHost)},
	{must, "400 for an invalid Host: a port with a sign", crlf("GET / HTTP/1.1", "Host: a:+80"), refuses(400, BadHost)},
	{must, "400 for an invalid Host: two ports", crlf("GET / HTTP/1.1", "Host: a:80:80"), refuses(400, BadHost)},
	{must, "400 for an invalid Host: only a port", crlf("GET / HTTP/1.1", "Host: :80"), refuses(400, BadHost)},
	{must, "400 for an invalid Host: a malformed IPv6 address", crlf("GET / HTTP/1.1", "Host: [:::1]"), refuses(400, BadHost)},
	{must, "400 for an invalid Host: an IPv6 address without brackets", crlf("GET / HTTP/1.1", "Host: ::1"), refuses(400, BadHost)},
	{must, "400 for an invalid Host: over 127", crlf("GET / HTTP/1.1", "Host: b\xfccher"), refuses(400, BadHost)},
	{must, "400 for an invalid Host in HTTP/1.0", crlf("GET / HTTP/1.0", "Host: a b"), refuses(400, BadHost)},
	{must, "an IPv6 address in brackets", crlf("GET /host HTTP/1.1", "Host: [::1]:80"), keeps("[::1]:80")},
	{must, "white space around Host is not of it", crlf("GET /host HTTP/1.1", "Host: \t a:80 \t"), keeps("a:80")},
}

func TestRFC9112Section3_2_1(t *testing.T) { testRules(t, originFormRules) }

var originFormRules = []rule{
	{must, "a path", request("/a/b"), keeps("GET /a/b ")},
	{must, "a path and a query", request("/query?a=/../b?c"), keeps("a=/../b?c")},
	{must, "a path begins with a slash", crlf("GET a HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "a path begins with a slash: no query alone", crlf("GET ?a HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{ours, "two slashes begin a path, no authority", request("//b/c"), keeps("GET /b/c ")},
	{ours, "the host is of the field, whatever the path looks like", request("//b/../host"), keeps("a")},
}

func TestRFC9112Section3_2_2(t *testing.T) { testRules(t, absoluteFormRules) }

var absoluteFormRules = []rule{
	{must, "accepted", crlf("GET http://b:80/x?y HTTP/1.1", "Host: b:80"), keeps("GET /x ")},
	{must, "accepted without a path", crlf("GET http://b HTTP/1.1", "Host: b"), keeps("GET / ")},
	{must, "accepted without a path, with a query", crlf("GET http://b?y HTTP/1.1", "Host: b"), keeps("GET / ")},
	{must, "the scheme's case doesn't count", crlf("GET HTTP://b/x HTTP/1.1", "Host: b"), keeps("GET /x ")},
	{must, "its host wins over another Host, which is ignored", crlf("GET http://b:8/host HTTP/1.1", "Host: a"), keeps("b:8")},
	{must, "its host wins over another Host, behind other fields", crlf("GET http://b/host HTTP/1.1", "X: y", "Host: a:1"), keeps("b")},
	{must, "its host counts in HTTP/1.0 without Host", crlf("GET http://b/host HTTP/1.0", "X: y"), closes("b")},
	{must, "Host is there all the same (section 3.2)", crlf("GET http://b/ HTTP/1.1", "X: y"), refuses(400, BadHost)},
	{must, "Host is valid all the same (section 3.2)", crlf("GET http://b/ HTTP/1.1", "Host: a b"), refuses(400, BadHost)},
	{must, "a scheme that isn't served here is refused", crlf("GET ftp://b/ HTTP/1.1", "Host: b"), refuses(400, BadTarget)},
	{must, "https is refused on a connection without TLS (RFC 9110, section 7.4)", crlf("GET https://b/ HTTP/1.1", "Host: b"), refuses(400, BadTarget)},
	{must, "an authority is there", crlf("GET http:/x HTTP/1.1", "Host: b"), refuses(400, BadTarget)},
	{must, "a host is there (RFC 9110, section 4.2.1)", crlf("GET http:///x HTTP/1.1", "Host: b"), refuses(400, BadTarget)},
	{must, "its port is valid", crlf("GET http://b:x/ HTTP/1.1", "Host: b"), refuses(400, BadTarget)},
}

func TestRFC9112Section3_2_3(t *testing.T) { testRules(t, authorityFormRules) }

var authorityFormRules = []rule{
	{must, "host:port, with CONNECT", crlf("CONNECT a:1 HTTP/1.1", "Host: a:1"), then{[]wireAnswer{{status: 403, method: "CONNECT"}}, true}},
	{must, "nothing else with CONNECT: a path", crlf("CONNECT / HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "nothing else with CONNECT: a URI", crlf("CONNECT http://a:1 HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "nothing else with CONNECT: a host", crlf("CONNECT a HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "nothing else with CONNECT: *", crlf("CONNECT * HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "with no other method", crlf("GET a:1 HTTP/1.1", "Host: a:1"), refuses(400, BadTarget)},
}

func TestRFC9112Section3_2_4(t *testing.T) { testRules(t, asteriskFormRules) }

var asteriskFormRules = []rule{
	{must, "* with OPTIONS", crlf("OPTIONS * HTTP/1.1", "Host: a"), to("OPTIONS", 200, "OPTIONS / ")},
	{must, "* with no other method", crlf("GET * HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "nothing behind *", crlf("OPTIONS *x HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "OPTIONS of a URI without a path", crlf("OPTIONS http://b HTTP/1.1", "Host: b"), to("OPTIONS", 200, "OPTIONS / ")},
}

func TestRFC9112Section3_3(t *testing.T) { testRules(t, reconstructingRules) }

var reconstructingRules = []rule{
	{must, "the authority is of the Host field", crlf("GET /host HTTP/1.1", "Host: a:8"), keeps("a:8")},
	{must, "the authority is of the target where it has one", crlf("GET http://b/host HTTP/1.1", "Host: a"), keeps("b")},
	{must, "without either it is empty", crlf("GET /host HTTP/1.0", "X: y"), closes("")},
	{must, "the path and the query are of the target", crlf("GET http://b/query?x=y HTTP/1.1", "Host: b"), keeps("x=y")},
}

// wireBytes sends raw, ends the sending half, and returns all that comes back
// with "now" in the place of the date.
func wireBytes(s *site, raw string) string {
	s.t.Helper()
	c := s.dial()
	c.send(raw)
	c.CloseWrite()
	b, err := io.ReadAll(c.br)
	if err != nil {
		s.t.Fatal(err)
	}
	return dates.ReplaceAllString(string(b), "Date: now")
}

// dates matches the form that RFC 9110, section 5.6.7, has a sender generate.
var dates = regexp.MustCompile(`Date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT`)

func TestRFC9112Section4(t *testing.T) {
	s := serve(t, func(x *Exchange) error {
		if x.Req.Path == "/599" { // has no reason phrase of its own
			x.Res.Status = 599
			return nil
		}
		return wireHandler(x)
	})
	tests := []struct {
		level      level
		text       string
		raw, first string
	}{
		{must, "version SP code SP reason CRLF", get("Connection: close"), "HTTP/1.1 200 OK\r\n"},
		{must, "our version, not the request's, for HTTP/1.0 (RFC 9110, section 2.5)", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
		{must, "our version for a version that isn't served", "GET / HTTP/9.9\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
		{must, "our version for what is not HTTP", "\x16", "HTTP/1.1 400 Bad Request\r\n"},
		{must, "a space before the reason also when there is none", request("/599"), "HTTP/1.1 599 Unknown\r\n"},
		{must, "no body that could be taken for it", request("/204") + request("/404"), "HTTP/1.1 204 No Content\r\n"},
	}
	for _, tt := range tests {
		t.Run(string(tt.level)+" "+tt.text, func(t *testing.T) {
			s := &site{t: t, addr: s.addr}
			if got := wireBytes(s, tt.raw); !strings.HasPrefix(got, tt.first+"Date: now\r\n") {
				t.Errorf("got %.80q, want it to begin with %q and a date", got, tt.first)
			}
		})
	}
}

func TestRFC9112Section5_1(t *testing.T) { testRules(t, fieldLineParsingRules) }

var fieldLineParsingRules = []rule{
	{must, "400 for a space before the colon", get("X : y"), refuses(400, BadField)},
	{must, "400 for a tab before the colon", get("X\t: y"), refuses(400, BadField)},
	{must, "400 for a space before the colon of Content-Length", post("hello", "Content-Length : 5"), refuses(400, BadField)},
	{must, "400 for a space before the colon of Transfer-Encoding", post("0\r\n\r\n", "Transfer-Encoding : chunked"), refuses(400, BadField)},
	{must, "400 for a space before the colon of Host", crlf("GET / HTTP/1.1", "Host : a"), refuses(400, BadField)},
	{must, "white space around a value is not of it", request("/fields", "X: \t y z \t"), keeps("Host=a;X=y z;")},
	{may, "no white space before a value", request("/fields", "X:y"), keeps("Host=a;X=y;")},
	{may, "an empty value", request("/fields", "X:", "Y: \t"), keeps("Host=a;X=;Y=;")},
	{may, "a colon in a value", request("/fields", "X: y:z"), keeps("Host=a;X=y:z;")},
	{must, "a colon is there", get("X"), refuses(400, BadField)},
	{must, "a name is there", get(": y"), refuses(400, BadField)},
}

func TestRFC9112Section5_2(t *testing.T) { testRules(t, lineFoldingRules) }

var lineFoldingRules = []rule{
	{must, "obs-fold: 400", get("X: y", " z"), refuses(400, BadField)},
	{must, "obs-fold with a tab: 400", get("X: y", "\tz"), refuses(400, BadField)},
	{must, "obs-fold of nothing: 400", get("X: y", " "), refuses(400, BadField)},
	{must, "obs-fold of an empty value: 400", get("X:", " z"), refuses(400, BadField)},
	{must, "obs-fold of what looks like a field: 400", get("X: y", " Content-Length: 5"), refuses(400, BadField)},
	{must, "obs-fold of Transfer-Encoding: 400", post("0\r\n\r\n", "Transfer-Encoding:", " chunked"), refuses(400, BadField)},
	{must, "obs-fold of Host: 400", crlf("GET / HTTP/1.1", "Host: a", " b"), refuses(400, BadField)},
}
