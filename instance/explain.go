package instance

import (
	"fmt"
	"net/netip"
	"os"

	"sited/cgi"
	"sited/protocol"
)

// Explanation says what a request would get, and why.
type Explanation struct {
	Site   string   `json:"site"`
	Method string   `json:"method"`
	Path   string   `json:"path"` // canonical
	Steps  []string `json:"steps"`
	Status int      `json:"status"` // 0: what the script or the tunnel's end says
}

// Explain takes the decisions that a site with that spec would take for a
// request, the same functions that serve it, and looks at the disk without
// touching anything. Credentials are taken for given.
func Explain(spec Spec, head string) (*Explanation, error) {
	p, err := newPolicy(spec)
	if err != nil {
		return nil, err
	}
	lim := protocol.Limits{MaxBody: spec.Limits.MaxBody, MaxHeader: int(spec.Limits.MaxHeader), MaxURI: int(spec.Limits.MaxURI)}
	req, err := protocol.ParseRequest(head, lim, versions(&spec))
	e := &Explanation{Site: spec.Name, Method: req.Method, Path: req.Path}
	t := &trace{}
	if err != nil {
		e.Status = p.explainRefused(&req, err, t)
	} else {
		e.Status = p.explainRequest(&req, t)
	}
	e.Steps = t.steps
	return e, nil
}

// explainRefused tells of a request that no rule of the site was asked about.
func (p *policy) explainRefused(req *protocol.Request, err error, t *trace) (status int) {
	status = protocol.StatusOf(err)
	t.say("the request is refused before the site's rules: %v%s -> %d %s", err, ruleText(err), status, protocol.StatusText(status))
	p.explainAnswer(req, status, t)
	return status
}

// ruleText names the rule of HTTP that err says was broken, if it does.
func ruleText(err error) string {
	if reason := reasonOf(err); reason != "" {
		return fmt.Sprintf(" (rule %q)", reason)
	}
	return ""
}

// explainRequest tells of any other. The status is 0 for what a script or the end
// of a tunnel says.
func (p *policy) explainRequest(req *protocol.Request, t *trace) (status int) {
	t.begin(req)
	status = p.explain(req, t)
	p.explainAnswer(req, status, t)
	return status
}

// begin tells what the request is about; a tunnel has no path.
func (t *trace) begin(req *protocol.Request) {
	if req.Method != protocol.MethodConnect {
		t.say("path %s, method %s", req.Path, req.Method)
	}
}

func (p *policy) explain(req *protocol.Request, t *trace) int {
	d := p.decide(req, t)
	switch d.Action {
	case Refuse, Elsewhere:
		return d.Status
	case Options:
		t.say("answers with Allow: %s -> 204", p.allow)
		return 204
	case Connect:
		return p.explainConnect(req, t)
	case Upload, Remove, Read, Submit:
	}
	root, err := os.OpenRoot(p.spec.Root)
	if err != nil {
		t.say("the root is not there: %v -> 503", err)
		return 503
	}
	defer root.Close()
	switch d.Action {
	case Upload:
		return p.explainUpload(root, req, t)
	case Remove:
		if _, err := removeTarget(root, req.Path); err != nil {
			return t.failed(err)
		}
		t.say("deletes %s -> 204", req.Path)
		return 204
	default:
		return p.explainRead(root, req, t)
	}
}

// explainAnswer tells what the site changes about an answer. A tunnel's is left
// alone.
func (p *policy) explainAnswer(req *protocol.Request, status int, t *trace) {
	if status >= 400 {
		p.sayErrorPage(status, t)
	}
	if req.Method != protocol.MethodConnect || status >= 400 {
		p.sayFields(req.Path, status, t)
	}
	p.sayRequestID(t)
}

func (p *policy) explainConnect(req *protocol.Request, t *trace) int {
	host, port, err := p.targets.judge(req.Target)
	if err != nil {
		return t.failed(err)
	}
	if _, err := netip.ParseAddr(host); err != nil {
		t.say("connect.allow has %s:%d; an address of it that is special-purpose and not written out there is not used (403)", host, port)
	}
	t.say("opens a tunnel to %s -> 200; 502 when it can't be reached, 504 when that takes too long", req.Target)
	return 0
}

func (p *policy) explainUpload(root *os.Root, req *protocol.Request, t *trace) int {
	before, err := uploadTarget(root, relative(req.Path))
	switch {
	case err != nil:
		return t.failed(err)
	case before != nil:
		t.say("replaces %s (%d bytes) -> 204", req.Path, before.Size())
		return 204
	}
	t.say("creates %s -> 201", req.Path)
	return 201
}

func (p *policy) explainRead(root *os.Root, req *protocol.Request, t *trace) int {
	f, err := p.search(root, req.Path, t)
	if err != nil {
		return t.failed(err)
	}
	defer f.close()
	if f.path != req.Path {
		t.say("leads to %s", f.path)
		t.protect(p.protectFor(req.Method, f.path), &protocol.Request{Method: req.Method, Path: f.path})
	}
	switch {
	case f.script >= 0:
		s := p.spec.Scripts[f.script]
		command := "the file itself"
		if len(s.Command) > 0 {
			command = fmt.Sprintf("%q", s.Command)
		}
		runner := cgi.New(cgi.Config{Name: s.Ext, Command: s.Command, Workers: s.Workers, Timeout: s.Timeout}, nil)
		if err := runner.Missing(); err != nil {
			t.say("%v -> 503", err)
			return 503
		}
		if len(s.Command) == 0 && f.info.Mode()&0o111 == 0 {
			t.say("script %q: %s is not executable: chmod +x it -> 502", s.Ext, f.path)
			return 502
		}
		t.say("runs as a script by script %q: %s, PATH_INFO %q -> the script's status", s.Ext, command, f.pathInfo)
		return 0
	case f.redirect:
		status := slashStatus(req.Method)
		t.say("a folder: redirects to %s/ -> %d", req.Path, status)
		return status
	case req.Method == protocol.MethodPost || req.Method == protocol.MethodPatch:
		t.say("only a script takes %s, and %s is none -> 405", req.Method, f.path)
		return 405
	case f.listing:
		t.say("lists the folder, without what is protected by another block: as JSON where Accept prefers it, else as a page -> 200")
		return 200
	}
	t.say("sends %s, %d bytes, %s -> 200", f.path, f.info.Size(), contentType(f.path))
	return 200
}

func (t *trace) failed(err error) int {
	status := protocol.StatusOf(err)
	t.say("%v -> %d %s", err, status, protocol.StatusText(status))
	return status
}
