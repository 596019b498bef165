package supervisor

import (
	"cmp"

	"sited/instance"
	"sited/supervisor/config"
)

// hold makes sure that every site of changes is known and stays known until
// commit. Owner only.
func (s *Supervisor) hold(changes []*change) {
	for _, c := range changes {
		st := s.sites[c.Site]
		if st == nil {
			st = s.newSite(c.Site, c.Wanted)
		}
		st.preparing++
		c.recorder, c.log = st.recorder, st.log
		if c.needsGeneration() {
			addr := c.Wanted.Addr
			c.unknown = s.endpoints[addr] == nil && s.closing[addr] == nil && s.spare[addr] == nil
		}
	}
}

// commit puts changes in force that could be prepared, or none if all was asked
// for and one could not. Owner only.
func (s *Supervisor) commit(cfg *config.Config, changes []*change, allOrNothing bool, report *Report) {
	for _, c := range changes {
		s.sites[c.Site].preparing--
	}
	if s.phase == Ending {
		report.Error = ErrStopped.Error()
	}
	if report.Error != "" {
		s.abandon(changes)
		s.leaveAll(changes)
		report.conclude()
		return
	}
	move := s.planAdmin(cfg)
	s.place(changes)
	failed := move.failed() || cfg.HasErrors()
	for _, c := range changes {
		failed = failed || c.err != nil || c.Op == Refused
	}
	outcome := Applied
	if allOrNothing && failed {
		outcome = Pending
		report.Error = "not everything could be prepared, and all or nothing was asked for"
	}
	for _, c := range changes {
		report.Steps = append(report.Steps, s.step(c, outcome))
	}
	report.Admin = move.report(outcome)
	if outcome == Pending {
		s.abandonMove(move)
		s.abandon(changes)
		s.undo(changes)
	} else {
		s.apply(changes, cfg)
		s.admin.apply(move)
		s.dropSpare(cfg.HasErrors())
	}
	s.leaveAll(changes)
	report.conclude()
}

func (s *Supervisor) leaveAll(changes []*change) {
	for _, c := range changes {
		if st := s.sites[c.Site]; st != nil {
			s.leave(st)
		}
	}
}

// undo takes sites that only came up in a reload that is not to be out again.
func (s *Supervisor) undo(changes []*change) {
	for _, c := range changes {
		if st := s.sites[c.Site]; st.state == Preparing && st.count == 0 {
			st.on(removed)
		}
	}
}

// apply swaps, and tells each site what became of its step. cfg is nil for
// another try at what an earlier configuration wanted.
func (s *Supervisor) apply(changes []*change, cfg *config.Config) {
	s.swap(changes)
	for _, c := range changes {
		st := s.sites[c.Site]
		if cfg != nil {
			st.origin = cmp.Or(cfg.Origin(c.Site), st.origin)
		}
		switch {
		case c.err != nil:
			s.fellShort(st, c)
		case c.Op == Refused:
			st.noTimer()
			st.pending, st.refused, st.waits, st.reason = nil, true, "", c.refusal
			st.on(refused)
			st.log.Error("site refused", "reason", st.reason, "last_good", st.current != nil)
		case c.Op == Stop:
			st.inForce()
			st.on(removed)
			st.log.Info("site stopping", "addr", c.Running.Addr)
		case c.Op == Keep:
			if !st.isCurrent() {
				st.log.Info("site current again", "generation", st.current.number)
			}
			st.inForce()
			st.show()
			s.prune(st)
		default:
			st.inForce()
			st.on(started)
			s.prune(st)
			st.log.Info(map[Op]string{Start: "site serving", Swap: "site swapped", Rebind: "site rebound"}[c.Op],
				"addr", c.Wanted.Addr, "generation", c.gen.number)
		}
	}
	s.abandon(unused(changes))
	s.dropUnnamed(changes, cfg)
}

// prune forgets the scripts that st had before, or was to have and has not.
func (s *Supervisor) prune(st *site) {
	s.reg.Prune(st.name, instance.Shape(st.current.spec).Scripts)
}

// unused are the changes that came to nothing.
func unused(changes []*change) []*change {
	var failed []*change
	for _, c := range changes {
		if c.err != nil {
			failed = append(failed, c)
		}
	}
	return failed
}

// dropUnnamed takes sites out that don't run and that cfg names no longer: a
// plan only knows of sites that run or are wanted.
func (s *Supervisor) dropUnnamed(changes []*change, cfg *config.Config) {
	if cfg == nil {
		return
	}
	named := map[string]bool{}
	for _, c := range changes {
		named[c.Site] = true
	}
	for _, st := range s.sites {
		if !named[st.name] && st.state != Draining && st.state != Stopped {
			st.inForce()
			st.on(removed)
			st.log.Info("site dropped")
			s.leave(st)
		}
	}
}

// fellShort arranges another try for a change that failed.
func (s *Supervisor) fellShort(st *site, c *change) {
	st.refused, st.pending, st.waits, st.reason = false, c.Wanted, c.waits, c.err.Error()
	st.on(unready)
	args := []any{"reason", st.reason, "last_good", st.current != nil}
	if st.noTimer(); c.waits == "" {
		args = append(args, "retry_in", s.tryLater(st))
	}
	st.log.Error("site not ready", args...)
}

// step is the report's line for a change; outcome is that of one that has no
// error.
func (s *Supervisor) step(c *change, outcome Outcome) ReportStep {
	out := ReportStep{Op: c.Op, Site: c.Site, Changes: c.Changes, Outcome: outcome, Error: c.refusal}
	if st := s.sites[c.Site]; st != nil {
		out.Live = st.live()
	}
	switch {
	case c.Wanted != nil:
		out.Addr = c.Wanted.Addr.String()
	case c.Running != nil:
		out.Addr = c.Running.Addr.String()
	}
	if c.Op == Rebind {
		out.From = c.Running.Addr.String()
	}
	switch {
	case c.err != nil:
		out.Outcome, out.Error = Failure, c.err.Error()
	case c.Op == Keep, c.Op == Refused && c.Running != nil:
		out.Outcome = Stays
	case c.Op == Refused:
		out.Outcome = Failure
	}
	return out
}
