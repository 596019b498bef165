package protocol

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Spare is a file descriptor that the servers of a process keep in reserve
// together, and how they tell each other that one came free.
//
// accept(2) asks for a descriptor before it looks for a connection. A process
// that has none left would therefore neither see its clients nor be able to wait
// for them. The server that finds this out gives the spare descriptor up, which
// makes room for one connection at a time: its client is told 503. The first
// connection that leaves room for the spare descriptor as well is served.
//
// The zero Spare has no descriptor: clients then wait, in the queue of the
// listening socket, until others leave. The methods may be called concurrently.
type Spare struct {
	out     atomic.Bool // the descriptor was given up, and is to be regained
	watched atomic.Bool // freed is not nil

	mu    sync.Mutex
	held  bool
	fd    int           // valid while held
	freed chan struct{} // closed when a descriptor comes free; nil while nobody watches
}

// NewSpare takes a descriptor. It belongs to the caller, who closes it after the
// servers that share it.
func NewSpare() (*Spare, error) {
	fd, err := openSpare()
	if err != nil {
		return nil, fmt.Errorf("taking a spare file descriptor: %w", err)
	}
	return &Spare{held: true, fd: fd}, nil
}

// openSpare makes the least that takes a descriptor, of the process and of the
// system, and needs no path.
func openSpare() (int, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	return fd, os.NewSyscallError("eventfd", err)
}

// Close gives the descriptor back for good. It may be called more than once.
func (s *Spare) Close() {
	s.giveUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.Store(false)
}

// giveUp closes the descriptor and reports whether there was one.
func (s *Spare) giveUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.held {
		return false
	}
	unix.Close(s.fd) // an eventfd has nothing to lose
	s.held = false
	s.out.Store(true)
	return true
}

// regain takes a descriptor again if it was given up. It reports false when there
// is still none to spare.
func (s *Spare) regain() bool {
	if !s.out.Load() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.out.Load() {
		return true
	}
	fd, err := openSpare()
	if err != nil {
		return false
	}
	s.held, s.fd = true, fd
	s.out.Store(false)
	return true
}

// short reports whether descriptors have run out, as far as is known: then none is
// to be taken for what can be done without.
func (s *Spare) short() bool { return s.out.Load() || s.watched.Load() }

// watch returns a channel that is closed when a descriptor comes free after the
// call.
func (s *Spare) watch() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.freed == nil {
		s.freed = make(chan struct{})
		s.watched.Store(true)
	}
	return s.freed
}

// released tells those that watch that a descriptor came free.
func (s *Spare) released() {
	if !s.watched.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.freed != nil {
		close(s.freed)
		s.freed = nil
		s.watched.Store(false)
	}
}

// noDescriptors reports whether err says that the process or the system has no
// descriptor left.
func noDescriptors(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}
