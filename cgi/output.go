package cgi

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

var errNoOutput = errors.New("no output in time")

// output is our end of a pipe that a process writes to. It ends with the end of
// the pipe, or when the process has exited and what it wrote was read: a
// process that it left behind in another group does not hold the answer up.
// One goroutine reads; exited and close may be called from any.
type output struct {
	file *os.File

	mu   sync.Mutex // held while the read deadline is set
	over bool       // the process has exited

	draining bool // over was noticed: left is what remains
	left     int
}

// read waits until deadline (the zero time: without end) for the next bytes and
// returns at least one, or io.EOF, or errNoOutput, or what else went wrong.
func (o *output) read(p []byte, deadline time.Time) (int, error) {
	if o.arm(deadline) {
		n, err := o.file.Read(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if !o.isOver() {
			return 0, errNoOutput
		}
	}
	if !o.draining {
		if err := o.drain(); err != nil {
			return 0, err
		}
	}
	if o.left == 0 {
		return 0, io.EOF
	}
	n, err := o.file.Read(p[:min(len(p), o.left)])
	o.left -= n
	return n, err
}

// arm sets the deadline, unless the process has exited.
func (o *output) arm(deadline time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return false
	}
	o.file.SetReadDeadline(deadline)
	return true
}

func (o *output) isOver() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.over
}

// drain finds out how much is left in the pipe. As nobody else reads from it,
// reading that much never waits.
func (o *output) drain() error {
	if err := o.file.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	conn, err := o.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		o.left, failed = unix.IoctlGetInt(int(fd), unix.TIOCINQ)
	})
	o.draining = true
	return errors.Join(err, failed)
}

// exited says that the process has exited, which wakes the reader up.
func (o *output) exited() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	o.file.SetReadDeadline(time.Unix(1, 0))
}

// close ends reading at once. It may be called more than once.
func (o *output) close() { o.file.Close() }
