package protocol

import (
	"context"
	"time"
)

// backoff spaces out attempts that fail: 5 ms, doubled up to a second. The zero
// value is ready.
type backoff struct{ next time.Duration }

// first reports whether the coming wait is the first since the last success.
func (b *backoff) first() bool { return b.next == 0 }

func (b *backoff) reset() { b.next = 0 }

func (b *backoff) wait(ctx context.Context) {
	b.next = min(max(2*b.next, 5*time.Millisecond), time.Second)
	t := time.NewTimer(b.next)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
