package protocol

import (
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// accept takes connections until the server drains or is closed. Errors of the
// system are waited out.
func (s *Server) accept() {
	var pause backoff
	for {
		var freed <-chan struct{}
		if pause.failing() {
			freed = s.spare.watch() // before the attempt, so that nothing is missed
		}
		tcp, err := s.acceptTCP()
		switch {
		case err == nil:
			pause.reset()
			s.take(tcp)
		case s.ctx.Err() != nil:
			return
		case errors.Is(err, net.ErrClosed):
			s.Drain()
			return
		case s.draining.Load():
			s.acceptQueued(&pause)
			return
		default:
			s.unable(err, &pause, freed)
		}
	}
}

// unable is called when accept has failed. It returns when the next attempt has a
// chance.
func (s *Server) unable(err error, pause *backoff, freed <-chan struct{}) {
	short := noDescriptors(err)
	if pause.tell() {
		if short {
			s.log.Warn("no file descriptor is left: clients get 503 or wait until others leave; raise the limit (ulimit -n, LimitNOFILE)",
				"addr", s.ln.Addr().String(), "error", err)
		} else {
			s.log.Warn("can't accept connections, trying again", "addr", s.ln.Addr().String(), "error", err)
		}
	}
	if short && s.spare.giveUp() {
		return
	}
	pause.wait(s.ctx, freed)
}

// queueTime bounds how long a draining server takes what is in the queue:
// somebody may connect all the time.
const queueTime = time.Second

// acceptQueued takes the connections that still wait when the backlog's time is
// over, as they do on a busy machine, without waiting for any other.
func (s *Server) acceptQueued(pause *backoff) {
	until := time.Now().Add(queueTime)
	s.ln.SetDeadline(until)
	pause.reset()
	for s.queued() && time.Now().Before(until) && s.ctx.Err() == nil {
		freed := s.spare.watch()
		tcp, err := s.acceptTCP()
		switch {
		case err == nil:
			s.take(tcp)
		case noDescriptors(err):
			s.unable(err, pause, freed)
		default:
			return
		}
	}
}

// queued reports whether a connection waits to be accepted.
func (s *Server) queued() bool {
	raw, err := s.ln.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Control(func(fd uintptr) {
		n, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	})
	return err == nil && n > 0
}
