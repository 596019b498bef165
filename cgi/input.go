package cgi

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"sited/protocol"
)

// memoryBody is how long a body may be to be kept in memory: what a pipe holds
// unless the system is told otherwise (pipe(7)).
const memoryBody = 64 << 10

// input is a request's whole body.
type input struct {
	length int64
	memory []byte   // the body, unless it is in file
	file   *os.File // without a name, at its beginning
	dir    string   // where files are made
}

// readInput reads the body of req to its end. That happens before a process is
// started (nginx does the same unless told otherwise): a slow upload takes no
// slot, the script is told the length of a chunked body, and nothing reads from
// the connection while the answer is written. The caller closes the input.
func readInput(req *protocol.Request, maxBody int64, dir string) (*input, error) {
	in := &input{dir: dir}
	if req.Length == 0 {
		return in, nil
	}
	size := int64(memoryBody + 1) // one more tells that it is too long
	if req.Length > 0 {
		size = min(size, req.Length)
	}
	buf := make([]byte, size)
	n, _, err := fill(req.Body, buf)
	if err != nil {
		return nil, err
	}
	in.memory, in.length = buf[:n], int64(n)
	if in.length > memoryBody {
		if err := in.spool(); err != nil {
			return nil, err
		}
		if err := in.readOn(req, maxBody, buf); err != nil {
			in.Close()
			return nil, err
		}
	}
	if err := in.check(req.Length, maxBody); err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// readOn appends the rest of the body to the file, by way of buf.
func (in *input) readOn(req *protocol.Request, maxBody int64, buf []byte) error {
	for in.length != req.Length {
		if req.Length > 0 {
			buf = buf[:min(int64(len(buf)), req.Length-in.length)]
		}
		n, ended, err := fill(req.Body, buf)
		if err != nil {
			return err
		}
		in.length += int64(n)
		if req.Length < 0 && in.length > maxBody {
			break // check says so
		}
		if _, err := in.file.Write(buf[:n]); err != nil {
			return spoolError(err)
		}
		if ended {
			break
		}
	}
	if _, err := in.file.Seek(0, io.SeekStart); err != nil {
		return spoolError(err)
	}
	return nil
}

func (in *input) check(length, maxBody int64) error {
	switch {
	case length < 0 && in.length > maxBody:
		return &protocol.Error{
			Status: 413, Reason: protocol.BadBodyTooLarge, Close: true,
			Err: fmt.Errorf("the body is longer than %d bytes", maxBody),
		}
	case length >= 0 && in.length != length:
		return &protocol.Error{
			Status: 400, Reason: protocol.BadTruncated, Close: true,
			Err: fmt.Errorf("the body ended after %d of %d bytes", in.length, length),
		}
	}
	return nil
}

// fill reads until buf is full or the body has ended. The body's own
// *protocol.Error comes back as it is.
func fill(body io.Reader, buf []byte) (n int, ended bool, err error) {
	for n < len(buf) {
		m, err := body.Read(buf[n:])
		n += m
		if err == io.EOF {
			return n, true, nil
		}
		if _, ok := errors.AsType[*protocol.Error](err); ok {
			return n, false, err
		}
		if err != nil {
			return n, false, &protocol.Error{
				Status: 400, Reason: protocol.BadTruncated, Close: true,
				Err: fmt.Errorf("read the request's body: %w", err),
			}
		}
	}
	return n, false, nil
}

// spool moves what is in memory to a file. The file loses its name at once, so
// that nothing is left behind whatever happens.
func (in *input) spool() error {
	f, err := os.CreateTemp(in.dir, "sited-body-*")
	if err != nil {
		return spoolError(err)
	}
	if err = os.Remove(f.Name()); err == nil {
		_, err = f.Write(in.memory)
	}
	if err != nil {
		f.Close()
		return spoolError(err)
	}
	in.file, in.memory = f, nil
	return nil
}

// spoolError is 507 when there is no room, 503 when the system is short of
// something else, else 500.
func spoolError(err error) error {
	e := &protocol.Error{Status: 500, Close: true, Err: fmt.Errorf("spool the request's body: %w", err)}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		e.Status = 507
	case shortage(err):
		e.Status = 503
		e.Header.Add("Retry-After", "1")
	}
	return e
}

// stdin is what a process reads the body from, or nil when there is no body:
// /dev/null then. It is called once; the input closes the file.
func (in *input) stdin() (*os.File, error) {
	if in.file != nil || in.length == 0 {
		return in.file, nil
	}
	if r := fullPipe(in.memory); r != nil {
		in.file, in.memory = r, nil
		return r, nil
	}
	if err := in.spool(); err != nil {
		return nil, err
	}
	if _, err := in.file.Seek(0, io.SeekStart); err != nil {
		return nil, spoolError(err)
	}
	return in.file, nil
}

// fullPipe is the read end of a pipe that holds b whole, its write end closed:
// nobody has to stand by while the script reads, or doesn't. It is nil when no
// pipe can be had that is large enough: a user with many pipes gets small ones
// (pipe(7), pipe-user-pages-soft).
func fullPipe(b []byte) *os.File {
	var fd [2]int
	if unix.Pipe2(fd[:], unix.O_CLOEXEC) != nil {
		return nil
	}
	defer unix.Close(fd[1])
	if unix.SetNonblock(fd[1], true) == nil {
		if n, err := unix.Write(fd[1], b); err == nil && n == len(b) {
			return os.NewFile(uintptr(fd[0]), "body")
		}
	}
	unix.Close(fd[0])
	return nil
}

// Close releases what the input holds. It may be called more than once.
func (in *input) Close() {
	if in.file != nil {
		in.file.Close()
	}
	in.file, in.memory = nil, nil
}
