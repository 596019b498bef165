// Package page renders the status page: plain data in, one HTML document out,
// with its style and script in it and nothing loaded from anywhere. It knows no
// site and no request; what it is given may hold any bytes.
package page

import "time"

// View is all that the page shows. Slices are shown in the order given, but for
// Sites.
type View struct {
	Version  string
	PID      int
	Started  time.Time
	Now      time.Time // when the data was taken
	Phase    string
	Running  bool          // Phase is the one in which all is served
	Config   string        // path of the configuration
	Admin    string        // why the admin endpoint is not where it ought to be; "" when it is
	Step     time.Duration // how much time one Point stands for
	Token    string        // a secret of the process that its forms send back
	Sites    []Site        // Render sorts them: those that are not well first, then by name
	Reloads  []Reload      // newest first
	Failures []Request     // newest first
	Slowest  []Request     // slowest first
	Plan     *Plan         // what a reload would do, where that was asked for
}

// Site is one row.
type Site struct {
	Name, Addr  string
	Link        string // where a browser finds the site; "" when that can't be said
	State       State
	Reasons     []string // why it is not well
	Generation  int      // 0: none has served yet
	Since       time.Time
	Rate        float64 // requests/s
	ErrorRatio  float64 // 0 to 1
	P50, P99    time.Duration
	Connections int
	InFlight    int
	Points      []Point // oldest first
	Failures    string  // path of what is known of its failed and slowest requests
}

// State is how a site is.
type State struct {
	Word string // as `sited status` says it
	Tone Tone
}

// Tone is how much of an operator's attention something asks for.
type Tone string

const (
	Good  Tone = "good"
	Quiet Tone = "quiet" // neither well nor unwell: on its way up or out
	Warn  Tone = "warn"
	Bad   Tone = "bad"
)

// Point counts the requests of one Step.
type Point struct{ Requests, Errors uint32 }

// Reload is one reload and what it printed.
type Reload struct {
	Number  int
	Time    time.Time
	Took    time.Duration
	Trigger string
	Result  string
	Tone    Tone
	Summary string
	Text    string
	Open    bool // shown at length from the start
}

// Plan is what a reload would do, as it is printed.
type Plan struct {
	Tone Tone
	Text string
}

// Request is a request that failed or was slow.
type Request struct {
	ID, Site       string
	Time           time.Time
	Generation     int
	Remote, User   string
	Method, Target string
	Status         int // 0: there was no answer
	Error          string
	Took           time.Duration // of one of the slowest: what it is ranked by
	Phases         []Phase       // in the order they took place
	Headers        []Field       // redacted
	Trace          []string
	Script         string
	Stderr         []string
}

// Cause is why the request failed, as far as that is known.
func (r *Request) Cause() string {
	if r.Error == "" && len(r.Trace) > 0 {
		return r.Trace[len(r.Trace)-1]
	}
	return r.Error
}

// Tone is how much attention the answer asks for.
func (r *Request) Tone() Tone {
	switch {
	case r.Status == 0 || r.Status >= 500:
		return Bad
	case r.Status >= 400 || r.Error != "":
		return Warn
	default:
		return Good
	}
}

// Phase is a part of the time that a request took.
type Phase struct {
	Name string
	Took time.Duration
}

// Field is a field line of a request.
type Field struct{ Name, Value string }
