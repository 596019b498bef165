package protocol

import (
	"errors"
	"strings"
	"testing"
)

func TestTruncated(t *testing.T) {
	s := serve(t, echo)
	for _, raw := range []string{"GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n", post("hel", "Content-Length: 5"), chunkedPost("5\r\nhe"), chunkedPost("0\r\n")} {
		c := s.dial()
		c.send(raw)
		c.CloseWrite()
		c.want(400, "")
		c.closed()
	}
	for _, o := range s.obs.outcomes(t, 5) {
		if e, ok := errors.AsType[*Error](o.err); !ok || e.Reason != BadTruncated {
			t.Errorf("%s %s: %v", o.method, o.target, o.err)
		}
	}
	for _, raw := range []string{"", "\r", "\r\n"} { // nobody to answer
		c := s.dial()
		c.send(raw)
		c.CloseWrite()
		c.closed()
	}
	if n := len(s.obs.outcomes(t, 5)); n != 5 {
		t.Errorf("%d exchanges, want 5", n)
	}
}

func TestMalformedAreReported(t *testing.T) {
	tests := []struct{ raw, reason, method, target string }{
		{"GET /x\r\n\r\n", BadRequestLine, "GET", "/x"},
		{crlf("GET /x HTTP/2.0"), BadVersion, "GET", "/x"},
		{crlf("GET /x HTTP/1.1", "A : b"), BadField, "GET", "/x"},
		{crlf("GET /x HTTP/1.1", "A: b"), BadHost, "GET", "/x"},
		{crlf("PUT /x HTTP/1.1", "Host: a", "Content-Length: x"), BadLength, "PUT", "/x"},
		{crlf("PUT /x HTTP/1.1", "Host: a", "Transfer-Encoding: x"), BadTransferEncoding, "PUT", "/x"},
		{crlf("PUT /x HTTP/1.1", "Host: a", "Expect: x"), BadExpect, "PUT", "/x"},
		{crlf("GET /"+strings.Repeat("x", 3000)+" HTTP/1.1", "Host: a"), BadURITooLong, "GET", "/" + strings.Repeat("x", maxSalvage-len("GET /"))},
		{crlf("GET /x HTTP/1.1", strings.Repeat("x", 500)), BadHeadTooLarge, "GET", "/x"},
		{crlf("GET /x HTTP/1.1", "Host: a", "Content-Length: 9999"), BadBodyTooLarge, "GET", "/x"},
		{crlf("GET /%zz HTTP/1.1", "Host: a"), BadTarget, "GET", "/%zz"},
	}
	for _, tt := range tests {
		s := serve(t, echo)
		c := s.dial()
		c.send(tt.raw)
		if r := c.answer("GET"); r.status < 400 {
			t.Errorf("%q: %d", tt.raw, r.status)
		}
		o := s.obs.outcomes(t, 1)[0]
		e, ok := errors.AsType[*Error](o.err)
		if !ok || e.Reason != tt.reason || o.method != tt.method || o.target != tt.target || o.begun {
			t.Errorf("%.60q: got %s %.60q, %+v", tt.raw, o.method, o.target, e)
		}
	}
}
