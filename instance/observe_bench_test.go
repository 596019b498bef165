package instance

import (
	"context"
	"testing"
	"time"

	"sited/protocol"
)

// BenchmarkExchangeObserved is all that happens to a GET that was answered from
// memory once it is over, but its line in the log: it is counted, by method and
// code, its times go into the histograms, with exemplars, and the flight recorder
// looks at it. Time goes on as if each request took 20 microseconds.
func BenchmarkExchangeObserved(b *testing.B) {
	spec, _ := testSpec(b)
	spec.Logs.Passed, spec.Logs.Failed = "", ""
	i, err := New(spec, Shared{Metrics: newRegistry(), Files: NewBudget(DefaultBudget), Log: discard(), Recorder: NewRecorder()})
	must(b, err)
	b.Cleanup(func() { must(b, i.Close(context.Background())) })
	x := &protocol.Exchange{
		ID: 1, Start: time.Now(), Took: 20 * time.Microsecond, FirstByte: 20 * time.Microsecond, Sent: 1 << 10,
		Req: protocol.Request{Method: "GET", Path: "/a.html"}, Res: protocol.Response{Status: 200},
	}
	b.ReportAllocs()
	for b.Loop() {
		x.Start = x.Start.Add(x.Took)
		i.observer.Done(x)
	}
}

// What is counted of a request takes no memory, whichever it is; an exemplar
// does, once a second.
func TestObservedWithoutMemory(t *testing.T) {
	s := prepare(t, func(spec *Spec) { spec.Logs = Logs{Format: "json"} })
	t.Cleanup(func() { must(t, s.Close(context.Background())) })
	for _, x := range []*protocol.Exchange{
		{Req: protocol.Request{Method: "GET"}, Res: protocol.Response{Status: 200}},
		{Req: protocol.Request{Method: "HEAD"}, Res: protocol.Response{Status: 304}},
		{Req: protocol.Request{Method: "BREW"}, Res: protocol.Response{Status: 299}, Begun: true},
	} {
		x.ID, x.Start, x.Took, x.FirstByte, x.Sent = 1, time.Now(), time.Millisecond, time.Microsecond, 10
		s.observer.Done(x)
		if n := testing.AllocsPerRun(100, func() { s.observer.Done(x) }); n != 0 {
			t.Errorf("%s %d: %v allocations", x.Req.Method, x.Res.Status, n)
		}
	}
}
