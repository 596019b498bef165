package protocol

import (
	"strings"
	"testing"
)

// RFC 9110, sections 10 to 17: the context of a message, the statuses that the
// engine itself sends, and security.

// What waits for the answer 100 is in TestContinue: here nothing waits.
func TestRFC9110Section10_1_1(t *testing.T) { testRules(t, expectRules) }

var expectRules = []rule{
	{may, "417 for what isn't 100-continue", get("Expect: tea"), refuses(417, BadExpect)},
	{may, "417 for what isn't only 100-continue", post("hi", "Expect: 100-continue, tea", "Content-Length: 2"), refuses(417, BadExpect)},
	{may, "417 for a parameter", post("hi", "Expect: 100-continue;q=1", "Content-Length: 2"), refuses(417, BadExpect)},
	{must, "the framing counts first", post("hi", "Expect: tea", "Content-Length: 2", "Content-Length: 3"), refuses(400, BadLength)},
	{may, "no 100 where no content follows", get("Expect: 100-continue"), keeps("GET / ")},
	{may, "no 100 where Content-Length says so", post("", "Expect: 100-continue", "Content-Length: 0"), keeps("POST /p ")},
	{must, "100-continue of HTTP/1.0 is ignored", crlf("POST /p HTTP/1.0", "Expect: 100-continue", "Content-Length: 2") + "hi", closes("POST /p hi")},
	{must, "a final status instead of 100: the content isn't read, the connection closed", crlf("POST /unread HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Length: 9"), closes("unread")},
	{must, "a final status instead of 100: too long", post("", "Expect: 100-continue", "Content-Length: 1001"), refuses(413, BadBodyTooLarge)},
	{must, "the value has no case", crlf("POST /unread HTTP/1.1", "Host: a", "Expect: 100-CONTINUE", "Content-Length: 9"), closes("unread")},
}

func TestRFC9110Section10_1_4(t *testing.T) { testRules(t, teFieldRules) }

var teFieldRules = []rule{
	{may, "TE is passed on and changes nothing", request("/fields", "TE: trailers", "Connection: TE"), keeps("Host=a;TE=trailers;Connection=TE;", "!Trailer")},
}

func TestRFC9110Section10_2_4(t *testing.T) { testRules(t, serverFieldRules) }

var serverFieldRules = []rule{
	{may, "no Server, which would only help an attacker", get(), keeps("GET / ", "!Server")},
}

func TestRFC9110Section15_2(t *testing.T) {
	testRules(t, informationalRules)
	s := serve(t, func(x *Exchange) error {
		x.Res.Status = 101
		return nil
	})
	if got := wireBytes(s, get()); !strings.HasPrefix(got, "HTTP/1.1 500 ") {
		t.Errorf("a handler can't send a 1xx for its answer: got %.80q", got)
	}
}

var informationalRules = []rule{
	{mustNot, "no 1xx to HTTP/1.0", crlf("POST /p HTTP/1.0", "Expect: 100-continue", "Content-Length: 2") + "hi", closes("POST /p hi")},
	{must, "101 is never sent", get("Connection: Upgrade", "Upgrade: websocket"), keeps("GET / ")},
}

func TestRFC9110Section15_3_6(t *testing.T) {
	testBytes(t, []bytesCase{
		{mustNot, "no content in a 205, and it says so", request("/205"), "HTTP/1.1 205 Reset Content\r\nDate: now\r\nContent-Length: 0\r\n\r\n"},
	})
}

func TestRFC9110Section15_5(t *testing.T) { testRules(t, clientErrorsRules) }

// A row for each status of the client's errors that the engine sends. 408 is in
// the tests of timeouts; 405, 411 and the others of resources are the handler's.
var clientErrorsRules = []rule{
	{should, "15.5.1: 400 for what is malformed", get(": y"), refuses(400, BadField)},
	{should, "15.5.5: 404 of a handler, with a page", request("/404"), to("GET", 404, "", "Content-Type: text/html; charset=utf-8")},
	{may, "15.5.14: 413 for content over the limit, closed", post("", "Content-Length: 1001"), refuses(413, BadBodyTooLarge)},
	{may, "15.5.14: 413 for content over the limit, in chunks", chunkedPost("3e9\r\n" + strings.Repeat("a", 1001)), refuses(413, BadBodyTooLarge)},
	{must, "15.5.15: 414 for a target over the limit", crlf("GET /"+strings.Repeat("a", 100)+" HTTP/1.1", "Host: a"), refuses(414, BadURITooLong)},
	{may, "15.5.18: 417 for an expectation that isn't met", get("Expect: tea"), refuses(417, BadExpect)},
	{may, "RFC 6585, section 5: 431 for fields over the limit", get("X: " + strings.Repeat("y", 400)), refuses(431, BadHeadTooLarge)},
}

func TestRFC9110Section15_6(t *testing.T) { testRules(t, serverErrorsRules) }

var serverErrorsRules = []rule{
	{should, "15.6: a page with the status", request("/panic"), to("GET", 500, "", "Content-Type: text/html; charset=utf-8")},
	{must, "15.6.1: 500 for a handler that failed", request("/panic"), to("GET", 500, "")},
	{must, "15.6.2: 501 for a method longer than any", crlf(strings.Repeat("M", 33)+" / HTTP/1.1", "Host: a"), refuses(501, BadRequestLine)},
	{should, "15.6.2: 501 for a coding that isn't understood", post("", "Transfer-Encoding: gzip, chunked"), refuses(501, BadTransferEncoding)},
	{should, "15.6.6: 505 for a version that isn't served", crlf("GET / HTTP/2.0", "Host: a"), refuses(505, BadVersion)},
}

func TestRFC9110Section17_3(t *testing.T) { testRules(t, pathNamesRules) }

var pathNamesRules = []rule{
	{must, "no path leaves the root: two dots", request("/../etc/passwd"), refuses(400, BadTarget)},
	{must, "no path leaves the root: escaped", request("/%2e%2e/etc/passwd"), refuses(400, BadTarget)},
	{must, "no path leaves the root: half escaped", request("/.%2E/etc/passwd"), refuses(400, BadTarget)},
	{must, "no path leaves the root: by escaped slashes", request("/a%2f..%2f..%2fetc/passwd"), refuses(400, BadTarget)},
	{must, "no path leaves the root: on its way", request("/a/../../a/b"), refuses(400, BadTarget)},
	{must, "no path leaves the root: in an absolute-form", crlf("GET http://a/../etc/passwd HTTP/1.1", "Host: a"), refuses(400, BadTarget)},
	{must, "escaped twice is a name", request("/%252e%252e/a"), keeps("GET /%2e%2e/a ")},
	{must, "no backslash but an escaped one, which is a name", request("/..%5ca"), keeps("GET /..\\a ")},
	{must, "no NUL", request("/a%00.php"), refuses(400, BadTarget)},
	{must, "a query is no path", request("/query?/../../etc/passwd"), keeps("/../../etc/passwd")},
}

func TestRFC9110Section17_5(t *testing.T) { testRules(t, elementLengthsRules) }

var elementLengthsRules = []rule{
	{should, "lengths are bounded: a request line without an end", strings.Repeat("G", 300), refuses(414, BadURITooLong)},
	{should, "lengths are bounded: a field line without an end", "GET / HTTP/1.1\r\n" + strings.Repeat("X", 600), refuses(431, BadHeadTooLarge)},
	{should, "lengths are bounded: a chunk's size", chunkedPost(strings.Repeat("0", 20)), refuses(400, BadChunk)},
	{should, "lengths are bounded: a trailer section", chunkedPost("0\r\n" + strings.Repeat("X: y\r\n", maxTrailer/6+1)), refuses(431, BadHeadTooLarge)},
}
