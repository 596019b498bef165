package protocol

import (
	"io"
	"strings"
	"testing"
	"time"
)

// quickFunc is a handler that has its answers at hand, but for some paths.
type quickFunc struct{ handlerFunc }

func (h quickFunc) ServeQuick(x *Exchange) (bool, error) {
	switch x.Req.Path {
	case "/stream", "/sized", "/file", "/later":
		return false, nil
	}
	return true, h.handlerFunc(x)
}

// quick makes a service's handler one that has its answers at hand.
func quick(v *Service) {
	v.Handler = quickFunc{v.Handler.(handlerFunc)}
	if k, ok := v.Observer.(*checker); ok {
		k.quick = true
	}
}

// What is at hand is reported without Begin and leaves the connection's state;
// what is not takes the usual way, on the same connection.
func TestQuick(t *testing.T) {
	s := serve(t, wireHandler, quick)
	c := s.dial()
	for range 3 {
		c.send(request("/a") + request("/404") + request("/later") + request("/b"))
		c.want(200, "GET /a ")
		c.want(404, "")
		c.want(200, "GET /later ")
		c.want(200, "GET /b ")
	}
	c.send(post("body", "Content-Length: 4"))
	c.want(200, "POST /p body")
	c.send(request("/panic"))
	c.want(500, "")
	for _, o := range s.obs.outcomes(t, 14) {
		if o.target == "/b" { // it came together with /later, and goes the same way
			continue
		}
		if begun := o.target == "/later" || o.method == "POST"; o.begun != begun {
			t.Errorf("%s %s: begun %t", o.method, o.target, o.begun)
		}
	}
	s.stop()
	c.closed()
	s.ended()
}

// A client that closes its sending half right behind its requests is answered and
// sees the end soon, wherever that falls: it need not wait for the idle timeout.
func TestQuickSeesTheEnd(t *testing.T) {
	for _, before := range []int{0, 1, 3} {
		s := serve(t, wireHandler, quick, func(v *Service) { v.Timeouts.Idle = 10 * patience })
		c := s.dial()
		for range before {
			c.send(request("/a"))
			c.want(200, "GET /a ")
		}
		c.send(request("/last"))
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.want(200, "GET /last ")
		began := time.Now()
		c.closed()
		if d := time.Since(began); before == 0 && d > sureTime {
			t.Errorf("the end behind the first request was seen after %v", d)
		}
		s.stop()
		s.ended()
	}
}

// A client that does not take its answer has it counted as in flight meanwhile,
// and is given up after the write timeout.
func TestQuickToSlowReader(t *testing.T) {
	large := strings.Repeat("x", 16<<20)
	s := serve(t, func(x *Exchange) error {
		x.Res.Body = Bytes([]byte(large))
		return nil
	}, quick, func(v *Service) { v.Timeouts.Write = patience / 10 })
	c := s.dial()
	c.send(request("/large"))
	s.obs.until(t, "the answer to be in flight", func() bool { return len(s.obs.begun) == 1 && s.obs.active == 1 })
	o := s.obs.outcomes(t, 1)[0]
	if o.err != errSlowReader || !o.begun {
		t.Errorf("the exchange ended with %v", o.err)
	}
	slow := s.dial()
	slow.send(request("/large"))
	if n, err := io.CopyN(io.Discard, slow.br, 16<<20); err != nil {
		t.Errorf("a client that reads got %d bytes, %v", n, err)
	}
	s.stop()
	s.ended()
}

// A waiting connection whose last answer was at hand is closed by a drain, and one
// that sends at that moment is served.
func TestQuickDrain(t *testing.T) {
	s := serve(t, wireHandler, quick)
	var clients []*client
	for range 50 {
		c := s.dial()
		for range 2 {
			c.send(request("/a"))
			c.want(200, "GET /a ")
		}
		clients = append(clients, c)
	}
	s.stop()
	for _, c := range clients {
		c.closed()
	}
	s.ended()
}

// An error that ends the connection does so for an answer at hand, too.
func TestQuickErrorCloses(t *testing.T) {
	s := serve(t, func(*Exchange) error { return &Error{Status: 400, Close: true} }, quick)
	c := s.dial()
	c.send(request("/a"))
	if r := c.want(400, ""); !r.close {
		t.Error("the answer lacks Connection: close")
	}
	c.closed()
	s.stop()
	s.ended()
}

// A deadline that is left from reading a head in pieces does not stand for the end
// of the wait for the next request but one.
func TestIdleAfterSlowHead(t *testing.T) {
	const idle, head = 300 * time.Millisecond, patience
	in := make(chan bool)
	s := serve(t, func(x *Exchange) error {
		if x.Req.Path == "/later" {
			in <- true // the head is read
			<-in       // and the next request is there
		}
		return nil
	}, quick, func(v *Service) { v.Timeouts.Idle, v.Timeouts.Header = idle, head })
	c := s.dial()
	raw := request("/later")
	c.send(raw[:len(raw)-2])
	s.obs.until(t, "the head is being read", func() bool { return s.obs.active == 1 })
	time.Sleep(30 * time.Millisecond) // and its rest is waited for
	c.send(raw[len(raw)-2:])
	<-in
	c.send(request("/a"))
	in <- true
	c.answer("GET")
	c.answer("GET")
	began := time.Now()
	c.closed()
	if d := time.Since(began); d > head/2 {
		t.Errorf("closed after %v, and not the %v of the idle timeout", d, idle)
	}
	s.stop()
	s.ended()
}
