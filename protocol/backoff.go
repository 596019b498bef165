package protocol

import (
	"context"
	"time"
)

// backoff spaces out attempts that fail: 5 ms, doubled up to a second. The zero
// value is ready.
type backoff struct {
	next time.Duration // what was waited last; 0 after a success
	told time.Time
}

// tellEvery is the least time between two log lines about failed attempts.
const tellEvery = time.Minute

// failing reports whether an attempt failed and was waited for since the last
// success.
func (b *backoff) failing() bool { return b.next != 0 }

// tell reports whether a failure is worth a log line: it is the first since the
// last success, and there was no line within tellEvery.
func (b *backoff) tell() bool {
	if b.failing() || !b.told.IsZero() && time.Since(b.told) < tellEvery {
		return false
	}
	b.told = time.Now()
	return true
}

func (b *backoff) reset() { b.next = 0 }

// wait returns when the time has come for the next attempt, or before: when ctx
// ends or sooner, which may be nil, is closed.
func (b *backoff) wait(ctx context.Context, sooner <-chan struct{}) {
	b.next = min(max(2*b.next, 5*time.Millisecond), time.Second)
	t := time.NewTimer(b.next)
	defer t.Stop()
	select {
	case <-t.C:
	case <-sooner:
	case <-ctx.Done():
	}
}
