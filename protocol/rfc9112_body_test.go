package protocol

import (
	"strings"
	"testing"
)

// RFC 9112, sections 6 to 8: where a body ends.

func TestRFC9112Section6_1(t *testing.T) {
	testRules(t, transferEncodingRules)
	testBytes(t, []bytesCase{
		{mustNot, "no Transfer-Encoding with 204", request("/204"), "HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n"},
		{may, "Transfer-Encoding in the answer to HEAD, as GET would have", crlf("HEAD /stream HTTP/1.1", "Host: a"),
			"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{mustNot, "no Transfer-Encoding to HTTP/1.0: the body ends with the connection", crlf("GET /stream HTTP/1.0", "Connection: keep-alive"),
			"HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\n\r\none two three"},
		{mustNot, "chunked is applied once, whatever a handler says", request("/forge", "Connection: close"),
			"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 11\r\nConnection: close\r\n\r\nGET /forge "},
	})
}

var transferEncodingRules = []rule{
	{must, "chunked is understood", chunkedPost("5\r\nhello\r\n0\r\n\r\n"), keeps("POST /p hello")},
	{must, "its name has no case", post("0\r\n\r\n", "Transfer-Encoding: ChunkeD"), keeps("POST /p ")},
	{must, "white space around it is not of it", post("0\r\n\r\n", "Transfer-Encoding: \t chunked\t"), keeps("POST /p ")},
	{mustNot, "chunked twice in a list", post("", "Transfer-Encoding: chunked, chunked"), refuses(400, BadTransferEncoding)},
	{mustNot, "chunked twice in two lines", post("", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), refuses(400, BadTransferEncoding)},
	{should, "501 for a coding that isn't understood, with chunked as the final one", post("", "Transfer-Encoding: gzip, chunked"), refuses(501, BadTransferEncoding)},
	{should, "501 for one that nobody knows, too", post("", "Transfer-Encoding: foo, chunked"), refuses(501, BadTransferEncoding)},
	{should, "501 for identity, which is none any more", post("", "Transfer-Encoding: identity, chunked"), refuses(501, BadTransferEncoding)},
	{may, "400 for Content-Length and Transfer-Encoding", post("0\r\n\r\n", "Content-Length: 5", "Transfer-Encoding: chunked"), refuses(400, BadLength)},
	{may, "400 for Transfer-Encoding and Content-Length", post("0\r\n\r\n", "Transfer-Encoding: chunked", "Content-Length: 5"), refuses(400, BadLength)},
	{may, "400 for both, with other fields between them", post("0\r\n\r\n", "Content-Length: 0", "X: y", "transfer-encoding: chunked"), refuses(400, BadLength)},
	{may, "400 for both, whatever the coding", post("hello", "Content-Length: 5", "Transfer-Encoding: identity"), refuses(400, BadLength)},
	{must, "400 for Transfer-Encoding in HTTP/1.0", crlf("POST / HTTP/1.0", "Transfer-Encoding: chunked") + "0\r\n\r\n", refuses(400, BadTransferEncoding)},
	{must, "400 for it in HTTP/1.0 with a Content-Length", crlf("POST / HTTP/1.0", "Transfer-Encoding: chunked", "Content-Length: 5") + "0\r\n\r\n", refuses(400, BadLength)},
}

func TestRFC9112Section6_2(t *testing.T) {
	testRules(t, contentLengthRules)
	testBytes(t, []bytesCase{
		{mustNot, "no Content-Length beside Transfer-Encoding", request("/stream", "Connection: close"),
			"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n000d\r\none two three\r\n0\r\n\r\n"},
		{should, "a length that is known is told", request("/sized", "Connection: close"),
			"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 13\r\nConnection: close\r\n\r\none two three"},
	})
}

var contentLengthRules = []rule{
	{must, "1*DIGIT", post("hello", "Content-Length: 5"), keeps("POST /p hello")},
	{must, "zero", post("", "Content-Length: 0"), keeps("POST /p ")},
	{must, "leading zeros are digits", post("hello", "Content-Length: 0005"), keeps("POST /p hello")},
	{must, "with any method", get("Content-Length: 2") + "hi", keeps("GET / hi")},
	{must, "with any method: HEAD", crlf("HEAD /x HTTP/1.1", "Host: a", "Content-Length: 2") + "hi", to("HEAD", 200, "")},
	{must, "in HTTP/1.0", crlf("POST /p HTTP/1.0", "Content-Length: 2", "Connection: keep-alive") + "hi", keeps("POST /p hi")},
	{must, "what follows is the next request", post("hello", "Content-Length: 5") + get(), keeps("GET / ").after(keeps("POST /p hello"))},
}

func TestRFC9112Section6_3(t *testing.T) {
	testRules(t, bodyLengthRules)
	testBytes(t, []bytesCase{
		{must, "HEAD: nothing behind the empty line", crlf("HEAD /sized HTTP/1.1", "Host: a") + crlf("HEAD /404 HTTP/1.0", "X: y"),
			"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 13\r\n\r\nHTTP/1.1 404 Not Found\r\nDate: now\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 325\r\nConnection: close\r\n\r\n"},
		{must, "304: nothing behind the empty line", request("/304"), "HTTP/1.1 304 Not Modified\r\nDate: now\r\n\r\n"},
		{should, "chunked for a body of unknown length", request("/stream"),
			"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n000d\r\none two three\r\n0\r\n\r\n"},
	})
}

var bodyLengthRules = []rule{
	{must, "400 when chunked is not the final coding", post("", "Transfer-Encoding: chunked, gzip"), refuses(400, BadTransferEncoding)},
	{must, "400 when chunked is not there: an unknown coding", post("", "Transfer-Encoding: foo"), refuses(400, BadTransferEncoding)},
	{must, "400 when chunked is not there: gzip", post("", "Transfer-Encoding: gzip"), refuses(400, BadTransferEncoding)},
	{must, "400 when chunked is not there: identity", post("", "Transfer-Encoding: identity"), refuses(400, BadTransferEncoding)},
	{must, "400 when chunked is not there: xchunked", post("0\r\n\r\n", "Transfer-Encoding: xchunked"), refuses(400, BadTransferEncoding)},
	{must, "400 when chunked is not there: quoted", post("0\r\n\r\n", "Transfer-Encoding: \"chunked\""), refuses(400, BadTransferEncoding)},
	{must, "400 when chunked is not there: an empty value", post("", "Transfer-Encoding:"), refuses(400, BadTransferEncoding)},
	{must, "400 when chunked is not final: by two lines", post("", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip"), refuses(400, BadTransferEncoding)},
	{ours, "400 for two lines even if chunked is final", post("", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked"), refuses(400, BadTransferEncoding)},
	{ours, "400 for empty list elements: before", post("0\r\n\r\n", "Transfer-Encoding: ,chunked"), refuses(400, BadTransferEncoding)},
	{ours, "400 for empty list elements: behind", post("0\r\n\r\n", "Transfer-Encoding: chunked,"), refuses(400, BadTransferEncoding)},
	{ours, "400 for white space that is none: VT", post("", "Transfer-Encoding: \vchunked"), refuses(400, BadField)},
	{ours, "400 for a token that only ends in chunked", post("", "Transfer-Encoding: x chunked"), refuses(400, BadTransferEncoding)},
	{must, "400 for an invalid Content-Length: a plus sign", post("hello", "Content-Length: +5"), refuses(400, BadLength)},
	{must, "400 for an invalid Content-Length: a minus sign", post("hello", "Content-Length: -5"), refuses(400, BadLength)},
	{must, "400 for an invalid Content-Length: minus zero", post("", "Content-Length: -0"), refuses(400, BadLength)},
	{must, "400 for an invalid Content-Length: hexadecimal", post("hello", "Content-Length: 0x5"), refuses(400, BadLength)},
	{must, "400 for an invalid Content-Length: an exponent", post("hello", "Content-Length: 5e0"), refuses(400, BadLength)},
	{must, "400 for an invalid Content-Length: a fraction", post("hello", "Content-Length: 5.0"), refuses(400, BadLength)},
	{must, "400 for an invalid Content-Length: a separator", post("hello", "Content-Length: 1_0"), refuses(400, BadLength)},
	{must, "400 for an invalid Content-Length: empty", post("", "Content-Length:"), refuses(400, BadLength)},
	{must, "400 for an invalid Content-Length: a space", post("hello", "Content-Length: 0 5"), refuses(400, BadLength)},
	{must, "400 for an invalid Content-Length: a quoted one", post("hello", "Content-Length: \"5\""), refuses(400, BadLength)},
	{must, "400 for an invalid Content-Length: other digits", post("hello", "Content-Length: \xd9\xa5"), refuses(400, BadLength)},
	{must, "400 for an invalid Content-Length: two lines that differ", post("hello", "Content-Length: 5", "Content-Length: 6"), refuses(400, BadLength)},
	{must, "400 for an invalid Content-Length: a list that differs", post("hello", "Content-Length: 5, 6"), refuses(400, BadLength)},
	{may, "400 for a list of the same (RFC 9110, section 8.6)", post("hello", "Content-Length: 5, 5"), refuses(400, BadLength)},
	{may, "400 for two lines of the same (RFC 9110, section 8.6)", post("hello", "Content-Length: 5", "Content-Length: 5"), refuses(400, BadLength)},
	{must, "no body without either field", request("/p"), keeps("GET /p ")},
	{must, "no body without either field, also for POST", post(get()), keeps("GET / ").after(keeps("POST /p "))},
	{ours, "413 for a length over the limit", post("", "Content-Length: 1001"), refuses(413, BadBodyTooLarge)},
	{must, "no overflow: a length over 64 bits", post("", "Content-Length: 18446744073709551621"), refuses(413, BadBodyTooLarge)},
	{must, "no overflow: a length far over 64 bits", post("", "Content-Length: "+strings.Repeat("9", 60)), refuses(413, BadBodyTooLarge)},
}

func TestRFC9112Section7_1(t *testing.T) { testRules(t, chunkedCodingRules) }

var chunkedCodingRules = []rule{
	{must, "chunks and the last chunk", chunkedPost("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), keeps("POST /p hello world")},
	{must, "sizes are hexadecimal, of either case", chunkedPost("A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n"), keeps("POST /p 01234567890123456789a")},
	{must, "sizes may begin with zeros, and the last be of many", chunkedPost("0001\r\nx\r\n000\r\n\r\n"), keeps("POST /p x")},
	{must, "CRLF in the data is data", chunkedPost("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"), keeps("POST /p \r\n0\r\n\r\n")},
	{must, "what follows is the next request", chunkedPost("0\r\n\r\n") + get(), keeps("GET / ").after(keeps("POST /p "))},
	{must, "bytes after the last chunk are no part of the body", chunkedPost("1\r\nx\r\n0\r\n\r\n") + "more\r\n\r\n", refuses(400, BadRequestLine).after(keeps("POST /p x"))},
	{must, "bytes after the last chunk are no part of the body: a chunk", chunkedPost("0\r\n\r\n") + "1\r\nx\r\n0\r\n\r\n", refuses(400, BadRequestLine).after(keeps("POST /p "))},
	{must, "bytes after the last chunk's size are no trailer section", chunkedPost("0\r\nmore\r\n\r\n"), refuses(400, BadField)},
	{must, "bytes after the last chunk's size are no trailer section: a request", chunkedPost("0\r\n" + get()), refuses(400, BadField)},
	{must, "no overflow: 2^63", chunkedPost("8000000000000000\r\n"), refuses(400, BadChunk)},
	{must, "no overflow: 2^64 and 1", chunkedPost("10000000000000001\r\nx\r\n"), refuses(400, BadChunk)},
	{must, "no overflow: 17 digits", chunkedPost("fffffffffffffffff\r\n"), refuses(400, BadChunk)},
	{must, "no overflow: a size without an end", chunkedPost(strings.Repeat("0", 100)), refuses(400, BadChunk)},
	{must, "1*HEXDIG: g", chunkedPost("g\r\n"), refuses(400, BadChunk)},
	{must, "1*HEXDIG: none", chunkedPost("\r\n"), refuses(400, BadChunk)},
	{must, "1*HEXDIG: none, with an extension", chunkedPost(";a\r\n"), refuses(400, BadChunk)},
	{must, "1*HEXDIG: a minus sign", chunkedPost("-1\r\n"), refuses(400, BadChunk)},
	{must, "1*HEXDIG: a plus sign", chunkedPost("+1\r\na\r\n"), refuses(400, BadChunk)},
	{must, "1*HEXDIG: 0x", chunkedPost("0x1\r\na\r\n"), refuses(400, BadChunk)},
	{must, "1*HEXDIG: a separator", chunkedPost("1_0\r\n"), refuses(400, BadChunk)},
	{must, "1*HEXDIG: a space before", chunkedPost(" 1\r\na\r\n"), refuses(400, BadChunk)},
	{must, "1*HEXDIG: a space behind", chunkedPost("1 \r\na\r\n"), refuses(400, BadChunk)},
	{must, "1*HEXDIG: a tab behind", chunkedPost("1\t\r\na\r\n"), refuses(400, BadChunk)},
	{must, "the size line ends with CRLF: LF", chunkedPost("1\na\r\n"), refuses(400, BadChunk)},
	{must, "the size line ends with CRLF: CR", chunkedPost("1\ra\r\n"), refuses(400, BadChunk)},
	{must, "the data is as long as the size says", chunkedPost("1\r\nab\r\n"), refuses(400, BadChunk)},
	{must, "the data is as long as the size says: the last", chunkedPost("3\r\nabcd\r\n0\r\n\r\n"), refuses(400, BadChunk)},
	{must, "the data ends with CRLF: LF", chunkedPost("1\r\na\n0\r\n\r\n"), refuses(400, BadChunk)},
	{must, "the data ends with CRLF: CR", chunkedPost("1\r\na\r0\r\n\r\n"), refuses(400, BadChunk)},
	{must, "the data ends with CRLF: nothing", chunkedPost("1\r\na0\r\n\r\n"), refuses(400, BadChunk)},
	{should, "parameters of chunked are an error", post("0\r\n\r\n", "Transfer-Encoding: chunked;q=1"), refuses(400, BadTransferEncoding)},
	{ours, "413 for a body over the limit", chunkedPost("3e9\r\n" + strings.Repeat("a", 1001) + "\r\n0\r\n\r\n"), refuses(413, BadBodyTooLarge)},
	{ours, "a body at the limit", chunkedPost("3e8\r\n" + strings.Repeat("a", 1000) + "\r\n0\r\n\r\n"), keeps("POST /p " + strings.Repeat("a", 1000))},
}

func TestRFC9112Section7_1_1(t *testing.T) { testRules(t, chunkExtensionsRules) }

var chunkExtensionsRules = []rule{
	{must, "unrecognized extensions are ignored", chunkedPost("1;a;b=c;d=\"e f\"\r\nx\r\n0;z\r\n\r\n"), keeps("POST /p x")},
	{must, "a quoted string hides nothing", chunkedPost("1;a=\"\r\nx\r\n0\r\n\r\n"), keeps("POST /p x")},
	{should, "their length is bounded: one", chunkedPost("1;" + strings.Repeat("x", maxChunkExtra+1)), refuses(400, BadChunk)},
	{should, "their length is bounded: all of a body", chunkedPost(strings.Repeat("1;"+strings.Repeat("x", 1030)+"\r\nx\r\n", 4)), refuses(400, BadChunk)},
	{ours, "no bare LF in one", chunkedPost("1;a\n\r\na\r\n"), refuses(400, BadChunk)},
	{ours, "no bare CR in one", chunkedPost("1;a\rb\r\na\r\n"), refuses(400, BadChunk)},
	{ours, "no NUL in one", chunkedPost("1;\x00\r\na\r\n"), refuses(400, BadChunk)},
	// RFC 9110, section 5.6.3, has a recipient remove bad white space. Not all
	// do, and what two of them read differently is how requests are smuggled.
	{against, "MUST remove white space before the semicolon", chunkedPost("1 ;a\r\nx\r\n0\r\n\r\n"), refuses(400, BadChunk)},
}

func TestRFC9112Section7_1_2(t *testing.T) { testRules(t, trailerSectionRules) }

var trailerSectionRules = []rule{
	{may, "trailer fields are discarded", chunkedPost("1\r\na\r\n0\r\nX: y\r\nZ: 1\r\n\r\n"), keeps("POST /p a")},
	{mustNot, "they are not merged into the header", crlf("POST /fields HTTP/1.1", "Transfer-Encoding: chunked", "Host: a") + "0\r\nX: y\r\n\r\n",
		keeps("Transfer-Encoding=chunked;Host=a;")},
	{mustNot, "nor do they frame anything", chunkedPost("0\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\nConnection: close\r\nHost: b\r\n\r\n"), keeps("POST /p ")},
	{must, "they are field lines: no colon", chunkedPost("0\r\nX\r\n\r\n"), refuses(400, BadField)},
	{must, "they are field lines: a space before the colon", chunkedPost("0\r\nX : y\r\n\r\n"), refuses(400, BadField)},
	{must, "they are field lines: obs-fold", chunkedPost("0\r\nX: y\r\n z\r\n\r\n"), refuses(400, BadField)},
	{must, "they are field lines: NUL", chunkedPost("0\r\nX: \x00\r\n\r\n"), refuses(400, BadField)},
	{must, "they are field lines: a bare LF", chunkedPost("0\r\nX: y\n\r\n"), refuses(400, BadChunk)},
	{must, "they are field lines: a bare CR", chunkedPost("0\r\nX: y\rZ: 1\r\n\r\n"), refuses(400, BadChunk)},
	{must, "the section ends with CRLF: LF", chunkedPost("0\r\n\n"), refuses(400, BadChunk)},
	{must, "the section ends with CRLF: CR", chunkedPost("0\r\n\rx"), refuses(400, BadChunk)},
	{ours, "431 for more than 8 KiB of them", chunkedPost("0\r\nX: " + strings.Repeat("y", maxTrailer)), refuses(431, BadHeadTooLarge)},
}

func TestRFC9112Section7_2(t *testing.T) { testRules(t, compressionCodingsRules) }

var compressionCodingsRules = []rule{
	{should, "compress isn't understood: 501", post("", "Transfer-Encoding: compress, chunked"), refuses(501, BadTransferEncoding)},
	{should, "deflate isn't understood: 501", post("", "Transfer-Encoding: deflate, chunked"), refuses(501, BadTransferEncoding)},
	{should, "parameters of these are an error", post("", "Transfer-Encoding: gzip;q=1, chunked"), refuses(400, BadTransferEncoding)},
}

func TestRFC9112Section7_4(t *testing.T) { testRules(t, codingNegotiationRules) }

var codingNegotiationRules = []rule{
	{may, "TE is ignored: no coding but chunked is ever applied", request("/stream", "TE: gzip, trailers;q=0.5", "Connection: TE"),
		keeps("one two three", "!Trailer")},
	{mustNot, "chunked in TE changes nothing", request("/sized", "TE: chunked", "Connection: TE"), keeps("one two three", "Content-Length: 13")},
}

// bytesCase is an answer to the byte, with "now" in the place of the date.
type bytesCase struct {
	level     level
	text      string
	raw, want string
}

func testBytes(t *testing.T, cases []bytesCase) {
	t.Helper()
	s := serve(t, wireHandler)
	for _, tt := range cases {
		t.Run(string(tt.level)+" "+tt.text, func(t *testing.T) {
			if got := wireBytes(&site{t: t, addr: s.addr}, tt.raw); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}
