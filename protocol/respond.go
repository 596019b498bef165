package protocol

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// ending says how the client learns where an answer's body ends (RFC 9112,
// section 6.3).
type ending uint8

const (
	endNone    ending = iota // no body, and none announced: 204, 304, 2xx to CONNECT
	endLength                // Content-Length
	endChunked               // the chunked coding
	endClose                 // the end of the connection: HTTP/1.0
)

// respondPlan is what the head of an answer must say and what follows it. Pure.
type respondPlan struct {
	status int
	end    ending
	length int64 // for endLength
	body   bool  // the body itself is to be sent
	tunnel bool  // the connection is handed over behind the head
	keep   bool  // the connection can go on
}

// planResponse decides the framing of res as the answer to req; keep says whether
// the connection may go on.
func planResponse(req *Request, res *Response, keep bool) respondPlan {
	p := respondPlan{status: res.Status, keep: keep, body: true}
	if req.Method == MethodConnect { // what follows a CONNECT that was refused need not be HTTP
		p.keep = false
	}
	if p.status == 0 {
		p.status = 200
	}
	switch {
	case res.Body.kind == contentTunnel:
		return respondPlan{status: p.status, end: endNone, tunnel: true}
	case p.status == 204 || p.status == 304:
		p.end, p.body = endNone, false
	case p.status == 205: // RFC 9110, section 15.3.6
		p.end, p.body = endLength, false
	case res.Body.kind == contentNone:
		p.end = endLength
	case res.Body.length >= 0 || res.Body.kind == contentFile:
		p.end, p.length = endLength, res.Body.length
	case req.Minor >= 1:
		p.end = endChunked
	default:
		p.end, p.keep = endClose, false
	}
	if req.Method == MethodHead {
		p.body = false
	}
	return p
}

// appendHead renders the head of an answer. It fails when a field would break
// the message: that is an error of the handler.
func appendHead(dst []byte, p respondPlan, res *Response, req *Request, date string) ([]byte, error) {
	if p.status < 200 || p.status > 599 {
		return dst, fmt.Errorf("status %d is none of a final answer", p.status)
	}
	// RFC 9110, section 9.3.6: any 2xx to CONNECT, and nothing else, is a tunnel.
	if p.tunnel != (p.status/100 == 2 && req.Method == MethodConnect) {
		return dst, fmt.Errorf("status %d to %s with a tunnel: %t", p.status, req.Method, p.tunnel)
	}
	if p.length < 0 {
		return dst, fmt.Errorf("body of %d bytes", p.length)
	}
	dst = append(dst, statusLine(p.status)...)
	dst = append(dst, "Date: "...)
	dst = append(dst, date...)
	dst = append(dst, "\r\n"...)
	dst = append(dst, res.Rendered.text...)
	dst, err := appendFields(dst, res.Header)
	if err != nil {
		return dst, err
	}
	switch p.end {
	case endLength:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, p.length, 10)
		dst = append(dst, "\r\n"...)
	case endChunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	case endNone, endClose:
	}
	switch {
	case p.tunnel: // is no message
	case !p.keep:
		dst = append(dst, "Connection: close\r\n"...)
	case req.Minor == 0:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return append(dst, "\r\n"...), nil
}

// appendFields renders field lines. It fails for what would break the message.
func appendFields(dst []byte, header Header) ([]byte, error) {
	for i := range header {
		f := &header[i]
		if f.Name == "" || !all(f.Name, isToken) || !all(f.Value, isValue) {
			return dst, fmt.Errorf("field %q of the answer is malformed", f.Name)
		}
		if engineField(f.Name) {
			continue
		}
		dst = append(dst, f.Name...)
		dst = append(dst, ": "...)
		dst = append(dst, f.Value...)
		dst = append(dst, "\r\n"...)
	}
	return dst, nil
}

// engineField reports whether only the engine may write that field.
func engineField(name string) bool {
	switch len(name) {
	case len("Date"):
		return equalFold(name, "Date")
	case len("Connection"):
		return equalFold(name, "Connection")
	case len("Content-Length"):
		return equalFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return equalFold(name, "Transfer-Encoding")
	}
	return false
}

// answerError makes x.Res the answer that x.Err stands for. A panic of the
// service's own hook leaves the engine's page.
func (v *Service) answerError(x *Exchange) {
	x.Res = errorResponse(x.Err)
	if v.ErrorResponse == nil {
		return
	}
	var err error
	func() {
		defer recovered(&err)
		v.ErrorResponse(x)
	}()
	if err != nil {
		x.Err = errors.Join(x.Err, err)
		x.discard()
		x.Res = errorResponse(x.Err)
	}
}

// errorResponse is the answer that err stands for: a small page that tells the
// status and nothing of the cause.
func errorResponse(err error) Response {
	res := Response{Status: StatusOf(err)}
	if e, ok := errors.AsType[*Error](err); ok {
		res.Header = append(res.Header, e.Header...)
	}
	res.Header.Set("Content-Type", "text/html; charset=utf-8")
	res.Body = Bytes(errorPage(res.Status))
	return res
}

// errorPage is the page for a status, 400 to 599.
func errorPage(status int) []byte { return errorPages[status-400] }

var errorPages = func() (pages [200][]byte) {
	for i := range pages {
		pages[i] = renderErrorPage(400 + i)
	}
	return pages
}()

func renderErrorPage(status int) []byte {
	return fmt.Appendf(nil, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%d %s</title>"+
		"<style>body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:34em;padding:0 1em}"+
		"h1{font-size:1.4em}@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}}</style></head>"+
		"<body><h1>%d %s</h1></body></html>\n", status, StatusText(status), status, StatusText(status))
}

// afterwards is what becomes of the connection when an answer was written.
type afterwards uint8

const (
	goOn   afterwards = iota // to the next request
	finish                   // close, once the client has read the answer
	hangUp                   // close at once: the end of a tunnel
	reset                    // so that the client can't take the answer for complete
)

// respond writes x.Res. What goes wrong is kept in x.Err, unless the handler
// failed before; as long as nothing was sent it becomes an error page.
func (c *conn) respond(svc *Service, x *Exchange, keep bool) afterwards {
	c.head = getOut()
	defer c.dropHead()
	c.out.sent, c.out.broken, c.out.began = 0, false, time.Time{}
	p, head := c.plan(svc, x, keep)
	err := c.writeResponse(svc, x, p, head)
	if err != nil && c.out.sent == 0 && !c.out.broken && !p.tunnel {
		x.fail(err)
		svc.answerError(x)
		p, head = c.plan(svc, x, false)
		err = c.writeResponse(svc, x, p, head)
	}
	x.fail(err)
	switch {
	case c.out.broken, err != nil && p.end == endClose: // RFC 9112, section 8
		return reset
	case p.tunnel:
		return hangUp
	case err != nil || !p.keep:
		return finish
	}
	return goOn
}

// fail sets x.Err unless it is set.
func (x *Exchange) fail(err error) {
	if x.Err == nil {
		x.Err = err
	}
}

// plan renders the head of x.Res into c.head. An answer that can't be sent is
// replaced by an error page.
func (c *conn) plan(svc *Service, x *Exchange, keep bool) (respondPlan, []byte) {
	now := x.Start
	if c.answering == nil { // it may be long ago
		now = time.Now()
	}
	date := c.srv.date.at(now)
	p := planResponse(&x.Req, &x.Res, keep)
	head, err := appendHead((*c.head)[:0], p, &x.Res, &x.Req, date)
	if err != nil {
		x.Err = err
		x.discard()
		svc.answerError(x)
		p = planResponse(&x.Req, &x.Res, false)
		if head, err = appendHead((*c.head)[:0], p, &x.Res, &x.Req, date); err != nil { // of ErrorResponse
			x.Err = errors.Join(x.Err, err)
			x.discard()
			x.Res = errorResponse(err)
			p = planResponse(&x.Req, &x.Res, false)
			head, _ = appendHead((*c.head)[:0], p, &x.Res, &x.Req, date) // its fields are our own
		}
	}
	x.Res.Status = p.status
	return p, head
}

// dropHead gives the buffer of the head back: what is sent without it, or comes
// after it, can take long.
func (c *conn) dropHead() {
	if c.head != nil {
		putOut(c.head)
		c.head = nil
	}
}

// writeResponse sends head and x's body, and closes the body.
func (c *conn) writeResponse(svc *Service, x *Exchange, p respondPlan, head []byte) (err error) {
	if k := x.Res.Body.kind; k == contentBytes || k == contentNone { // nothing to close, and nothing of a handler's that could panic
		err = c.writeAnswer(svc, x, p, head)
		x.Sent = max(0, c.out.sent-int64(len(head)))
		return err
	}
	defer recovered(&err)
	defer func() { err = errors.Join(err, x.Res.Body.Close()) }()
	if p.tunnel {
		return c.tunnel(svc, x, head)
	}
	defer func() { x.Sent = max(0, c.out.sent-int64(len(head))-x.framing) }()
	return c.writeAnswer(svc, x, p, head)
}

// writeAnswer sends head and body, in one write where the body is small.
func (c *conn) writeAnswer(svc *Service, x *Exchange, p respondPlan, head []byte) error {
	limit := svc.Timeouts.Write
	b := &x.Res.Body
	if !p.body {
		return c.write(head, limit)
	}
	switch b.kind {
	case contentBytes:
		if len(b.bytes) <= maxCopy && len(b.bytes) <= cap(head)-len(head) {
			return c.write(append(head, b.bytes...), limit)
		}
		return c.writeBoth(head, b.bytes, limit)
	case contentFile:
		return c.writeFile(b, head, limit)
	case contentStream:
		return c.writeStream(x, p, head, limit)
	case contentNone, contentTunnel:
	}
	return c.write(head, limit)
}

var errStreamLength = errors.New("body is not as long as its Content-Length")

// writeFile sends a part of a file: behind the head in one write where it fits,
// with sendfile(2) where not.
func (c *conn) writeFile(b *Content, head []byte, limit time.Duration) error {
	if b.length <= int64(cap(head)-len(head)) {
		all := head[:len(head)+int(b.length)]
		n, err := b.file.ReadAt(all[len(head):], b.offset)
		if int64(n) < b.length {
			if err == io.EOF {
				err = errShortFile
			}
			return err
		}
		return c.write(all, limit)
	}
	if err := c.writeMore(head, limit); err != nil {
		return err
	}
	c.dropHead()
	return c.sendfile(b, limit)
}

// writeStream sends a body piece by piece, each as soon as it is read.
func (c *conn) writeStream(x *Exchange, p respondPlan, head []byte, limit time.Duration) error {
	if len(head) > outSize-minPiece {
		if err := c.writeMore(head, limit); err != nil {
			return err
		}
		head = head[:0]
	}
	// A piece is read behind the head, or behind room for a chunk's size line.
	buf := head[:outSize]
	at := len(head)
	var total int64
	for empty := 0; empty < maxEmpty; empty++ {
		room := at
		if p.end == endChunked {
			room = at + chunkSizeRoom
		}
		n, end := x.Res.Body.stream.Read(buf[room : len(buf)-chunkTailRoom])
		total += int64(n)
		tooLong := p.end == endLength && total > p.length
		if tooLong || p.end == endLength && end == io.EOF && total < p.length {
			end = errStreamLength
		}
		if end != nil && end != io.EOF && (tooLong || c.out.sent == 0) {
			return end
		}
		piece := buf[:room+n]
		if p.end == endChunked {
			piece = c.frameChunk(x, buf, at, n, end == io.EOF)
		}
		if err := c.write(piece, limit); err != nil {
			return err
		}
		c.body.owed = false // 100 Continue has no place behind the head
		switch {
		case end == io.EOF:
			return nil
		case end != nil:
			return end
		case n > 0:
			empty = 0
		}
		at = 0
		c.out.begun()
	}
	return io.ErrNoProgress
}

// maxCopy is how long a body in memory may be to be copied behind the head: for
// longer ones a call with two buffers is cheaper.
const maxCopy = 8 << 10

const (
	minPiece = 1 << 10 // bytes of a body worth a place behind the head
	maxEmpty = 100     // reads in a row that give nothing
)
const (
	chunkSizeRoom = len("ffff\r\n")
	chunkTailRoom = len("\r\n0\r\n\r\n")
)

// frameChunk makes a chunk of the n bytes at buf[at+chunkSizeRoom:], and the last
// chunk behind it when last is set. It returns what is to be sent, which begins
// with buf[:at].
func (c *conn) frameChunk(x *Exchange, buf []byte, at, n int, last bool) []byte {
	before := at + n
	piece := buf[:at]
	if n > 0 {
		const digits = "0123456789abcdef"
		size := buf[at : at+chunkSizeRoom] // a fixed width, with leading zeros, keeps the data where it is
		size[0], size[1], size[2], size[3] = digits[n>>12&15], digits[n>>8&15], digits[n>>4&15], digits[n&15]
		size[4], size[5] = '\r', '\n'
		piece = append(buf[:at+chunkSizeRoom+n], '\r', '\n')
	}
	if last {
		piece = append(piece, "0\r\n\r\n"...)
	}
	x.framing += int64(len(piece) - before)
	return piece
}
