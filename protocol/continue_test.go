package protocol

import (
	"io"
	"strings"
	"testing"
)

func TestContinue(t *testing.T) {
	s := serve(t, wireHandler)
	head := crlf("POST /p HTTP/1.1", "Host: a", "Content-Length: 5", "Expect: 100-Continue")
	t.Run("read", func(t *testing.T) {
		c := s.dial()
		c.send(head)
		if r := c.answer("POST"); r.status != 100 {
			t.Fatalf("got %d", r.status)
		}
		c.send("hello")
		c.want(200, "POST /p hello")
		c.open()
	})
	t.Run("chunked", func(t *testing.T) {
		c := s.dial()
		c.send(strings.Replace(head, "Content-Length: 5", "Transfer-Encoding: chunked", 1))
		if r := c.answer("POST"); r.status != 100 {
			t.Fatalf("got %d", r.status)
		}
		c.send("5\r\nhello\r\n0\r\n\r\n")
		c.want(200, "POST /p hello")
		c.open()
	})
	t.Run("early body", func(t *testing.T) {
		c := s.dial()
		c.send(head + "hello")
		c.want(200, "POST /p hello")
		c.open()
	})
	t.Run("body early in part", func(t *testing.T) {
		c := s.dial()
		c.send(head + "he")
		if r := c.answer("POST"); r.status != 100 {
			t.Fatalf("got %d", r.status)
		}
		c.send("llo")
		c.want(200, "POST /p hello")
		c.open()
	})
	t.Run("not read", func(t *testing.T) {
		c := s.dial()
		c.send(strings.Replace(head, "/p", "/unread", 1))
		if r := c.want(200, "unread"); !r.close {
			t.Error("no Connection: close")
		}
		c.closed()
	})
	t.Run("too large", func(t *testing.T) {
		c := s.dial()
		c.send(strings.Replace(head, ": 5", ": 5000", 1))
		c.want(413, "")
		c.closed()
	})
}

// A body that is first read when the head has gone out gets no 100 Continue in
// the middle of the answer.
func TestNoContinueBehindHead(t *testing.T) {
	s := serve(t, func(x *Exchange) error {
		body := x.Req.Body
		x.Res.Body = Stream(&stream{Reader: io.MultiReader(strings.NewReader("first,"), body)}, -1)
		return nil
	})
	c := s.dial()
	c.send(crlf("POST / HTTP/1.1", "Host: a", "Content-Length: 4", "Expect: 100-continue"))
	res := c.head("POST")
	if _, err := io.ReadFull(res.Body, make([]byte, 6)); err != nil || res.StatusCode != 200 {
		t.Fatal(res.StatusCode, err)
	}
	c.send("rest")
	if rest, err := io.ReadAll(res.Body); string(rest) != "rest" || err != nil {
		t.Errorf("got %q, %v", rest, err)
	}
	c.closed()
	if done := s.obs.outcomes(t, 1)[0]; done.sent != 10 || done.received != 4 {
		t.Errorf("sent %d, received %d", done.sent, done.received)
	}
}
