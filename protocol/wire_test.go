package protocol

import (
	"fmt"
	"strings"
	"testing"
)

// wireAnswer is an answer that a wire case expects; method is of the request,
// GET when left out.
type wireAnswer struct {
	status int
	body   string // compared below 400
	method string
}

type wireCase struct {
	name   string
	raw    string
	want   []wireAnswer
	closes bool
}

func ok(body string) []wireAnswer { return []wireAnswer{{200, body, ""}} }

// refused is a case that ends with an error and a closed connection.
func refused(name string, status int, raw string) wireCase {
	return wireCase{name, raw, []wireAnswer{{status, "", ""}}, true}
}

func get(lines ...string) string {
	return crlf(append([]string{"GET / HTTP/1.1", "Host: a"}, lines...)...)
}

func post(body string, lines ...string) string {
	return crlf(append([]string{"POST /p HTTP/1.1", "Host: a"}, lines...)...) + body
}

func chunkedPost(body string) string { return post(body, "Transfer-Encoding: chunked") }

var wireCases = []wireCase{
	// RFC 9112, section 2.
	{"plain", get(), ok("GET / "), false},
	{"leading empty line", "\r\n" + get(), ok("GET / "), false},
	refused("two empty lines", 400, "\r\n\r\n"+get()),
	refused("bare LF in request line", 400, "GET / HTTP/1.1\nHost: a\r\n\r\n"),
	refused("bare LF in fields", 400, "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
	refused("bare LF at the end", 400, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
	refused("leading bare LF", 400, "\n"+get()),
	refused("bare CR in request line", 400, "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"),
	refused("bare CR in a value", 400, get("X: a\rb")),
	refused("bare CR before CRLF", 400, get("X: a\r")),
	refused("NUL in a value", 400, get("X: a\x00b")),
	refused("NUL in the target", 400, crlf("GET /\x00 HTTP/1.1", "Host: a")),
	refused("NUL in a name", 400, get("X\x00: a")),
	refused("DEL in a value", 400, get("X: a\x7f")),
	{"bytes over 127 in a value", get("X: \xe4\xff"), ok("GET / "), false},
	// Section 3.
	refused("TLS", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
	refused("no version", 400, crlf("GET /", "Host: a")),
	refused("two spaces", 400, crlf("GET  / HTTP/1.1", "Host: a")),
	refused("tab", 400, crlf("GET\t/ HTTP/1.1", "Host: a")),
	refused("space at the end", 400, crlf("GET / HTTP/1.1 ", "Host: a")),
	refused("space in the target", 400, crlf("GET /a b HTTP/1.1", "Host: a")),
	refused("space before the method", 400, " "+get()),
	refused("method not a token", 400, crlf("G@T / HTTP/1.1", "Host: a")),
	refused("method too long", 501, crlf(strings.Repeat("M", 33)+" / HTTP/1.1", "Host: a")),
	{"method unknown to us", crlf("BREW /x HTTP/1.1", "Host: a"), []wireAnswer{{200, "BREW /x ", "BREW"}}, false},
	refused("HTTP/2 preface", 505, "PRI * HTTP/2.0\r\n\r\n"),
	refused("HTTP/3.0", 505, crlf("GET / HTTP/3.0", "Host: a")),
	refused("HTTP/1.2", 505, crlf("GET / HTTP/1.2", "Host: a")),
	refused("HTTP/0.9", 505, crlf("GET / HTTP/0.9", "Host: a")),
	refused("http/1.1", 400, crlf("GET / http/1.1", "Host: a")),
	refused("HTTP/1.10", 400, crlf("GET / HTTP/1.10", "Host: a")),
	refused("HTTP/11", 400, crlf("GET / HTTP/11", "Host: a")),
	refused("target not a path", 400, crlf("GET a HTTP/1.1", "Host: a")),
	refused("fragment", 400, crlf("GET /a#b HTTP/1.1", "Host: a")),
	refused("leaves the root", 400, crlf("GET /%2e%2e/etc/passwd HTTP/1.1", "Host: a")),
	refused("bad escape", 400, crlf("GET /%4 HTTP/1.1", "Host: a")),
	refused("NUL escaped", 400, crlf("GET /a%00.php HTTP/1.1", "Host: a")),
	refused("URI too long", 414, crlf("GET /"+strings.Repeat("a", 100)+" HTTP/1.1", "Host: a")),
	refused("URI much too long", 414, crlf("GET /"+strings.Repeat("a", 300)+" HTTP/1.1", "Host: a")),
	{"URI just not too long", crlf("GET /"+strings.Repeat("a", 99)+" HTTP/1.1", "Host: a"), ok("GET /" + strings.Repeat("a", 99) + " "), false},
	{"absolute-form", crlf("GET http://b:80/x?y HTTP/1.1", "Host: a"), ok("GET /x "), false},
	{"absolute-form without a path", crlf("GET http://b HTTP/1.1", "Host: b"), ok("GET / "), false},
	refused("absolute-form without Host", 400, crlf("GET http://b/ HTTP/1.1", "X: y")),
	refused("absolute-form with userinfo", 400, crlf("GET http://u@b/ HTTP/1.1", "Host: b")),
	refused("absolute-form of another scheme", 400, crlf("GET ftp://b/ HTTP/1.1", "Host: b")),
	{"OPTIONS *", crlf("OPTIONS * HTTP/1.1", "Host: a"), []wireAnswer{{200, "OPTIONS / ", "OPTIONS"}}, false},
	refused("GET *", 400, crlf("GET * HTTP/1.1", "Host: a")),
	refused("CONNECT to a path", 400, crlf("CONNECT / HTTP/1.1", "Host: a")),
	refused("CONNECT without a port", 400, crlf("CONNECT a HTTP/1.1", "Host: a")),
	refused("CONNECT with a body", 400, crlf("CONNECT a:1 HTTP/1.1", "Host: a", "Content-Length: 3")+"abc"),
	// Section 3.2.
	refused("no Host", 400, crlf("GET / HTTP/1.1", "X: y")),
	refused("two Hosts", 400, get("Host: a")),
	refused("empty Host", 400, crlf("GET / HTTP/1.1", "Host:")),
	refused("Host with a path", 400, crlf("GET / HTTP/1.1", "Host: a/b")),
	refused("Host list", 400, crlf("GET / HTTP/1.1", "Host: a, b")),
	refused("Host with userinfo", 400, crlf("GET / HTTP/1.1", "Host: u@a")),
	refused("Host with a bad port", 400, crlf("GET / HTTP/1.1", "Host: a:99999")),
	{"Host IPv6", crlf("GET / HTTP/1.1", "Host: [::1]:80"), ok("GET / "), false},
	refused("Host bad IPv6", 400, crlf("GET / HTTP/1.1", "Host: [:::1]")),
	// Section 5.
	refused("space before the colon", 400, get("X : y")),
	refused("space before the first name", 400, crlf("GET / HTTP/1.1", " Host: a")),
	refused("obs-fold", 400, get("X: y", " z")),
	refused("obs-fold with a tab", 400, get("X: y", "\tz")),
	refused("no colon", 400, get("X")),
	refused("empty name", 400, get(": y")),
	{"no space after the colon", get("X:y"), ok("GET / "), false},
	refused("head too large", 431, get("X: "+strings.Repeat("y", 400))),
	refused("head without an end", 431, "GET / HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("y", 600)),
	// Section 6.
	{"Content-Length", post("hello", "Content-Length: 5"), ok("POST /p hello"), false},
	{"Content-Length 0", post("", "Content-Length: 0"), ok("POST /p "), false},
	{"GET with a body", get("Content-Length: 2") + "hi", ok("GET / hi"), false},
	refused("Content-Length twice", 400, post("hello", "Content-Length: 5", "Content-Length: 5")),
	refused("Content-Length list", 400, post("hello", "Content-Length: 5, 5")),
	refused("Content-Length signed", 400, post("hello", "Content-Length: +5")),
	refused("Content-Length negative", 400, post("hello", "Content-Length: -5")),
	refused("Content-Length hexadecimal", 400, post("hello", "Content-Length: 0x5")),
	refused("Content-Length empty", 400, post("", "Content-Length:")),
	refused("Content-Length with a space", 400, post("hello", "Content-Length: 0 5")),
	refused("Content-Length too large", 413, post("", "Content-Length: 1001")),
	refused("Content-Length immense", 413, post("", "Content-Length: 99999999999999999999999")),
	refused("both lengths", 400, post("0\r\n\r\n", "Content-Length: 5", "Transfer-Encoding: chunked")),
	refused("both lengths, the other way", 400, post("0\r\n\r\n", "Transfer-Encoding: chunked", "Content-Length: 5")),
	refused("unknown coding", 501, post("", "Transfer-Encoding: foo")),
	refused("identity", 501, post("", "Transfer-Encoding: identity")),
	refused("gzip, chunked", 501, post("", "Transfer-Encoding: gzip, chunked")),
	refused("chunked, gzip", 400, post("", "Transfer-Encoding: chunked, gzip")),
	refused("chunked, chunked", 400, post("", "Transfer-Encoding: chunked, chunked")),
	refused("chunked in two fields", 400, post("", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
	refused("chunked with a parameter", 400, post("", "Transfer-Encoding: chunked;q=1")),
	refused("chunked with \\v", 400, post("", "Transfer-Encoding: \vchunked")),
	refused("empty coding", 400, post("", "Transfer-Encoding:")),
	refused("chunked in HTTP/1.0", 400, crlf("POST / HTTP/1.0", "Transfer-Encoding: chunked")+"0\r\n\r\n"),
	{"Chunked", post("0\r\n\r\n", "Transfer-Encoding: ChunkeD"), ok("POST /p "), false},
	// Section 7.1.
	{"chunked", chunkedPost("5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n"), ok("POST /p hello world"), false},
	{"trailers", chunkedPost("1\r\na\r\n0;x\r\nX: y\r\nZ: 1\r\n\r\n"), ok("POST /p a"), false},
	refused("chunk size not hexadecimal", 400, chunkedPost("g\r\n")),
	refused("chunk size empty", 400, chunkedPost("\r\n")),
	refused("chunk size signed", 400, chunkedPost("-1\r\n")),
	refused("chunk size 0x", 400, chunkedPost("0x1\r\na\r\n")),
	refused("chunk size too large", 400, chunkedPost("fffffffffffffffff\r\n")),
	refused("chunk size 2^63", 400, chunkedPost("8000000000000000\r\n")),
	refused("chunk size with a leading space", 400, chunkedPost(" 1\r\na\r\n")),
	refused("chunk size with a space behind", 400, chunkedPost("1 \r\na\r\n")),
	refused("chunk size ends with LF", 400, chunkedPost("1\na\r\n")),
	refused("chunk size ends with CR", 400, chunkedPost("1\ra\r\n")),
	refused("chunk longer than its size", 400, chunkedPost("1\r\nab\r\n")),
	refused("chunk ends with LF", 400, chunkedPost("1\r\na\n0\r\n\r\n")),
	refused("bare LF in an extension", 400, chunkedPost("1;a\n\r\na\r\n")),
	refused("bare LF in the trailers", 400, chunkedPost("0\r\nX: y\n\r\n")),
	refused("trailer not a field", 400, chunkedPost("0\r\nX\r\n\r\n")),
	refused("chunked body too large", 413, chunkedPost("3e9\r\n"+strings.Repeat("a", 1001)+"\r\n0\r\n\r\n")),
	{"chunked body just not too large", chunkedPost("3e8\r\n" + strings.Repeat("a", 1000) + "\r\n0\r\n\r\n"), ok("POST /p " + strings.Repeat("a", 1000)), false},
	// Section 9.
	{"pipeline", get() + post("hi", "Content-Length: 2") + chunkedPost("1\r\nx\r\n0\r\n\r\n") + crlf("HEAD / HTTP/1.1", "Host: a") + get(), []wireAnswer{
		{200, "GET / ", ""}, {200, "POST /p hi", ""}, {200, "POST /p x", ""}, {200, "", "HEAD"}, {200, "GET / ", ""},
	}, false},
	{"pipeline with an error", get() + "GET /\r\n\r\n" + get(), []wireAnswer{{200, "GET / ", ""}, {400, "", ""}}, true},
	{"close", get("Connection: close"), ok("GET / "), true},
	{"Close in a list", get("Connection: foo, Close"), ok("GET / "), true},
	{"close wins", get("Connection: keep-alive", "Connection: close"), ok("GET / "), true},
	{"HTTP/1.0", crlf("GET / HTTP/1.0", "X: y"), ok("GET / "), true},
	{"HTTP/1.0 keep-alive", crlf("GET / HTTP/1.0", "Connection: Keep-Alive"), ok("GET / "), false},
	{"HTTP/1.0 with a body", crlf("POST /p HTTP/1.0", "Content-Length: 2", "Connection: keep-alive") + "hi", ok("POST /p hi"), false},
	// Answers.
	{"HEAD", crlf("HEAD /x HTTP/1.1", "Host: a"), []wireAnswer{{200, "", "HEAD"}}, false},
	{"HEAD of an error", crlf("HEAD /404 HTTP/1.1", "Host: a"), []wireAnswer{{404, "", "HEAD"}}, false},
	{"204", crlf("GET /204 HTTP/1.1", "Host: a"), []wireAnswer{{204, "", ""}}, false},
	{"304", crlf("GET /304 HTTP/1.1", "Host: a"), []wireAnswer{{304, "", ""}}, false},
	{"205", crlf("GET /205 HTTP/1.1", "Host: a"), []wireAnswer{{205, "", ""}}, false},
	{"404", crlf("GET /404 HTTP/1.1", "Host: a"), []wireAnswer{{404, "", ""}}, false},
	{"stream", crlf("GET /stream HTTP/1.1", "Host: a"), ok("one two three"), false},
	{"stream to HTTP/1.0", crlf("GET /stream HTTP/1.0", "Connection: keep-alive"), ok("one two three"), true},
	{"HEAD of a stream", crlf("HEAD /stream HTTP/1.1", "Host: a"), []wireAnswer{{200, "", "HEAD"}}, false},
	{"stream of known length", crlf("GET /sized HTTP/1.1", "Host: a"), ok("one two three"), false},
	{"unread body", crlf("POST /unread HTTP/1.1", "Host: a", "Content-Length: 5") + "hello", ok("unread"), false},
	{"unread chunks", crlf("POST /unread HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n", ok("unread"), false},
	{"panic", crlf("GET /panic HTTP/1.1", "Host: a"), []wireAnswer{{500, "", ""}}, false},
	// RFC 9110, section 10.1.1.
	refused("unknown expectation", 417, get("Expect: tea")),
	{"100-continue without a body", get("Expect: 100-continue"), ok("GET / "), false},
	{"100-continue of HTTP/1.0", crlf("POST /p HTTP/1.0", "Expect: 100-continue", "Content-Length: 2") + "hi", ok("POST /p hi"), true},
}

func wireHandler(x *Exchange) error {
	switch x.Req.Path {
	case "/204", "/304", "/205":
		fmt.Sscanf(x.Req.Path, "/%d", &x.Res.Status)
		x.Res.Body = Bytes([]byte("dropped"))
		return nil
	case "/404":
		return Failf(404, "not there")
	case "/panic":
		panic("oh")
	case "/unread":
		x.Res.Body = Bytes([]byte("unread"))
		return nil
	case "/stream":
		x.Res.Body = Stream(&stream{Reader: strings.NewReader("one two three")}, -1)
		return nil
	case "/sized":
		x.Res.Body = Stream(&stream{Reader: strings.NewReader("one two three")}, 13)
		return nil
	}
	return echo(x)
}

func TestWire(t *testing.T) {
	s := serve(t, wireHandler)
	for _, tt := range wireCases {
		t.Run(tt.name, func(t *testing.T) {
			s := &site{t: t, addr: s.addr}
			t.Run("whole", func(t *testing.T) {
				c := s.dial()
				c.send(tt.raw)
				tt.check(c)
			})
			t.Run("bytes", func(t *testing.T) {
				c := s.dial()
				for i := range len(tt.raw) {
					if _, err := c.Write([]byte(tt.raw[i : i+1])); err != nil {
						t.Fatal(err) // the server reads on after an early answer
					}
				}
				tt.check(c)
			})
			t.Run("splits", func(t *testing.T) {
				if tt.closes {
					tt.splitClosing(s)
				} else {
					tt.splitKeeping(s)
				}
			})
		})
	}
}

// answers reads what is expected.
func (tt *wireCase) answers(c *client) {
	c.t.Helper()
	for i, w := range tt.want {
		method := w.method
		if method == "" {
			method = "GET"
		}
		r := c.answer(method)
		if r.status != w.status || r.err != nil || w.status < 400 && r.body != w.body {
			c.t.Fatalf("answer %d: got %d %.80q (%v), want %d %.80q", i, r.status, r.body, r.err, w.status, w.body)
		}
		if r.header.Get("Date") == "" {
			c.t.Errorf("answer %d has no Date", i)
		}
		if last := i == len(tt.want)-1; r.close != (last && tt.closes) {
			c.t.Errorf("answer %d says close %t", i, r.close)
		}
	}
}

func (tt *wireCase) check(c *client) {
	c.t.Helper()
	tt.answers(c)
	if tt.closes {
		c.closed()
	} else {
		c.open()
	}
	c.Close()
}

// splitKeeping sends the case as often as it is long on one connection, cut
// into pieces one byte longer than the case: each cut falls on another offset.
// The next piece is sent when the request that the last one completed has been
// answered, so the server has read the beginning of the next.
func (tt *wireCase) splitKeeping(s *site) {
	c := s.dial()
	n := len(tt.raw)
	sent := 0
	all := strings.Repeat(tt.raw, n)
	for i := range n {
		to := min((i+1)*n+i+1, len(all))
		c.send(all[sent:to])
		sent = to
		tt.answers(c)
	}
	c.open()
	c.Close()
}

// splitClosing takes a connection for each offset. A request before the case,
// in one packet with its first part, tells when that part has been read.
func (tt *wireCase) splitClosing(s *site) {
	const sync = "GET /open HTTP/1.1\r\nHost: a\r\n\r\n"
	for i := 1; i < len(tt.raw); i++ {
		c := s.dial()
		c.send(sync + tt.raw[:i])
		c.want(200, "GET /open ")
		if _, err := c.Write([]byte(tt.raw[i:])); err != nil {
			s.t.Fatalf("split at %d: %v", i, err)
		}
		tt.check(c)
	}
}
