package protocol

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is one connection. One goroutine runs it and owns every field but the
// atomic ones. While it waits for a request it holds no buffer.
type conn struct {
	srv           *Server
	tcp           *net.TCPConn
	raw           syscall.RawConn
	remote, local netip.AddrPort

	idle  atomic.Bool             // waiting for a request: may be woken to drain
	fresh atomic.Bool             // no request has come yet
	using atomic.Pointer[Service] // whose exchange is under way; nil between exchanges

	counted  *Service // whose observer has counted this connection, and as what
	state    ConnState
	inFlight bool // counted in srv.inFlight

	buf  []byte // nil while idle
	r, w int    // buf[r:w] was read from the socket and not yet used
	body body
	head *[]byte // getOut's, while an answer is written

	answering *Exchange  // from quickExchange
	then      afterwards // what it has come to

	// For the calls in wire.go.
	tryAwait, tryRead, tryWrite, trySendfile func(fd uintptr) bool // bound once

	// within is the socket during a call of RawConn.Read, which keeps it from being
	// closed: what is sent meanwhile need not ask for it again.
	within uintptr

	in      []byte
	until   time.Time // of the read under way
	lastTry bool      // the read under way is not to wait
	quiet   bool      // nothing came until sure: to be parked
	resumed bool      // after it was parked: the time to wait, until, began before
	sure    time.Time // when to look whether there is something to read, see sureTime
	last    lastQuick // what until and sure are to be reckoned from
	armed   time.Time // the read deadline that is set, as far as this goroutine knows
	ioN     int       // what the last try to read gave
	ioErr   error
	out     outgoing
}

var errDraining = errors.New("draining")

func newConn(srv *Server, tcp *net.TCPConn) (*conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &conn{srv: srv, tcp: tcp, raw: raw, within: noSocket, remote: addrPort(tcp.RemoteAddr()), local: addrPort(tcp.LocalAddr())}
	c.fresh.Store(true)
	c.tryAwait, c.tryRead, c.tryWrite, c.trySendfile = c.awaitOnce, c.readOnce, c.writeOnce, c.sendfileOnce
	return c, nil
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// serve runs the connection until it ends, or is parked: then it belongs to
// another goroutine already.
func (c *conn) serve() (parked bool) {
	defer func() {
		if !parked {
			c.end()
		}
	}()
	c.observe(c.srv.current.Load(), ConnIdle)
	for {
		switch {
		case c.await():
			if !c.next() {
				return false
			}
		case !c.quiet:
			return false
		default:
			c.quiet, c.resumed = false, true
			if c.srv.park(c) {
				return true
			}
		}
	}
}

// next serves the request that has begun to arrive, under the service that is
// current now, and reports whether the connection can go on.
func (c *conn) next() (again bool) {
	svc := c.srv.acquire()
	defer svc.release()
	c.using.Store(svc)
	defer c.using.Store(nil)
	if svc.ctx.Err() != nil { // Retire may just have looked who uses it
		return false
	}
	c.observe(svc, ConnActive)
	again = c.exchange(svc)
	if again && c.r == c.w {
		c.observe(svc, ConnIdle)
	}
	return again
}

// end closes the connection, unless that was done, and has it counted out.
func (c *conn) end() {
	c.tcp.Close()
	putBuffer(c.buf)
	c.buf = nil
	if c.state != ConnNone {
		c.counted.Observer.Conn(c.state, ConnNone, false)
	}
}

// observe tells svc's Observer of the state the connection is in now. When the
// connection was counted by another one, it moves over.
func (c *conn) observe(svc *Service, to ConnState) {
	if c.counted == svc && c.state == to {
		return
	}
	from, taken := c.state, false
	if c.counted != nil && c.counted.Observer != svc.Observer {
		c.counted.Observer.Conn(c.state, ConnNone, true)
		from, taken = ConnNone, true
	}
	c.counted, c.state = svc, to
	if from != to {
		svc.Observer.Conn(from, to, taken)
	}
}

// await waits for the first bytes of a request and reports whether they came.
// Requests that can be answered at once are answered by the way. When it was quiet
// for a while, c.quiet is set instead.
func (c *conn) await() bool {
	if c.r < c.w {
		return true
	}
	c.r, c.w = 0, 0
	t := &c.srv.current.Load().Timeouts
	patience := t.Idle
	if c.fresh.Load() {
		patience = t.Header
	}
	now := time.Now()
	until := now.Add(patience)
	if c.resumed {
		until, c.resumed = c.until, false
	}
	c.sure = now.Add(sureTime)
	if c.armed.After(c.sure) { // left from reading a head or a body: awaitOnce relies on an earlier one
		c.armed = time.Time{}
	}
	c.idle.Store(true)
	defer c.idle.Store(false)
	if c.srv.draining.Load() {
		until = c.srv.lastCall // what has arrived by then is still served
	}
	if len(c.buf) > bufferSize {
		c.buf = nil
	}
	c.then = goOn
	err := c.wait(c.tryAwait, until)
	c.fresh.Store(false)
	if c.then != goOn {
		c.part(c.then)
		return false
	}
	return err == nil && c.r < c.w
}

// exchange reads one request, has it answered, and reports whether the
// connection can go on.
func (c *conn) exchange(svc *Service) (again bool) {
	x := exchanges.Get().(*Exchange)
	x.reset(c, svc)
	defer exchanges.Put(x)
	defer c.body.over()

	f, bad := c.readHead(svc, x)
	x.fields = x.Req.Header
	switch {
	case bad == noRequest:
		return false
	case bad != nil:
		return c.refuse(svc, x, bad)
	}
	c.body.reset(c, svc, x, f)
	if x.Err = c.enter(svc); x.Err == nil {
		x.Begun = true
		svc.Observer.Begin(x)
		c.handle(svc, x)
	}

	keep := f.keepAlive && !c.srv.draining.Load() && c.body.skippable()
	if x.Err != nil {
		keep = c.failed(svc, x) && keep
	}
	then := c.respond(svc, x, keep)
	c.leave()
	c.took(x)
	again = then == goOn && c.skipBody()
	svc.Observer.Done(x)
	maySend := f.keepAlive || c.r < c.w || c.body.err != io.EOF // the client, more
	if then == goOn && !again {
		then = finish
	}
	if then != finish || maySend {
		c.part(then)
	}
	return again
}

// failed makes x.Res the answer to a request that failed, and reports whether the
// connection can go on.
func (c *conn) failed(svc *Service, x *Exchange) (keep bool) {
	x.discard()
	svc.answerError(x)
	e, ok := errors.AsType[*Error](x.Err)
	return !ok || !e.Close
}

// part prepares for the end of the connection after its last answer.
func (c *conn) part(then afterwards) {
	switch then {
	case reset:
		c.tcp.SetLinger(0) // fails only on a closed connection
	case finish:
		c.linger()
	case goOn, hangUp:
	}
}

// handle calls the handler. A panic ends the exchange and nothing else.
func (c *conn) handle(svc *Service, x *Exchange) {
	defer recovered(&x.Err)
	defer func() { x.Handled = time.Since(x.Start) }()
	x.Err = svc.Handler.Serve(x)
}

// took says how long an exchange took that is over now.
func (c *conn) took(x *Exchange) {
	x.Took = time.Since(x.Start)
	switch {
	case c.out.sent == 0:
	case c.out.began.IsZero():
		x.FirstByte = x.Took
	default:
		x.FirstByte = c.out.began.Sub(x.Start)
	}
}

// recovered turns a panic of what a handler left behind into an error. It is to
// be deferred.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}

// discard closes a body that is not to be sent.
func (x *Exchange) discard() {
	var err error
	func() {
		defer recovered(&err)
		err = x.Res.Body.Close()
	}()
	if err != nil {
		x.Err = errors.Join(x.Err, err)
	}
}

// refuse answers a request that never reached the handler.
func (c *conn) refuse(svc *Service, x *Exchange, err *Error) bool {
	x.Err = err
	svc.answerError(x)
	then := c.respond(svc, x, false)
	c.took(x)
	svc.Observer.Done(x)
	if then != reset {
		c.linger()
	}
	return false
}

// turnAway answers 503 without waiting for a request; reason is one of the
// Refused… constants.
func (c *conn) turnAway(reason string) {
	defer c.end()
	svc := c.srv.acquire()
	defer svc.release()
	c.using.Store(svc)
	defer c.using.Store(nil)
	if svc.ctx.Err() != nil {
		return
	}
	x := exchanges.Get().(*Exchange)
	x.reset(c, svc)
	defer exchanges.Put(x)
	c.refuse(svc, x, refused(reason))
}

// noRequest says that nothing came but an empty line, which some clients send
// after a body: there is nobody to answer.
var noRequest = &Error{Status: 400, Close: true}

// readHead reads a request head into x.Req. On an error x.Req holds what could
// be read.
func (c *conn) readHead(svc *Service, x *Exchange) (framing, *Error) {
	var s headScan
	until := x.Start.Add(svc.Timeouts.Header)
	for {
		end, err := s.scan(c.buf[c.r:c.w], &svc.Limits)
		if err == nil && end == 0 {
			err = c.moreHead(svc, until)
			x.HeadTook = time.Since(x.Start)
		}
		if err != nil {
			if (err.Reason == BadTimeout || err.Reason == BadTruncated) && blank(c.buf[c.r:c.w]) {
				return framing{}, noRequest
			}
			salvageLine(c.buf[c.r+s.start:c.w], &x.Req)
			return framing{}, err
		}
		if end == 0 {
			continue
		}
		// The one copy of the head: every string of the request is a part of it.
		head := string(c.buf[c.r+s.start : c.r+end])
		c.r += end
		if err := parseHead(head, &x.Req, &svc.Limits, svc.Versions); err != nil {
			return framing{}, err
		}
		return frame(&x.Req, &svc.Limits)
	}
}

// moreHead reads more of a head, into a larger buffer when this one is full.
func (c *conn) moreHead(svc *Service, until time.Time) *Error {
	if c.r > 0 { // behind a pipelined request: to the front, so that offsets stay
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.w == len(c.buf) {
		larger := make([]byte, 2*len(c.buf))
		copy(larger, c.buf[:c.w])
		putBuffer(c.buf)
		c.buf = larger
	}
	n, err := c.read(c.buf[c.w:], until)
	c.w += n
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTimeout):
		return bad(408, BadTimeout, "head not complete within %v (timeouts.header)", svc.Timeouts.Header)
	default:
		return &Error{Status: 400, Reason: BadTruncated, Close: true, Err: errors.New("client closed before the end of the head")}
	}
}

// skipBody reads over what the handler left of the body.
func (c *conn) skipBody() bool {
	if c.body.err == io.EOF {
		return true
	}
	scratch := getOut()
	defer putOut(scratch)
	return c.body.skip(maxSkip, (*scratch)[:cap(*scratch)])
}

// How long and how much a connection is read after its last answer.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 64 << 20
)

// linger closes the sending half and reads on for a while: closing with unread
// bytes would make the kernel reset the connection, and the client could lose
// the answer (RFC 9112, section 9.6).
func (c *conn) linger() {
	if c.tcp.CloseWrite() != nil {
		return
	}
	scratch := getOut()
	defer putOut(scratch)
	p := (*scratch)[:cap(*scratch)]
	until := time.Now().Add(lingerTime)
	for total := 0; total < lingerBytes; {
		n, err := c.read(p, until)
		if err != nil {
			return
		}
		total += n
	}
}

// tunnel hands the connection over after writing the head.
func (c *conn) tunnel(svc *Service, x *Exchange, head []byte) error {
	if err := c.write(head, svc.Timeouts.Write); err != nil {
		return err
	}
	c.out.begun()
	c.dropHead()
	c.srv.mu.Lock() // a drain under way may have taken the connection for idle
	c.tcp.SetDeadline(time.Time{})
	c.srv.mu.Unlock()
	c.armed = time.Time{}
	var err error
	x.Sent, x.Received, err = x.Res.Body.tunnel(c.tcp, c.buf[c.r:c.w])
	c.r, c.w = 0, 0
	return err
}
