package protocol

import (
	"errors"
	"io"
	"time"
)

// body reads a request's body from its connection. It belongs to the connection
// and is reset for each request; only one goroutine may read it.
type body struct {
	c       *conn
	svc     *Service
	x       *Exchange
	left    int64 // of a body of known length
	chunked bool
	dec     chunked
	owed    bool  // 100 Continue is owed before the first read
	err     error // sticky: io.EOF at the end, *Error when the client broke a rule

	patience    time.Duration // how long we still wait for the rest of the window
	windowBytes int           // what came in it
}

// window is how many bytes of a body must arrive within Timeouts.Body, unless
// less is left, and how many of an answer must leave within Timeouts.Write. It
// bounds what a client that trickles can hold up, and lets slow ones finish.
const window = 16 << 10

const continueLine = "HTTP/1.1 100 Continue\r\n\r\n"

func (b *body) reset(c *conn, svc *Service, x *Exchange, f framing) {
	*b = body{
		c: c, svc: svc, x: x,
		left: f.length, chunked: f.length < 0, owed: f.expects,
		patience: svc.Timeouts.Body,
	}
	if f.length == 0 {
		b.err = io.EOF
	}
}

// over lets go of what belongs to the exchange.
func (b *body) over() { *b = body{err: errOver} }

var errOver = errors.New("protocol: body read after the end of its exchange")

// Read implements io.Reader. Errors other than io.EOF are *Error: 400 for broken
// framing or a client that went away, 408 for one that is too slow, 413 for a
// chunked body over Limits.MaxBody.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	var n int
	if b.chunked {
		n, b.err = b.readChunked(p)
	} else {
		n, b.err = b.readFixed(p)
	}
	b.x.Received += int64(n)
	if room := b.svc.Limits.KeepBody - len(b.x.Kept); room > 0 {
		b.x.Kept = append(b.x.Kept, p[:min(n, room)]...)
	}
	if n > 0 && b.err != nil && b.err != io.EOF {
		return n, nil // the error comes with the next Read
	}
	return n, b.err
}

func (b *body) readFixed(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n := copy(p, b.c.buf[b.c.r:b.c.w])
	b.c.r += n
	if n == 0 {
		var err error
		if n, err = b.receive(p); err != nil {
			return 0, err
		}
	}
	b.left -= int64(n)
	if b.left == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (b *body) readChunked(p []byte) (int, error) {
	for {
		src := b.c.buf[b.c.r:b.c.w]
		if len(src) > len(p) {
			src = src[:len(p)]
		}
		used, data, done, err := b.dec.next(src)
		b.c.r += used
		if err != nil {
			return 0, err
		}
		if len(data) > 0 {
			if b.x.Received+int64(len(data)) > b.svc.Limits.MaxBody {
				return 0, bad(413, BadBodyTooLarge, "body over %d bytes (limits.max_body)", b.svc.Limits.MaxBody)
			}
			return copy(p, data), nil
		}
		if done {
			return 0, io.EOF
		}
		if b.c.r < b.c.w {
			continue
		}
		b.c.r, b.c.w = 0, 0
		n, rerr := b.receive(b.c.buf)
		if rerr != nil {
			return 0, rerr
		}
		b.c.w = n
	}
}

// receive reads what has arrived into p, or waits for it.
func (b *body) receive(p []byte) (int, error) {
	if b.owed {
		b.owed = false
		sent := b.c.out.sent // of the answer; this is not a part of it
		err := b.c.write([]byte(continueLine), b.svc.Timeouts.Write)
		b.c.out.sent = sent
		if err != nil {
			return 0, &Error{Status: 400, Reason: BadTruncated, Close: true, Err: err}
		}
	}
	if b.windowBytes >= window {
		b.patience, b.windowBytes = b.svc.Timeouts.Body, 0
	}
	begin := time.Now() // only the wait counts, not the time that a handler takes between two reads
	n, err := b.c.read(p, begin.Add(b.patience))
	b.patience -= time.Since(begin)
	b.windowBytes += n
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, errTimeout):
		return 0, bad(408, BadTimeout, "body too slow: less than %d bytes in %v (timeouts.body)", window, b.svc.Timeouts.Body)
	case err == io.EOF:
		return 0, bad(400, BadTruncated, "client closed before the end of the body")
	default:
		return 0, &Error{Status: 400, Reason: BadTruncated, Close: true, Err: err}
	}
}

// skip reads and drops at most limit bytes of what is left, and reports whether
// the body's end was reached, so that the next request can be read.
func (b *body) skip(limit int64, scratch []byte) bool {
	for b.err == nil && limit > 0 {
		n, _ := b.Read(scratch)
		limit -= int64(n)
	}
	return b.err == io.EOF
}

// skippable reports whether it is cheaper to read the rest of the body than to
// close the connection.
func (b *body) skippable() bool {
	return b.err == io.EOF || b.err == nil && !b.owed && b.left <= maxSkip
}

// maxSkip is how much of an unread body is read to keep a connection.
const maxSkip = 256 << 10
