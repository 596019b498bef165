package supervisor

import (
	"context"
	"time"
)

// watchHealth asks the sites that serve, now and then, whether they can do their
// work, until ctx ends. A site whose root has gone serves nothing but 503: it is
// not up, whatever its socket does.
func (s *Supervisor) watchHealth(ctx context.Context) {
	ticker := time.NewTicker(s.opts.PollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		asked := make(chan struct{})
		go func() { // not waited for: a dead file system may never answer
			defer close(asked)
			s.checkHealth(ctx)
		}()
		select {
		case <-asked:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Supervisor) checkHealth(ctx context.Context) {
	var serving []*generation
	if err := s.do(ctx, func() {
		for _, st := range s.sites {
			if st.current != nil {
				serving = append(serving, st.current)
			}
		}
	}); err != nil {
		return
	}
	problems := make([]string, len(serving))
	for i, gen := range serving {
		problems[i] = gen.ask()
	}
	s.post(func() {
		for i, gen := range serving {
			if st := s.sites[gen.spec.Name]; st != nil && st.current == gen && gen.problem != problems[i] {
				gen.problem = problems[i]
				st.tellProblem()
			}
		}
	})
}

// tellProblem shows that the current generation's problem has come, changed or
// gone.
func (st *site) tellProblem() {
	st.show()
	if problem := st.problem(); problem != "" {
		st.log.Error("site can't do its work", "reason", problem)
	} else {
		st.log.Info("site well again")
	}
}

// ask asks the instance for its problem; "" for none.
func (g *generation) ask() string {
	if err := g.inst.Problem(); err != nil {
		return err.Error()
	}
	return ""
}
