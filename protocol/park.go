package protocol

import (
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// parking is where connections are left that have waited for a request for
// sureTime: most of what such a connection costs is the stack of its goroutine. A
// single one watches all that are parked, through an epoll instance of the
// server's own, and starts theirs again when there is something to read, their
// time is over, or the server drains. All fields are guarded by Server.mu.
type parking struct {
	conns map[int32]*conn // by descriptor; nil while none is parked
	poll  *os.File        // the epoll instance; nil like conns
	raw   syscall.RawConn // of poll
	fresh int             // connections parked since memory was given back
	seen  int             // fresh, at the last sweep
}

const (
	parkSweep = time.Second // how often the time of parked connections is looked at
	// parkTidy is after how many parked connections it is worth to give back the
	// memory of their goroutines: that takes a collection, and an idle process
	// would have none for minutes.
	parkTidy = 1024
)

// park leaves c to the watcher, unless the server drains or the system has no
// means for it. After true c belongs to the goroutine that the watcher starts.
func (s *Server) park(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() || s.ctx.Err() != nil || !s.openParking() {
		return false
	}
	parked := false
	err := c.raw.Control(func(fd uintptr) {
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(fd)}
		if unix.EpollCtl(s.epoll(), unix.EPOLL_CTL_ADD, int(fd), &event) == nil {
			s.parking.conns[int32(fd)] = c
			s.parking.fresh++
			parked = true
		}
	})
	return err == nil && parked
}

// openParking makes the epoll instance and starts the watcher, unless that was
// done. mu is held.
func (s *Server) openParking() bool {
	p := &s.parking
	if p.poll != nil {
		return true
	}
	if s.spare.short() { // a client would have to do without this one
		return false
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that os.File waits as for a socket
		unix.Close(fd)
		return false
	}
	poll := os.NewFile(uintptr(fd), "epoll")
	raw, err := poll.SyscallConn()
	if err != nil {
		poll.Close()
		return false
	}
	*p = parking{conns: map[int32]*conn{}, poll: poll, raw: raw}
	s.conns.Go(func() { s.watchParked(raw, poll) })
	return true
}

// epoll is the descriptor of the epoll instance. mu is held.
func (s *Server) epoll() (epoll int) {
	s.parking.raw.Control(func(fd uintptr) { epoll = int(fd) })
	return epoll
}

// watchParked runs until no connection is parked any more.
func (s *Server) watchParked(raw syscall.RawConn, poll *os.File) {
	defer poll.Close()
	events := make([]unix.EpollEvent, 128)
	sweep := time.Now().Add(parkSweep)
	for {
		if s.draining.Load() {
			sweep = longAgo
		}
		poll.SetReadDeadline(sweep)
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events, 0)
			return n != 0 // also for EINTR
		})
		s.unparkReady(events[:max(n, 0)])
		if err == nil {
			continue
		}
		left, calm := s.sweepParked()
		if calm {
			debug.FreeOSMemory()
		}
		if !left {
			return
		}
		sweep = time.Now().Add(parkSweep)
	}
}

// unparkReady starts those connections again that events are about.
func (s *Server) unparkReady(events []unix.EpollEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		s.unpark(events[i].Fd)
	}
}

// sweepParked starts those connections again whose time is over. It reports
// whether any are left parked, and whether many came lately but none since the
// last sweep.
func (s *Server) sweepParked() (left, calm bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.parking
	now := time.Now()
	for fd, c := range p.conns {
		if !now.Before(c.until) {
			s.unpark(fd)
		}
	}
	if calm = p.fresh >= parkTidy && p.fresh == p.seen; calm {
		p.fresh = 0
	}
	p.seen = p.fresh
	if len(p.conns) == 0 {
		*p = parking{}
		return false, calm
	}
	return true, calm
}

// unpark starts the goroutine of a parked connection again. mu is held.
func (s *Server) unpark(fd int32) {
	c := s.parking.conns[fd]
	if c == nil {
		return
	}
	delete(s.parking.conns, fd)
	unix.EpollCtl(s.epoll(), unix.EPOLL_CTL_DEL, int(fd), nil) // fails only when the connection was closed
	go s.run(c, c.serve, false)
}

// unparkAll starts all parked connections again, because they are to end. mu is
// held.
func (s *Server) unparkAll() {
	for fd := range s.parking.conns {
		s.unpark(fd)
	}
	if s.parking.poll != nil {
		s.parking.poll.SetReadDeadline(longAgo) // for the watcher to see that none is left
	}
}
