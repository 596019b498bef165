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
	kind   contentKind
	bytes  []byte
	file   *os.File
	offset int64
	length int64 // -1: unknown
	stream io.ReadCloser
	tunnel TunnelFunc
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
// the tunnel is done, with the number of bytes sent to and received from the
// client; the engine then closes the connection, and also when the exchange's
// Ctx ends.
type TunnelFunc func(client *net.TCPConn, early []byte) (sent, received int64, err error)

// Bytes is a body held in memory. The engine only reads b.
func Bytes(b []byte) Content {
	return Content{kind: contentBytes, bytes: b, length: int64(len(b))}
}

// File is length bytes of f from offset on, sent with sendfile(2). The engine
// closes f. If f ends early the connection is closed, so that the client sees
// the answer is incomplete.
func File(f *os.File, offset, length int64) Content {
	return Content{kind: contentFile, file: f, offset: offset, length: length}
}

// Stream is a body read from r until io.EOF; length is -1 when it is not known
// ahead. Every piece that Read returns is sent at once. The engine closes r,
// exactly once, whatever happens. A Read error closes the connection without
// completing the answer.
func Stream(r io.ReadCloser, length int64) Content {
	return Content{kind: contentStream, stream: r, length: length}
}

// Tunnel hands the connection itself over to run.
func Tunnel(run TunnelFunc) Content {
	return Content{kind: contentTunnel, tunnel: run}
}

// Len is the length of the body in bytes, or -1 when it is not known ahead.
func (c *Content) Len() int64 { return c.length }

// Close releases what the content holds. The engine calls it for every Content
// in a Response; a handler only for one that it replaces.
func (c *Content) Close() error {
	var err error
	switch c.kind {
	case contentFile:
		err = c.file.Close()
	case contentStream:
		err = c.stream.Close()
	case contentNone, contentBytes, contentTunnel:
	}
	*c = Content{}
	return err
}
