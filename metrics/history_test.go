package metrics

import (
	"math"
	"runtime"
	"slices"
	"testing"
	"time"
)

// times makes up what happens to a site, and when.
type times struct {
	r   *Registry
	now time.Time
}

func newTimes() *times { return &times{New("1.2.3"), time.Unix(1_700_000_000, 0)} }

// site makes one that is new now.
func (c *times) site(name string) *Site {
	s := c.r.Site(name, Shape{Methods: []string{"GET"}})
	s.group.created = c.now
	return s
}

// pass lets d pass and samples then.
func (c *times) pass(d time.Duration) {
	c.now = c.now.Add(d)
	c.r.Sample(c.now)
}

func (s *Site) answer(n, code int, took time.Duration) {
	for range n {
		s.Exchange(&Exchange{Method: "GET", Code: code, Start: time.Now(), Took: took})
	}
}

func TestRecent(t *testing.T) {
	type step struct {
		ok, failed int // requests
		took       time.Duration
		pass       time.Duration // and then a sample
	}
	quiet := func(n int) []step { return slices.Repeat([]step{{pass: SampleEvery}}, n) }
	for name, c := range map[string]struct {
		steps     []step
		rate      float64
		errors    float64
		p50, p99  time.Duration
		points    int // that are not zero
		last      Point
		forgotten bool // no memory is kept
	}{
		"never sampled":     {steps: []step{{ok: 5}}, forgotten: true},
		"nothing happened":  {steps: quiet(3), forgotten: true},
		"at the first look": {steps: []step{{10, 0, time.Millisecond, SampleEvery}}, rate: 2, p50: time.Millisecond, p99: time.Millisecond, points: 1, last: Point{10, 0}},
		"for a minute": {
			steps: slices.Repeat([]step{{30, 10, 20 * time.Millisecond, SampleEvery}}, 12),
			rate:  8, errors: 0.25, p50: 20 * time.Millisecond, p99: 20 * time.Millisecond, points: 12, last: Point{40, 10},
		},
		"errors alone": {steps: []step{{0, 7, time.Millisecond, SampleEvery}}, rate: 1.4, errors: 1, p50: time.Millisecond, p99: time.Millisecond, points: 1, last: Point{7, 7}},
		"a slow one among a hundred": {
			steps: []step{{98, 0, time.Millisecond, 0}, {2, 0, 3 * time.Second, SampleEvery}},
			rate:  20, p50: time.Millisecond, p99: 3 * time.Second, points: 1, last: Point{100, 0},
		},
		"what was a minute ago is left out": {
			steps: slices.Concat([]step{{100, 100, time.Second, SampleEvery}}, quiet(11), []step{{12, 0, time.Millisecond, SampleEvery}}),
			rate:  0.2, p50: time.Millisecond, p99: time.Millisecond, points: 2, last: Point{12, 0},
		},
		"half a minute": {
			steps: slices.Concat(quiet(5), []step{{60, 0, time.Millisecond, SampleEvery}}),
			rate:  2, p50: time.Millisecond, p99: time.Millisecond, points: 1, last: Point{60, 0},
		},
		"five minutes are kept":  {steps: slices.Concat([]step{{1, 0, time.Millisecond, SampleEvery}}, quiet(59)), points: 1},
		"and no more":            {steps: slices.Concat([]step{{1, 0, time.Millisecond, SampleEvery}}, quiet(60)), forgotten: true},
		"more than are kept":     {steps: slices.Repeat([]step{{1, 0, time.Millisecond, SampleEvery}}, 100), rate: 0.2, p50: time.Millisecond, p99: time.Millisecond, points: 60, last: Point{1, 0}},
		"samples come not quite": {steps: slices.Repeat([]step{{1, 0, time.Millisecond, 4 * time.Second}, {1, 0, time.Millisecond, 6 * time.Second}}, 30), rate: 0.2, p50: time.Millisecond, p99: time.Millisecond, points: 60, last: Point{1, 0}},
		"after a gap": {
			steps: []step{{pass: SampleEvery}, {64, 8, time.Millisecond, 4 * SampleEvery}},
			rate:  72. / 25, errors: 8. / 72, p50: time.Millisecond, p99: time.Millisecond, points: 4, last: Point{18, 2},
		},
		"after a long gap": {
			steps: []step{{50, 0, time.Second, SampleEvery}, {1200, 120, time.Millisecond, 120 * SampleEvery}},
			rate:  11 * 12 / 60., errors: 1 / 11., p50: time.Millisecond, p99: time.Millisecond, points: 60, last: Point{11, 1},
		},
		"too long for a cell": {steps: []step{{1, 0, time.Hour, SampleEvery}}, rate: 0.2, p50: longest, p99: longest, points: 1, last: Point{1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newTimes()
			s := clock.site("a")
			for _, step := range c.steps {
				s.answer(step.ok, 200, step.took)
				s.answer(step.failed, 500, step.took)
				if step.pass > 0 {
					clock.pass(step.pass)
				}
			}
			got := clock.r.Recent("a")
			if math.Abs(got.Rate-c.rate) > 1e-9 || math.Abs(got.ErrorRatio-c.errors) > 1e-9 {
				t.Errorf("rate %v, error ratio %v; want %v, %v", got.Rate, got.ErrorRatio, c.rate, c.errors)
			}
			if !near(got.P50, c.p50) || !near(got.P99, c.p99) {
				t.Errorf("p50 %v, p99 %v; want %v, %v", got.P50, got.P99, c.p50, c.p99)
			}
			points := 0
			for _, p := range got.Points {
				if p != (Point{}) {
					points++
				}
			}
			if len(got.Points) != 60 || points != c.points || got.Points[59] != c.last {
				t.Errorf("%d of %d points, the last %v; want %d of 60, %v", points, len(got.Points), got.Points[len(got.Points)-1], c.points, c.last)
			}
			if forgotten := s.row.past.history == nil; forgotten != c.forgotten {
				t.Errorf("nothing is kept: %t, want %t", forgotten, c.forgotten)
			}
		})
	}
}

// near is true within the width of a cell.
func near(got, want time.Duration) bool {
	return math.Abs(float64(got-want)) <= 0.1*float64(want)
}

// A site that is new, or was forgotten, counts from its beginning; what it had
// counted before anybody took samples is nobody's present.
func TestRecentOfNewSites(t *testing.T) {
	clock := newTimes()
	old := clock.site("old")
	old.answer(1000, 500, time.Second)
	clock.now = clock.now.Add(time.Hour)
	clock.pass(0)
	if got := clock.r.Recent("old"); got.Rate != 0 || got.ErrorRatio != 0 || got.P99 != 0 {
		t.Errorf("before the first sample: %+v", got)
	}
	old.answer(10, 200, time.Millisecond)
	clock.pass(SampleEvery)
	if got := clock.r.Recent("old"); got.Rate != 2 || got.ErrorRatio != 0 || !near(got.P99, time.Millisecond) {
		t.Errorf("after it: %+v", got)
	}

	fresh := clock.site("fresh")
	fresh.answer(20, 500, time.Millisecond)
	clock.pass(SampleEvery)
	if got := clock.r.Recent("fresh"); got.Rate != 4 || got.ErrorRatio != 1 {
		t.Errorf("a new site: %+v", got)
	}
	within := clock.site("within") // a gap
	within.answer(60, 200, time.Millisecond)
	clock.pass(4 * SampleEvery)
	if got := clock.r.Recent("within"); got.Rate != 3 || got.Points[58] != (Point{15, 0}) {
		t.Errorf("a site that was new in a gap: %+v", got)
	}
	clock.r.Forget("fresh")
	fresh.answer(20, 500, time.Millisecond) // for nobody
	again := clock.site("fresh")
	if got := clock.r.Recent("fresh"); got.Rate != 0 || got.Points[59] != (Point{}) {
		t.Errorf("made anew: %+v", got)
	}
	again.answer(5, 200, time.Millisecond)
	clock.pass(SampleEvery)
	if got := clock.r.Recent("fresh"); got.Rate != 1 || got.ErrorRatio != 0 || got.Points[59] != (Point{5, 0}) || got.Points[58] != (Point{}) {
		t.Errorf("made anew, later: %+v", got)
	}
	clock.r.Forget("fresh")
	if got := clock.r.Recent("fresh"); got.Rate != 0 || len(got.Points) != 60 {
		t.Errorf("of nobody: %+v", got)
	}
}

// Within a cell the durations are taken to be spread evenly.
func TestQuantile(t *testing.T) {
	cell := cells.find(time.Millisecond)
	low, high := cells.below(cell), cells.bounds[cell]
	at := func(part float64) time.Duration { return time.Duration(float64(low) + part*float64(high-low)) }
	for _, c := range []struct {
		n    map[int]uint64
		q    float64
		want time.Duration
	}{
		{nil, 0.5, 0},
		{map[int]uint64{cell: 1}, 0.5, at(0.5)},
		{map[int]uint64{cell: 4}, 0.5, at(0.5)},
		{map[int]uint64{cell: 100}, 0.99, at(0.99)},
		{map[int]uint64{cell: 1, cell + 9: 1}, 0.5, at(1)},
		{map[int]uint64{cell - 9: 50, cell: 50}, 0.99, at(0.98)},
		{map[int]uint64{0: 2}, 0.5, 476},
	} {
		var n counts
		for cell, count := range c.n {
			n[cell] = count
		}
		if got := n.quantile(c.q); got != c.want {
			t.Errorf("%v of %v is %v, want %v", c.q, c.n, got, c.want)
		}
	}
}

// Nothing is allocated for sites without traffic, nor again and again for those
// that have some.
func TestSampleAllocates(t *testing.T) {
	clock := newTimes()
	quiet, busy := clock.site("quiet"), clock.site("busy")
	random := 0
	serve := func() {
		for i := range 20 {
			random++
			busy.answer(1, 200, time.Duration(20_000+random%7*i*1000))
		}
		clock.pass(SampleEvery)
	}
	for range 2 * samplesRecent {
		serve()
	}
	if n := testing.AllocsPerRun(50, serve); n > 1 {
		t.Errorf("%v allocations for a sample", n)
	}
	if p := quiet.row.past; p.history != nil || p.seen != nil {
		t.Errorf("memory for a site without traffic: %+v", p)
	}
	runtime.KeepAlive(quiet)
}
