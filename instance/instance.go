// Package instance is one generation of one site: it decides what a request gets
// and does it. The data's way: policy.decide tells what a request is from its
// head alone; authorize asks for credentials; one switch in serve does the rest:
// read (files, index files, scripts), upload, remove, options, connect.
package instance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sited/cgi"
	"sited/metrics"
	"sited/protocol"
)

type gauge = atomic.Int64

// Instance is one generation of one site. It is made beside the one it is to
// replace and has no effect on it.
type Instance struct {
	spec        *Spec // the policy's
	policy      *policy
	root        siteRoot
	files       *fileCache
	credentials *credentials // nil without a password file
	scripts     []script     // as in spec.Scripts
	dialer      *dialer      // nil unless the site's methods include CONNECT
	log         *accessLog
	metrics     *metrics.Site
	observer    *observer
	service     *protocol.Service

	sweeper    sweeper
	namedTemps bool       // as where a file can't be without a name
	writes     sync.Mutex // held while a file is replaced or deleted
	tunnels    gauge
}

var _ protocol.Handler = (*Instance)(nil)

// Shape says which metrics a site with that spec has from the start.
func Shape(spec *Spec) metrics.Shape {
	shape := metrics.Shape{
		Methods:       spec.Methods,
		BadRequests:   protocol.BadReasons(),
		Rejected:      protocol.RefusedReasons(),
		TunnelRefused: TunnelRefusals(),
		ScriptResults: cgi.Results(),
	}
	for _, s := range spec.Scripts {
		shape.Scripts = append(shape.Scripts, s.Ext)
	}
	return shape
}

// Shared is what the instances of a process have in common.
type Shared struct {
	Metrics *metrics.Registry
	Files   *Budget
	Log     *slog.Logger // names the site
	Archive *Archive     // of rotated log files; nil: the instance has its own

	Recorder *Recorder // of this site; nil: the instance has one that nobody sees
}

// New prepares an instance: it opens the root, reads the password file and resolves
// the metrics, but takes no address, opens no log (see OpenLogs) and starts nothing
// that runs on: where uploads are allowed, what a killed process has left of them is
// removed from the root in the background. A root or an interpreter that isn't
// there is a warning in log and a 503 for the requests that need it, until it is;
// a password file that can't be read is an error.
func New(spec Spec, shared Shared) (*Instance, error) {
	log := shared.Log
	p, err := newPolicy(spec)
	if err != nil {
		return nil, err
	}
	i := &Instance{spec: &p.spec, policy: p, root: siteRoot{path: spec.Root}}
	if slices.Contains(spec.Methods, protocol.MethodConnect) {
		i.dialer = newDialer()
	}
	if spec.Passwords != "" {
		if i.credentials, err = newCredentials(spec.Passwords, log); err != nil {
			return nil, err
		}
	} else if len(spec.Protect) > 0 {
		return nil, errors.New("protect blocks without a password file")
	}
	i.metrics = shared.Metrics.Site(spec.Name, Shape(&spec))
	for _, s := range spec.Scripts {
		made := newScript(s, i.metrics.Script(s.Ext))
		i.scripts = append(i.scripts, made)
		if err := made.runner.Missing(); err != nil {
			log.Warn("scripts get 503 until their interpreter is installed", "script", s.Ext, "error", err)
		}
	}
	budget := shared.Files
	if spec.Limits.Cache != SharedCache {
		budget = NewBudget(spec.Limits.Cache)
	}
	i.files = newFileCache(budget)
	i.root.replaced = i.files.clear
	i.sweeper.log = log
	if slices.Contains(spec.Methods, protocol.MethodPut) {
		i.root.opened = func(f *folder) { i.sweeper.visit(f.Root, ".") }
	}
	if _, err := i.root.get(time.Now()); err != nil {
		log.Warn("requests get 503 until the root is there", "root", spec.Root, "error", err)
	}
	i.log = newAccessLog(spec.Logs, spec.Name, log, i.metrics.LogLinesLost, cmp.Or(shared.Archive, new(Archive)))
	i.log.withID = spec.RequestID
	i.observer = &observer{metrics: i.metrics, log: i.log, process: log, recorder: cmp.Or(shared.Recorder, NewRecorder()), policy: p}
	i.service = i.newService()
	return i, nil
}

func (i *Instance) newService() *protocol.Service {
	l := i.spec.Limits
	s := &protocol.Service{
		Handler:  i,
		Observer: i.observer,
		Limits: protocol.Limits{
			MaxBody: l.MaxBody, MaxHeader: int(l.MaxHeader), MaxURI: int(l.MaxURI),
			MaxConnections: l.MaxConnections, MaxClientConnections: l.MaxClientConnections, MaxInFlight: l.MaxInFlight,
		},
		Timeouts: i.spec.Timeouts,
		Versions: versions(i.spec),

		ErrorResponse: i.errorResponse(),
	}
	if logs := i.spec.Logs; logs.Failed != "" && logs.Format != "combined" { // else there is no place for it
		s.Limits.KeepBody = int(logs.Body)
	}
	return s
}

func versions(spec *Spec) (v protocol.Versions) {
	for _, version := range spec.Versions {
		v.HTTP10 = v.HTTP10 || version == "1.0"
		v.HTTP11 = v.HTTP11 || version == "1.1"
	}
	return v
}

// Serve implements protocol.Handler.
func (i *Instance) Serve(x *protocol.Exchange) error {
	err := i.serve(x, 0)
	if err == nil {
		i.policy.applyHeaders(x)
		if i.spec.RequestID {
			identify(x)
		}
	}
	return err
}

func (i *Instance) serve(x *protocol.Exchange, hops int) error {
	d := i.policy.decide(&x.Req, nil)
	if err := i.authorize(x, d.Protect, nil); err != nil {
		return err
	}
	switch d.Action {
	case Read, Submit:
		return i.read(x, d.Protect, hops)
	case Upload:
		return i.upload(x)
	case Remove:
		return i.remove(x)
	case Options:
		x.Res.Status = 204
		x.Res.Header.Add("Allow", i.policy.allow)
		return nil
	case Connect:
		return i.connect(x)
	case Elsewhere:
		return redirectTo(x, d)
	case Refuse:
	}
	err := protocol.Fail(d.Status, fmt.Errorf("%s", d.Why))
	if d.Status == 405 {
		err.Header = protocol.Header{{Name: "Allow", Value: i.policy.allow}}
	}
	return err
}

// Spec is what the instance was made from. It must not be changed.
func (i *Instance) Spec() *Spec { return i.spec }

// SetGeneration tells which generation of its site the instance is. It is to be
// called before the instance's service is served.
func (i *Instance) SetGeneration(n int) { i.observer.generation = n }

// InForce shows the instance's limits in the metrics: it is now the one that
// serves the site.
func (i *Instance) InForce() {
	i.metrics.Limits(i.spec.Limits.MaxConnections, i.spec.Limits.MaxInFlight)
	for _, s := range i.scripts {
		i.metrics.Script(s.ext).Limit.Set(int64(s.runner.Workers()))
	}
}

// Service is what a protocol.Server serves for this instance.
func (i *Instance) Service() *protocol.Service { return i.service }

// Problem says why the site can't do its work although it runs, or nil: its root
// is not there. It looks at the disk.
func (i *Instance) Problem() error {
	_, err := i.root.get(time.Now())
	return err
}

// Stats are live figures, for status and plan.
type Stats struct {
	Connections int // open, those that wait for a request included
	InFlight    int // requests being answered
	Tunnels     int
	Processes   int // of scripts
}

// Stats tells what the instance is doing right now.
func (i *Instance) Stats() Stats {
	s := Stats{
		Connections: int(i.observer.connections.Load()),
		InFlight:    int(i.observer.inFlight.Load()),
		Tunnels:     int(i.tunnels.Load()),
	}
	for _, script := range i.scripts {
		s.Processes += script.runner.Processes()
	}
	return s
}

// OpenLogs opens the log files, which New has not done; else each is opened with
// its first line. It may be called at any time, also after Close, when it does
// nothing.
func (i *Instance) OpenLogs() { i.log.open() }

// Reopen opens the log files anew, for logrotate.
func (i *Instance) Reopen() error { return i.log.reopen() }

// Close ends what the instance started: scripts are waited for until ctx ends,
// then killed; the root is closed, logs are flushed and closed. It is called once, after the
// instance's service was retired.
func (i *Instance) Close(ctx context.Context) error {
	i.files.close()
	i.sweeper.stop()
	var errs []error
	for _, s := range i.scripts {
		errs = append(errs, s.runner.Close(ctx))
	}
	return errors.Join(append(errs, i.root.close(), i.log.close())...)
}
