package protocol

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The connection's calls to the system. Each tries the socket first and arms a
// deadline only when it has to wait, so that a request which is there and an
// answer that fits cost one read and one write.

// noSocket is no descriptor.
const noSocket = ^uintptr(0)

var errTimeout = errors.New("timed out")

// read reads what is there into p, at least one byte, waiting until the given
// time. Errors are those of wait.
func (c *conn) read(p []byte, until time.Time) (int, error) {
	c.in = p
	err := c.wait(c.tryRead, until)
	c.in = nil
	return c.ioN, err
}

// wait calls try whenever there may be something to read, until it says that the
// wait is over or the given time has come: errTimeout after it, io.EOF at the
// end of what the client sends, errDraining when the server drains and the
// connection is idle. try may put off the time, c.until.
func (c *conn) wait(try func(fd uintptr) bool, until time.Time) error {
	c.until, c.last, c.lastTry = until, lastQuick{}, false
	for {
		c.ioN, c.ioErr = 0, nil
		err := c.raw.Read(try)
		if err == nil {
			err = c.ioErr
		}
		if err == nil && c.ioN == 0 {
			err = io.EOF
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		c.putOff()
		// The deadline may be an older one, or one that drain has set.
		switch {
		case c.drained():
			c.lastTry = true
			c.armed = time.Time{}
			c.tcp.SetReadDeadline(time.Time{})
		case !time.Now().Before(c.until):
			c.ioN = 0
			return errTimeout
		default:
			c.armed = time.Time{}
			c.armRead(c.until)
		}
	}
}

// readOnce is the callback of RawConn.Read: true ends the wait.
func (c *conn) readOnce(fd uintptr) bool {
	c.ioN, c.ioErr = readSocket(fd, c.in)
	if c.ioErr == unix.EAGAIN {
		c.ioErr = nil
		c.armRead(c.until)
		return false
	}
	return true
}

// readSocket reads what is there. Without any it returns EAGAIN as it is.
func readSocket(fd uintptr, p []byte) (int, error) {
	for {
		n, errno := rawReceive(fd, p)
		switch errno {
		case 0:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, unix.EAGAIN
		default:
			return 0, os.NewSyscallError("read", errno)
		}
	}
}

// armRead sees to it that a wait is interrupted at the given time or before. A
// deadline that is earlier is left: wait looks at the clock when it strikes, and
// then tries once more.
func (c *conn) armRead(by time.Time) {
	if c.armed.IsZero() || c.armed.After(by) {
		c.armed = by
		c.tcp.SetReadDeadline(by) // fails only on a closed connection, which the read then tells
		if c.idle.Load() && c.srv.draining.Load() {
			c.tcp.SetReadDeadline(c.srv.lastCall) // drain's own, which ours may have replaced
		}
	}
}

// drained reports whether the wait for a request is over because the server
// drains.
func (c *conn) drained() bool {
	return c.idle.Load() && c.srv.draining.Load() && !time.Now().Before(c.srv.lastCall)
}

// longAgo is a deadline that ends a wait at once.
var longAgo = time.Unix(1, 0)

// send calls try until it has nothing left to send, waiting for the client to
// take the bytes: a window's worth in each limit.
func (c *conn) send(limit time.Duration, try func(fd uintptr) bool) error {
	o := &c.out
	o.limit, o.err = limit, nil
	for o.more() {
		var err error
		if c.within == noSocket || !try(c.within) {
			err = c.raw.Write(try)
		}
		if err == nil {
			err = o.err
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if c.clientTakes() {
				continue
			}
			err = errSlowReader
		}
		if err != nil {
			o.clear()
			o.broken = err != errShortFile
			return err
		}
	}
	o.clear()
	if o.waited {
		o.waited = false
		c.tcp.SetWriteDeadline(time.Time{})
	}
	return nil
}

// armWrite begins a wait for the client. The kernel calls a socket writable only
// when a good part of its buffer is free, which a slow but honest client may need
// longer for than the limit: what counts is therefore what the client took.
func (c *conn) armWrite(fd uintptr) {
	c.slow()
	c.out.waited = true
	c.out.begun()
	c.out.taken = c.out.sent - unacknowledged(fd)
	c.tcp.SetWriteDeadline(time.Now().Add(c.out.limit))
}

// clientTakes is asked when the wait is over. It begins the next one if the client
// took a window's worth in it.
func (c *conn) clientTakes() (took bool) {
	before := c.out.taken
	err := c.raw.Control(func(fd uintptr) {
		if took = c.out.sent-unacknowledged(fd)-before >= window; took {
			c.armWrite(fd)
		}
	})
	return took && err == nil
}

// unacknowledged is how many bytes wait in the kernel for the client; tcp(7).
func unacknowledged(fd uintptr) int64 {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return int64(n)
}

var errSlowReader = errors.New("client took the answer too slowly (timeouts.write)")

// outgoing is what send is sending: bytes, or a part of a file.
type outgoing struct {
	bytes    []byte
	then     []byte // what follows bytes
	file     int    // descriptor, valid while left > 0
	offset   int64
	left     int64     // of the file
	resident bool      // the file is in memory
	flags    int       // for send(2)
	sent     int64     // of this answer
	began    time.Time // when the first bytes of this answer had been sent; zero if that is as long ago as the last ones
	err      error     // of the last try
	broken   bool      // the connection failed: nothing more can be sent
	limit    time.Duration
	waited   bool  // a deadline is armed
	taken    int64 // what of sent the client had taken when it was
}

// took moves on by n bytes of what was to be sent.
func (o *outgoing) took(n int) {
	first := min(n, len(o.bytes))
	o.bytes = o.bytes[first:]
	if len(o.bytes) == 0 && len(o.then) > 0 {
		o.bytes, o.then = o.then[n-first:], nil
	}
}

func (o *outgoing) more() bool { return len(o.bytes) > 0 || o.left > 0 }

// begun notes that more is to be sent after what was sent.
func (o *outgoing) begun() {
	if o.began.IsZero() && o.sent > 0 {
		o.began = time.Now()
	}
}

func (o *outgoing) clear() { o.bytes, o.then, o.left = nil, nil, 0 }

// write sends p.
func (c *conn) write(p []byte, limit time.Duration) error {
	c.out.bytes, c.out.flags = p, 0
	return c.send(limit, c.tryWrite)
}

// writeBoth sends p and then q, in one call where the socket takes both.
func (c *conn) writeBoth(p, q []byte, limit time.Duration) error {
	c.out.bytes, c.out.then, c.out.flags = p, q, 0
	return c.send(limit, c.tryWrite)
}

// writeMore sends p, to be followed by more at once: the kernel may hold a
// packet that isn't full.
func (c *conn) writeMore(p []byte, limit time.Duration) error {
	c.out.bytes, c.out.flags = p, unix.MSG_MORE
	return c.send(limit, c.tryWrite)
}

// sendfile sends a part of a file without copying it through this process;
// sendfile(2).
func (c *conn) sendfile(b *Content, limit time.Duration) error {
	c.out.file, c.out.offset, c.out.left, c.out.resident = int(b.file.Fd()), b.offset, b.length, b.Resident
	return c.send(limit, c.trySendfile)
}

func (c *conn) writeOnce(fd uintptr) bool {
	o := &c.out
	var n int
	var err error
	switch {
	case len(o.then) > 0:
		n, err = unix.SendmsgBuffers(int(fd), [][]byte{o.bytes, o.then}, nil, nil, o.flags|unix.MSG_NOSIGNAL)
	default:
		if sent, errno := rawSend(fd, o.bytes, o.flags); errno == 0 {
			n = sent
		} else {
			err = errno
		}
	}
	if n > 0 {
		o.took(n)
	}
	return c.progress(fd, n, err, "send")
}

// maxSendfile is the most that sendfile(2) moves in one call.
const maxSendfile = 0x7ffff000

func (c *conn) sendfileOnce(fd uintptr) bool {
	o := &c.out
	send := unix.Sendfile
	if o.resident {
		send = rawSendfile
	}
	n, err := send(int(fd), o.file, &o.offset, int(min(o.left, maxSendfile)))
	if n > 0 {
		o.left -= int64(n)
	}
	if n == 0 && err == nil {
		o.err = errShortFile
		return true
	}
	return c.progress(fd, n, err, "sendfile")
}

var errShortFile = errors.New("file ended before the length that was announced")

// progress accounts for one call and says whether the wait for the socket is over.
func (c *conn) progress(fd uintptr, n int, err error, call string) bool {
	o := &c.out
	if n > 0 {
		o.sent += int64(n)
	}
	switch err {
	case nil, unix.EINTR:
		return true
	case unix.EAGAIN:
		if !o.waited {
			c.armWrite(fd)
		}
		return false
	default:
		o.err = os.NewSyscallError(call, err)
		return true
	}
}
