package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"sited/instance"
)

// change is one step of a plan on its way: what was prepared for it, and what
// went wrong.
type change struct {
	Step
	gen   *generation // prepared; nil for Stop and after a failure
	bound *endpoint   // its new address; nil when the address is open already, or was not bound so far
	err   error
	waits string // the site that holds the address, when that is what err says

	refusal string // for Refused: what is wrong with the block

	unknown bool // its address was none of the supervisor's sockets when the plan was made

	recorder *instance.Recorder // the site's, as log
	log      *slog.Logger
}

// needsGeneration reports whether a new instance is to be made for the step.
func (c *change) needsGeneration() bool {
	return c.Op == Start || c.Op == Swap || c.Op == Rebind
}

// maxPreparing is how many generations are made at once.
const maxPreparing = 64

// prepare makes the new generations of all changes beside what runs, each on
// its own, and returns when all are made or have failed, or when ctx or the
// time for preparing is over. What is finished later is thrown away.
func (s *Supervisor) prepare(ctx context.Context, changes []*change) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.PrepareTimeout)
	defer cancel()
	type result struct {
		c   *change
		gen *generation
		err error
	}
	results := make(chan result)
	due := make(chan *change, len(changes))
	waiting := make(map[*change]bool, len(changes))
	for _, c := range changes {
		if c.needsGeneration() {
			waiting[c] = true
			due <- c
		}
	}
	close(due)
	for range min(len(waiting), maxPreparing) {
		go func() { // not waited for: a root on a dead file system may never answer
			for c := range due {
				if ctx.Err() != nil {
					return
				}
				gen, err := s.newGeneration(c)
				select {
				case results <- result{c, gen, err}:
				case <-ctx.Done():
					release(gen)
				}
			}
		}()
	}
	for len(waiting) > 0 {
		select {
		case r := <-results:
			r.c.gen, r.c.err = r.gen, r.err
			delete(waiting, r.c)
		case <-ctx.Done():
			for c := range waiting {
				c.err = fmt.Errorf("preparing took longer than %s: is the file system of %s reachable?",
					s.opts.PrepareTimeout, c.Wanted.Root)
			}
			return
		}
	}
}

func (s *Supervisor) newGeneration(c *change) (gen *generation, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic while a site was prepared", "site", c.Site, "panic", p, slog.String("stack", string(debug.Stack())))
			gen, err = nil, fmt.Errorf("panic while preparing: %v", p)
		}
	}()
	inst, err := s.newInstance(*c.Wanted, instance.Shared{Metrics: s.reg, Files: s.files, Log: c.log, Archive: &s.archive, Recorder: c.recorder})
	if err != nil {
		return nil, err
	}
	gen = &generation{spec: inst.Spec(), inst: inst, svc: inst.Service()}
	gen.problem = gen.ask()
	return gen, nil
}

// release ends a generation that never served; nil is allowed.
func release(gen *generation) error {
	if gen == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return gen.inst.Close(ctx)
}
