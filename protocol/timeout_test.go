package protocol

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const short = 60 * time.Millisecond

// took checks that what began then ended after at least least.
func took(t *testing.T, began time.Time, least time.Duration) {
	t.Helper()
	if d := time.Since(began); d < least {
		t.Errorf("ended after %v, before %v", d, least)
	}
}

func TestHeaderTimeout(t *testing.T) {
	s := serve(t, echo, func(v *Service) { v.Timeouts.Header = short })
	began := time.Now()
	silent := s.dial()
	silent.closed()
	took(t, began, short)
	for _, raw := range []string{"G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"} {
		n := len(s.obs.outcomes(t, 0))
		began := time.Now()
		c := s.dial()
		c.send(raw)
		c.want(408, "")
		took(t, began, short)
		c.closed()
		c.Close()
		e, ok := errors.AsType[*Error](s.obs.outcomes(t, n+1)[n].err)
		if !ok || e.Reason != BadTimeout {
			t.Errorf("%q: %v", raw, e)
		}
	}
	blank := s.dial() // an empty line behind a body, which old clients send
	blank.send("\r\n")
	blank.closed()
	if n := len(s.obs.outcomes(t, 3)); n != 3 {
		t.Errorf("%d exchanges", n)
	}
}

// trickle sends raw in pieces until it is done or the connection fails. The
// channel it returns is closed then.
func trickle(w io.Writer, raw string, piece int, pause time.Duration) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for raw != "" {
			n := min(piece, len(raw))
			if _, err := io.WriteString(w, raw[:n]); err != nil {
				return
			}
			raw = raw[n:]
			time.Sleep(pause)
		}
	}()
	return done
}

// A head that trickles doesn't hold its deadline off: it would take 30 periods.
func TestTricklingHead(t *testing.T) {
	s := serve(t, echo, func(v *Service) { v.Timeouts.Header = short })
	c := s.dial()
	done := trickle(c, "GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 300), 1, short/10)
	c.want(408, "")
	c.Close()
	<-done
}

func TestBodyTimeout(t *testing.T) {
	for _, raw := range []string{
		post("hello", "Content-Length: 500"),
		chunkedPost("5\r\nhel"),
		chunkedPost("5\r\nhello\r"),
	} {
		s := serve(t, echo, func(v *Service) { v.Timeouts.Body = short })
		began := time.Now()
		c := s.dial()
		c.send(raw)
		c.want(408, "")
		took(t, began, short)
		c.closed()
		if e, ok := errors.AsType[*Error](s.obs.outcomes(t, 1)[0].err); !ok || e.Reason != BadTimeout {
			t.Errorf("%v", e)
		}
	}
}

// The time that counts is the time we wait: less than a window's worth in it is
// too slow, however the bytes are spread and however long the handler takes
// between two reads.
func TestTricklingBody(t *testing.T) {
	s := serve(t, func(x *Exchange) error {
		p := make([]byte, 10)
		for {
			if _, err := x.Req.Body.Read(p); err != nil {
				return err
			}
			time.Sleep(short / 5)
		}
	}, func(v *Service) { v.Timeouts.Body = short; v.Limits.MaxBody = 1 << 20 })
	c := s.dial()
	done := trickle(c, post(strings.Repeat("x", 500), "Content-Length: 500"), 5, short/3)
	c.want(408, "")
	c.Close()
	<-done
}

func TestSlowHonestBody(t *testing.T) {
	const period = 400 * time.Millisecond
	s := serve(t, echo, func(v *Service) { v.Timeouts.Body = period; v.Limits.MaxBody = 1 << 20 })
	body := strings.Repeat("0123456789abcdef", 8*window/16)
	c := s.dial()
	began := time.Now()
	done := trickle(c, post(body, "Content-Length: 131072"), window, period/4)
	c.want(200, "POST /p "+body)
	took(t, began, period)
	c.open()
	<-done
}

// A handler may take longer than the timeout between two reads.
func TestSlowHandler(t *testing.T) {
	s := serve(t, func(x *Exchange) error {
		p := make([]byte, 4)
		if _, err := io.ReadFull(x.Req.Body, p); err != nil {
			return err
		}
		time.Sleep(2 * short)
		return echo(x)
	}, func(v *Service) { v.Timeouts.Body = short })
	c := s.dial()
	c.send(post("12345678", "Content-Length: 8"))
	c.want(200, "POST /p 5678")
}

func TestIdleTimeout(t *testing.T) {
	s := serve(t, echo, func(v *Service) { v.Timeouts.Idle = short })
	c := s.dial()
	c.open()
	began := time.Now()
	c.closed()
	took(t, began, short/2)
	if n := len(s.obs.outcomes(t, 1)); n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

// Deadlines of one wait do not strike in the next: each request comes after the
// idle deadline of the wait before the last.
func TestStaleDeadlines(t *testing.T) {
	const idle = 300 * time.Millisecond
	s := serve(t, echo, func(v *Service) { v.Timeouts.Idle = idle })
	c := s.dial()
	for range 6 {
		c.open()
		time.Sleep(idle / 3)
	}
	head := request("/open")
	c.send(head[:10])
	time.Sleep(2 * idle) // the head has its own time
	c.send(head[10:])
	c.want(200, "GET /open ")
}

func TestSlowReader(t *testing.T) {
	large := pattern(32 << 20)
	name := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(name, large, 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(resident bool) Content {
		f, err := os.Open(name)
		if err != nil {
			t.Error(err)
		}
		c := File(f, 0, int64(len(large)))
		c.Resident = resident
		return c
	}
	bodies := map[string]func() Content{
		"bytes":          func() Content { return Bytes(large) },
		"file":           func() Content { return file(false) },
		"file in memory": func() Content { return file(true) },
		"stream":         func() Content { return Stream(&stream{Reader: bytes.NewReader(large)}, -1) },
	}
	for kind, body := range bodies {
		t.Run(kind, func(t *testing.T) {
			s := serve(t, func(x *Exchange) error {
				x.Res.Body = body()
				return nil
			}, func(v *Service) { v.Timeouts.Write = short })
			c := s.dial()
			began := time.Now()
			c.send(request("/"))
			o := s.obs.outcomes(t, 1)[0]
			took(t, began, short)
			if !errors.Is(o.err, errSlowReader) || o.sent <= 0 || o.sent >= int64(len(large)) {
				t.Errorf("sent %d, %v", o.sent, o.err)
			}
			if r := c.answer("GET"); r.err == nil {
				t.Error("the answer looks complete")
			}
		})
	}
}

// A client that reads slowly but steadily is served, although the kernel lets
// us write only each time it has read a good part of a large send buffer.
func TestSlowHonestReader(t *testing.T) {
	const limit = 300 * time.Millisecond
	large := pattern(5 << 20)
	s := serve(t, func(x *Exchange) error {
		x.Res.Body = Bytes(large)
		return nil
	}, func(v *Service) { v.Timeouts.Write = limit })
	c := s.dial()
	c.SetReadBuffer(64 << 10)
	c.send(request("/"))
	res := c.head("GET")
	got := make([]byte, 0, len(large))
	for len(got) < len(large) {
		n, err := io.ReadFull(res.Body, got[len(got):min(len(got)+128<<10, len(large))])
		got = got[:len(got)+n]
		if err != nil {
			t.Fatalf("cut off after %d bytes: %v", len(got), err)
		}
		time.Sleep(limit / 6)
	}
	if !bytes.Equal(got, large) {
		t.Error("other bytes")
	}
}

// A drain that wakes a connection leaves no trace in the next read: the head
// that began to arrive still has its deadline.
func TestHeaderTimeoutInDrain(t *testing.T) {
	s := serve(t, echo, func(v *Service) { v.Timeouts.Header = short; v.Timeouts.Idle = short / 2 })
	c := s.dial()
	c.send("GET / HT")
	s.obs.until(t, "the request", func() bool { return s.obs.active == 1 })
	s.stop()
	c.want(408, "")
	c.closed()
	c.Close()
	s.ended()
}
