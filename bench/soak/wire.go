package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// answerTime is the longest that anything may take from a request to the end of
// its answer.
const answerTime = 20 * time.Second

// maxAnswer bounds the body that is read: no file is as large.
const maxAnswer = 8 << 20

// wire is a connection to a site. It is for one goroutine.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
	out  []byte
	slow bool // reads as over a thin line
}

func dial(addr string) (*wire, error) {
	conn, err := net.DialTimeout("tcp", addr, answerTime)
	if err != nil {
		return nil, err
	}
	return &wire{conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}, nil
}

func (w *wire) close() { w.conn.Close() }

// appendRequest renders a request without a body.
func appendRequest(b []byte, q *request) []byte {
	b = fmt.Appendf(b, "%s %s HTTP/1.1\r\nHost: %s\r\n", q.method, q.of.path, q.of.addr)
	for _, f := range []struct{ name, value string }{
		{"Range: bytes=", q.spans}, {"If-Range: ", q.ifRange}, {"If-None-Match: ", q.ifNone},
	} {
		if f.value != "" {
			b = append(append(append(b, f.name...), f.value...), "\r\n"...)
		}
	}
	if q.gzip {
		b = append(b, "Accept-Encoding: gzip\r\n"...)
	}
	if q.close {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...)
}

// send writes requests in one piece and notes when they began.
func (w *wire) send(c clock, batch ...*request) error {
	w.out = w.out[:0]
	for _, q := range batch {
		w.out = appendRequest(w.out, q)
	}
	now := c.now()
	for _, q := range batch {
		q.start = now
	}
	if err := w.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	_, err := w.conn.Write(w.out)
	return err
}

// put writes a request with a body.
func (w *wire) put(method, path string, fields string, content []byte) error {
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n%s\r\n", method, path, w.conn.RemoteAddr(), len(content), fields)
	if err := w.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	_, err := w.conn.Write(append([]byte(head), content...))
	return err
}

// receive reads the answer to a request with that method.
func (w *wire) receive(method string) *answer {
	a := &answer{length: -1}
	if a.err = w.head(a); a.err != nil {
		return a
	}
	if method == "HEAD" || a.status == 204 || a.status == 304 || a.length < 0 {
		return a
	}
	if a.length > maxAnswer {
		a.err = fmt.Errorf("Content-Length %d", a.length)
		return a
	}
	if int64(cap(w.body)) < a.length {
		w.body = make([]byte, a.length)
	}
	n, err := w.fill(w.body[:a.length])
	a.body = w.body[:n]
	if err != nil {
		a.err = fmt.Errorf("%d of %d bytes, then: %w", n, a.length, cut(err))
	}
	return a
}

// fill reads len(p) bytes.
func (w *wire) fill(p []byte) (n int, err error) {
	if !w.slow {
		return io.ReadFull(w.in, p)
	}
	for n < len(p) && err == nil {
		var k int
		k, err = io.ReadFull(w.in, p[n:min(n+64<<10, len(p))])
		n += k
		time.Sleep(2 * time.Millisecond) // the line's, no wait for something
	}
	return n, err
}

// cut is how an answer ends that its server gave up: by the end of the
// connection, or its reset.
func cut(err error) error {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return err
	}
	return io.ErrUnexpectedEOF
}

var errNoAnswer = errors.New("the connection ended before the answer")

// head reads the status line and the fields.
func (w *wire) head(a *answer) error {
	line, err := w.line()
	if err != nil {
		return errors.Join(errNoAnswer, err)
	}
	code, ok := strings.CutPrefix(line, "HTTP/1.1 ")
	if !ok || len(code) < 4 || code[3] != ' ' {
		return fmt.Errorf("status line %q", line)
	}
	if a.status, err = strconv.Atoi(code[:3]); err != nil {
		return fmt.Errorf("status line %q", line)
	}
	a.fields = append(make([]string, 0, 12), line)
	for {
		line, err := w.line()
		if err != nil {
			return fmt.Errorf("in the head: %w", err)
		}
		if line == "" {
			return nil
		}
		a.fields = append(a.fields, line)
		if err := a.field(line); err != nil {
			return err
		}
	}
}

// field takes in what is of use of a field line.
func (a *answer) field(line string) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return fmt.Errorf("field line %q", line)
	}
	value = strings.TrimSpace(value)
	switch strings.ToLower(name) {
	case "content-length":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 || a.length >= 0 {
			return fmt.Errorf("field line %q", line)
		}
		a.length = n
	case "transfer-encoding":
		return fmt.Errorf("field line %q: a file has a length", line)
	case "etag":
		a.tag = value
	case "last-modified":
		a.modified = value
	case "content-encoding":
		a.coding = value
	case "content-range":
		a.span = value
	case "location":
		a.location = value
	case "connection":
		a.close = strings.EqualFold(value, "close")
	}
	return nil
}

// line reads a line that ends in CRLF.
func (w *wire) line() (string, error) {
	b, err := w.in.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	s, ok := strings.CutSuffix(string(b), "\r\n")
	if !ok {
		return "", fmt.Errorf("line %q without CRLF", b)
	}
	return s, nil
}

// ended reports whether nothing more comes: after the last answer of a
// connection that closes.
func (w *wire) ended() error {
	b, err := w.in.ReadByte()
	switch {
	case err == nil:
		return fmt.Errorf("byte %q behind the last answer", b)
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}
