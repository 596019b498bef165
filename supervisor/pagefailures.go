package supervisor

import (
	"cmp"
	"slices"

	"sited/instance"
	"sited/supervisor/page"
)

// How many requests the page shows: of those that failed, and how many of them may
// be the client's doing, of which any scanner has plenty; and of the slowest.
const (
	shownFailures = 30
	shownRefused  = 10
	shownSlowest  = 20
)

// flight is a request and the site that it was for.
type flight struct {
	site string
	*instance.Flight
}

// requestsOf are the newest failed requests of all sites and the slowest ones.
func requestsOf(recorders map[string]*instance.Recorder) (failures, slowest []page.Request) {
	var failed, refused, slow []flight
	for name, recorder := range recorders {
		held := recorder.Flights()
		for i := range held.Failed {
			f := flight{name, &held.Failed[i]}
			if f.Reason != "" || 400 <= f.Status && f.Status < 500 {
				refused = append(refused, f)
			} else {
				failed = append(failed, f)
			}
		}
		for i := range held.Slowest {
			slow = append(slow, flight{name, &held.Slowest[i]})
		}
	}
	refused = share(refused, shownRefused)
	shown := append(share(failed, shownFailures-len(refused)), refused...)
	slices.SortFunc(shown, newestFirst)
	for _, f := range shown {
		failures = append(failures, f.view())
	}
	slices.SortFunc(slow, slowestFirst)
	for _, f := range slow[:min(len(slow), shownSlowest)] {
		out := f.view()
		out.Took = inSeconds(f.Slow)
		slowest = append(slowest, out)
	}
	return failures, slowest
}

func newestFirst(a, b flight) int {
	return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.ID, b.ID))
}

func slowestFirst(a, b flight) int {
	return cmp.Or(cmp.Compare(b.Slow, a.Slow), newestFirst(a, b))
}

// share gives the places away in turn to the newest of each site and status, so
// that a flood of one doesn't hide the others.
func share(all []flight, places int) []flight {
	type kind struct {
		site   string
		status int
	}
	slices.SortFunc(all, newestFirst)
	seen, turn := map[kind]int{}, map[*instance.Flight]int{}
	for _, f := range all {
		k := kind{f.site, f.Status}
		turn[f.Flight] = seen[k]
		seen[k]++
	}
	slices.SortStableFunc(all, func(a, b flight) int { return cmp.Compare(turn[a.Flight], turn[b.Flight]) })
	return all[:min(len(all), places)]
}

func (f flight) view() page.Request {
	out := page.Request{
		ID: f.ID, Site: f.site, Time: f.Time, Generation: f.Generation, Remote: f.Remote, User: f.User,
		Method: f.Method, Target: f.Target, Status: f.Status, Error: f.Error, Took: inSeconds(f.Phases.Total),
		Phases: phasesOf(&f.Phases), Trace: f.Trace, Script: f.Script, Stderr: f.Stderr,
	}
	for _, h := range f.Headers {
		out.Headers = append(out.Headers, page.Field(h))
	}
	return out
}

// phasesOf are the parts of a request's time one after the other; as measured, some
// contain others.
func phasesOf(p *instance.Phases) []page.Phase {
	var all []page.Phase
	at := 0.0
	until := func(name string, end float64) {
		if end > at {
			all = append(all, page.Phase{Name: name, Took: inSeconds(end - at)})
			at = end
		}
	}
	until("receiving the head", p.Head)
	until("receiving the body", at+p.Body)
	until("waiting for a process", at+p.Wait)
	until("the script, until its first output", at+p.FirstOutput)
	until("finding the answer", max(p.Handler, p.FirstByte))
	until("sending it", p.Total)
	return all
}
