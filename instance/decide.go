package instance

import (
	"fmt"
	"slices"
	"strings"

	"sited/protocol"
)

// Action is what is to be done with a request, as far as that can be told
// without looking at the disk.
type Action uint8

const (
	Refuse    Action = iota // answer with Decision.Status
	Read                    // GET and HEAD: a file, an index file or a script
	Submit                  // POST and PATCH: a script takes it, a file doesn't
	Upload                  // PUT
	Remove                  // DELETE
	Options                 // OPTIONS
	Connect                 // CONNECT: a tunnel
	Elsewhere               // any other: a redirect block sends it to Decision.Location
)

func (a Action) String() string {
	return [...]string{"refuse", "read", "submit", "upload", "remove", "options", "connect", "redirect"}[a]
}

// Decision is what a request is. When Protect is set its credentials come before
// everything else: a request without the right ones gets 401, whatever Action
// and Status say.
type Decision struct {
	Protect  *Protect
	Action   Action
	Status   int    // for Refuse: 4xx or 5xx; for Elsewhere: 3xx
	Why      string // for Refuse: the cause, for the log
	Location string // for Elsewhere: a URL reference
}

// trace collects the reasons of a decision, for `sited explain`. A nil trace
// collects nothing.
type trace struct{ steps []string }

func (t *trace) say(format string, args ...any) {
	t.steps = append(t.steps, fmt.Sprintf(format, args...))
}

// decide says what a request is, from its head alone. It is pure; the order of
// its questions is the contract: a protected path answers 401 to every method
// that exists, whether or not there is a file.
func (p *policy) decide(r *protocol.Request, t *trace) Decision {
	if !protocol.KnownMethod(r.Method) {
		return deny(nil, 501, "unknown method", t)
	}
	d := Decision{Protect: p.protectFor(r.Method, r.Path)}
	if t != nil {
		t.protect(d.Protect, r)
	}
	if !slices.Contains(p.spec.Methods, r.Method) {
		return deny(d.Protect, 405, "the site does not list "+r.Method, t)
	}
	switch r.Method {
	case protocol.MethodConnect:
		d.Action = Connect
		return d
	case protocol.MethodOptions:
		d.Action = Options
		return d
	case protocol.MethodTrace:
		return deny(d.Protect, 501, "TRACE would show credentials to whoever makes a browser ask", t)
	}
	if to := p.redirectFor(r.Path); to != nil {
		d.Action, d.Status, d.Location = Elsewhere, to.status, to.location(r.Path, r.Query)
		if t != nil {
			t.say("redirect %q: sends to %s -> %d", to.glob, d.Location, d.Status)
		}
		return d
	}
	if hidden(r.Path) {
		return deny(d.Protect, 404, "dotfiles are not served", t)
	}
	block, isScript := p.script(strings.TrimSuffix(r.Path, "/"))
	switch r.Method {
	case protocol.MethodPut:
		return p.decideUpload(d, r, isScript, t)
	case protocol.MethodDelete:
		d.Action = Remove
		return d
	case protocol.MethodGet, protocol.MethodHead:
		d.Action = Read
	default: // POST and PATCH
		d.Action = Submit
		if r.Method == protocol.MethodPost && !hasLength(r) {
			return deny(d.Protect, 411, "neither Content-Length nor chunked", t)
		}
	}
	if isScript && block < 0 {
		return deny(d.Protect, 403, "a script's extension, and the site has no script block for it", t)
	}
	return d
}

func (p *policy) decideUpload(d Decision, r *protocol.Request, isScript bool, t *trace) Decision {
	switch {
	case !hasLength(r):
		return deny(d.Protect, 411, "neither Content-Length nor chunked", t)
	case r.Header.Has("Content-Range"): // RFC 9110, section 14.5
		return deny(d.Protect, 400, "PUT with Content-Range", t)
	case isScript:
		return deny(d.Protect, 403, "scripts can't be uploaded", t)
	case strings.HasSuffix(r.Path, "/"):
		return deny(d.Protect, 409, "PUT of a folder", t)
	}
	d.Action = Upload
	return d
}

func hasLength(r *protocol.Request) bool {
	return r.Length != 0 || r.Header.Has("Content-Length")
}

func deny(protect *Protect, status int, why string, t *trace) Decision {
	if t != nil {
		t.say("refused: %s -> %d %s", why, status, protocol.StatusText(status))
	}
	return Decision{Protect: protect, Action: Refuse, Status: status, Why: why}
}

func (t *trace) protect(rule *Protect, r *protocol.Request) {
	if rule == nil {
		t.say("not protected: no protect block matches %s %s", r.Method, r.Path)
		return
	}
	who := "any user in the password file"
	if len(rule.Users) > 0 {
		who = strings.Join(rule.Users, ", ")
	}
	t.say("protected by protect %q: asks for %s (401 without)", rule.Glob, who)
}
