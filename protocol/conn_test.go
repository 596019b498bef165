package protocol

import (
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// byHand returns a connection of a server that doesn't run, for the test to run,
// and its far end.
func byHand(t *testing.T, svc *Service) (c *conn, far net.Conn) {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	srv := NewServer(ln, svc, slog.New(slog.DiscardHandler))
	t.Cleanup(srv.Close)
	if far, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	tcp, err := ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close() })
	if c, err = newConn(srv, tcp); err != nil {
		t.Fatal(err)
	}
	return c, far
}

// A drain ends a wait, whichever of the two sets its deadline last.
func TestDrainEndsWait(t *testing.T) {
	c, _ := byHand(t, newService(echo))
	c.idle.Store(true)
	c.fresh.Store(false)
	c.srv.lastCall = longAgo
	c.srv.draining.Store(true)
	began := time.Now()
	c.sure = began.Add(patience)
	if err := c.wait(c.tryAwait, began.Add(patience)); c.ioN != 0 || err != errDraining {
		t.Errorf("%d, %v", c.ioN, err)
	}
	if d := time.Since(began); d > patience/2 {
		t.Errorf("waited %v", d)
	}
}

// What a drain does to the deadlines has no part in the read that follows: a
// head that had begun to arrive has its own time.
func TestDrainLeavesNoDeadline(t *testing.T) {
	c, far := byHand(t, newService(echo))
	if _, err := io.WriteString(far, "G"); err != nil {
		t.Fatal(err)
	}
	c.armed = time.Now().Add(short / 2) // as if it had waited
	c.tcp.SetReadDeadline(longAgo)      // as drain does
	c.idle.Store(true)
	c.fresh.Store(false)
	c.srv.lastCall = longAgo
	c.srv.draining.Store(true)
	if err := c.wait(c.tryAwait, time.Now().Add(short)); c.ioN != 1 || err != nil {
		t.Fatalf("%d, %v", c.ioN, err)
	}
	c.idle.Store(false)
	hang := time.AfterFunc(patience, func() { c.tcp.Close() })
	defer hang.Stop()
	if n, err := c.read(c.buf, time.Now().Add(short)); n != 0 || err != errTimeout {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := c.read(c.buf, time.Now().Add(short)); n != 0 || err != errTimeout { // nor has one that struck
		t.Errorf("%d, %v", n, err)
	}
}

// A request that takes a service into use after Retire has looked for the
// connections to cut off ends by itself, before its handler is called.
func TestCutOffBehindRetire(t *testing.T) {
	called := false
	svc := newService(func(x *Exchange) error { called = true; return echo(x) })
	c, far := byHand(t, svc)
	if _, err := io.WriteString(far, request("/")); err != nil {
		t.Fatal(err)
	}
	c.observe(svc, ConnIdle)
	svc.cancel()
	if !c.await() || c.next() || called {
		t.Errorf("the request went on; handler called: %t", called)
	}
	c.end()
	svc.Observer.(*checker).ended(t)
}

// TestIdleHoldsNothing looks at what a connection holds while it waits, after
// exchanges of each kind.
func TestIdleHoldsNothing(t *testing.T) {
	svc := newService(wireHandler, func(v *Service) { v.Timeouts.Idle = 20 * time.Millisecond })
	k := svc.Observer.(*checker)
	c, far := byHand(t, svc)
	c.observe(svc, ConnIdle)
	for _, raw := range []string{
		request("/open"), request("/stream"), request("/404"), post("hello", "Content-Length: 5"),
		chunkedPost("1\r\nx\r\n0\r\nA: b\r\n\r\n"), request("/", "Y: "+string(pad(300))),
	} {
		if _, err := io.WriteString(far, raw); err != nil {
			t.Fatal(err)
		}
		if !c.await() || !c.next() {
			t.Fatalf("%.30q: the connection ends", raw)
		}
		if c.await() {
			t.Fatalf("%.30q: more came", raw)
		}
		if c.buf != nil || c.in != nil || c.out.bytes != nil || c.head != nil {
			t.Errorf("%.30q: buf %d, in %d, out %d bytes, head %t", raw, len(c.buf), len(c.in), len(c.out.bytes), c.head != nil)
		}
		if c.body.x != nil || c.body.svc != nil || c.body.dec.trailer != nil || c.using.Load() != nil {
			t.Errorf("%.30q: the last exchange is held", raw)
		}
		if _, err := c.body.Read(make([]byte, 1)); err != errOver {
			t.Errorf("%.30q: body read after the exchange: %v", raw, err)
		}
	}
	c.end()
	k.ended(t)
	if n := svc.refs.Load(); n != 0 {
		t.Errorf("%d references to the service", n)
	}
}

func pad(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = 'p'
	}
	return p
}

// A head over the size of a buffer, behind a pipelined request, is put together
// in a larger one.
func TestHeadLargerThanBuffer(t *testing.T) {
	s := serve(t, func(x *Exchange) error {
		x.Res.Header = append(x.Res.Header, x.Req.Header...)
		return echo(x)
	}, func(v *Service) { v.Limits.MaxHeader = 64 << 10 })
	c := s.dial()
	large := string(pad(40_000))
	for range 3 {
		c.send(request("/open") + request("/a", "A: 1", "Large: "+large, "Z: 2") + request("/open"))
		c.want(200, "GET /open ")
		got := c.want(200, "GET /a ").header
		if got.Get("A") != "1" || got.Get("Large") != large || got.Get("Z") != "2" {
			t.Error("fields went wrong")
		}
		c.want(200, "GET /open ")
	}
}
