package protocol

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A listener that fails for a while is tried again, ever more slowly.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b backoff
		want := 5 * time.Millisecond
		for i := range 12 {
			if b.failing() != (i > 0) {
				t.Errorf("wait %d: failing %t", i, b.failing())
			}
			began := time.Now()
			b.wait(t.Context(), nil)
			if took := time.Since(began); took != min(want, time.Second) {
				t.Errorf("wait %d: %v, want %v", i, took, want)
			}
			want *= 2
		}
		b.reset()
		if b.failing() {
			t.Error("reset changes nothing")
		}
	})
}

func TestBackoffIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b backoff
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		sooner := make(chan struct{})
		close(sooner)
		began := time.Now()
		b.wait(ended, nil)
		b.wait(t.Context(), sooner)
		if took := time.Since(began); took != 0 || !b.failing() {
			t.Errorf("waited %v, failing %t", took, b.failing())
		}
	})
}

// However often things go wrong and right again, there is a line a minute.
func TestBackoffTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b backoff
		lines := 0
		for began := time.Now(); time.Since(began) < 10*tellEvery; {
			if b.tell() {
				lines++
			}
			b.wait(t.Context(), nil)
			b.reset()
		}
		if lines != 10 {
			t.Errorf("%d lines in 10 minutes of trouble that comes and goes", lines)
		}
		time.Sleep(tellEvery)
		if !b.tell() {
			t.Error("nothing is told of new trouble")
		}
		b.wait(t.Context(), nil)
		time.Sleep(2 * tellEvery)
		if b.tell() {
			t.Error("told twice of the same trouble")
		}
	})
}
