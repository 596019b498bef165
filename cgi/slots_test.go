package cgi

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestSlotsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1, func(int) {})
		if err := s.take(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		var order []int
		for i := range 4 {
			go func() {
				if err := s.take(t.Context(), time.Minute); err != nil {
					t.Errorf("take: %v", err)
				}
				order = append(order, i) // one at a time: whoever has the slot
				s.give()
			}()
			synctest.Wait()
		}
		if err := s.take(t.Context(), time.Minute); err != errQueueFull {
			t.Errorf("fifth in line: %v", err)
		}
		s.give()
		synctest.Wait()
		if !slices.Equal(order, []int{0, 1, 2, 3}) {
			t.Errorf("order %v", order)
		}
		if s.free != 1 || s.line.Len() != 0 {
			t.Errorf("%d free, %d in line at the end", s.free, s.line.Len())
		}
	})
}

func TestSlotsGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1, func(int) {})
		if err := s.take(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := s.take(t.Context(), 3*time.Second); err != errWaitOver {
			t.Errorf("take: %v", err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("waited %v", took)
		}
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		if err := s.take(ctx, time.Minute); err != why {
			t.Errorf("take: %v", err)
		}
		s.give()
		if s.free != 1 || s.line.Len() != 0 {
			t.Errorf("%d free, %d in line at the end", s.free, s.line.Len())
		}
	})
}

// A slot that comes at the very moment its taker gives up is not lost.
func TestSlotsLateTurn(t *testing.T) {
	s := newSlots(1, func(int) {})
	turn := make(chan error, 1)
	place := s.line.PushBack(turn)
	s.free = 0
	s.give()
	s.leave(place, turn)
	if s.free != 1 {
		t.Errorf("%d free; want 1", s.free)
	}
}

func TestSlotsClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1, func(int) {})
		if err := s.take(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error, 1)
		go func() { waiting <- s.take(t.Context(), time.Minute) }()
		synctest.Wait()
		s.close()
		if err := <-waiting; err != errClosed {
			t.Errorf("who waited: %v", err)
		}
		if err := s.take(t.Context(), time.Minute); err != errClosed {
			t.Errorf("who came: %v", err)
		}
		s.give()
	})
}
