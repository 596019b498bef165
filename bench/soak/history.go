package main

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// moment is a time by the monotonic clock, counted from the beginning of the
// run. Changes and requests are made by this one process, so that their moments
// compare.
type moment = time.Duration

const (
	// staleness is how much older than the beginning of a request the content of
	// its answer may be.
	staleness = 200 * time.Millisecond
	// tolerance is added to staleness for the granularity of the server's clock.
	// No load of the machine needs more: a server that takes the time before it
	// looks at a file is never later than it thinks, however long it is kept
	// waiting.
	tolerance = 10 * time.Millisecond
	// remembered is how long a state is kept after its end. It is longer than
	// any request may take, and staleness.
	remembered = 3 * answerTime / 2
	forever    = moment(math.MaxInt64)
)

// clock tells moments.
type clock struct{ began time.Time }

func (c clock) now() moment { return time.Since(c.began) }

// presence is what a path leads to.
type presence uint8

const (
	absent presence = iota // nothing, or what is not served: 404
	folder                 // a folder, asked for without its slash: 301
	there                  // a file: 200
)

// state is what a path led to for some time. A state is added before the system
// call that brings it about, and ended after the one that ends it has returned:
// what was on disk at a moment is always among the states that cover it.
type state struct {
	presence presence
	version  version
	// The size in bytes is one of least, least+recordSize, … most: while a file
	// grows it has each of them at some moment.
	least, most  int64
	since, until moment
}

func present(v version, size int64) state {
	return state{presence: there, version: v, least: size, most: size}
}

// growing is a file of version v while it grows from least to most bytes.
func growing(v version, least, most int64) state {
	return state{presence: there, version: v, least: least, most: most}
}

// has reports whether size is one that the file had in the state.
func (s *state) has(size int64) bool {
	return s.presence == there && s.least <= size && size <= s.most && (size-s.least)%recordSize == 0
}

func (s *state) String() string {
	what := [...]string{"nothing", "a folder", ""}[s.presence]
	if s.presence == there {
		what = fmt.Sprintf("version %d, %d bytes", s.version.number, s.most)
		if s.least != s.most {
			what = fmt.Sprintf("version %d, growing from %d to %d bytes", s.version.number, s.least, s.most)
		}
	}
	if s.until == forever {
		return fmt.Sprintf("%s, since %v", what, s.since)
	}
	return fmt.Sprintf("%s, from %v to %v", what, s.since, s.until)
}

// history is what a path led to lately. One writer changes it; any number of
// goroutines may ask it.
type history struct {
	mu       sync.Mutex
	states   []state  // by since; until never goes down either
	barriers []moment // when changes through the site were acknowledged
	tags     tagBook
}

func newHistory() *history { return &history{tags: newTagBook()} }

// begin adds the states that a change, which begins now, goes through. What was
// there before lasts until end.
func (h *history) begin(now moment, next ...state) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(now)
	for _, s := range next {
		s.since, s.until = now, forever
		h.states = append(h.states, s)
	}
}

// end ends, now, all states but the last.
func (h *history) end(now moment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := len(h.states) - 2; i >= 0 && h.states[i].until == forever; i-- {
		h.states[i].until = now
	}
}

// acknowledge is end for a change that the site itself has made and confirmed:
// no request that begins later may see what was there before.
func (h *history) acknowledge(now moment) {
	h.end(now)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.barriers = append(h.barriers, now)
}

// forget drops what ended long ago. The caller holds mu.
func (h *history) forget(now moment) {
	old := 0
	for old < len(h.states) && h.states[old].until < now-remembered {
		old++
	}
	if old < 64 {
		return
	}
	h.states = slices.Delete(h.states, 0, old)
	h.tags.forget(h.states)
	late := 0
	for late < len(h.barriers)-1 && h.barriers[late] < now-remembered {
		late++
	}
	h.barriers = slices.Delete(h.barriers, 0, late)
}

// during returns, oldest first, the states of which a request from start to end
// may get an answer: those that lasted at some moment since start less slack,
// but not what was ended by a change that the site had confirmed by then.
func (h *history) during(start, end moment, slack time.Duration) []state {
	h.mu.Lock()
	defer h.mu.Unlock()
	from := start - slack
	for _, b := range slices.Backward(h.barriers) {
		if b <= start {
			from = max(from, b)
			break
		}
	}
	var found []state
	for _, s := range slices.Backward(h.states) {
		if s.until <= from {
			break
		}
		if s.since <= end {
			found = append(found, s)
		}
	}
	slices.Reverse(found)
	return found
}

// of returns the states of one version that are remembered.
func (h *history) of(v version) []state {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []state
	for _, s := range h.states {
		if s.presence == there && s.version == v {
			found = append(found, s)
		}
	}
	return found
}

// change makes a change that shows in several histories: next says what each of
// them goes through.
func (c clock) change(do func() error, next map[*history][]state) error {
	now := c.now()
	for h, states := range next {
		h.begin(now, states...)
	}
	err := do()
	now = c.now()
	for h := range next {
		h.end(now)
	}
	return err
}
