package protocol

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestDrain(t *testing.T) {
	h := newHeld()
	s := serve(t, func(x *Exchange) error {
		if x.Req.Path == "/held" {
			return h.serve(x)
		}
		return echo(x)
	})
	idle, busy, partial := s.dial(), s.dial(), s.dial()
	idle.open()
	busy.send(request("/held") + request("/never"))
	<-h.entered
	partial.send("GET /partial HT")
	s.obs.until(t, "all three", func() bool { return s.obs.idle == 1 && s.obs.active == 2 })
	began := time.Now()
	s.stop()
	idle.closed()
	partial.send("TP/1.1\r\nHost: a\r\n\r\n")
	if r := partial.want(200, "GET /partial "); !r.close {
		t.Error("no Connection: close")
	}
	partial.closed()
	partial.Close()
	select {
	case <-s.done:
		t.Error("Run returned while a request was in flight")
	default:
	}
	close(h.release)
	if r := busy.want(200, "held"); !r.close {
		t.Error("no Connection: close")
	}
	busy.closed()
	busy.Close()
	s.ended()
	if took := time.Since(began); took > patience/2 {
		t.Errorf("drain took %v: something was not woken", took)
	}
}

// Idle connections are woken however close the drain comes to the beginning of
// their wait; requests that arrived are answered.
func TestDrainRaces(t *testing.T) {
	for range 30 {
		s := serve(t, echo)
		var clients []*client
		for range 8 {
			c := s.dial()
			c.send(request("/open"))
			clients = append(clients, c)
		}
		for _, c := range clients[:4] {
			c.want(200, "GET /open ")
		}
		s.stop()
		for _, c := range clients[4:] {
			c.want(200, "GET /open ")
		}
		for _, c := range clients {
			c.closed()
			c.Close()
		}
		s.ended()
	}
}

func TestDrainTimeout(t *testing.T) {
	h := newHeld()
	s := serve(t, h.serve, func(v *Service) { v.Timeouts.Drain = 30 * time.Millisecond })
	c := s.dial()
	c.send(request("/"))
	<-h.entered
	s.stop()
	s.ended()
	if !h.cut.Load() {
		t.Error("Ctx was not cancelled")
	}
	if b, _ := io.ReadAll(c.br); strings.Contains(string(b), " 200 ") {
		t.Errorf("answered %q", b)
	}
}

func TestClose(t *testing.T) {
	h := newHeld()
	s := serve(t, h.serve)
	idle, busy := s.dial(), s.dial()
	busy.send(request("/"))
	<-h.entered
	s.obs.until(t, "both", func() bool { return s.obs.idle == 1 && s.obs.active == 1 })
	s.Close()
	s.ended()
	if !h.cut.Load() {
		t.Error("Ctx was not cancelled")
	}
	for _, c := range []*client{idle, busy} {
		if b, _ := io.ReadAll(c.br); strings.Contains(string(b), " 200 ") {
			t.Errorf("answered %q", b)
		}
	}
}
