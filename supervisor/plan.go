package supervisor

import (
	"cmp"
	"reflect"
	"slices"

	"sited/instance"
)

// Op is what a plan does to one site.
type Op string

const (
	Keep    Op = "keep"    // nothing changes: connections, tunnels and workers go on
	Start   Op = "start"   // the site isn't running
	Swap    Op = "swap"    // a new generation on the open socket; connections stay
	Rebind  Op = "rebind"  // a new generation on another address, and perhaps more changes
	Stop    Op = "stop"    // the file names the site no longer
	Refused Op = "refused" // the block is wrong: what runs, if anything, goes on
)

// Step is what a plan does to one site.
type Step struct {
	Op      Op
	Site    string
	Running *instance.Spec // nil when the site isn't running
	Wanted  *instance.Spec // nil when the site is to stop or its block was refused
	Changes []Change       // for Swap and Rebind, in the order of the attributes' names
}

// Plan compares the specs that are being served with those that the
// configuration asks for. refused names the sites whose blocks can't be used.
// The steps are sorted by site; every site of the three lists has one. A
// refused block wins over a wanted one of the same name.
func Plan(running, wanted []instance.Spec, refused ...string) []Step {
	steps := map[string]*Step{}
	at := func(site string) *Step {
		if steps[site] == nil {
			steps[site] = &Step{Site: site}
		}
		return steps[site]
	}
	for i := range running {
		at(running[i].Name).Running = &running[i]
	}
	for i := range wanted {
		at(wanted[i].Name).Wanted = &wanted[i]
	}
	for _, name := range refused {
		*at(name) = Step{Op: Refused, Site: name, Running: at(name).Running}
	}
	plan := make([]Step, 0, len(steps))
	for _, step := range steps {
		if step.Op != Refused {
			step.decide()
		}
		plan = append(plan, *step)
	}
	slices.SortFunc(plan, func(a, b Step) int { return cmp.Compare(a.Site, b.Site) })
	return plan
}

func (s *Step) decide() {
	switch {
	case s.Wanted == nil:
		s.Op = Stop
	case s.Running == nil:
		s.Op = Start
	case reflect.DeepEqual(s.Running, s.Wanted):
		s.Op = Keep
	default:
		s.Changes = changes(s.Running, s.Wanted)
		switch {
		case s.Running.Addr != s.Wanted.Addr:
			s.Op = Rebind
		case len(s.Changes) == 0:
			s.Op = Keep
		default:
			s.Op = Swap
		}
	}
}
