package protocol

import (
	"time"

	"golang.org/x/sys/unix"
)

// QuickHandler is a Handler that has some answers at hand. ServeQuick is asked
// before Serve about each request that has no body and lets the connection go on.
// It either answers, and reports true, or leaves x.Res as it is, and reports
// false: then Serve is called. It may look at the disk for a moment, but must
// not use Req.Body or Attend, nor answer with a Stream or a Tunnel: the
// connection can't be read meanwhile.
//
// What is answered so costs a read and a write, without another read to see that
// nothing more has come. The Observer sees no Begin, and the connection stays as
// it was, unless the client has to be waited for.
type QuickHandler interface {
	Handler
	ServeQuick(x *Exchange) (done bool, err error)
}

// sureTime is how long a connection waits for a request before it makes sure
// that there is nothing to read, and is parked. What awakens it is told once for
// all that has come until then: if the end of what the client sends came together
// with a request, it was not noticed.
const sureTime = time.Second

// awaitOnce is the callback of RawConn.Read while the connection waits for a
// request: true ends the wait. Requests that can be answered at once are
// answered here, and the wait goes on.
func (c *conn) awaitOnce(fd uintptr) bool {
	for {
		if c.buf == nil {
			c.buf = getBuffer()
		}
		c.ioN, c.ioErr = readSocket(fd, c.buf)
		switch {
		case c.ioErr == unix.EAGAIN:
			return c.nothingYet()
		case c.ioErr != nil || c.ioN == 0:
			return true
		}
		c.r, c.w = 0, c.ioN
		first := c.fresh.Load()
		all := c.ioN < len(c.buf)
		if !c.quick() {
			return true
		}
		switch {
		case c.srv.draining.Load(): // looked at after idle was set: a drain that begins now sees that
			c.lastTry = true
		case all && !first: // a client that sends one request and closes is seen at once
			putBuffer(c.buf)
			c.buf = nil
			c.armRead(c.sure)
			return false
		}
	}
}

// nothingYet prepares to wait without a buffer.
func (c *conn) nothingYet() bool {
	c.ioErr = nil
	if c.lastTry {
		c.ioErr = errDraining
		return true
	}
	putBuffer(c.buf)
	c.buf = nil
	switch {
	case !time.Now().Before(c.sure):
		c.quiet = true
		return true
	case c.sure.Before(c.until):
		c.armRead(c.sure)
	default:
		c.armRead(c.until)
	}
	return false
}

// quick answers what is in the buffer, as far as there are answers at hand. It
// reports whether that was all and the connection goes on waiting; else it is to
// be served with what is left.
func (c *conn) quick() bool {
	c.idle.Store(false)
	for c.r < c.w {
		if !c.quickExchange() {
			return false
		}
	}
	c.fresh.Store(false)
	c.idle.Store(true)
	return true
}

// quickExchange answers one request, if its answer is at hand and the connection
// can go on after it.
func (c *conn) quickExchange() bool {
	if c.srv.draining.Load() {
		return false
	}
	svc := c.srv.acquire()
	defer svc.release()
	if svc.quick == nil || svc.ctx.Err() != nil {
		return false
	}
	var s headScan
	end, bad := s.scan(c.buf[c.r:c.w], &svc.Limits)
	if bad != nil || end == 0 || c.buf[c.r+s.start] != 'G' && c.buf[c.r+s.start] != 'H' {
		return false // to be looked at again, by exchange
	}
	x := exchanges.Get().(*Exchange)
	defer exchanges.Put(x)
	x.reset(c, svc)
	bad = parseHead(string(c.buf[c.r+s.start:c.r+end]), &x.Req, &svc.Limits, svc.Versions)
	x.fields = x.Req.Header
	if bad != nil {
		return false
	}
	f, bad := frame(&x.Req, &svc.Limits)
	if bad != nil || !f.keepAlive || f.length != 0 {
		return false
	}
	c.using.Store(svc)
	defer c.using.Store(nil)
	c.body.reset(c, svc, x, f)
	defer c.body.over()
	if !x.atHand(svc) {
		return false
	}
	c.r += end
	keep := true
	if x.Err != nil {
		keep = c.failed(svc, x)
	}
	c.observe(svc, c.state)
	c.answering = x
	c.then = c.respond(svc, x, keep)
	c.leave()
	c.answering = nil
	x.Took = time.Since(x.Start)
	svc.Observer.Done(x)
	c.until = x.Start.Add(x.Took + svc.Timeouts.Idle)
	c.sure = x.Start.Add(x.Took + min(sureTime, svc.Timeouts.Idle))
	if x.Begun {
		c.observe(svc, ConnIdle)
	}
	return c.then == goOn
}

// atHand asks the handler. A panic is an answer.
func (x *Exchange) atHand(svc *Service) (done bool) {
	defer func() {
		if x.Err != nil {
			done = true
		}
	}()
	defer recovered(&x.Err)
	done, x.Err = svc.quick.ServeQuick(x)
	return done
}

// slow is called when the client has to be waited for to take an answer: one
// that was at hand becomes an exchange like any other.
func (c *conn) slow() {
	x := c.answering
	if x == nil || x.Begun {
		return
	}
	c.join()
	x.Begun = true
	c.observer.Begin(x)
	c.observe(c.using.Load(), ConnActive)
}
