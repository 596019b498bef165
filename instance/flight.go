package instance

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"sited/protocol"
)

// How much of a request an entry holds, in bytes of one text, and in texts.
const (
	maxFlightText  = 2 << 10 // target, error
	maxFlightName  = 64      // method, name of a field
	maxFlightValue = 256     // value of a field, host, user
	maxFlightStep  = 1 << 10
	maxFlightSteps = 40
	maxFlightField = 40 // fields
)

// Flight is one request as a Recorder holds it: what the access log says of it,
// and how its answer came about. Its texts are cut where they are too long, hold
// nothing of what a request keeps secret, and are otherwise as the client sent
// them: who shows them must escape them.
type Flight struct {
	ID         string    `json:"id"`   // as in the logs
	Time       time.Time `json:"time"` // when the first byte of the request was read, in UTC
	Generation int       `json:"generation"`
	Remote     string    `json:"remote"` // address and port; "" when it is not known
	User       string    `json:"user,omitempty"`
	Method     string    `json:"method"` // "" when it could not be read, as Target, Version and Host
	Target     string    `json:"target"`
	Version    string    `json:"version"`
	Host       string    `json:"host"`
	Status     int       `json:"status"`
	Error      string    `json:"error,omitempty"`  // the cause
	Reason     string    `json:"reason,omitempty"` // which rule a request broke that is not HTTP: a label of bad_requests_total
	Bytes      int64     `json:"bytes"`            // of the answer's body that were sent
	Received   int64     `json:"received"`         // of the request's body that were read

	Phases  Phases        `json:"phases"`
	Headers []FlightField `json:"headers"` // of the request, in its order
	Trace   []string      `json:"trace"`   // the steps that `sited explain` has for the request, as things were when it was over
	Script  string        `json:"script,omitempty"`
	Slow    float64       `json:"-"`                // what the slowest are ranked by, in seconds; 0 for any other
	Stderr  []string      `json:"stderr,omitempty"` // the last lines of what the script wrote to standard error
}

// Phases are what a request's time went into, in seconds; 0 for what did not
// take place, or took no time. They overlap: Total has all of it, and Handler
// Body, Wait and FirstOutput.
type Phases struct {
	Head        float64 `json:"head,omitempty"`         // until the head was complete
	Body        float64 `json:"body,omitempty"`         // of a script's request: until it had arrived, from the end of the head
	Wait        float64 `json:"wait,omitempty"`         // for a free process
	FirstOutput float64 `json:"first_output,omitempty"` // from the start of the process to its first output
	Script      float64 `json:"script,omitempty"`       // from the start of the process to the end of its output
	Handler     float64 `json:"handler,omitempty"`      // until it was known what to answer, from the start
	FirstByte   float64 `json:"first_byte,omitempty"`   // until the first byte of the answer was sent, from the start
	Total       float64 `json:"total"`                  // until the last one was
}

// FlightField is a field of a request. The value of one that may hold a secret
// says only how long it was.
type FlightField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// seconds is d to the microsecond.
func seconds(d time.Duration) float64 { return max(0, d.Round(time.Microsecond).Seconds()) }

// newFlown copies what is to be held of an exchange that is over. The trace is
// made here, by a look at the site's files as they are now.
func newFlown(x *protocol.Exchange, p *policy, generation int) *flown {
	e := &flown{ended: x.Start.Add(x.Took), flight: Flight{
		ID:         x.ID.String(),
		Time:       x.Start.UTC().Round(0),
		Generation: generation,
		User:       cut(x.Req.User, maxFlightValue),
		Method:     cut(x.Req.Method, maxFlightName),
		Target:     cut(loggedURI(x.Req.Target), maxFlightText),
		Version:    strings.Clone(x.Req.Version),
		Host:       cut(loggedURI(x.Req.Host), maxFlightValue),
		Status:     statusOf(x),
		Reason:     reasonOf(x.Err),
		Bytes:      x.Sent,
		Received:   x.Received,
		Phases: Phases{
			Head: seconds(x.HeadTook), Handler: seconds(x.Handled), FirstByte: seconds(x.FirstByte), Total: seconds(x.Took),
		},
		Headers: flightFields(x.Req.Header),
		Trace:   traceOf(x, p),
	}}
	if x.Req.Remote.IsValid() {
		e.flight.Remote = x.Req.Remote.String()
	}
	if x.Err != nil {
		e.flight.Error = shorten(x.Err.Error(), maxFlightText)
	}
	e.note, _ = x.Note.(*scriptNote)
	return e
}

// cut is a copy of s, of at most that many bytes and what says that there are
// more. A copy: strings of a request hold the whole head.
func cut(s string, most int) string { return strings.Clone(limited(s, most)) }

// shorten is a copy of s, without its middle where it is longer than most: what
// an error is about comes first, and why last.
func shorten(s string, most int) string {
	if len(s) <= most {
		return strings.Clone(s)
	}
	from := len(s) - most/4
	for from < len(s) && !utf8.RuneStart(s[from]) {
		from++
	}
	return cut(s, most-most/4) + s[from:]
}

// flightFields copies the fields of a request, without what they may keep secret.
func flightFields(h protocol.Header) []FlightField {
	fields := make([]FlightField, 0, min(len(h), maxFlightField+1))
	for i, f := range h {
		if i == maxFlightField {
			return append(fields, FlightField{"...", fmt.Sprintf("%d more fields", len(h)-i)})
		}
		fields = append(fields, FlightField{cut(f.Name, maxFlightName), cut(fieldValue(f), maxFlightValue)})
	}
	return fields
}

// fieldValue is what may be shown of a field's value.
func fieldValue(f protocol.Field) string {
	switch harmless[strings.ToLower(f.Name)] {
	case shownWhole:
		return f.Value
	case shownURI:
		return loggedURI(f.Value)
	case redacted:
	}
	return fmt.Sprintf("(redacted, %d bytes)", len(f.Value))
}

// shownAs says how much of a field's value may be shown.
type shownAs uint8

const (
	redacted   shownAs = iota // nothing: any field may hold a secret, unless it is known not to
	shownWhole                // all
	shownURI                  // all but a user and password
)

// harmless are the fields whose values are known to be no secret. A prefix would
// not do: X-Forwarded-Access-Token is a secret.
var harmless = map[string]shownAs{
	"host": shownURI, "referer": shownURI, "origin": shownURI, "x-forwarded-host": shownURI, "content-location": shownURI,

	"user-agent": shownWhole, "connection": shownWhole, "upgrade": shownWhole, "keep-alive": shownWhole, "te": shownWhole, "trailer": shownWhole,
	"accept": shownWhole, "accept-charset": shownWhole, "accept-encoding": shownWhole, "accept-language": shownWhole,
	"content-type": shownWhole, "content-length": shownWhole, "content-encoding": shownWhole, "content-language": shownWhole,
	"content-range": shownWhole, "content-disposition": shownWhole, "content-md5": shownWhole, "transfer-encoding": shownWhole,
	"range": shownWhole, "if-match": shownWhole, "if-none-match": shownWhole, "if-modified-since": shownWhole,
	"if-unmodified-since": shownWhole, "if-range": shownWhole,
	"cache-control": shownWhole, "pragma": shownWhole, "expect": shownWhole, "max-forwards": shownWhole, "date": shownWhole, "via": shownWhole,
	"forwarded": shownWhole, "x-forwarded-for": shownWhole, "x-forwarded-proto": shownWhole, "x-forwarded-port": shownWhole,
	"x-forwarded-server": shownWhole, "x-forwarded-prefix": shownWhole, "x-real-ip": shownWhole,
	"dnt": shownWhole, "priority": shownWhole, "upgrade-insecure-requests": shownWhole, "x-requested-with": shownWhole,
	"sec-fetch-site": shownWhole, "sec-fetch-mode": shownWhole, "sec-fetch-user": shownWhole, "sec-fetch-dest": shownWhole,
	"access-control-request-method": shownWhole, "access-control-request-headers": shownWhole,
}

// traceOf tells how the answer came about: what `sited explain` says of the
// request, and what it can't know. It must not end the connection, whatever
// happens.
func traceOf(x *protocol.Exchange, p *policy) (steps []string) {
	defer func() {
		if v := recover(); v != nil {
			steps = append(steps, shorten(fmt.Sprintf("the trace ends here, by a panic: %v", v), maxFlightStep))
		}
	}()
	steps = p.retrace(&x.Req, x)
	if len(steps) > maxFlightSteps {
		steps = append(steps[:maxFlightSteps-1], steps[len(steps)-1])
	}
	for i := range steps {
		steps[i] = shorten(steps[i], maxFlightStep)
	}
	return steps
}

// retrace is explain for an exchange that is over.
func (p *policy) retrace(req *protocol.Request, x *protocol.Exchange) []string {
	t := &trace{}
	status := statusOf(x)
	if !x.Begun && (reasonOf(x.Err) != "" || status == 503) { // no handler was asked
		p.explainRefused(req, x.Err, t)
		return t.steps
	}
	explained := 0
	if e, ok := errors.AsType[*protocol.Error](x.Err); ok && e.Status == 401 {
		// Who has no credentials has not been told what there is: nor is it looked for.
		t.begin(req)
		p.decide(req, t)
	} else {
		explained = p.explainRequest(req, t)
	}
	t.outcome(x, explained)
	return t.steps
}

// outcome tells what became of an exchange, if that is not what was explained: 0
// stands for what a script or the end of a tunnel says.
func (t *trace) outcome(x *protocol.Exchange, explained int) {
	status := statusOf(x)
	switch {
	case x.Err != nil && status < 400:
		t.say("the answer, %d %s, broke off: %v", status, protocol.StatusText(status), x.Err)
	case status == explained:
	case x.Err != nil:
		t.say("what it got: %v%s -> %d %s", x.Err, ruleText(x.Err), status, protocol.StatusText(status))
	case explained == 0:
		t.say("the script answered %d %s", status, protocol.StatusText(status))
	default:
		t.say("what it got: %d %s", status, protocol.StatusText(status))
	}
}
