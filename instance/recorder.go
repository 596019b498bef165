package instance

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sited/protocol"
)

// How many requests a Recorder holds, how often it takes a new one, and what it
// calls slow. A flood of errors costs a site little more than the check.
const (
	keptFailed  = 32 // of answers of 500 and above, and those that broke off
	keptRefused = 32 // of answers from 400 to 499, and requests that are not HTTP
	keptSlow    = 16 // of each window

	failedEvery  = 5 * time.Millisecond
	refusedEvery = 20 * time.Millisecond
	burst        = 8 // may come at once

	leastSlow  = 10 * time.Millisecond
	slowWindow = 5 * time.Minute
)

// Recorder is the flight recorder of a site: it holds the last requests that
// failed and the slowest ones, for who asks why. It outlives the instances that
// write into it, is bounded, and holds nothing before there is something to
// hold. Its methods may be called concurrently.
//
// The slowest are those of this window of five minutes and of the one before it.
// A further one takes a place when it took longer than the quickest of those by a
// sixteenth, so that latencies that rise do not all have to be written down.
type Recorder struct {
	failed  ring
	refused ring

	bar  atomic.Int64 // how slow a request must be to be among the slowest, in nanoseconds
	turn atomic.Int64 // when the window is over, in nanoseconds of Unix time

	mu     sync.Mutex
	slow   []*flown // of this window
	before []*flown // of the one before
}

// NewRecorder returns a Recorder that holds nothing.
func NewRecorder() *Recorder {
	return &Recorder{
		failed:  ring{size: keptFailed, every: int64(failedEvery)},
		refused: ring{size: keptRefused, every: int64(refusedEvery)},
	}
}

// flown is what a Recorder holds of one request.
type flown struct {
	flight Flight
	note   *scriptNote   // of a script, which may go on; nil for none
	slow   time.Duration // what counts for the slowest
	ended  time.Time
}

// ring holds the last entries of a kind.
type ring struct {
	size  int
	every int64        // one is taken in that time, in nanoseconds; a few more at first
	paid  atomic.Int64 // what was taken is paid for then, in nanoseconds of Unix time

	mu      sync.Mutex
	entries []*flown
	next    int // the oldest, once there are size
}

// due reports whether a further entry is to be taken, and if so accounts for it
// (the generic cell rate algorithm). A clock that was set back begins anew.
func (r *ring) due(at int64) bool {
	for {
		paid := r.paid.Load()
		debt := paid - at
		if most := burst * r.every; debt > most && debt < 3*most {
			return false
		} else if debt < 0 || debt > most {
			debt = 0
		}
		if r.paid.CompareAndSwap(paid, at+debt+r.every) {
			return true
		}
	}
}

func (r *ring) add(e *flown) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.entries) < r.size {
		r.entries = append(r.entries, e)
		return
	}
	r.entries[r.next] = e
	r.next = (r.next + 1) % r.size
}

func (r *ring) all() []*flown {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.entries)
}

// places are where a request belongs in a Recorder; the zero value is nowhere.
type places struct {
	ring *ring
	slow time.Duration // 0: not among the slowest
}

// admit says where an exchange that is over belongs. For one that went well and
// took no time it reads nothing but x.
func (r *Recorder) admit(x *protocol.Exchange) (p places) {
	bad := x.Err != nil || x.Res.Status >= 400
	if !bad && x.Took < leastSlow || isTunnel(x) {
		return places{}
	}
	at := x.Start.UnixNano() + int64(x.Took)
	if bad {
		if ring := r.ringFor(x); ring.due(at) {
			p.ring = ring
		}
	}
	if x.Took >= leastSlow {
		if slow := slowness(x); r.isSlow(slow, at) {
			p.slow = slow
		}
	}
	return p
}

// isTunnel reports whether an exchange was a tunnel: however long it was open, and
// whichever end or timeout closed it, that is no failure of the site's.
func isTunnel(x *protocol.Exchange) bool {
	return x.Req.Method == protocol.MethodConnect && x.Res.Status < 300
}

// ringFor is where a request that failed belongs: what is not HTTP is the
// client's doing, whatever its status.
func (r *Recorder) ringFor(x *protocol.Exchange) *ring {
	if status := x.Res.Status; 400 <= status && status < 500 || reasonOf(x.Err) != "" {
		return &r.refused
	}
	return &r.failed
}

// reasonOf is the rule that a malformed request broke; "" for any other.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return e.Reason
	}
	return ""
}

// slowness is how long the site took for an exchange, as far as that can be told
// from how long its client did: from the end of the head to the first byte of the
// answer; for a script, whose process is held until then, from the end of the
// request to the end of the answer.
func slowness(x *protocol.Exchange) time.Duration {
	if n, ok := x.Note.(*scriptNote); ok {
		return x.Took - x.HeadTook - n.reading()
	}
	return cmp.Or(x.FirstByte, x.Took) - x.HeadTook
}

// isSlow reports whether slow is enough to be among the slowest of the window.
func (r *Recorder) isSlow(slow time.Duration, at int64) bool {
	return slow >= leastSlow && (int64(slow) > r.bar.Load() || r.isOver(at))
}

// isOver reports whether the window is over, as when the clock was set back.
func (r *Recorder) isOver(at int64) bool {
	left := r.turn.Load() - at
	return left <= 0 || left > 2*int64(slowWindow)
}

// record holds e where p says.
func (r *Recorder) record(e *flown, p places) {
	e.slow = p.slow
	if p.ring != nil {
		p.ring.add(e)
	}
	if p.slow > 0 {
		r.addSlow(e)
	}
}

func (r *Recorder) addSlow(e *flown) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := e.ended.UnixNano(); r.isOver(at) {
		r.before, r.slow = r.slow, nil
		r.bar.Store(0)
		r.turn.Store(at + int64(slowWindow))
	}
	if len(r.slow) < keptSlow {
		r.slow = append(r.slow, e)
	} else {
		quickest := slices.MinFunc(r.slow, bySlowness)
		if e.slow <= quickest.slow {
			return // others were quicker to say so
		}
		r.slow[slices.Index(r.slow, quickest)] = e
	}
	if len(r.slow) == keptSlow {
		least := slices.MinFunc(r.slow, bySlowness).slow
		r.bar.Store(int64(least + least/16))
	}
}

func bySlowness(a, b *flown) int { return cmp.Compare(a.slow, b.slow) }

// slowest are the entries of both windows that are recent enough, the slowest
// first.
func (r *Recorder) slowest(now time.Time) []*flown {
	r.mu.Lock()
	all := slices.Concat(r.slow, r.before)
	r.mu.Unlock()
	all = slices.DeleteFunc(all, func(e *flown) bool { return now.Sub(e.ended) > 2*slowWindow })
	slices.SortStableFunc(all, func(a, b *flown) int { return bySlowness(b, a) })
	return all[:min(len(all), keptSlow)]
}

// Flights are the requests that a Recorder holds.
type Flights struct {
	// Failed are the last ones with an answer of 400 or above, or that broke off;
	// the newest first.
	Failed []Flight `json:"failed"`
	// Slowest are the slowest of the last five to ten minutes, the slowest first.
	Slowest []Flight `json:"slowest"`
}

// Flights tells what is held. The result is the caller's.
func (r *Recorder) Flights() Flights {
	failed := append(r.failed.all(), r.refused.all()...)
	slices.SortStableFunc(failed, func(a, b *flown) int { return b.ended.Compare(a.ended) })
	return Flights{Failed: flights(failed), Slowest: flights(r.slowest(time.Now()))}
}

func flights(entries []*flown) []Flight {
	all := make([]Flight, len(entries))
	for i, e := range entries {
		all[i] = e.show()
	}
	return all
}

// show is the entry as it is now.
func (e *flown) show() Flight {
	f := e.flight
	f.Slow = e.slow.Seconds()
	f.Headers, f.Trace = slices.Clone(f.Headers), slices.Clone(f.Trace)
	if e.note != nil {
		e.note.show(&f)
	}
	return f
}
