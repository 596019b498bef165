package instance

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"sited/cgi"
	"sited/metrics"
	"sited/protocol"
)

// script is one script block at work.
type script struct {
	ext    string
	runner *cgi.Runner
}

func newScript(s Script, m *metrics.Script) script {
	cfg := cgi.Config{Name: s.Ext, Command: s.Command, Workers: s.Workers, Timeout: s.Timeout}
	return script{ext: s.Ext, runner: cgi.New(cfg, scriptObserver{m})}
}

// maxRedirects bounds the local redirects of one request.
const maxRedirects = 5

// runScript has a script answer. A local redirect (RFC 3875, section 6.2.2) is
// served as if the client had asked for it, with all that decides about it.
func (i *Instance) runScript(x *protocol.Exchange, f found, hops int) error {
	s := i.scripts[f.script]
	run := noteScript(x, f.path)
	id := x.ID // x is not to be kept, and the process may outlive the request
	call := &cgi.Call{
		ID:         id,
		Request:    &x.Req,
		MaxBody:    i.spec.Limits.MaxBody,
		Filename:   filepath.Join(i.spec.Root, filepath.FromSlash(f.path)),
		ScriptName: f.path,
		PathInfo:   f.pathInfo,
		Root:       i.spec.Root,
		Attend:     x.Attend,
		Reached:    run.reach,
		Stderr: func(line string) {
			run.stderr(line)
			i.log.stderr(id, s.ext, line)
		},
	}
	if x.Req.User != "" {
		call.AuthType = "Basic"
	}
	answer, err := s.runner.Run(x.Ctx, call)
	if err != nil {
		return err
	}
	if answer.Redirect != "" {
		return i.redirectLocally(x, answer.Redirect, hops+1)
	}
	x.Res = protocol.Response{Status: answer.Status, Header: answer.Header, Body: answer.Body}
	return nil
}

func (i *Instance) redirectLocally(x *protocol.Exchange, target string, hops int) error {
	path, query, err := protocol.SplitPath(target)
	if err != nil {
		return protocol.Fail(502, fmt.Errorf("local redirect to %q: %w", target, err))
	}
	if hops > maxRedirects {
		return protocol.Failf(502, "more than %d local redirects", maxRedirects)
	}
	asked := x.Req
	defer func() { // the engine and the log go by what the client asked for
		user := x.Req.User
		x.Req = asked
		x.Req.User = user
	}()
	if x.Req.Method != protocol.MethodGet && x.Req.Method != protocol.MethodHead {
		x.Req.Method, x.Req.Header = protocol.MethodGet, withoutContent(asked.Header)
	}
	x.Req.Path, x.Req.Query = path, query
	x.Req.Body, x.Req.Length = strings.NewReader(""), 0
	return i.serve(x, hops)
}

// withoutContent leaves out the fields that are about the content of a request,
// and the conditions on it: they don't hold for the GET that takes its place.
func withoutContent(h protocol.Header) protocol.Header {
	kept := make(protocol.Header, 0, len(h))
	for _, f := range h {
		name := strings.ToLower(f.Name)
		if strings.HasPrefix(name, "content-") || strings.HasPrefix(name, "if-") || name == "range" || name == "transfer-encoding" {
			continue
		}
		kept = append(kept, f)
	}
	return kept
}

// scriptObserver counts what a cgi.Runner reports.
type scriptObserver struct{ m *metrics.Script }

func (o scriptObserver) Waiting(more int) { o.m.Waiting.Add(int64(more)) }

func (o scriptObserver) Started() { o.m.Processes.Inc() }

func (o scriptObserver) Exited(used cgi.Usage) {
	o.m.Processes.Dec()
	o.m.CPU.Add(used.CPU.Seconds())
	o.m.PeakMemory.Raise(used.PeakMemory)
}

func (o scriptObserver) Done(result string, took time.Duration, id protocol.ID) {
	o.m.Request(result)
	o.m.Duration.ObserveWith(took, uint64(id), time.Now())
}
