package supervisor

import (
	"log/slog"
	"slices"
	"time"

	"sited/instance"
	"sited/metrics"
)

// site is what the supervisor knows of one site block. It lives from the first
// configuration that names it until it is named no longer and all that it
// started has ended. Only the owner touches it.
type site struct {
	name    string
	state   State
	since   time.Time
	current *generation   // what serves; nil for nothing
	old     []*generation // what drains
	count   int           // generations begun

	pending *instance.Spec // wanted, not in force, and tried again
	origin  string         // the file it came from
	refused bool           // the newest block is wrong
	reason  string         // why what serves is not what the newest block says
	waits   string         // the site that holds the address this one needs; it has no timer then

	backoff   backoff
	timer     *time.Timer
	try       int // changes with every attempt, so that a late timer is recognised
	restarts  int
	preparing int // journeys that prepare a generation of it

	metrics  *metrics.Site
	recorder *instance.Recorder // of all its generations
	log      *slog.Logger
}

func (s *Supervisor) newSite(name string, spec *instance.Spec) *site {
	var shape metrics.Shape
	if spec != nil {
		shape = instance.Shape(spec)
	}
	st := &site{
		name: name, state: Preparing, since: time.Now(),
		backoff:  backoff{min: s.opts.BackoffMin, max: s.opts.BackoffMax},
		metrics:  s.reg.Site(name, shape),
		recorder: instance.NewRecorder(),
		log:      s.log.With("site", name),
	}
	s.sites[name] = st
	st.show()
	return st
}

// on moves the site along its table of states.
func (st *site) on(e event) {
	next, ok := st.state.next(e)
	if !ok {
		st.log.Error("impossible step in a site's life", "state", st.state, "event", e)
	}
	if next != st.state {
		st.state, st.since = next, time.Now()
	}
	st.show()
}

// show sets the gauges. A site whose block is gone is neither up nor down.
func (st *site) show() {
	if st.state == Draining || st.state == Stopped {
		st.metrics.Up.Hide()
		st.metrics.ConfigCurrent.Hide()
		return
	}
	st.metrics.Up.Set(oneIf(st.state == Serving && st.problem() == ""))
	st.metrics.ConfigCurrent.Set(oneIf(st.isCurrent()))
}

func oneIf(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// problem says why the site can't do its work although it serves; "" for none.
func (st *site) problem() string {
	if st.current == nil {
		return ""
	}
	return st.current.problem
}

// isCurrent reports whether what the newest block says is in force.
func (st *site) isCurrent() bool { return st.current != nil && st.pending == nil && !st.refused }

// inForce notes that the site runs what its newest block says.
func (st *site) inForce() {
	st.noTimer()
	st.pending, st.refused, st.reason, st.waits = nil, false, "", ""
	st.backoff.reset()
}

// noTimer makes sure that no attempt that was arranged before comes any more.
func (st *site) noTimer() {
	st.try++
	if st.timer != nil {
		st.timer.Stop()
		st.timer = nil
	}
}

// tryLater arranges the next attempt for pending and returns how long it is off.
func (s *Supervisor) tryLater(st *site) time.Duration {
	st.noTimer()
	try, wait := st.try, st.backoff.wait()
	st.timer = time.AfterFunc(wait, func() { s.retry(st.name, try) })
	return wait
}

// leave ends a site that no configuration names any more, as soon as nothing
// of it is left.
func (s *Supervisor) leave(st *site) {
	if st.state == Draining && len(st.old) == 0 && st.preparing == 0 {
		st.on(drained)
	}
	if st.state == Stopped && len(st.old) == 0 && st.preparing == 0 {
		delete(s.sites, st.name)
		s.reg.Forget(st.name)
	}
}

func (st *site) live() Live {
	var live Live
	gens := st.old
	if st.current != nil {
		gens = append(slices.Clip(gens), st.current)
	}
	for _, gen := range gens {
		stats := gen.inst.Stats()
		live.Connections += stats.Connections
		live.InFlight += stats.InFlight
		live.Tunnels += stats.Tunnels
		live.Processes += stats.Processes
	}
	return live
}

// drop forgets a generation that has ended.
func (st *site) drop(gen *generation) {
	st.old = slices.DeleteFunc(st.old, func(g *generation) bool { return g == gen })
}
