package cgi

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

var (
	errQueueFull = errors.New("as many requests as may are waiting for a process")
	errWaitOver  = errors.New("no process became free in time")
	errClosed    = errors.New("the site is being closed")
)

// slots bound how many processes there are at once. Who finds none free waits
// in line: first come, first served. Its methods may be called concurrently.
type slots struct {
	waiting func(more int) // told of everyone who comes to wait, and leaves

	mu     sync.Mutex
	free   int
	room   int       // how many may wait
	line   list.List // of chan error, one for each who waits
	closed bool
}

func newSlots(n int, waiting func(more int)) *slots {
	return &slots{free: n, room: 4 * n, waiting: waiting}
}

// take waits for a slot, at most for the given time and until ctx ends. It
// returns nil with the slot, else errQueueFull, errWaitOver, errClosed or the
// cause of ctx's end.
func (s *slots) take(ctx context.Context, wait time.Duration) error {
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return errClosed
	case s.free > 0: // then nobody waits
		s.free--
		s.mu.Unlock()
		return nil
	case s.line.Len() >= s.room:
		s.mu.Unlock()
		return errQueueFull
	}
	turn := make(chan error, 1)
	place := s.line.PushBack(turn)
	s.mu.Unlock()

	s.waiting(1)
	defer s.waiting(-1)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case err := <-turn:
		return err
	case <-timer.C:
		s.leave(place, turn)
		return errWaitOver
	case <-ctx.Done():
		s.leave(place, turn)
		return context.Cause(ctx)
	}
}

// leave gives a place in the line up, or the slot that came just now.
func (s *slots) leave(place *list.Element, turn <-chan error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case err := <-turn:
		if err == nil {
			s.pass()
		}
	default:
		s.line.Remove(place)
	}
}

// give returns a slot that take gave.
func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass()
}

func (s *slots) pass() {
	first := s.line.Front()
	if first == nil {
		s.free++
		return
	}
	s.line.Remove(first).(chan error) <- nil
}

// close turns everybody away who waits or comes: take returns errClosed.
func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for s.line.Len() > 0 {
		s.line.Remove(s.line.Front()).(chan error) <- errClosed
	}
}
