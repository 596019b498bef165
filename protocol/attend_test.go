package protocol

import (
	"context"
	"io"
	"testing"
	"time"
)

// attended answers once its attendance has ended, with how it ended.
func attended(results chan<- error) func(x *Exchange) error {
	return func(x *Exchange) error {
		if _, err := io.Copy(io.Discard, x.Req.Body); err != nil {
			return err
		}
		ctx, stop := x.Attend(x.Ctx)
		defer stop()
		limit := time.NewTimer(2 * goneTime)
		defer limit.Stop()
		select {
		case <-ctx.Done():
			results <- context.Cause(ctx)
		case <-limit.C:
			results <- nil
		}
		return nil
	}
}

func TestAttendClientGone(t *testing.T) {
	for name, leave := range map[string]func(c *client){
		"close": func(c *client) { c.Close() },
		"reset": func(c *client) { c.SetLinger(0); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			results := make(chan error, 1)
			s := serve(t, attended(results))
			c := s.dial()
			c.send(post("hello", "Content-Length: 5"))
			s.obs.until(t, "the request", func() bool { return s.obs.active == 1 })
			leave(c)
			if err := <-results; err != ErrClientGone {
				t.Errorf("attendance ended with %v", err)
			}
			s.stop()
			s.ended()
		})
	}
}

// Neither a request that is sent ahead nor the end of the attendance disturbs
// what the connection does next.
func TestAttendGoesOn(t *testing.T) {
	s := serve(t, func(x *Exchange) error {
		ctx, stop := x.Attend(x.Ctx)
		time.Sleep(time.Millisecond) // let it begin to wait; either way must do
		stop()
		stop()
		if ctx.Err() == nil {
			t.Error("the context goes on")
		}
		return echo(x)
	})
	c := s.dial()
	for range 20 {
		c.send(request("/a"))
		c.want(200, "GET /a ")
		c.send(request("/b") + request("/c"))
		c.want(200, "GET /b ")
		c.want(200, "GET /c ")
	}
	s.stop()
	c.closed()
	s.ended()
}

// A half-closed client still gets its answer when that doesn't take long.
func TestAttendHalfClosed(t *testing.T) {
	s := serve(t, func(x *Exchange) error {
		ctx, stop := x.Attend(x.Ctx)
		defer stop()
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
		return echo(x)
	})
	c := s.dial()
	c.send(request("/half"))
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.want(200, "GET /half ")
	s.stop()
	s.ended()
}

// A handler may still answer when its service is cut off.
func TestCutOffAnswers(t *testing.T) {
	s := serve(t, func(x *Exchange) error {
		<-x.Ctx.Done()
		return Fail(503, context.Cause(x.Ctx))
	})
	c := s.dial()
	c.send(request("/"))
	s.obs.until(t, "the request", func() bool { return s.obs.active == 1 })
	old := s.Swap(newService(text("new")))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Retire(ctx, old); err == nil {
		t.Error("Retire had to cut the exchange off and didn't say so")
	}
	c.want(503, "503")
	s.stop()
	s.ended()
}
