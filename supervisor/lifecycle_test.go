package supervisor

import (
	"testing"
	"time"
)

func TestStateTable(t *testing.T) {
	const no = State("") // can't happen
	events := []event{started, unready, retried, refused, died, removed, drained}
	table := map[State][]State{
		//          started  unready  retried    refused  died     removed   drained
		Preparing: {Serving, Backoff, no, Failed, no, Stopped, Preparing},
		Serving:   {Serving, Serving, Serving, Serving, Backoff, Draining, Serving},
		Draining:  {Serving, Backoff, no, Failed, no, Draining, Stopped},
		Backoff:   {Serving, Backoff, Preparing, Failed, no, Stopped, Backoff},
		Failed:    {Serving, Backoff, no, Failed, no, Stopped, Failed},
		Stopped:   {no, no, no, no, no, Stopped, Stopped},
	}
	for state, row := range table {
		for i, want := range row {
			got, ok := state.next(events[i])
			switch {
			case want == no && (ok || got != state):
				t.Errorf("%s, event %s: got %s, %t; want it impossible and the state unchanged", state, events[i], got, ok)
			case want != no && (!ok || got != want):
				t.Errorf("%s, event %s: got %s, %t; want %s", state, events[i], got, ok, want)
			}
		}
	}
}

func TestBackoff(t *testing.T) {
	b := backoff{min: time.Second, max: time.Minute}
	for round := range 2 {
		for i, whole := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
			whole *= time.Second
			if got := b.wait(); got < whole/2 || got > whole {
				t.Errorf("round %d, try %d: %s is not within %s and %s", round, i, got, whole/2, whole)
			}
		}
		b.reset()
	}
	b.tries = 1 << 20
	if got := b.wait(); got < 30*time.Second || got > time.Minute {
		t.Errorf("after very many tries: %s", got)
	}
}

func TestBackoffJitter(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		b := backoff{min: time.Second, max: time.Minute}
		seen[b.wait()] = true
	}
	if len(seen) < 50 {
		t.Errorf("100 waits took only %d values: a thousand sites would try at the same moment", len(seen))
	}
}
