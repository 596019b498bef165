package metrics

import "time"

// SampleEvery is how often Sample is to be called.
const SampleEvery = 5 * time.Second

const (
	samplesKept   = 60 // five minutes
	samplesRecent = 12 // the last minute
)

// Point is what happened to a site within one SampleEvery.
type Point struct {
	Requests uint32
	Errors   uint32 // answers of 500 and above
}

// Recent is how a site has been of late, as of the last Sample.
type Recent struct {
	Rate       float64       // requests a second over the last minute, or since the site is known
	ErrorRatio float64       // the part of them that got 500 or above, 0 to 1
	P50, P99   time.Duration // half of them, and 99 of 100, took no longer; 0 without requests
	Points     []Point       // the last five minutes, oldest first
}

// past is what is remembered of a row from one sample to the next.
type past struct {
	since   time.Time    // what came before is not counted; zero before the first sample
	seen    []cellCount  // of row.duration at the last sample, in order, without zeros
	total   uint64       // the sum of seen
	errors  uint64       // row.errors at the last sample
	history *lastMinutes // nil when nothing happened in it
}

type cellCount struct {
	cell uint8
	n    uint64
}

// lastMinutes has rings, the places of which table.slots tells.
type lastMinutes struct {
	points [samplesKept]Point
	cells  [samplesRecent][]cellCount // of row.duration, without zeros
}

// Sample takes note of what has happened since it was called last, for Recent.
// now must not go back. After a gap, what happened in it is spread over it.
func (r *Registry) Sample(now time.Time) {
	t := r.table
	t.mu.Lock()
	defer t.mu.Unlock()
	first, steps := t.sampled.IsZero(), 1
	if !first {
		steps = max(1, int(now.Sub(t.sampled).Round(SampleEvery)/SampleEvery))
	}
	t.sampled = now
	t.slots += steps
	for _, row := range t.rows {
		row.sample(now, first, steps)
	}
}

// sample is Sample for one row; first says that there was none before for any.
func (r *row) sample(now time.Time, first bool, steps int) {
	p := &r.past
	var n counts
	errors := r.errors.Load() // before the durations, see Exchange
	total := r.duration.read(&n)
	if p.since.IsZero() {
		p.since = r.groups[0].created
		if first && now.Sub(p.since) > 2*SampleEvery {
			p.since, p.total, p.errors = now, total, errors
			p.remember(&n)
			return
		}
	}
	if p.history != nil {
		p.history.clear(r.table.slots, steps)
	}
	if total == p.total {
		if p.history != nil && p.history.points == ([samplesKept]Point{}) {
			p.history = nil
		}
		return
	}
	if p.history == nil {
		p.history = &lastMinutes{}
	}
	p.history.add(r.table.slots, steps, total-p.total, errors-p.errors)
	p.history.addCells(r.table.slots, &n, p.seen)
	p.total, p.errors = total, errors
	p.remember(&n)
}

// remember keeps what the cells hold.
func (p *past) remember(n *counts) { p.seen = nonzero(p.seen[:0], n) }

func nonzero(list []cellCount, n *counts) []cellCount {
	for cell, count := range n {
		if count > 0 {
			list = append(list, cellCount{uint8(cell), count})
		}
	}
	return list
}

// clear makes room for the last steps slots.
func (h *lastMinutes) clear(slots, steps int) {
	for i := range min(steps, samplesKept) {
		h.points[(slots-i)%samplesKept] = Point{}
	}
	for i := range min(steps, samplesRecent) {
		h.cells[(slots-i)%samplesRecent] = h.cells[(slots-i)%samplesRecent][:0]
	}
}

// add spreads requests and errors over the last steps slots.
func (h *lastMinutes) add(slots, steps int, requests, errors uint64) {
	for i := steps - 1; i >= 0; i-- {
		n, e := requests/uint64(i+1), errors/uint64(i+1)
		if i < samplesKept {
			h.points[(slots-i)%samplesKept] = Point{uint32(n), uint32(e)}
		}
		requests, errors = requests-n, errors-e
	}
}

// addCells notes what the cells hold more than was seen.
func (h *lastMinutes) addCells(slots int, n *counts, seen []cellCount) {
	fresh := *n
	for _, s := range seen {
		fresh[s.cell] -= s.n
	}
	place := &h.cells[slots%samplesRecent]
	*place = nonzero((*place)[:0], &fresh)
}

// Recent tells how a site has been of late. It may be called concurrently; of a
// site that is not known it says that nothing has happened.
func (r *Registry) Recent(site string) Recent {
	out := Recent{Points: make([]Point, samplesKept)}
	t := r.table
	t.mu.Lock()
	defer t.mu.Unlock()
	row := t.rows[site]
	if row == nil || row.past.history == nil {
		return out
	}
	h := row.past.history
	var requests, errors float64
	for i := range out.Points {
		p := h.points[(t.slots+1+i)%samplesKept]
		out.Points[i] = p
		if i >= samplesKept-samplesRecent {
			requests += float64(p.Requests)
			errors += float64(p.Errors)
		}
	}
	if requests == 0 {
		return out
	}
	over := min(t.sampled.Sub(row.past.since), samplesRecent*SampleEvery)
	out.Rate = requests / max(over, SampleEvery).Seconds()
	out.ErrorRatio = errors / requests
	var n counts
	for _, list := range h.cells {
		for _, c := range list {
			n[c.cell] += c.n
		}
	}
	out.P50, out.P99 = n.quantile(0.5), n.quantile(0.99)
	return out
}

// quantile is the duration that the part q of all is not above, taken to be
// spread evenly within a cell; 0 without any.
func (n *counts) quantile(q float64) time.Duration {
	var all uint64
	for _, count := range n {
		all += count
	}
	rank, before := q*float64(all), 0.0
	for cell, count := range n {
		if count == 0 || before+float64(count) < rank {
			before += float64(count)
			continue
		}
		low := cells.below(cell)
		if cell == len(cells.bounds)-1 {
			return time.Duration(low) // it has no end
		}
		return time.Duration(float64(low) + float64(cells.bounds[cell]-low)*(rank-before)/float64(count))
	}
	return 0
}
