// Package protocol is HTTP/1.1 on the wire (RFC 9112, with the parts of RFC 9110
// that every server needs): it parses requests in place, frames bodies both
// ways, writes answers, and keeps connections within their limits. It knows no
// site, no file layout and no configuration language.
//
// The data's way: a Server accepts a connection; the connection waits for bytes
// without holding a buffer, reads a request head, and hands an Exchange to the
// Handler of the Service that is current at that moment. The handler fills in
// the Response, which is a value; the engine writes it and reports the exchange
// to the service's Observer.
package protocol

import (
	"context"
	"io"
	"net/netip"
	"time"
)

// Handler decides what a request gets. Serve fills in x.Res, or returns an
// error, which becomes an error page (see Error; any other error is a 500).
// Serve is called from many goroutines at once, each with its own Exchange. It
// must not keep x, nor anything that belongs to x but strings, after it returns
// and the body of the answer has been closed.
type Handler interface {
	Serve(x *Exchange) error
}

// Exchange is one request and its answer. Exchanges are pooled.
type Exchange struct {
	// ID tells the exchange from others in logs and answers.
	ID ID

	// Ctx ends when the exchange must: the server is forced to close, or the
	// drain time of the service that began it is over. A client that goes away
	// is noticed by the next write, not by Ctx; see Attend.
	Ctx context.Context

	Req Request
	Res Response

	// The outcome, filled in by the engine and complete when Observer.Done is
	// called.
	Begun     bool          // Observer.Begin was called
	Start     time.Time     // when the first byte of the request was read
	HeadTook  time.Duration // from Start until the head was complete; 0 when it came in one piece
	Handled   time.Duration // from Start until Handler.Serve returned; 0 when it was not called
	FirstByte time.Duration // from Start until bytes of the answer were sent; Took when it was sent in one piece, 0 when nothing was
	Took      time.Duration // from Start to the last byte of the answer
	Received  int64         // bytes of the request's body that were read
	Sent      int64         // bytes of the answer's body that were written
	Kept      []byte        // the first Limits.KeepBody bytes of the request's body; valid until Done returns
	Err       error         // why the exchange failed: what Serve returned, *PanicError, or what went wrong on the wire

	// Note is what the Handler leaves for its Observer.
	Note any

	conn    *conn
	framing int64  // bytes of chunk framing that were written
	fields  Header // the engine's list behind Req.Header, to be used again
	answer  Header // where Res.Header begins
}

// reset makes x ready for a request on a connection, keeping what it has allocated.
func (x *Exchange) reset(c *conn, svc *Service) {
	clear(x.fields) // not Req.Header or Res.Header: these may be a handler's by now
	fields, kept, answer := x.fields[:0], x.Kept[:0], x.answer
	if answer == nil {
		answer = make(Header, 0, 8)
	} else if used := min(len(x.Res.Header), cap(answer)); used > 0 {
		clear(answer[:used])
	}
	*x = Exchange{} // and then one by one: what is made elsewhere would have to be copied
	x.ID = newID()
	x.Ctx = svc.ctx
	x.Start = time.Now()
	x.Kept, x.conn, x.answer = kept, c, answer
	x.Req.Path, x.Req.Minor, x.Req.Header, x.Req.Body = "/", 1, fields, &c.body
	x.Req.Remote, x.Req.Local = c.remote, c.local
	x.Res.Header = answer
}

// Request is what the client sent. Its strings may be kept; the Header slice
// and Body may not. Body is for one goroutine at a time: the one that runs Serve,
// or after it the Read of a Stream.
type Request struct {
	Method  string // case-sensitive, as sent
	Target  string // the request-target as sent (RFC 9112, section 3.2)
	Path    string // decoded once, canonical, always begins with "/"; "/" for CONNECT and "OPTIONS *"
	Query   string // without the "?", as sent
	Host    string // host[:port] from the target or the Host field; for CONNECT host:port of the tunnel's end
	Minor   int    // the y of HTTP/1.y
	Version string // of HTTP, as sent: "1.1"; "" when that could not be read

	Header Header
	Body   io.Reader // never nil; the first Read sends 100 Continue when the client waits for it
	Length int64     // of the body in bytes; 0 when there is none, -1 when unknown (chunked)

	Remote netip.AddrPort // the client's end of the connection
	Local  netip.AddrPort // ours

	// User is the authenticated user. The engine leaves it empty; a handler
	// that checks credentials sets it, and the log reads it.
	User string
}

// Response is what the client gets. Fields that frame the message (Content-Length,
// Transfer-Encoding, Connection) and Date are the engine's: it drops them from
// Header and writes its own.
type Response struct {
	Status   int      // 0 is taken for 200
	Rendered Rendered // come before those of Header
	Header   Header
	Body     Content
}

// ConnState is what a connection is doing, as far as an Observer is told.
type ConnState uint8

const (
	ConnNone   ConnState = iota // not there: before accept and after close
	ConnIdle                    // open, waiting for a request
	ConnActive                  // a request is being read or answered, or a tunnel is open
)

// Observer is how the engine reports. Its methods are called from the
// connections' goroutines, many at once, and must be quick.
type Observer interface {
	// Conn is called for every change of a connection's state: from ConnNone
	// when it was accepted, to ConnNone when it ended. When a connection is
	// taken over by another Service, the old Observer sees it end and the new
	// one sees it come from ConnNone, both with taken set. A waiting connection
	// is taken over by its next request, so Conn may be called long after its
	// Service was retired.
	Conn(from, to ConnState, taken bool)
	// Refused is called when an accepted connection is turned away; reason is
	// one of the Refused… constants.
	Refused(reason string)
	// Begin is called when a request head was read and the handler is about to
	// be called. It is followed by exactly one Done. See QuickHandler for those
	// requests that have none.
	Begin(x *Exchange)
	// Done is called once an exchange is over. It is also called, without a
	// Begin, for one that was answered at once (see QuickHandler), and for a
	// request that could not be parsed: x.Req then holds what
	// could be read of it, and x.Err an *Error with a Reason; for a request that
	// Limits.MaxInFlight refused; and for a connection that was refused and got a
	// 503 for it: x.Req is then empty. In these two x.Err is an *Error without a
	// Reason.
	Done(x *Exchange)
}
