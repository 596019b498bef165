package protocol

import (
	"io"
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
		if !c.quick(fd) {
			return true
		}
		switch {
		case c.srv.draining.Load(): // looked at after idle was set: a drain that begins now sees that
			c.until, c.last = c.srv.lastCall, lastQuick{}
		case all && !first: // a client that sends one request and closes is seen at once
			putBuffer(c.buf)
			c.buf = nil
			if c.armed.IsZero() { // else it is earlier
				c.putOff()
				c.armRead(c.sure)
			}
			return false
		}
	}
}

// lastQuick is an answer at hand that was given while the connection waited: the
// wait begins anew with its end. That is reckoned only once somebody asks.
type lastQuick struct {
	start time.Time
	took  time.Duration
	idle  time.Duration // 0: there was none
}

// putOff brings c.until and c.sure up to date.
func (c *conn) putOff() {
	if c.last.idle > 0 {
		ended := c.last.start.Add(c.last.took)
		c.until = ended.Add(c.last.idle)
		c.sure = ended.Add(min(sureTime, c.last.idle))
		c.last = lastQuick{}
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
	c.putOff()
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
// be served with what is left. fd is the socket.
func (c *conn) quick(fd uintptr) bool {
	c.idle.Store(false)
	c.within = fd
	x := exchanges.Get().(*Exchange)
	defer c.letGo(x)
	for c.r < c.w {
		if !c.quickExchange(x) {
			return false
		}
	}
	if c.fresh.Load() {
		c.fresh.Store(false)
	}
	c.idle.Store(true)
	return true
}

// letGo ends the use of what quick needs, also after a panic of an Observer.
func (c *conn) letGo(x *Exchange) {
	c.body.err, c.answering, c.within = errOver, nil, noSocket
	exchanges.Put(x)
	if svc := c.using.Load(); svc != nil {
		c.using.Store(nil)
		svc.release()
	}
}

// quickExchange answers one request, if its answer is at hand and the connection
// can go on after it.
func (c *conn) quickExchange(x *Exchange) bool {
	if c.srv.draining.Load() {
		return false
	}
	svc := c.srv.acquire()
	c.using.Store(svc)
	end, ok := c.quickHead(svc, x)
	if !ok || !x.atHand(svc) {
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
	c.took(x)
	svc.Observer.Done(x)
	c.last = lastQuick{x.Start, x.Took, svc.Timeouts.Idle}
	if x.Begun {
		c.observe(svc, ConnIdle)
	}
	c.using.Store(nil)
	svc.release()
	return c.then == goOn
}

// quickHead reads a head into x if it is complete, there is nothing wrong with it,
// and no more belongs to its request. Whatever else is in the buffer is looked at
// again by exchange. end is where the head ends, from c.r.
func (c *conn) quickHead(svc *Service, x *Exchange) (end int, ok bool) {
	if svc.quick == nil || svc.ctx.Err() != nil {
		return 0, false
	}
	var s headScan
	end, bad := s.scan(c.buf[c.r:c.w], &svc.Limits)
	if bad != nil || end == 0 || c.buf[c.r+s.start] != 'G' && c.buf[c.r+s.start] != 'H' {
		return 0, false
	}
	x.reset(c, svc)
	bad = parseHead(string(c.buf[c.r+s.start:c.r+end]), &x.Req, &svc.Limits, svc.Versions)
	x.fields = x.Req.Header
	if bad != nil {
		return 0, false
	}
	f, bad := frame(&x.Req, &svc.Limits)
	if bad != nil || !f.keepAlive || f.length != 0 {
		return 0, false
	}
	c.body.err = io.EOF // there is none
	return end, true
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
	c.counted.Observer.Begin(x)
	c.observe(c.using.Load(), ConnActive)
}
