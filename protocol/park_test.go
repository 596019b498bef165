package protocol

import (
	"runtime"
	"testing"
	"time"
)

// parked waits until n connections of s are parked.
func (s *site) parked(n int) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		got := len(s.parking.conns)
		s.mu.Unlock()
		if got == n {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d connections are parked, want %d", got, n)
		}
	}
}

// Connections that wait are parked and have no goroutine; they are served as
// before, again and again, and counted as open all the time.
func TestPark(t *testing.T) {
	for _, change := range []func(*Service){func(*Service) {}, quick} {
		s := serve(t, wireHandler, change, func(v *Service) { v.Timeouts.Idle = 10 * patience })
		before := runtime.NumGoroutine()
		var clients []*client
		for i := range 50 {
			c := s.dial()
			if i%5 > 0 { // some have sent nothing yet
				c.send(request("/a"))
				c.want(200, "GET /a ")
			}
			clients = append(clients, c)
		}
		for range 2 {
			s.parked(len(clients))
			if n := runtime.NumGoroutine() - before; n > 5 {
				t.Errorf("%d goroutines for parked connections", n)
			}
			if n := s.Connections(); n != len(clients) {
				t.Errorf("%d connections are open, want %d", n, len(clients))
			}
			for i, c := range clients {
				c.send(request("/b") + request("/stream"))
				c.want(200, "GET /b ")
				c.want(200, "one two three")
				if i%7 == 0 {
					c.send(post("body", "Content-Length: 4"))
					c.want(200, "POST /p body")
				}
			}
		}
		s.parked(len(clients))
		for _, c := range clients[:10] {
			c.Close()
		}
		s.obs.until(t, "the closed ones to be gone", func() bool { return s.obs.idle == len(clients)-10 })
		s.stop()
		for _, c := range clients[10:] {
			c.closed()
		}
		s.ended()
	}
}

// A parked connection ends with its idle timeout, which parking does not prolong.
func TestParkedTimeout(t *testing.T) {
	s := serve(t, wireHandler, func(v *Service) { v.Timeouts.Idle = sureTime + sureTime/2 })
	c := s.dial()
	c.send(request("/a"))
	c.want(200, "GET /a ")
	began := time.Now()
	s.parked(1)
	c.closed()
	if d := time.Since(began); d < sureTime || d > 2*sureTime+parkSweep+patience/2 {
		t.Errorf("closed after %v", d)
	}
	s.stop()
	s.ended()
}

// A server that is closed closes what is parked.
func TestParkedClose(t *testing.T) {
	s := serve(t, wireHandler, func(v *Service) { v.Timeouts.Idle = 10 * patience })
	c := s.dial()
	c.send(request("/a"))
	c.want(200, "GET /a ")
	s.parked(1)
	s.Close()
	c.closed()
	s.ended()
}

// What is swapped in serves what is parked.
func TestParkedSwap(t *testing.T) {
	s := serve(t, wireHandler, func(v *Service) { v.Timeouts.Idle = 10 * patience })
	c := s.dial()
	c.send(request("/a"))
	c.want(200, "GET /a ")
	s.parked(1)
	next := newService(func(x *Exchange) error { return Failf(404, "new") }, quick)
	old := s.Swap(next)
	if err := s.Retire(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	c.send(request("/a"))
	c.want(404, "")
	s.stop()
	c.closed()
	s.ended()
	next.Observer.(*checker).ended(t)
}
