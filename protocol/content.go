package protocol

import (
	"io"
	"net"
	"os"
)

// Content is the body of an answer: one of Bytes, File, Stream and Tunnel, or
// nothing at all (the zero Content). It is a plain value, so that filling it in
// costs no allocation and nothing ever hides a file from sendfile(2).
type Content struct {
	// Resident says of a File or Lent that its bytes are in the kernel's memory, and
	// that nothing else is waited for either, another machine's file server say: then
	// the scheduler does not learn of the calls that send it. Only for 64-bit systems,
	// and for files so small that a call takes a fraction of a millisecond.
	Resident bool

	kind   contentKind
	bytes  []byte
	file   *os.File
	offset int64
	length int64 // -1: unknown
	stream io.ReadCloser
	tunnel TunnelFunc
	end    io.Closer // of the tunnel, or instead of the file
}

type contentKind uint8

const (
	contentNone contentKind = iota
	contentBytes
	contentFile
	contentStream
	contentTunnel
)

// TunnelFunc takes a connection over after the head of a 2xx answer to CONNECT
// was written (RFC 9110, section 9.3.6). early holds what the client sent right
// after its request; it is valid until TunnelFunc returns. TunnelFunc returns when
// the tunnel is done, or the exchange's Ctx has ended, with the number of bytes
// sent to and received from the client; the engine then closes the connection.
type TunnelFunc func(client *net.TCPConn, early []byte) (sent, received int64, err error)

// Bytes is a body held in memory. The engine only reads b.
func Bytes(b []byte) Content {
	return Content{kind: contentBytes, bytes: b, length: int64(len(b))}
}

// File is length bytes of f from offset on, sent with sendfile(2). The engine
// closes f. If f ends early the connection is closed, so that the client sees
// the answer is incomplete; when nothing was sent yet, it gets a 500 instead.
func File(f *os.File, offset, length int64) Content {
	return Content{kind: contentFile, file: f, offset: offset, length: length}
}

// Lent is File for a file that others use as well: the engine closes loan in its
// place.
func Lent(f *os.File, offset, length int64, loan io.Closer) Content {
	return Content{kind: contentFile, file: f, offset: offset, length: length, end: loan}
}

// Stream is a body read from r until io.EOF; length is -1 when it is not known
// ahead. Every piece that Read returns is sent at once, the first one together
// with the head. Read may read the request's body. The engine closes r, exactly
// once, whatever happens. A Read error closes the connection without completing
// the answer; when nothing was sent yet, the client gets an error page (see
// Error) instead.
func Stream(r io.ReadCloser, length int64) Content {
	return Content{kind: contentStream, stream: r, length: length}
}

// Tunnel hands the connection itself over to run. The engine closes end, the
// other end of the tunnel, also when run could not be called; end may be nil.
// Only a 2xx answer to CONNECT may hold a tunnel, and each one must.
func Tunnel(run TunnelFunc, end io.Closer) Content {
	return Content{kind: contentTunnel, tunnel: run, end: end}
}

// Len is the length of the body in bytes, or -1 when it is not known ahead.
func (c *Content) Len() int64 { return c.length }

// Close releases what the content holds. The engine calls it for every Content
// in a Response; a handler only for one that it replaces.
func (c *Content) Close() error {
	held := *c
	*c = Content{} // first, so that a Close that panics is not called again
	switch held.kind {
	case contentFile:
		if held.end != nil {
			return held.end.Close()
		}
		return held.file.Close()
	case contentStream:
		return held.stream.Close()
	case contentTunnel:
		if held.end != nil {
			held.end.Close() // most often closed already
		}
	case contentNone, contentBytes:
	}
	return nil
}
