package supervisor

import (
	"cmp"
	"slices"

	"sited/instance"
	"sited/supervisor/page"
)

// How many failed requests the page shows, and how many of them may be the
// client's doing: any scanner has plenty.
const (
	shownFailures = 30
	shownRefused  = 10
)

// flight is a request that failed and the site that it was for.
type flight struct {
	site string
	*instance.Flight
}

// failuresOf are the newest failed requests of all sites.
func failuresOf(recorders map[string]*instance.Recorder) []page.Failure {
	var all []flight
	for name, recorder := range recorders {
		failed := recorder.Flights().Failed
		for i := range failed {
			all = append(all, flight{name, &failed[i]})
		}
	}
	slices.SortFunc(all, func(a, b flight) int { return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.ID, b.ID)) })
	var shown []page.Failure
	refused := 0
	for _, f := range all {
		if f.Reason != "" || 400 <= f.Status && f.Status < 500 {
			if refused++; refused > shownRefused {
				continue
			}
		}
		if len(shown) == shownFailures {
			break
		}
		shown = append(shown, f.view())
	}
	return shown
}

func (f flight) view() page.Failure {
	out := page.Failure{
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
