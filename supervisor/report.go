package supervisor

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"sited/metrics"
	"sited/supervisor/config"
)

// FormatVersion is that of the JSON forms of Report and Status. It changes when
// a field goes or changes its meaning, not when one is added.
const FormatVersion = 1

// The triggers that are the supervisor's own.
const (
	triggerStart = "start"
	triggerWatch = "watch"
	triggerAPI   = "api"
	triggerPage  = "page"
	triggerPlan  = "plan"
)

// Report says what a reload did, or what it would do, to each site.
type Report struct {
	FormatVersion int                 `json:"format_version"`
	Time          time.Time           `json:"time"`
	Trigger       string              `json:"trigger"` // start, watch, api, page, plan, or what Request said
	Hash          string              `json:"hash"`    // of the configuration read
	Result        string              `json:"result"`  // applied, partial, refused or unchanged, as in config_reloads_total
	Error         string              `json:"error,omitempty"`
	Steps         []ReportStep        `json:"steps"`
	Admin         *AdminMove          `json:"admin,omitempty"` // when the admin endpoint changes
	Diagnostics   []config.Diagnostic `json:"diagnostics"`

	errors bool // the configuration has errors
}

// Outcome is what became of a step.
type Outcome string

const (
	Applied Outcome = "applied" // in force
	Stays   Outcome = "kept"    // what ran goes on
	Failure Outcome = "failed"  // tried; what ran, if anything, goes on; see Error
	Pending Outcome = "pending" // not done: this is only a plan, or all or nothing was asked for
)

// ReportStep is what happens to one site.
type ReportStep struct {
	Op      Op       `json:"op"`
	Site    string   `json:"site"`
	Addr    string   `json:"addr,omitempty"` // where the site is once the step is done
	From    string   `json:"from,omitempty"` // where it was, for a rebind
	Changes []Change `json:"changes,omitempty"`
	Live    Live     `json:"live"`
	Outcome Outcome  `json:"outcome"`
	Error   string   `json:"error,omitempty"`
}

// Live is what a site was doing when the report was made.
type Live struct {
	Connections int `json:"connections"`
	InFlight    int `json:"in_flight"`
	Tunnels     int `json:"tunnels"`
	Processes   int `json:"processes"`
}

// AdminMove says what became of a change of the admin endpoint. Old and New are
// the same when its address stays.
type AdminMove struct {
	Old     string   `json:"old"` // "" when it was not reachable before
	New     string   `json:"new"`
	Changes []Change `json:"changes,omitempty"` // of what is not the address
	Outcome Outcome  `json:"outcome"`
	Error   string   `json:"error,omitempty"`
}

// conclude works the result out from the steps.
func (r *Report) conclude() {
	wrong, done := r.errors || r.Error != "", false
	for _, s := range r.Steps {
		wrong = wrong || s.Outcome == Failure || s.Op == Refused
		done = done || s.Outcome == Applied || s.Outcome == Pending
	}
	if r.Admin != nil {
		wrong = wrong || r.Admin.Outcome == Failure
		done = done || r.Admin.Outcome == Applied || r.Admin.Outcome == Pending
	}
	switch {
	case r.Error != "" || wrong && !done:
		r.Result = metrics.ReloadRefused
	case wrong:
		r.Result = metrics.ReloadPartial
	case done:
		r.Result = metrics.ReloadApplied
	default:
		r.Result = metrics.ReloadUnchanged
	}
}

// ExitCode is the exit status of a plan: 0 for no changes, 2 for changes, 1 when
// something is wrong.
func (r *Report) ExitCode() int {
	switch r.Result {
	case metrics.ReloadUnchanged:
		return 0
	case metrics.ReloadApplied:
		return 2
	default:
		return 1
	}
}

// Text is the report for a person: one block for each site that something
// happens to, and a line that sums up.
func (r *Report) Text() string {
	var b strings.Builder
	for _, d := range r.Diagnostics {
		fmt.Fprintf(&b, "%s\n\n", strings.TrimSpace(d.Text))
	}
	if r.Error != "" {
		fmt.Fprintf(&b, "! %s\n", r.Error)
	}
	for i := range r.Steps {
		r.Steps[i].text(&b)
	}
	if r.Admin != nil {
		r.Admin.text(&b)
	}
	b.WriteString(r.summary())
	b.WriteByte('\n')
	return b.String()
}

var signs = map[Op]string{Start: "+", Swap: "~", Rebind: ">", Stop: "-", Refused: "!"}

func (s *ReportStep) text(b *strings.Builder) {
	if s.Op == Keep {
		return
	}
	addr := s.Addr
	if s.From != "" {
		addr = s.From + " -> " + s.Addr
	}
	fmt.Fprintf(b, "%s %-7s %s", signs[s.Op], s.Op, s.Site)
	if addr != "" {
		fmt.Fprintf(b, "  %s", addr)
	}
	fmt.Fprintf(b, "%s%s\n", s.Live.text(), said(s.Outcome))
	changeLines(b, s.Changes)
	reason(b, s.Error)
}

func (m *AdminMove) text(b *strings.Builder) {
	switch m.Old {
	case "":
		fmt.Fprintf(b, "+ start   (admin)  %s%s\n", m.New, said(m.Outcome))
	case m.New:
		fmt.Fprintf(b, "~ swap    (admin)  %s%s\n", m.New, said(m.Outcome))
	default:
		fmt.Fprintf(b, "> rebind  (admin)  %s -> %s%s\n", m.Old, m.New, said(m.Outcome))
	}
	changeLines(b, m.Changes)
	reason(b, m.Error)
}

func changeLines(b *strings.Builder, all []Change) {
	for _, c := range all {
		fmt.Fprintf(b, "      %s: %s -> %s\n", c.Name, cmp.Or(c.Old, "(none)"), cmp.Or(c.New, "(none)"))
	}
}

func reason(b *strings.Builder, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(b, "      %s\n", strings.TrimRight(line, "\n"))
	}
}

// said is how an outcome is told; that of a plan goes without saying.
func said(o Outcome) string {
	switch o {
	case Pending:
		return ""
	case Stays:
		return "  (last good goes on)"
	default:
		return "  " + string(o)
	}
}

func (l Live) text() string {
	var words []string
	for _, figure := range []struct {
		n         int
		one, many string
	}{
		{l.Connections, "connection", "connections"}, {l.InFlight, "request in flight", "requests in flight"},
		{l.Tunnels, "tunnel", "tunnels"}, {l.Processes, "process", "processes"},
	} {
		switch {
		case figure.n == 1:
			words = append(words, "1 "+figure.one)
		case figure.n > 1:
			words = append(words, fmt.Sprintf("%d %s", figure.n, figure.many))
		}
	}
	if words == nil {
		return ""
	}
	return "  [" + strings.Join(words, ", ") + "]"
}

// reasons are the errors of all steps, a line each.
func (r *Report) reasons() []string {
	var lines []string
	if r.Error != "" {
		lines = append(lines, r.Error)
	}
	for _, step := range r.Steps {
		if step.Error != "" {
			lines = append(lines, step.Site+": "+step.Error)
		}
	}
	if r.Admin != nil && r.Admin.Error != "" {
		lines = append(lines, "admin: "+r.Admin.Error)
	}
	return lines
}

// summaryWords are how the steps of each kind are counted: before and after.
var summaryWords = []struct {
	op           Op
	plan, report string
}{
	{Start, "to start", "started"}, {Swap, "to swap", "swapped"}, {Rebind, "to rebind", "rebound"},
	{Stop, "to stop", "stopped"}, {Refused, "refused", "refused"}, {Keep, "unchanged", "unchanged"},
}

func (r *Report) summary() string {
	counts := map[Op]int{}
	failed, pending := 0, false
	for _, s := range r.Steps {
		pending = pending || s.Outcome == Pending
		if s.Outcome == Failure && s.Op != Refused {
			failed++
			continue
		}
		counts[s.Op]++
	}
	var words []string
	for _, w := range summaryWords {
		switch n := counts[w.op]; {
		case n == 0:
		case pending || r.Trigger == triggerPlan:
			words = append(words, fmt.Sprintf("%d %s", n, w.plan))
		default:
			words = append(words, fmt.Sprintf("%d %s", n, w.report))
		}
	}
	if failed > 0 {
		words = append(words, fmt.Sprintf("%d failed", failed))
	}
	if words == nil {
		return r.headline() + "."
	}
	return r.headline() + ": " + strings.Join(words, ", ") + "."
}

func (r *Report) headline() string {
	plan := r.Trigger == triggerPlan
	switch {
	case r.Result == metrics.ReloadUnchanged:
		return "No changes"
	case r.Result == metrics.ReloadRefused && plan:
		return "Would be refused, nothing would change"
	case r.Result == metrics.ReloadRefused:
		return "Refused, nothing was changed"
	case plan && r.Result == metrics.ReloadPartial:
		return "Plan, with errors"
	case plan:
		return "Plan"
	case r.Result == metrics.ReloadPartial:
		return "Applied in part"
	default:
		return "Applied"
	}
}
