package supervisor

import (
	"math/rand/v2"
	"time"
)

// State is where a site is in its life.
type State string

const (
	Preparing State = "preparing" // its first generation is being made
	Serving   State = "serving"   // a generation serves, perhaps not the newest one: see config_current
	Draining  State = "draining"  // it was removed; what is in flight ends
	Backoff   State = "backoff"   // it could not be started and is tried again later
	Failed    State = "failed"    // its block is wrong and there is nothing to run until the file changes
	Stopped   State = "stopped"   // over
)

// event is what happens to a site.
type event string

const (
	started event = "started" // a generation, the first or a next one, began to serve
	unready event = "unready" // a generation could not be prepared or bound
	retried event = "retried" // the wait is over: preparation begins again
	refused event = "refused" // the configuration's newest block for it is wrong
	died    event = "died"    // its server ended without being told to
	removed event = "removed" // the configuration names it no longer, or the process ends
	drained event = "drained" // all that was in flight has ended
)

// next is the table of a site's life: the state after e, and whether e can
// happen in that state at all.
func (s State) next(e event) (State, bool) {
	switch s {
	case Preparing:
		switch e {
		case started:
			return Serving, true
		case unready:
			return Backoff, true
		case refused:
			return Failed, true
		case removed:
			return Stopped, true
		case drained: // generations from before it was removed and came back
			return Preparing, true
		case retried, died:
		}
	case Serving:
		switch e {
		case started, unready, refused, retried, drained: // the last good generation goes on
			return Serving, true
		case died:
			return Backoff, true
		case removed:
			return Draining, true
		}
	case Draining:
		switch e {
		case started: // it came back before it was gone
			return Serving, true
		case unready:
			return Backoff, true
		case refused:
			return Failed, true
		case removed:
			return Draining, true
		case drained:
			return Stopped, true
		case retried, died:
		}
	case Backoff:
		switch e {
		case started:
			return Serving, true
		case unready, drained:
			return Backoff, true
		case retried:
			return Preparing, true
		case refused:
			return Failed, true
		case removed:
			return Stopped, true
		case died:
		}
	case Failed:
		switch e {
		case started:
			return Serving, true
		case unready:
			return Backoff, true
		case refused, drained:
			return Failed, true
		case removed:
			return Stopped, true
		case retried, died:
		}
	case Stopped:
		switch e {
		case removed, drained:
			return Stopped, true
		case started, unready, retried, refused, died:
		}
	}
	return s, false
}

// backoff is exponential waiting with jitter. The zero value of tries is the
// state after success.
type backoff struct {
	min, max time.Duration
	tries    int
}

// wait returns how long to wait before the next try: between half of and the
// whole of min, 2*min, 4*min … max.
func (b *backoff) wait() time.Duration {
	whole := b.max
	if b.tries < 30 && b.min<<b.tries < b.max {
		whole = b.min << b.tries
	}
	b.tries++
	return whole/2 + rand.N(whole/2+1)
}

func (b *backoff) reset() { b.tries = 0 }
