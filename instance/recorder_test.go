package instance

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sited/cgi"
	"sited/metrics"
	"sited/protocol"
)

var epoch = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// over is an exchange that ended at that time.
func over(at time.Time, took time.Duration, status int) *protocol.Exchange {
	x := &protocol.Exchange{Begun: true, Start: at.Add(-took), Took: took, FirstByte: took, Req: protocol.Request{Method: "GET", Target: fmt.Sprint("/", took), Path: "/"}}
	x.Res.Status = status
	if status >= 400 {
		x.Err = protocol.Fail(status, errors.New("why"))
	}
	return x
}

// take is what an observer does.
func (r *Recorder) take(x *protocol.Exchange) (taken bool) {
	p := r.admit(x)
	if p == (places{}) {
		return false
	}
	r.record(newFlown(x, recorderPolicy, 1), p)
	return true
}

var recorderPolicy = func() *policy {
	spec := Defaults()
	spec.Root = "/nonexistent"
	p, err := newPolicy(spec)
	if err != nil {
		panic(err)
	}
	return p
}()

func TestRecorderTakesSomeOfAFlood(t *testing.T) {
	for _, c := range []struct {
		status, inASecond, kept int
	}{{404, 50, keptRefused}, {400, 50, keptRefused}, {500, 200, keptFailed}, {503, 200, keptFailed}} {
		r := NewRecorder()
		taken, last := 0, ""
		for i := range 10_000 { // one each 100 microseconds
			x := over(epoch.Add(time.Duration(i)*100*time.Microsecond), time.Microsecond, c.status)
			x.ID = protocol.ID(i)
			if r.take(x) {
				taken++
				last = x.ID.String()
			}
		}
		if taken < c.inASecond || taken > c.inASecond+burst+1 {
			t.Errorf("%d: %d of a flood of a second are taken, want %d and a few", c.status, taken, c.inASecond)
		}
		got := r.Flights().Failed
		if len(got) != c.kept || got[0].ID != last {
			t.Errorf("%d: %d are held, the newest is %s; want %d, %s", c.status, len(got), got[0].ID, c.kept, last)
		}
		for i := 1; i < len(got); i++ {
			if !got[i].Time.Before(got[i-1].Time) {
				t.Errorf("%d: entry %d is not older than the one before it", c.status, i)
			}
		}
	}
}

// A few that come at once are taken, however little time there is between them.
func TestRecorderTakesABurst(t *testing.T) {
	r := NewRecorder()
	for i := range burst {
		if !r.take(over(epoch, time.Duration(i), 404)) || !r.take(over(epoch, time.Duration(i), 500)) {
			t.Errorf("%d of a burst are taken", i)
		}
	}
}

// A clock that is set back holds nothing up.
func TestRecorderWithAClockThatIsSetBack(t *testing.T) {
	r := NewRecorder()
	for r.take(over(epoch, time.Millisecond, 404)) {
	}
	for _, at := range []time.Time{epoch.Add(time.Second), epoch.Add(-time.Hour), epoch.Add(-time.Hour + time.Second)} {
		if !r.take(over(at, 20*time.Millisecond, 404)) {
			t.Errorf("nothing is taken at %v", at)
		}
	}
	if got := len(r.slow) + len(r.before); got != 3 {
		t.Errorf("%d slow ones are held", got)
	}
	if !r.isOver(epoch.Add(-3 * time.Hour).UnixNano()) {
		t.Error("the window goes on for hours")
	}
}

// Client errors don't drive out what failed, whatever there are of them.
func TestRecorderKeepsKindsApart(t *testing.T) {
	r := NewRecorder()
	at := epoch
	next := func(x *protocol.Exchange) {
		at = at.Add(time.Second)
		x.Start = at
		r.take(x)
	}
	next(over(at, 0, 500))
	cut := over(at, 0, 200)
	cut.Err = errors.New("connection reset")
	next(cut)
	for range 100 {
		next(over(at, 0, 404))
		bad := over(at, 0, 505)
		bad.Err = &protocol.Error{Status: 505, Reason: protocol.BadVersion}
		next(bad)
	}
	counts := map[int]int{}
	for _, f := range r.Flights().Failed {
		counts[f.Status]++
	}
	if counts[500] != 1 || counts[200] != 1 || counts[404] != 16 || counts[505] != 16 {
		t.Errorf("%v are held", counts)
	}
}

func TestRecorderSlowest(t *testing.T) {
	now := time.Now()
	r := NewRecorder()
	r.take(over(now.Add(-time.Hour), time.Minute, 200)) // long ago
	r.take(over(now.Add(-6*time.Minute), 700*time.Millisecond, 200))
	for i := range 30 {
		r.take(over(now.Add(time.Duration(i)*time.Millisecond), time.Duration(i*10)*time.Millisecond, 200))
	}
	r.take(over(now.Add(time.Second), leastSlow-1, 200))
	got := r.Flights().Slowest
	if len(got) != keptSlow {
		t.Fatalf("%d are held", len(got))
	}
	if got[0].Phases.Total != 0.7 || got[1].Phases.Total != 0.29 || got[1].Status != 200 {
		t.Errorf("the slowest are %v and %v", got[0].Phases, got[1].Phases)
	}
	for i := 1; i < len(got); i++ {
		if got[i].Phases.Total > got[i-1].Phases.Total {
			t.Errorf("%v comes behind %v", got[i].Phases.Total, got[i-1].Phases.Total)
		}
	}
	if least := got[len(got)-1].Phases.Total; least < 0.1 {
		t.Errorf("the quickest that is held took %v", least)
	}
	if r.take(over(now.Add(2*time.Second), 20*time.Millisecond, 200)) {
		t.Error("one that is not among the slowest is written down")
	}
	if !r.take(over(now.Add(slowWindow+time.Second), 20*time.Millisecond, 200)) {
		t.Error("the next window begins with a bar")
	}
}

// A tunnel is neither slow nor failed, however it ends.
func TestRecorderLeavesTunnelsOut(t *testing.T) {
	r := NewRecorder()
	for _, err := range []error{nil, errTunnelIdle} {
		x := over(epoch, time.Hour, 200)
		x.Req.Method, x.Err = protocol.MethodConnect, err
		if r.take(x) {
			t.Errorf("one that ended with %v is taken", err)
		}
	}
	x := over(epoch, time.Second, 502)
	x.Req.Method = protocol.MethodConnect
	if !r.take(x) {
		t.Error("one that could not be opened is not taken")
	}
}

// Latencies that rise with every request don't cause an entry each.
func TestRecorderUnderRisingLatencies(t *testing.T) {
	r := NewRecorder()
	taken := 0
	for i := range 100_000 {
		if r.take(over(epoch.Add(time.Duration(i)*time.Millisecond), 10*time.Millisecond+time.Duration(i)*100*time.Microsecond, 200)) {
			taken++
		}
	}
	if taken < keptSlow || taken > 3000 {
		t.Errorf("%d of 100,000 are taken", taken)
	}
}

func TestSlowness(t *testing.T) {
	const ms = time.Millisecond
	script := &scriptNote{}
	script.reach(cgi.StageRead, 20*ms)
	for name, c := range map[string]struct {
		x    protocol.Exchange
		want time.Duration
	}{
		"a download to a slow client": {protocol.Exchange{FirstByte: 3 * ms, Took: 900 * ms}, 3 * ms},
		"a head in pieces":            {protocol.Exchange{HeadTook: 500 * ms, FirstByte: 530 * ms, Took: 540 * ms}, 30 * ms},
		"nothing sent":                {protocol.Exchange{Took: 540 * ms}, 540 * ms},
		"a script":                    {protocol.Exchange{HeadTook: 5 * ms, FirstByte: 50 * ms, Took: 540 * ms, Note: script}, 515 * ms},
		"no tunnel":                   {protocol.Exchange{FirstByte: 50 * ms, Took: 50 * ms, Req: protocol.Request{Method: "CONNECT"}, Res: protocol.Response{Status: 502}}, 50 * ms},
	} {
		if got := slowness(&c.x); got != c.want {
			t.Errorf("%s counts with %v, want %v", name, got, c.want)
		}
	}
}

// What goes well costs nothing and leaves nothing, and neither does a flood.
func TestRecorderCostsNothing(t *testing.T) {
	r := NewRecorder()
	passed := over(epoch, leastSlow-1, 200)
	if n := testing.AllocsPerRun(100, func() {
		if r.take(passed) {
			t.Error("an answer that passed is recorded")
		}
	}); n != 0 {
		t.Errorf("an answer that passed costs %v allocations", n)
	}
	if r.failed.entries != nil || r.refused.entries != nil || r.slow != nil || r.failed.paid.Load() != 0 || r.turn.Load() != 0 {
		t.Error("it leaves something")
	}
	missing := over(epoch, time.Microsecond, 404)
	for r.take(missing) {
	}
	if n := testing.AllocsPerRun(100, func() { r.take(missing) }); n != 0 {
		t.Errorf("one of a flood costs %v allocations", n)
	}
}

// The observer writes nothing down of what passed, on the way that answers take.
func TestDoneRecordsNothingOfWhatPassed(t *testing.T) {
	r := NewRecorder()
	site := metrics.New("test").Site("a", metrics.Shape{Methods: []string{"GET"}})
	o := &observer{metrics: site, log: &accessLog{}, process: discard(), recorder: r, policy: recorderPolicy}
	x := over(time.Now(), time.Millisecond, 200)
	o.Done(x)
	if n := testing.AllocsPerRun(100, func() { o.Done(x) }); n != 0 {
		t.Errorf("Done costs %v allocations", n)
	}
	if f := r.Flights(); len(f.Failed)+len(f.Slowest) != 0 {
		t.Errorf("it is recorded: %+v", f)
	}
}

func TestRecorderConcurrently(t *testing.T) {
	r := NewRecorder()
	r.failed.every, r.refused.every = 0, 0
	var work sync.WaitGroup
	for g := range 8 {
		work.Go(func() {
			for i := range 200 {
				x := over(time.Now(), time.Duration(g*200+i)*time.Millisecond, []int{200, 404, 500}[i%3])
				note := noteScript(x, "/x.sh")
				r.take(x)
				note.stderr("late")
				note.reach(cgi.StageOver, time.Second)
			}
		})
		work.Go(func() {
			for range 50 {
				f := r.Flights()
				if len(f.Failed) > keptFailed+keptRefused || len(f.Slowest) > keptSlow {
					t.Errorf("%d and %d are held", len(f.Failed), len(f.Slowest))
				}
			}
		})
	}
	work.Wait()
	if f := r.Flights(); len(f.Failed) < keptFailed || len(f.Slowest) != keptSlow {
		t.Errorf("%d and %d are held", len(f.Failed), len(f.Slowest))
	}
}

func TestScriptNoteKeepsTheTail(t *testing.T) {
	x := &protocol.Exchange{}
	n := noteScript(x, "/a.sh")
	for i := range 100 {
		n.stderr(fmt.Sprint("line ", i))
	}
	var f Flight
	n.show(&f)
	if len(f.Stderr) != maxStderrLines || f.Stderr[0] != "line 80" || f.Stderr[maxStderrLines-1] != "line 99" {
		t.Errorf("%q", f.Stderr)
	}
	for range 3 {
		n.stderr(strings.Repeat("x", maxStderrBytes/2))
	}
	if n.show(&f); len(f.Stderr) != 2 {
		t.Errorf("%d long lines", len(f.Stderr))
	}
	if again := noteScript(x, "/b.sh"); again != n {
		t.Error("a local redirect forgets what the first script said")
	}
	if n.show(&f); f.Script != "/b.sh" || len(f.Stderr) != 2 {
		t.Errorf("%s, %d lines", f.Script, len(f.Stderr))
	}
}

func BenchmarkRecorder(b *testing.B) {
	for name, x := range map[string]*protocol.Exchange{
		"passed": over(epoch, time.Millisecond, 200),
		"flood":  over(epoch, time.Millisecond, 404),
		"slow":   over(epoch, time.Second, 200),
	} {
		b.Run(name, func(b *testing.B) {
			r := NewRecorder()
			for r.take(x) {
			}
			b.ReportAllocs()
			for b.Loop() {
				r.take(x)
			}
		})
	}
	b.Run("entry", func(b *testing.B) {
		x := over(epoch, time.Millisecond, 404)
		x.Req.Header = protocol.Header{{Name: "Host", Value: "h"}, {Name: "User-Agent", Value: "u"}, {Name: "Cookie", Value: "c"}}
		b.ReportAllocs()
		for b.Loop() {
			newFlown(x, recorderPolicy, 1)
		}
	})
}
