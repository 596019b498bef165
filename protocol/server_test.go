package protocol

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestMaxConnections(t *testing.T) {
	s := serve(t, echo, func(v *Service) { v.Limits.MaxConnections = 2 })
	a, b := s.dial(), s.dial()
	a.open()
	b.open()
	for i := range 3 {
		c := s.dial()
		if r := c.want(503, ""); r.header.Get("Retry-After") == "" || !r.close {
			t.Errorf("%v", r.header)
		}
		c.closed()
		c.Close()
		refused := 0
		for _, o := range s.obs.outcomes(t, 3+i) { // in any order: an answer can be there before it is told
			if o.status == 503 && !o.begun {
				refused++
			}
		}
		if refused != i+1 {
			t.Errorf("%d refusals after %d", refused, i+1)
		}
	}
	a.open()
	b.open()
	if n := s.Connections(); n != 2 {
		t.Errorf("%d connections", n)
	}
	if s.obs.refused != 3 || s.obs.accepted != 5 {
		t.Errorf("%d refused of %d", s.obs.refused, s.obs.accepted)
	}
	a.Close()
	s.obs.until(t, "the end of one", func() bool { return s.obs.idle == 1 })
	for s.Connections() > 1 { // the table follows the observer
		time.Sleep(time.Millisecond)
	}
	s.dial().open()
}

// More refused connections than are answered at a time: all end, none stays.
func TestManyRefused(t *testing.T) {
	s := serve(t, echo, func(v *Service) { v.Limits.MaxConnections = 1 })
	a := s.dial()
	a.open()
	var held []*client
	for range maxRefusing + 10 { // they don't hang up
		held = append(held, s.dial())
	}
	s.obs.until(t, "refusals", func() bool { return s.obs.refused == maxRefusing+10 })
	answered := 0
	for _, c := range held {
		if b, _ := io.ReadAll(c.br); strings.HasPrefix(string(b), "HTTP/1.1 503 ") {
			answered++
		}
	}
	if answered < maxRefusing-10 || answered > maxRefusing+10 {
		t.Errorf("%d answered", answered)
	}
	a.open()
	s.Close() // ends those in their last seconds, too
	s.ended()
}

func TestPanicInHandler(t *testing.T) {
	s := serve(t, wireHandler)
	c := s.dial()
	for range 3 {
		c.send(request("/panic"))
		c.want(500, "")
	}
	c.open()
	p, ok := errors.AsType[*PanicError](s.obs.outcomes(t, 3)[0].err)
	if !ok || p.Value != "oh" || !strings.Contains(string(p.Stack), "wireHandler") {
		t.Errorf("%+v", p)
	}
}

// brokenObserver panics in Done.
type brokenObserver struct{ *checker }

func (o brokenObserver) Done(x *Exchange) {
	o.checker.Done(x)
	if x.Req.Path == "/broken" {
		panic("in Done")
	}
}

func TestPanicInObserver(t *testing.T) {
	s := serve(t, echo)
	svc := newService(echo)
	k := svc.Observer.(*checker)
	svc.Observer = brokenObserver{k}
	s.Swap(svc)
	other := s.dial()
	other.open()
	c := s.dial()
	c.send(request("/broken"))
	c.want(200, "GET /broken ")
	c.closed()
	other.open()
	other.Close()
	s.Close()
	s.ended()
	k.ended(t)
}

func text(s string) handlerFunc {
	return func(x *Exchange) error {
		x.Res.Body = Bytes([]byte(s))
		return nil
	}
}

// held is a handler whose exchanges wait to be released or cut off.
type held struct {
	entered, release chan struct{}
	cut              atomic.Bool
}

func newHeld() *held { return &held{entered: make(chan struct{}, 100), release: make(chan struct{})} }

func (h *held) serve(x *Exchange) error {
	h.entered <- struct{}{}
	select {
	case <-h.release:
	case <-x.Ctx.Done():
		h.cut.Store(true)
		return x.Ctx.Err()
	}
	x.Res.Body = Bytes([]byte("held"))
	return nil
}

func TestSwap(t *testing.T) {
	h := newHeld()
	s := serve(t, h.serve)
	busy, waiting := s.dial(), s.dial()
	waiting.send(request("/"))
	<-h.entered
	busy.send(request("/"))
	<-h.entered
	svc := newService(text("new"))
	k := svc.Observer.(*checker)
	old := s.Swap(svc)
	if old.Observer != s.obs {
		t.Error("Swap returned another service")
	}
	fresh := s.dial()
	fresh.send(request("/"))
	fresh.want(200, "new")

	retired := make(chan error, 1)
	go func() { retired <- s.Retire(context.Background(), old) }()
	select {
	case err := <-retired:
		t.Fatalf("Retire returned %v before the exchanges had ended", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(h.release)
	if err := <-retired; err != nil {
		t.Error(err)
	}
	if old.ctx.Err() == nil {
		t.Error("the context of the retired service goes on")
	}
	for _, c := range []*client{busy, waiting} {
		c.want(200, "held")
		c.send(request("/"))
		c.want(200, "new")
		c.Close()
	}
	s.obs.until(t, "the move", func() bool { return s.obs.idle+s.obs.active == 0 })
	if len(s.obs.done) != 2 || len(k.outcomes(t, 3)) != 3 || s.obs.accepted != 2 || k.accepted != 1 {
		t.Errorf("%d and %d exchanges, %d and %d accepted", len(s.obs.done), len(k.done), s.obs.accepted, k.accepted)
	}
	s.stop()
	s.ended()
	k.ended(t)
}

func TestRetireUnused(t *testing.T) {
	s := serve(t, text("old"))
	c := s.dial()
	c.send(request("/"))
	c.want(200, "old")
	s.obs.until(t, "idle", func() bool { return s.obs.idle == 1 })
	svc := newService(text("new"))
	old := s.Swap(svc)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Retire(ctx, old); err != nil {
		t.Error(err)
	}
	c.send(request("/"))
	c.want(200, "new")
	s.stop()
	s.ended()
	svc.Observer.(*checker).ended(t)
}

func TestRetireCutsOff(t *testing.T) {
	h := newHeld()
	s := serve(t, func(x *Exchange) error {
		if x.Req.Path == "/body" { // deaf to Ctx, waits for the client
			h.entered <- struct{}{}
			_, err := io.ReadAll(x.Req.Body)
			return err
		}
		if x.Req.Method == MethodConnect {
			x.Res.Body = Tunnel(func(client *net.TCPConn, early []byte) (int64, int64, error) {
				h.entered <- struct{}{}
				return tunnelEcho(client, early)
			}, nil)
			return nil
		}
		return h.serve(x)
	})
	cut := []*client{s.dial(), s.dial(), s.dial()}
	for i, raw := range []string{request("/"), crlf("POST /body HTTP/1.1", "Host: a", "Content-Length: 9"), crlf("CONNECT a:1 HTTP/1.1", "Host: a:1")} {
		cut[i].send(raw)
		<-h.entered
	}
	svc := newService(text("new"))
	old := s.Swap(svc)
	other := s.dial()
	other.send(request("/"))
	other.want(200, "new")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := s.Retire(ctx, old); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Retire: %v", err)
	}
	if !h.cut.Load() {
		t.Error("Ctx was not cancelled")
	}
	cut[2].head("CONNECT")
	for _, c := range cut {
		c.CloseWrite() // one that was answered in time goes on
		if b, _ := io.ReadAll(c.br); strings.Contains(string(b), " 200 ") {
			t.Errorf("answered: %q", b)
		}
	}
	other.send(request("/"))
	other.want(200, "new")
	s.stop()
	s.ended()
	svc.Observer.(*checker).ended(t)
}

// A server that drains closes its listener, and serves what was in its queue: a
// connection whose first request comes a moment later, too.
func TestDrainServesTheQueue(t *testing.T) {
	s := serve(t, echo)
	late, silent := s.dial(), s.dial()
	s.obs.until(t, "both", func() bool { return s.obs.idle == 2 })
	s.stop()
	deadline := time.Now().Add(patience)
	for {
		c, err := net.Dial("tcp", s.ln.Addr().String())
		if err != nil {
			break
		}
		c.Close()
		if time.Now().After(deadline) {
			t.Fatal("the listener is still open")
		}
	}
	late.send(request("/late"))
	if r := late.want(200, "GET /late "); !r.close {
		t.Error("no Connection: close")
	}
	late.Close()
	silent.closed()
	s.ended()
}

func TestListenerClosed(t *testing.T) {
	s := serve(t, echo)
	c := s.dial()
	c.open()
	s.ln.Close()
	c.closed()
	s.ended()
}

func TestRefsOfService(t *testing.T) {
	s := serve(t, echo)
	svc := s.current.Load()
	s.Swap(newService(echo))
	if !svc.acquire() {
		t.Fatal("a service that was not retired can't be used")
	}
	retired := make(chan struct{})
	go func() { s.Retire(context.Background(), svc); close(retired) }()
	for svc.refs.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	for range 100 {
		if svc.acquire() {
			t.Fatal("a retired service was used")
		}
	}
	select {
	case <-retired:
		t.Fatal("Retire did not wait")
	default:
	}
	svc.release()
	<-retired
	if svc.acquire() {
		t.Error("a retired service was used")
	}
}
