package protocol

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// gate is a handler that lets requests for /wait through when it is opened; others
// are echoed.
type gate struct {
	open   chan struct{}
	inside atomic.Int64
	most   atomic.Int64
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

func (g *gate) serve(x *Exchange) error {
	if x.Req.Path == "/wait" {
		n := g.inside.Add(1)
		defer g.inside.Add(-1)
		for most := g.most.Load(); n > most && !g.most.CompareAndSwap(most, n); most = g.most.Load() {
		}
		select {
		case <-g.open:
		case <-x.Ctx.Done():
			return x.Ctx.Err()
		}
	}
	return echo(x)
}

func (s *site) noneInFlight() {
	s.t.Helper()
	eventually(s.t, "no request is in flight", func() bool { return s.inFlight.Load() == 0 })
}

func TestMaxInFlight(t *testing.T) {
	g := newGate()
	s := serve(t, g.serve, func(v *Service) { v.Limits.MaxInFlight = 2 })
	a, b, c := s.dial(), s.dial(), s.dial()
	c.open()
	s.noneInFlight()
	a.send(request("/wait"))
	b.send(request("/wait"))
	s.obs.until(t, "two in flight", func() bool { return len(s.obs.begun) == 2 })
	for range 3 { // the connection goes on
		c.send(request("/more"))
		if r := c.want(503, ""); r.header.Get("Retry-After") != "1" || r.close {
			t.Errorf("%v", r.header)
		}
	}
	c.send(post("body", "Content-Length: 4")) // what is sent all the same is read over
	c.want(503, "")
	for _, o := range s.obs.outcomes(t, 5)[1:] {
		if o.status != 503 || o.begun || o.err == nil || !strings.Contains(o.err.Error(), "limits.max_in_flight") {
			t.Errorf("%+v", o)
		}
	}
	close(g.open)
	a.want(200, "GET /wait ")
	b.want(200, "GET /wait ")
	s.noneInFlight()
	c.open()
	a.open()
	if s.obs.refused != 0 {
		t.Error("a connection was turned away")
	}
}

// A client that waits with its body until it is asked for is not asked.
func TestMaxInFlightBeforeBody(t *testing.T) {
	g := newGate()
	s := serve(t, g.serve, func(v *Service) { v.Limits.MaxInFlight = 1 })
	a, b := s.dial(), s.dial()
	a.send(request("/wait"))
	s.obs.until(t, "one in flight", func() bool { return len(s.obs.begun) == 1 })
	b.send(post("", "Content-Length: 4", "Expect: 100-continue"))
	if r := b.answer("POST"); r.status != 503 {
		t.Errorf("%+v", r)
	}
	close(g.open)
	a.want(200, "GET /wait ")
}

// Whatever comes at once, no more than that many are let in.
func TestMaxInFlightConcurrently(t *testing.T) {
	const clients, most = 40, 4
	g := newGate()
	s := serve(t, g.serve, func(v *Service) { v.Limits.MaxInFlight = most })
	var all sync.WaitGroup
	var served, refused atomic.Int64
	for range clients {
		all.Go(func() {
			c, err := dialFrom("127.0.0.1", s.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			io.WriteString(c, request("/wait"))
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			switch {
			case err != nil:
				t.Error(err)
			case res.StatusCode == 200:
				served.Add(1)
			case res.StatusCode == 503 && !res.Close:
				if refused.Add(1) == clients-most {
					close(g.open)
				}
			default:
				t.Errorf("%d, close %t", res.StatusCode, res.Close)
			}
		})
	}
	all.Wait()
	if served.Load() != most || refused.Load() != clients-most || g.most.Load() != most {
		t.Errorf("%d served, %d refused, %d at once", served.Load(), refused.Load(), g.most.Load())
	}
	s.noneInFlight()
}

// Requests of an old service count for the new one, which ends none of them.
func TestMaxInFlightAfterSwap(t *testing.T) {
	g := newGate()
	s := serve(t, g.serve)
	waiting := []*client{s.dial(), s.dial(), s.dial()}
	for _, c := range waiting {
		c.send(request("/wait"))
	}
	s.obs.until(t, "three in flight", func() bool { return len(s.obs.begun) == 3 })
	svc := newService(g.serve, func(v *Service) { v.Limits.MaxInFlight = 3 })
	s.Swap(svc)
	other := s.dial()
	other.send(request("/more"))
	other.want(503, "")
	close(g.open)
	for _, c := range waiting {
		c.want(200, "GET /wait ")
	}
	s.noneInFlight()
	other.open()
	s.Close()
	s.ended()
	svc.Observer.(*checker).ended(t)
}

// brokenBegin panics in Begin, between enter and leave, for one path.
type brokenBegin struct{ brokenObserver }

func (o brokenBegin) Begin(x *Exchange) {
	if x.Req.Path == "/begin" {
		panic("in Begin")
	}
	o.brokenObserver.Begin(x)
}

// What goes wrong takes no place for good.
func TestInFlightAfterTrouble(t *testing.T) {
	broken := brokenBegin{brokenObserver{newChecker()}}
	s := serve(t, wireHandler, func(v *Service) { v.Limits.MaxInFlight = 1; v.Observer = broken })
	for _, path := range []string{"/panic", "/404", "/broken", "/begin"} {
		for range 3 {
			c := s.dial()
			c.send(request(path))
			if path == "/begin" {
				c.closed()
			} else if r := c.answer("GET"); r.status == 503 {
				t.Errorf("%s: no place", path)
			}
			c.Close()
			s.noneInFlight()
		}
	}
	s.Close()
	s.ended()
	broken.ended(t)
}

func TestTunnelIsInFlight(t *testing.T) {
	s := serve(t, func(x *Exchange) error {
		if x.Req.Method == MethodConnect {
			x.Res.Body = Tunnel(tunnelEcho, nil)
			return nil
		}
		return echo(x)
	}, func(v *Service) { v.Limits.MaxInFlight = 1 })
	a, b := s.dial(), s.dial()
	a.send(crlf("CONNECT far:1 HTTP/1.1", "Host: far:1"))
	a.head("CONNECT")
	b.send(request("/open"))
	b.want(503, "")
	a.CloseWrite()
	a.closed()
	s.noneInFlight()
	b.open()
}

// What is at hand is answered whatever is in flight, and is in flight itself only
// while its client does not take it.
func TestQuickInFlight(t *testing.T) {
	const size = 32 << 20 // more than sockets hold
	g := newGate()
	large := make([]byte, size)
	s := serve(t, func(x *Exchange) error {
		if x.Req.Path == "/large" {
			x.Res.Body = Bytes(large)
			return nil
		}
		return g.serve(x)
	}, func(v *Service) {
		v.Handler = laterFunc{v.Handler.(handlerFunc)}
		v.Limits.MaxInFlight = 1
		v.Observer.(*checker).quick = true
	})
	a, b, c := s.dial(), s.dial(), s.dial()
	a.send(request("/wait"))
	s.obs.until(t, "one in flight", func() bool { return len(s.obs.begun) == 1 })
	b.open()
	c.send(request("/large"))
	s.obs.until(t, "two in flight", func() bool { return len(s.obs.begun) == 2 })
	if n := s.inFlight.Load(); n != 2 {
		t.Errorf("%d in flight", n)
	}
	close(g.open)
	a.want(200, "GET /wait ")
	eventually(t, "the slow client is left", func() bool { return s.inFlight.Load() == 1 })
	a.send(request("/wait"))
	a.want(503, "")
	b.open()
	if r := c.answer("GET"); r.status != 200 || len(r.body) != size {
		t.Errorf("%d with %d bytes", r.status, len(r.body))
	}
	s.noneInFlight()
	a.send(request("/wait"))
	a.want(200, "GET /wait ")
}

// laterFunc is a handler that has all answers but /wait at hand.
type laterFunc struct{ handlerFunc }

func (h laterFunc) ServeQuick(x *Exchange) (bool, error) {
	if x.Req.Path == "/wait" {
		return false, nil
	}
	return true, h.handlerFunc(x)
}
