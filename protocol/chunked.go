package protocol

// chunked decodes the chunked transfer coding (RFC 9112, section 7.1) from
// pieces of any size. It does no I/O. What is ambiguous is refused: a bare CR or
// LF, white space around a size, a size over 63 bits. Chunk extensions and
// trailer fields are checked, bounded and dropped. The zero value is ready.
type chunked struct {
	state   chunkState
	size    int64 // what is left of the current chunk
	digits  int   // of the current size
	extra   int   // bytes of extensions so far, in all chunks
	trailer []byte
}

type chunkState uint8

const (
	chunkSize      chunkState = iota // in the hexadecimal size
	chunkExtension                   // in a chunk extension
	chunkSizeLF                      // after the CR of the size line
	chunkData                        // in the data
	chunkDataCR                      // after the data
	chunkDataLF                      // after the data's CR
	chunkTrailer                     // in the trailer section
	chunkDone                        // after the final CRLF
)

const (
	maxChunkExtra  = 4 << 10 // bytes of chunk extensions in one body
	maxTrailer     = 8 << 10 // bytes of the trailer section
	maxChunkDigits = 16
)

// next consumes a part of src: n bytes, of which data, a part of src, is body.
// It must be called until it consumes nothing or done is true; it returns early
// after each run of data.
func (d *chunked) next(src []byte) (n int, data []byte, done bool, err *Error) {
	for n < len(src) && d.state != chunkDone {
		if d.state == chunkData {
			data = src[n:]
			if int64(len(data)) > d.size {
				data = data[:d.size]
			}
			d.size -= int64(len(data))
			if d.size == 0 {
				d.state = chunkDataCR
			}
			return n + len(data), data, false, nil
		}
		if err := d.step(src[n]); err != nil {
			return n, nil, false, err
		}
		n++
	}
	return n, nil, d.state == chunkDone, nil
}

// step consumes one byte that is not data.
func (d *chunked) step(c byte) *Error {
	switch d.state {
	case chunkSize:
		return d.stepSize(c)
	case chunkExtension:
		return d.stepExtension(c)
	case chunkSizeLF:
		if c != '\n' {
			return badChunk("bare CR in a chunk's size line")
		}
		d.digits = 0
		d.state = chunkData
		if d.size == 0 {
			d.state = chunkTrailer
		}
	case chunkDataCR:
		if c != '\r' {
			return badChunk("chunk longer than its size")
		}
		d.state = chunkDataLF
	case chunkDataLF:
		if c != '\n' {
			return badChunk("bare CR after a chunk")
		}
		d.state = chunkSize
	case chunkTrailer:
		return d.stepTrailer(c)
	case chunkData, chunkDone: // next sees to them
	}
	return nil
}

func (d *chunked) stepSize(c byte) *Error {
	if v := unhex(c); v >= 0 {
		d.digits++
		if d.digits > maxChunkDigits || d.size >= 1<<59 {
			return badChunk("chunk size too large")
		}
		d.size = d.size<<4 | int64(v)
		return nil
	}
	if d.digits == 0 {
		return badChunk("chunk without a size")
	}
	switch c {
	case '\r':
		d.state = chunkSizeLF
	case ';':
		d.state = chunkExtension
	default:
		return badChunk("malformed chunk size")
	}
	return nil
}

// stepExtension skips extensions. RFC 9112, section 7.1.1, has white space
// between the size and ";" accepted, as bad; it is refused, for not all
// recipients do.
func (d *chunked) stepExtension(c byte) *Error {
	d.extra++
	if d.extra > maxChunkExtra {
		return badChunk("chunk extensions too long")
	}
	switch {
	case c == '\r':
		d.state = chunkSizeLF
	case class[c]&isValue == 0:
		return badChunk("control character in a chunk extension")
	}
	return nil
}

// stepTrailer collects the trailer section; its lines must be field lines.
func (d *chunked) stepTrailer(c byte) *Error {
	d.trailer = append(d.trailer, c)
	if len(d.trailer) > maxTrailer {
		return bad(431, BadHeadTooLarge, "trailer section over %d bytes", maxTrailer)
	}
	t := d.trailer
	if c != '\n' {
		if len(t) >= 2 && t[len(t)-2] == '\r' {
			return badChunk("bare CR in the trailer section")
		}
		return nil
	}
	if len(t) < 2 || t[len(t)-2] != '\r' {
		return badChunk("bare LF in the trailer section")
	}
	if len(t) == 2 {
		d.state = chunkDone
		return nil
	}
	begin := len(t) - 2
	for begin > 0 && t[begin-1] != '\n' {
		begin--
	}
	if begin == len(t)-2 { // the empty line
		d.state = chunkDone
		return nil
	}
	_, err := parseField(string(t[begin : len(t)-2]))
	return err
}

func badChunk(why string) *Error { return bad(400, BadChunk, "%s", why) }
