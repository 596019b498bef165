package instance

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"

	"sited/protocol"
)

// multipartRanges is the body of a 206 that holds several parts of a file of that
// size (RFC 9110, sections 14.6 and 15.3.7.2), and its media type. The bytes are
// those of file, which then belongs to the content, or of body where file is nil. For a
// file that is lent, loan is closed in its place.
// When they end early, reading the content fails with io.ErrUnexpectedEOF. A part
// has no Content-Type when contentType is "".
func multipartRanges(parts []byteRange, size int64, contentType string, body []byte, file *os.File, loan io.Closer) (content protocol.Content, mediaType string) {
	boundary := rand.Text() // RFC 2046, section 5.1.1: must not occur in the parts, so nobody may guess it
	r, length := newPartsReader(parts, size, contentType, boundary, body, file)
	if loan != nil {
		r.closer = loan
	}
	return protocol.Stream(r, length), "multipart/byteranges; boundary=" + boundary
}

// newPartsReader also tells how much there is to read.
func newPartsReader(parts []byteRange, size int64, contentType, boundary string, body []byte, file *os.File) (r *partsReader, length int64) {
	r = &partsReader{pieces: make([]piece, 0, len(parts)+1), source: file, closer: file}
	if file == nil {
		r.source, r.closer = bytes.NewReader(body), nil
	}
	for i, part := range parts {
		head := partHead(boundary, contentType, part, size)
		if i == 0 {
			head = head[len("\r\n"):]
		}
		r.pieces = append(r.pieces, piece{head, part})
		length += int64(len(head)) + part.length
	}
	end := "\r\n--" + boundary + "--\r\n"
	r.pieces = append(r.pieces, piece{text: end})
	return r, length + int64(len(end))
}

// partHead is what stands between the content of two parts.
func partHead(boundary, contentType string, part byteRange, size int64) string {
	kind := ""
	if contentType != "" {
		kind = "Content-Type: " + contentType + "\r\n"
	}
	return fmt.Sprintf("\r\n--%s\r\n%sContent-Range: bytes %d-%d/%d\r\n\r\n", boundary, kind, part.start, part.start+part.length-1, size)
}

// piece is a text, and the part of the file that comes after it; both are cut as
// they are read.
type piece struct {
	text string
	part byteRange
}

// partsReader reads pieces one after another. It fills what it is given, so that
// small parts share a write.
type partsReader struct {
	pieces []piece
	source io.ReaderAt
	closer io.Closer // nil when there is none or it was closed
}

func (r *partsReader) Read(b []byte) (n int, err error) {
	for len(r.pieces) > 0 {
		m, err := r.pieces[0].read(b[n:], r.source)
		n += m
		if err != nil {
			return n, err
		}
		if r.pieces[0].text != "" || r.pieces[0].part.length > 0 {
			return n, nil // b is full
		}
		r.pieces = r.pieces[1:]
	}
	return n, io.EOF
}

// read reads as much of p as b takes.
func (p *piece) read(b []byte, source io.ReaderAt) (n int, err error) {
	n = copy(b, p.text)
	p.text = p.text[n:]
	b = b[n:]
	b = b[:min(int64(len(b)), p.part.length)]
	if len(b) == 0 {
		return n, nil
	}
	m, err := source.ReadAt(b, p.part.start)
	p.part.start += int64(m)
	p.part.length -= int64(m)
	switch {
	case m == len(b): // an error with it is one of the next bytes
		err = nil
	case err == io.EOF:
		err = fmt.Errorf("file ended %d bytes early: %w", p.part.length, io.ErrUnexpectedEOF)
	}
	return n + m, err
}

// Close closes the file. It may be called again.
func (r *partsReader) Close() error {
	closer := r.closer
	if closer == nil {
		return nil
	}
	r.closer = nil
	return closer.Close()
}
