package protocol

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrClientGone is the cause of a context of Attend whose client went away.
var ErrClientGone = errors.New("the client closed the connection before its answer was complete")

// goneTime is how long a client that has closed its sending half may still be
// waiting for the answer. TCP does not tell that from one that has gone away
// altogether; most have.
const goneTime = 3 * time.Second

// Attend returns a context that ends with parent, and, with ErrClientGone as its
// cause, when the client has gone away: for work that takes long and writes
// nothing meanwhile. The request's body must have been read to its end. stop ends
// the attendance; it must be called before the answer's body has been closed, and
// may be called more than once, from any goroutine.
func (x *Exchange) Attend(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	c := x.conn
	if c == nil || c.body.err == nil { // no connection, or one that is still being read
		return ctx, func() { cancel(context.Canceled) }
	}
	c.tcp.SetReadDeadline(time.Time{}) // one that was left from reading the request
	c.armed = time.Time{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if !c.waitForEnd() {
			return
		}
		grace := time.NewTimer(goneTime)
		defer grace.Stop()
		select {
		case <-grace.C:
			cancel(ErrClientGone)
		case <-ctx.Done():
		}
	}()
	var once sync.Once
	return ctx, func() {
		once.Do(func() {
			cancel(context.Canceled)
			c.srv.mu.Lock() // as drain does: its deadline must not get lost
			c.tcp.SetReadDeadline(longAgo)
			c.srv.mu.Unlock()
			<-ended
			c.tcp.SetReadDeadline(time.Time{})
			c.armed = time.Time{}
		})
	}
}

// waitForEnd waits until the client has closed its sending half, or the
// connection is reset, without reading anything. It returns false when the
// connection's read deadline strikes, or it is closed by us.
func (c *conn) waitForEnd() bool {
	gone := false
	err := c.raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p, 0)
		gone = err == nil && n > 0 && p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
		return gone
	})
	return err == nil && gone
}
