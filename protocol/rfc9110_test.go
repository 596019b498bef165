package protocol

import (
	"strings"
	"testing"
)

// RFC 9110, sections 2 to 7: versions, identifiers, fields, routing.

func TestRFC9110Section2_5(t *testing.T) { testRules(t, protocolVersionRules) }

var protocolVersionRules = []rule{
	{should, "505 for a major version that isn't implemented", crlf("GET / HTTP/2.0", "Host: a"), refuses(505, BadVersion)},
	// A version is served when the site lists it, and there is no HTTP/1.2 to
	// know what to do about.
	{against, "SHOULD take a higher minor version for the highest known", crlf("GET / HTTP/1.2", "Host: a"), refuses(505, BadVersion)},
	{must, "what HTTP/1.0 doesn't have is not used with it", crlf("GET /stream HTTP/1.0", "X: y"), closes("one two three", "!Transfer-Encoding")},
}

func TestRFC9110Section4_2_1(t *testing.T) { testRules(t, httpSchemeRules) }

var httpSchemeRules = []rule{
	{must, "an http URI with an empty host is invalid", crlf("GET http:///a HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "an http URI with an empty host is invalid: only a port", crlf("GET http://:80/a HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "an empty Host is, too", crlf("GET / HTTP/1.1", "Host: \t"), refuses(400, BadHost)},
	{may, "an empty port is none", crlf("GET http://a:/host HTTP/1.1", "Host: a"), keeps("a:")},
}

func TestRFC9110Section4_2_3(t *testing.T) { testRules(t, uriNormalizationRules) }

var uriNormalizationRules = []rule{
	{must, "an empty path is /", crlf("GET http://a HTTP/1.1", "Host: a"), keeps("GET / ")},
	{may, "escapes of what needs none are the same path", request("/%61/%7Eb"), keeps("GET /a/~b ")},
	{may, "the case of an escape doesn't count", request("/%c3%A4"), keeps("GET /\u00e4 ")},
	{ours, "dot segments are removed (RFC 3986, section 5.2.4)", request("/a/./b/../c"), keeps("GET /a/c ")},
	{ours, "an escaped slash is one, for a file system knows no difference", request("/a%2F..%2fb"), keeps("GET /b ")},
	{ours, "a path is decoded once", request("/%2561"), keeps("GET /%61 ")},
}

func TestRFC9110Section4_2_4(t *testing.T) { testRules(t, userinfoRules) }

var userinfoRules = []rule{
	{should, "user information is an error: in the target", crlf("GET http://u@b/ HTTP/1.1", "Host: b"), refuses(400, BadTarget)},
	{should, "user information is an error: with a password", crlf("GET http://u:p@b/ HTTP/1.1", "Host: b"), refuses(400, BadTarget)},
	{should, "user information is an error: an empty one", crlf("GET http://@b/ HTTP/1.1", "Host: b"), refuses(400, BadTarget)},
	{should, "user information is an error: in Host", crlf("GET / HTTP/1.1", "Host: u@b"), refuses(400, BadHost)},
	{should, "user information is an error: in CONNECT", crlf("CONNECT u@b:1 HTTP/1.1", "Host: b"), refuses(400, BadTarget)},
	{ours, "an at sign in a path is a part of it", request("/u@b/c"), keeps("GET /u@b/c ")},
}

func TestRFC9110Section5_1(t *testing.T) { testRules(t, fieldNamesRules) }

var fieldNamesRules = []rule{
	{must, "names have no case", crlf("POST /p HTTP/1.1", "hOsT: a", "CONTENT-length: 2", "coNNection: CLOSE") + "hi", closes("POST /p hi")},
	{must, "a token: no space in it", get("X Y: z"), refuses(400, BadField)},
	{must, "a token: no parentheses", get("X(Y): z"), refuses(400, BadField)},
	{must, "a token: nothing over 127", get("\xdc: z"), refuses(400, BadField)},
	{must, "a token: no NUL", get("X\x00: z"), refuses(400, BadField)},
	{must, "a token: no slash", get("X/Y: z"), refuses(400, BadField)},
	{must, "a token: everything else", get("!#$%&'*+-.^_`|~09azAZ: z"), keeps("GET / ")},
	{must, "unrecognized fields are passed on", request("/fields", "X-New: y"), keeps("Host=a;X-New=y;")},
}

func TestRFC9110Section5_2(t *testing.T) { testRules(t, combinedValueRules) }

var combinedValueRules = []rule{
	{must, "lines of one name are kept in their order", request("/fields", "X: 1", "Y: 2", "x: 3"), keeps("Host=a;X=1;Y=2;x=3;")},
	{must, "lines of one name are one list: Connection", get("Connection: a", "Connection: b, close"), closes("GET / ")},
}

func TestRFC9110Section5_3(t *testing.T) { testRules(t, fieldOrderRules) }

var fieldOrderRules = []rule{
	{mustNot, "nothing is done before the whole header section is there: the last field counts", get("X: y", "Content-Length: x"), refuses(400, BadLength)},
	{mustNot, "several lines of a field that is no list: Content-Length", post("", "Content-Length: 0", "Content-Length: 0"), refuses(400, BadLength)},
	{mustNot, "several lines of a field that is no list: Host", get("Host: a"), refuses(400, BadHost)},
	{must, "the order of different fields doesn't count", crlf("POST /p HTTP/1.1", "Content-Length: 2", "Host: a") + "hi", keeps("POST /p hi")},
}

func TestRFC9110Section5_4(t *testing.T) { testRules(t, fieldLimitsRules) }

var fieldLimitsRules = []rule{
	{must, "4xx for more than is wanted: a long line", get("X: " + strings.Repeat("y", 400)), refuses(431, BadHeadTooLarge)},
	{must, "4xx for more than is wanted: many lines", get(strings.Split(strings.Repeat("X: y,", 90), ",")[:90]...), refuses(431, BadHeadTooLarge)},
	{must, "4xx for more than is wanted: before there is an end", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 600), refuses(431, BadHeadTooLarge)},
	{must, "4xx for more than is wanted: a long name", get(strings.Repeat("X", 400) + ": y"), refuses(431, BadHeadTooLarge)},
	{must, "as much as is wanted", get("X: " + strings.Repeat("y", 400-len("Host: a\r\nX: \r\n"))), keeps("GET / ")},
}

func TestRFC9110Section5_5(t *testing.T) { testRules(t, fieldValuesRules) }

var fieldValuesRules = []rule{
	{must, "CR in a value is refused", get("X: a\rb"), refuses(400, BadField)},
	{must, "LF in a value is refused", get("X: a\nb"), refuses(400, BadField)},
	{must, "NUL in a value is refused", get("X: a\x00b"), refuses(400, BadField)},
	{may, "other control characters: refused", get("X: a\x01b"), refuses(400, BadField)},
	{may, "other control characters: ESC", get("X: a\x1bb"), refuses(400, BadField)},
	{may, "other control characters: DEL", get("X: a\x7f"), refuses(400, BadField)},
	{must, "HTAB in a value is fine", request("/fields", "X: a\tb"), keeps("Host=a;X=a\tb;")},
	{must, "white space around a value is not of it", request("/fields", "X: \t a \t "), keeps("Host=a;X=a;")},
	{should, "obs-text is opaque", request("/fields", "X: \xe4\xff"), keeps("Host=a;X=\xe4\xff;")},
}

func TestRFC9110Section5_6_1(t *testing.T) { testRules(t, listsRules) }

var listsRules = []rule{
	{must, "empty elements are ignored", get("Connection: , ,close,,"), closes("GET / ")},
	{must, "white space around the commas is ignored", get("Connection: a\t,\tclose\t, b"), closes("GET / ")},
	{must, "no white space around the commas", get("Connection: a,close,b"), closes("GET / ")},
	{must, "an empty list", get("Connection:"), keeps("GET / ")},
}

func TestRFC9110Section5_6_7(t *testing.T) {
	s := serve(t, wireHandler)
	got := wireBytes(s, request("/204"))
	if !strings.Contains(got, "\r\nDate: now\r\n") { // wireBytes has found an IMF-fixdate
		t.Errorf("MUST generate dates as IMF-fixdate: %q", got)
	}
}

func TestRFC9110Section6_1(t *testing.T) { testRules(t, completenessRules) }

var completenessRules = []rule{
	{must, "the end of a message is known by its framing alone", post("GET / HTTP/1.1\r\n", "Content-Length: 16") + get(), keeps("GET / ").after(keeps("POST /p GET / HTTP/1.1\r\n"))},
}

func TestRFC9110Section6_4(t *testing.T) {
	testBytes(t, []bytesCase{
		{must, "no content in an answer to HEAD", crlf("HEAD /x HTTP/1.1", "Host: a"), "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 8\r\n\r\n"},
		{must, "no content in a 204", request("/204"), "HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n"},
		{must, "no content in a 304", request("/304"), "HTTP/1.1 304 Not Modified\r\nDate: now\r\n\r\n"},
		{must, "content in all others, even when it is empty", crlf("GET /query HTTP/1.1", "Host: a"), "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 0\r\n\r\n"},
	})
}

func TestRFC9110Section6_5(t *testing.T) { testRules(t, trailerFieldsRules) }

var trailerFieldsRules = []rule{
	{mustNot, "trailer fields are not taken for header fields", crlf("POST /host HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + "0\r\nHost: b\r\nConnection: close\r\n\r\n", keeps("a")},
	{may, "Trailer announces what is discarded", crlf("POST /p HTTP/1.1", "Host: a", "Trailer: X", "Transfer-Encoding: chunked") + "1\r\nx\r\n0\r\nX: y\r\n\r\n", keeps("POST /p x")},
	{may, "Trailer without trailer fields", post("hi", "Trailer: X", "Content-Length: 2"), keeps("POST /p hi")},
	{should, "none are sent, not even to who says TE: trailers", request("/stream", "TE: trailers"), keeps("one two three", "!Trailer")},
}

// Each answer of testRules is looked at for a Date; these are of each class.
func TestRFC9110Section6_6_1(t *testing.T) { testRules(t, dateRules) }

var dateRules = []rule{
	{must, "Date in a 2xx", get(), keeps("GET / ")},
	{must, "Date in a 204", request("/204"), to("GET", 204, "")},
	{must, "Date in a 3xx", request("/304"), to("GET", 304, "")},
	{must, "Date in a 4xx", request("/404"), to("GET", 404, "")},
	{must, "Date in a 400 before there is a request", "\x00", refuses(400, BadRequestLine)},
	{may, "Date in a 5xx", request("/panic"), to("GET", 500, "")},
	{must, "one Date, whatever a handler says", request("/forge"), keeps("GET /forge ")},
}

func TestRFC9110Section7_1(t *testing.T) { testRules(t, targetResourceRules) }

var targetResourceRules = []rule{
	{must, "the host of the target, or of Host", request("/host") + crlf("GET http://b/host HTTP/1.1", "Host: a"), keeps("b").after(keeps("a"))},
}

func TestRFC9110Section7_2(t *testing.T) { testRules(t, hostFieldRules) }

var hostFieldRules = []rule{
	{must, "host and port, as they are sent", crlf("GET /host HTTP/1.1", "Host: Example.ORG:8080"), keeps("Example.ORG:8080")},
	{must, "it need not be the first field", crlf("GET /host HTTP/1.1", "A: b", "Host: c"), keeps("c")},
	{must, "an IPv4 address", crlf("GET /host HTTP/1.1", "Host: 127.0.0.1:80"), keeps("127.0.0.1:80")},
	{ours, "no percent-encoding: no name of a host needs it", crlf("GET / HTTP/1.1", "Host: a%2eb"), refuses(400, BadHost)},
	{ours, "no zone of an IPv6 address", crlf("GET / HTTP/1.1", "Host: [fe80::1%25eth0]"), refuses(400, BadHost)},
	{ours, "no address of a later version", crlf("GET / HTTP/1.1", "Host: [v7.a]"), refuses(400, BadHost)},
}

func TestRFC9110Section7_4(t *testing.T) { testRules(t, misdirectedRules) }

var misdirectedRules = []rule{
	{must, "a request for https is refused on a connection without TLS", crlf("GET https://a/ HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{ours, "a name that is not served here is the handler's matter", crlf("GET /host HTTP/1.1", "Host: nobody.example"), keeps("nobody.example")},
}

func TestRFC9110Section7_6_1(t *testing.T) { testRules(t, connectionFieldRules) }

var connectionFieldRules = []rule{
	{must, "options have no case", get("Connection: CLOSE"), closes("GET / ")},
	{must, "options that aren't known are ignored", get("Connection: te, upgrade, x-mine"), keeps("GET / ")},
	{must, "options name no fields to be taken from the framing", post("hi", "Connection: content-length", "Content-Length: 2"), keeps("POST /p hi")},
	{must, "options name no fields to be taken from the request line", get("Connection: host"), keeps("GET / ")},
	{mustNot, "a handler can't set Connection", request("/forge"), keeps("GET /forge ", "!Connection")},
}

func TestRFC9110Section7_8(t *testing.T) { testRules(t, upgradeRules) }

var upgradeRules = []rule{
	{may, "Upgrade is ignored", get("Connection: Upgrade", "Upgrade: websocket"), keeps("GET / ", "!Upgrade")},
	{may, "Upgrade to h2c is ignored", get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"), keeps("GET / ", "!Upgrade")},
	{may, "Upgrade is ignored, and the content read", post("hi", "Connection: Upgrade", "Upgrade: x", "Content-Length: 2"), keeps("POST /p hi")},
	{must, "Upgrade in HTTP/1.0 is ignored", crlf("GET / HTTP/1.0", "Connection: Upgrade", "Upgrade: websocket"), closes("GET / ", "!Upgrade")},
}

func TestRFC9110Section8_6(t *testing.T) {
	testRules(t, contentLengthFieldRules)
	testBytes(t, []bytesCase{
		{mustNot, "no Content-Length in a 204", request("/204"), "HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n"},
		{may, "the one of GET in the answer to HEAD", crlf("HEAD /sized HTTP/1.1", "Host: a"), "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 13\r\n\r\n"},
		{mustNot, "none to HEAD where GET has none", crlf("HEAD /stream HTTP/1.1", "Host: a"), "HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{should, "one where the length is known", request("/x"), "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 7\r\n\r\nGET /x "},
		{must, "a wrong one of a handler is not sent", request("/forge"), "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 11\r\n\r\nGET /forge "},
	})
}

var contentLengthFieldRules = []rule{
	{must, "any value from zero up, as far as it is wanted", post(strings.Repeat("x", 1000), "Content-Length: 1000"), keeps("POST /p " + strings.Repeat("x", 1000))},
	{must, "no overflow: 2^63", post("", "Content-Length: 9223372036854775808"), refuses(413, BadBodyTooLarge)},
	{must, "no overflow: 2^64 and 5", post("hello", "Content-Length: 18446744073709551621"), refuses(413, BadBodyTooLarge)},
	{must, "a list is refused or taken for one value: refused", post("hello", "Content-Length: 5,5"), refuses(400, BadLength)},
	{must, "a list is refused or taken for one value: refused in HTTP/1.0", crlf("POST / HTTP/1.0", "Content-Length: 5, 5") + "hello", refuses(400, BadLength)},
}

func TestRFC9110Section9_1(t *testing.T) { testRules(t, methodsRules) }

var methodsRules = []rule{
	{must, "GET and HEAD are there", get() + crlf("HEAD / HTTP/1.1", "Host: a"), to("HEAD", 200, "").after(keeps("GET / "))},
	{must, "case-sensitive", crlf("Head /x HTTP/1.1", "Host: a"), to("Head", 200, "Head /x ")},
	{ours, "which ones are allowed is the handler's matter", crlf("PROPFIND /x HTTP/1.1", "Host: a"), to("PROPFIND", 200, "PROPFIND /x ")},
}

func TestRFC9110Section9_3_1(t *testing.T) { testRules(t, methodGetRules) }

var methodGetRules = []rule{
	{may, "content of GET has no meaning, but is framed", get("Content-Length: 2") + "hi" + get(), keeps("GET / ").after(keeps("GET / hi"))},
	{may, "content of GET in chunks", request("/", "Transfer-Encoding: chunked") + "2\r\nhi\r\n0\r\n\r\n", keeps("GET / hi")},
}

// The fields of an answer to HEAD are those of the answer to GET (SHOULD), and no
// content follows (MUST NOT).
func TestRFC9110Section9_3_2(t *testing.T) {
	testRules(t, methodHeadRules)
	s := serve(t, wireHandler)
	for _, path := range []string{"/host", "/204", "/205", "/304", "/404", "/panic", "/stream", "/sized", "/unread", "/split"} {
		withBody, without := wireBytes(s, request(path)), wireBytes(s, crlf("HEAD "+path+" HTTP/1.1", "Host: a"))
		if head, _, ok := strings.Cut(withBody, "\r\n\r\n"); !ok || head+"\r\n\r\n" != without {
			t.Errorf("%s: GET  %q\nHEAD %q", path, withBody, without)
		}
	}
}

var methodHeadRules = []rule{
	{mustNot, "no content behind an answer to HEAD", crlf("HEAD /sized HTTP/1.1", "Host: a") + get(), keeps("GET / ").after(to("HEAD", 200, ""))},
	{mustNot, "no content behind an error to HEAD", crlf("HEAD /404 HTTP/1.1", "Host: a") + get(), keeps("GET / ").after(to("HEAD", 404, ""))},
	{mustNot, "no content behind a refusal of HEAD", crlf("HEAD / HTTP/1.1", "Host: a b"), then{[]wireAnswer{{status: 400, method: "HEAD", reason: BadHost}}, true}},
	{may, "content of HEAD has no meaning, but is framed", crlf("HEAD / HTTP/1.1", "Host: a", "Content-Length: 2") + "hi" + get(), keeps("GET / ").after(to("HEAD", 200, ""))},
}

func TestRFC9110Section9_3_6(t *testing.T) { testRules(t, methodConnectRules) }

var methodConnectRules = []rule{
	{must, "a port is there", crlf("CONNECT a HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "an empty port is rejected", crlf("CONNECT a: HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "an invalid port is rejected: 0", crlf("CONNECT a:0 HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "an invalid port is rejected: 65536", crlf("CONNECT a:65536 HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "an invalid port is rejected: a name", crlf("CONNECT a:http HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "an invalid port is rejected: a sign", crlf("CONNECT a:+80 HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "an IPv6 address in brackets", crlf("CONNECT [::1]:1 HTTP/1.1", "Host: [::1]:1"), then{[]wireAnswer{{status: 403, method: "CONNECT"}}, true}},
	{must, "no content", crlf("CONNECT a:1 HTTP/1.1", "Host: a", "Content-Length: 3") + "abc", refuses(400, BadLength)},
	{must, "no content in chunks", crlf("CONNECT a:1 HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + "0\r\n\r\n", refuses(400, BadLength)},
	{may, "Content-Length: 0 says just that", crlf("CONNECT a:1 HTTP/1.1", "Host: a", "Content-Length: 0"), then{[]wireAnswer{{status: 403, method: "CONNECT"}}, true}},
}

func TestRFC9110Section9_3_7(t *testing.T) { testRules(t, methodOptionsRules) }

var methodOptionsRules = []rule{
	{must, "of the server: *", crlf("OPTIONS * HTTP/1.1", "Host: a"), to("OPTIONS", 200, "OPTIONS / ")},
	{must, "of a resource", crlf("OPTIONS /x HTTP/1.1", "Host: a"), to("OPTIONS", 200, "OPTIONS /x ")},
	{may, "with content", crlf("OPTIONS * HTTP/1.1", "Host: a", "Content-Length: 2") + "hi", to("OPTIONS", 200, "OPTIONS / hi")},
}

func TestRFC9110Section9_3_8(t *testing.T) { testRules(t, methodTraceRules) }

var methodTraceRules = []rule{
	{may, "TRACE is left to the handler", crlf("TRACE /x HTTP/1.1", "Host: a"), to("TRACE", 200, "TRACE /x ")},
	{ours, "content of TRACE, which no client may send, is framed", crlf("TRACE /x HTTP/1.1", "Host: a", "Content-Length: 2") + "hi" + get(),
		keeps("GET / ").after(to("TRACE", 200, "TRACE /x hi"))},
}
