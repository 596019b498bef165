package supervisor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"sited/instance"
)

// Status is what the process is doing.
type Status struct {
	FormatVersion int          `json:"format_version"`
	Version       string       `json:"version"`
	PID           int          `json:"pid"`
	Started       time.Time    `json:"started"`
	Phase         Phase        `json:"phase"`
	Config        ConfigStatus `json:"config"`
	Admin         AdminStatus  `json:"admin"`
	Sites         []SiteStatus `json:"sites"` // sorted by name
}

// Phase is where the process is in its life.
type Phase string

const (
	Starting Phase = "starting" // the first configuration is being tried
	Running  Phase = "running"
	Ending   Phase = "draining" // told to end; what is in flight goes on
)

// ConfigStatus says which configuration was read last.
type ConfigStatus struct {
	Path   string       `json:"path"`
	Hash   string       `json:"hash"`
	Reload *ReloadBrief `json:"reload,omitempty"` // the last one, the start included
}

// ReloadBrief sums a Report up.
type ReloadBrief struct {
	Time    time.Time `json:"time"`
	Trigger string    `json:"trigger"`
	Result  string    `json:"result"`
	Summary string    `json:"summary"`
	Errors  []string  `json:"errors,omitempty"`

	faulty bool // the configuration has errors, or the admin address could not be taken
}

// AdminStatus says where the admin endpoint is. Addr is "" while its address
// can't be taken.
type AdminStatus struct {
	Addr   string `json:"addr"`
	Reason string `json:"reason,omitempty"`
}

// SiteStatus is what one site is doing.
type SiteStatus struct {
	Name       string    `json:"name"`
	Addr       string    `json:"addr,omitempty"`
	Root       string    `json:"root,omitempty"`
	Methods    []string  `json:"methods,omitempty"`
	Scripts    []string  `json:"scripts,omitempty"` // extensions
	State      State     `json:"state"`
	Since      time.Time `json:"since"`
	Generation int       `json:"generation"` // 0: none has served yet
	// GenerationSince is when the current generation began to serve; not there
	// when none serves.
	GenerationSince time.Time `json:"generation_since,omitzero"`
	ConfigCurrent   bool      `json:"config_current"`
	Reason          string    `json:"reason,omitempty"`  // why it doesn't run what its newest block says
	Problem         string    `json:"problem,omitempty"` // why it answers 503 although it serves
	Restarts        int       `json:"restarts"`          // attempts to start it again
	Live
	Recent *Recent `json:"recent,omitempty"`

	link string // where a browser finds the site; "" when that can't be said
}

// stateText is the state as a person reads it.
func (s *SiteStatus) stateText() string {
	text := string(s.State)
	if s.State == Serving && !s.ConfigCurrent {
		text += " (last good)"
	}
	if s.Problem != "" {
		text += " (503)"
	}
	return text
}

// servesSince is since when the site serves what it serves, or is in its state
// when it serves nothing.
func (s *SiteStatus) servesSince() time.Time {
	if s.State == Serving && !s.GenerationSince.IsZero() {
		return s.GenerationSince
	}
	return s.Since
}

// rateText and errorText are what was recent, for a person.
func (s *SiteStatus) rateText() string {
	if s.Recent == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", s.Recent.Rate)
}

func (s *SiteStatus) errorText() string {
	if s.Recent == nil || s.Recent.Rate == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", s.Recent.ErrorRatio*100)
}

// NotReady lists the sites that ought to serve and don't, with the reason; and
// the process itself while it starts or ends. Empty means ready.
func (s *Status) NotReady() []string {
	var lines []string
	if s.Phase != Running {
		lines = append(lines, "sited: "+string(s.Phase))
	}
	for _, site := range s.Sites {
		switch site.State {
		case Preparing, Backoff, Failed:
			lines = append(lines, fmt.Sprintf("%s: %s: %s", site.Name, site.State, cmp.Or(site.Reason, "not serving yet")))
		case Serving:
			if site.Problem != "" {
				lines = append(lines, fmt.Sprintf("%s: %s", site.Name, site.Problem))
			}
		case Draining, Stopped:
		}
	}
	return lines
}

// Text is the status for a person.
func (s *Status) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sited %s, pid %d, %s since %s\n", s.Version, s.PID, s.Phase, s.Started.Format(time.DateTime))
	fmt.Fprintf(&b, "config  %s\n", s.Config.Path)
	if r := s.Config.Reload; r != nil {
		fmt.Fprintf(&b, "        %s by %s: %s\n", r.Time.Format(time.DateTime), r.Trigger, r.Summary)
		for _, e := range r.Errors {
			fmt.Fprintf(&b, "        %s\n", e)
		}
	}
	fmt.Fprintf(&b, "admin   %s%s\n\n", cmp.Or(s.Admin.Addr, "not reachable: "), s.Admin.Reason)

	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SITE\tADDRESS\tSTATE\tSINCE\tGEN\tREQ/S\tERR%\tCONNS\tREQS\tTUNNELS\tPROCS\tRESTARTS\tROOT")
	for _, site := range s.Sites {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", site.Name, site.Addr, site.stateText(),
			site.servesSince().Format(time.DateTime), site.Generation, site.rateText(), site.errorText(), site.Connections, site.InFlight, site.Tunnels,
			site.Processes, site.Restarts, site.Root)
	}
	_ = w.Flush() // into memory
	for _, site := range s.Sites {
		for _, why := range []string{site.Reason, site.Problem} {
			if why != "" {
				fmt.Fprintf(&b, "\n%s: %s", site.Name, why)
			}
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// status is Status for the owner.
func (s *Supervisor) status() *Status {
	out := &Status{
		FormatVersion: FormatVersion, Version: s.opts.Version, PID: s.pid, Started: s.startedAt, Phase: s.phase,
		Config: ConfigStatus{Path: s.path, Hash: s.tried, Reload: s.recall.last()},
		Admin:  s.admin.status(),
		Sites:  make([]SiteStatus, 0, len(s.sites)),
	}
	for _, st := range s.sites {
		out.Sites = append(out.Sites, st.status())
	}
	slices.SortFunc(out.Sites, func(a, b SiteStatus) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (st *site) status() SiteStatus {
	out := SiteStatus{
		Name: st.name, State: st.state, Since: st.since, ConfigCurrent: st.isCurrent(),
		Reason: st.reason, Problem: st.problem(), Restarts: st.restarts, Generation: st.count, Live: st.live(),
	}
	spec := st.pending
	switch {
	case st.current != nil:
		spec = st.current.spec
		out.GenerationSince = st.current.since
		out.link = linkTo(spec)
	case spec == nil && len(st.old) > 0:
		spec = st.old[len(st.old)-1].spec
	}
	if spec == nil {
		return out
	}
	out.Addr, out.Root, out.Methods = spec.Addr.String(), spec.Root, spec.Methods
	for _, script := range spec.Scripts {
		out.Scripts = append(out.Scripts, script.Ext)
	}
	return out
}

// linkTo is where a browser of this machine finds a site: one that is asked by
// its names is not found by its address, and no browser can be sent to a wildcard.
func linkTo(spec *instance.Spec) string {
	if len(spec.Hosts) > 0 || spec.Addr.Addr().IsUnspecified() {
		return ""
	}
	return "http://" + spec.Addr.String() + "/"
}
