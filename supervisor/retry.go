package supervisor

import (
	"context"
	"strings"
	"time"

	"sited/instance"
	"sited/metrics"
)

// retry is another try at a site that was not ready, together with the sites
// that wait for an address it holds.
func (s *Supervisor) retry(name string, try int) {
	err := s.journey(s.life, func() {
		var changes []*change
		if err := s.do(s.killed, func() { changes = s.due(name, try) }); err != nil {
			return
		}
		s.prepare(s.life, changes)
		if err := s.do(context.Background(), func() { s.commitRetry(changes) }); err != nil {
			s.log.Debug("retry abandoned", "site", name, "error", err)
		}
		s.work.Go(s.openLogs)
	})
	if err != nil {
		s.log.Debug("retry abandoned", "site", name, "error", err)
	}
}

// due are the changes for another try at a site; none if something has changed
// since the try was arranged.
func (s *Supervisor) due(name string, try int) []*change {
	st := s.sites[name]
	if st == nil || st.try != try || st.pending == nil || s.phase == Ending {
		return nil
	}
	group := map[*site]bool{st: true}
	for grown := true; grown; {
		grown = false
		for _, other := range s.sites {
			if !group[other] && other.pending != nil && other.waits != "" && group[s.sites[other.waits]] {
				group[other], grown = true, true
			}
		}
	}
	var running, wanted []instance.Spec
	for st := range group {
		if st.current != nil {
			running = append(running, *st.current.spec)
		}
		wanted = append(wanted, *st.pending)
		st.on(retried)
		if st.current == nil { // else the last good generation goes on
			st.restarts++
			st.metrics.Restarts.Inc()
		}
	}
	var changes []*change
	for _, step := range Plan(running, wanted) {
		changes = append(changes, &change{Step: step})
	}
	s.hold(changes)
	return changes
}

func (s *Supervisor) commitRetry(changes []*change) {
	for _, c := range changes {
		s.sites[c.Site].preparing--
	}
	if s.phase == Ending {
		s.abandon(changes)
	} else {
		s.place(changes)
		s.apply(changes, nil)
		s.mended()
		s.tellStatus()
	}
	s.leaveAll(changes)
}

// mended records that the configuration read last is in force as a whole by now:
// nothing was wrong with it, but some sites could not be prepared at first.
func (s *Supervisor) mended() {
	last := &s.recall.reloads[0] // the start at least
	if last.Result != metrics.ReloadPartial || last.faulty {
		return
	}
	for _, st := range s.sites {
		if !st.isCurrent() {
			return
		}
	}
	s.reg.Config.Mended(time.Now())
	last.Result, last.Errors = metrics.ReloadApplied, nil
	last.Summary = strings.TrimSuffix(last.Summary, ".") + "; all done since."
}
