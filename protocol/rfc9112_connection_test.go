package protocol

import (
	"io"
	"strings"
	"testing"
)

// RFC 9112, sections 9 and 11: the connection, and what others have made of all
// this.

func TestRFC9112Section9_2(t *testing.T) { testRules(t, associationRules) }

var associationRules = []rule{
	{must, "one final answer to each request, in order", request("/a") + request("/404") + request("/b"),
		keeps("GET /b ").after(keeps("GET /a "), to("GET", 404, ""))},
	{mustNot, "no answer without a request", get(), keeps("GET / ")},
}

func TestRFC9112Section9_3(t *testing.T) { testRules(t, persistenceRules) }

var persistenceRules = []rule{
	{should, "HTTP/1.1: the connection goes on", get(), keeps("GET / ", "!Connection")},
	{must, "close: it doesn't", get("Connection: close"), closes("GET / ")},
	{must, "close without regard to case, in a list", get("Connection: foo, Close"), closes("GET / ")},
	{must, "close in a list with empty elements", get("Connection: ,, close ,"), closes("GET / ")},
	{must, "close in the second of two lines", get("Connection: foo", "X: y", "Connection: close"), closes("GET / ")},
	{must, "close wins over keep-alive", get("Connection: keep-alive", "Connection: close"), closes("GET / ")},
	{must, "close wins over keep-alive, the other way", get("Connection: close, keep-alive"), closes("GET / ")},
	{must, "what only contains close is another option", get("Connection: closed, un-close"), keeps("GET / ")},
	{must, "HTTP/1.0: it doesn't", crlf("GET / HTTP/1.0", "X: y"), closes("GET / ")},
	{may, "HTTP/1.0 with keep-alive: it goes on, and says so", crlf("GET / HTTP/1.0", "Connection: Keep-Alive"), keeps("GET / ", "Connection: keep-alive")},
	{may, "HTTP/1.0 with keep-alive and close: it doesn't", crlf("GET / HTTP/1.0", "Connection: keep-alive, close"), closes("GET / ")},
	{must, "HTTP/1.0 with keep-alive: only where the end of the body can be told", crlf("GET /stream HTTP/1.0", "Connection: keep-alive"), closes("one two three")},
	{may, "HTTP/1.0 with keep-alive: a body of known length can", crlf("GET /sized HTTP/1.0", "Connection: keep-alive"), keeps("one two three", "Connection: keep-alive")},
	{ours, "Keep-Alive and Proxy-Connection are no Connection", crlf("GET / HTTP/1.0", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive"), closes("GET / ")},
	{must, "a body that nobody wanted is read", crlf("POST /unread HTTP/1.1", "Host: a", "Content-Length: 5") + "hello" + get(), keeps("GET / ").after(keeps("unread"))},
	{must, "chunks that nobody wanted are read", crlf("POST /unread HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n" + get(),
		keeps("GET / ").after(keeps("unread"))},
	{must, "a body that a refusal leaves is read", crlf("POST /404 HTTP/1.1", "Host: a", "Content-Length: 5") + "hello" + get(), keeps("GET / ").after(to("POST", 404, ""))},
	{ours, "an error of a handler doesn't end it", request("/panic"), to("GET", 500, "")},
}

func TestRFC9112Section9_3_2(t *testing.T) { testRules(t, pipeliningRules) }

var pipeliningRules = []rule{
	{must, "answers in the order of the requests", get() + post("hi", "Content-Length: 2") + chunkedPost("1\r\nx\r\n0\r\n\r\n") + crlf("HEAD / HTTP/1.1", "Host: a") + get(),
		keeps("GET / ").after(keeps("GET / "), keeps("POST /p hi"), keeps("POST /p x"), to("HEAD", 200, ""))},
	{must, "answers to what came before an error", get() + "GET /\r\n\r\n" + get(), refuses(400, BadRequestLine).after(keeps("GET / "))},
	{must, "answers to what came before close", get() + get("Connection: close"), closes("GET / ").after(keeps("GET / "))},
	{must, "answers of every kind of body", request("/stream") + request("/204") + request("/sized") + request("/304"),
		to("GET", 304, "").after(keeps("one two three"), to("GET", 204, ""), keeps("one two three"))},
}

func TestRFC9112Section9_6(t *testing.T) {
	testRules(t, tearDownRules)
	s := serve(t, wireHandler)
	halfClosed := []struct {
		level level
		text  string
		raw   string
		want  []int
	}{
		{must, "a client that has closed its half gets its answer", get(), []int{200}},
		{must, "and those to all it has sent", get() + chunkedPost("1\r\nx\r\n0\r\n\r\n") + request("/404"), []int{200, 200, 404}},
		{must, "and, for half a request behind these, a 400", get() + "GET / HT", []int{200, 400}},
		{must, "an empty line behind these is nothing", get() + "\r\n", []int{200}},
	}
	for _, tt := range halfClosed {
		t.Run(string(tt.level)+" "+tt.text, func(t *testing.T) {
			c := (&site{t: t, addr: s.addr}).dial()
			c.send(tt.raw)
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			for i, status := range tt.want {
				if r := c.answer("GET"); r.status != status || r.err != nil {
					t.Fatalf("answer %d: got %d, %v, want %d", i, r.status, r.err, status)
				}
			}
			c.closed()
		})
	}
	// Sent at once: who breaks the rule later may find the connection reset.
	for _, raw := range []string{get("Connection: close"), crlf("GET / HTTP/1.0", "X: y")} {
		t.Run("MUST NOT process a request behind the last", func(t *testing.T) {
			c := (&site{t: t, addr: s.addr}).dial()
			c.send(raw + request("/more"))
			if r := c.want(200, "GET / "); !r.close {
				t.Error("no Connection: close")
			}
			c.closed()
		})
	}
	// What a client has sent behind the last request must not cost it the answer:
	// the sending half is closed first, and the other read for a while.
	t.Run("MUST close in stages", func(t *testing.T) {
		c := s.dial()
		c.send(request("/unread", "Connection: close", "Content-Length: 1000"))
		c.want(200, "unread")
		c.closed()
		for range 10 { // the other half is still read
			c.send(strings.Repeat("x", 10_000))
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("MUST NOT lose the answer to a client that is still sending", func(t *testing.T) {
		c := s.dial()
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(c, crlf("POST /p HTTP/1.1", "Host: a", "Content-Length: 2000000")+strings.Repeat("x", 2_000_000))
			sent <- err
		}()
		c.want(413, "")
		c.closed()
		if err := <-sent; err != nil {
			t.Errorf("sending fails with %v", err)
		}
	})
}

var tearDownRules = []rule{
	{should, "the answer to close says close", get("Connection: close"), closes("GET / ")},
	{mustNot, "no request is processed behind an error that closes", "GET /\r\n\r\n" + get(), refuses(400, BadRequestLine)},
}

func TestRFC9112Section11_1(t *testing.T) { testRules(t, responseSplittingRules) }

var responseSplittingRules = []rule{
	{must, "a handler's value with CRLF is not sent", request("/split"), then{[]wireAnswer{{status: 500, fields: []string{"!Location"}}}, true}},
	{must, "a handler's value with LF is not sent", request("/split-lf"), then{[]wireAnswer{{status: 500, fields: []string{"!Location", "!Set-Cookie"}}}, true}},
	{must, "a handler's name with CRLF is not sent", request("/split-name"), then{[]wireAnswer{{status: 500, fields: []string{"!X", "!Set-Cookie"}}}, true}},
	{must, "a handler's framing fields are not sent", request("/forge"),
		keeps("GET /forge ", "Content-Length: 11", "!Transfer-Encoding", "!Connection")},
	{must, "CR and LF in a path stay in it", request("/a%0d%0aSet-Cookie:%20b"), keeps("GET /a\r\nSet-Cookie: b ", "!Set-Cookie")},
}

func TestRFC9112Section11_2(t *testing.T) { testRules(t, smugglingRules) }

// What follows the ambiguity looks like a request each time: it must not be
// answered as one.
var smugglingRules = []rule{
	{must, "CL.TE", post("0\r\n\r\n"+request("/smuggled"), "Content-Length: 5", "Transfer-Encoding: chunked"), refuses(400, BadLength)},
	{must, "TE.CL", post("3\r\nabc\r\n0\r\n\r\n"+request("/smuggled"), "Transfer-Encoding: chunked", "Content-Length: 3"), refuses(400, BadLength)},
	{must, "TE.TE by a second line", post("0\r\n\r\n"+request("/smuggled"), "Transfer-Encoding: chunked", "Transfer-Encoding: cow"), refuses(400, BadTransferEncoding)},
	{must, "TE.TE by VT", post("0\r\n\r\n"+request("/smuggled"), "Transfer-Encoding:\vchunked"), refuses(400, BadField)},
	{must, "TE.TE by a tab before the colon", post("0\r\n\r\n"+request("/smuggled"), "Transfer-Encoding\t: chunked"), refuses(400, BadField)},
	{must, "TE.TE by a line that begins with a space", post("0\r\n\r\n"+request("/smuggled"), "X: y", " Transfer-Encoding: chunked"), refuses(400, BadField)},
	{must, "TE.TE by LF before the field", post("0\r\n\r\n"+request("/smuggled"), "X: y\nTransfer-Encoding: chunked"), refuses(400, BadField)},
	{must, "TE.TE by a letter that only looks like one", post("0\r\n\r\n"+request("/smuggled"), "Transfer-Encoding: chun\u212aed"), refuses(400, BadTransferEncoding)},
	{must, "TE.0 by a name that only looks like it", post(request("/next"), "Transfer_Encoding: chunked"), keeps("GET /next ").after(keeps("POST /p "))},
	{must, "CL.CL", post("hello"+request("/smuggled"), "Content-Length: 5", "Content-Length: 0"), refuses(400, BadLength)},
	{must, "CL.0: a length counts with every method", request("/", "Content-Length: 35") + request("/smuggled"), keeps("GET / " + request("/smuggled"))},
	{must, "CL with a sign", post("hello"+request("/smuggled"), "Content-Length: +5"), refuses(400, BadLength)},
	{must, "a chunk's size over 64 bits", chunkedPost("100000000000000005\r\nhello\r\n0\r\n\r\n" + request("/smuggled")), refuses(400, BadChunk)},
	{must, "a chunk's extension with LF", chunkedPost("1;\n0\r\n\r\n" + request("/smuggled")), refuses(400, BadChunk)},
	{must, "a chunk's data behind its size", chunkedPost("1\r\nabc0\r\n\r\n" + request("/smuggled")), refuses(400, BadChunk)},
	{must, "a body that Expect announces is no request", post(request("/x")[:20], "Expect: tea", "Content-Length: 20"), refuses(417, BadExpect)},
	{must, "a body of CONNECT", crlf("CONNECT a:1 HTTP/1.1", "Host: a:1", "Content-Length: 50") + request("/smuggled"), refuses(400, BadLength)},
	{must, "a CONNECT that is refused: nothing behind it is a request", crlf("CONNECT a:1 HTTP/1.1", "Host: a:1") + request("/smuggled"),
		then{[]wireAnswer{{status: 403, method: "CONNECT"}}, true}},
}
