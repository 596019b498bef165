package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"sited/instance"
	"sited/metrics"
	"sited/supervisor/config"
)

// Request asks for a reload.
type Request struct {
	Trigger      string // who asks, for the report: signal, say
	AllOrNothing bool   // change nothing unless every site can be prepared
}

// Reload reads the configuration and takes in what changed. It returns when
// everything was tried; what was replaced may still drain. When ctx ends first
// the reload goes on and only the report is lost. The error is ctx's or
// ErrStopped: what is wrong with the configuration is in the report.
func (s *Supervisor) Reload(ctx context.Context, req Request) (*Report, error) {
	var report *Report
	if err := s.journey(ctx, func() {
		s.tellReloading()
		report = s.take(s.configs.Load(s.opts.File, s.opts.Env), req)
		s.logReport(report)
		s.ready()
		s.settle()
	}); err != nil {
		return nil, err
	}
	return report, nil
}

// fileChanged is called by the watcher: there may be something new.
func (s *Supervisor) fileChanged(ctx context.Context) {
	err := s.journey(ctx, func() {
		var read config.Reading
		if err := s.do(ctx, func() { read = s.read }); err != nil || read.Current() {
			return
		}
		defer s.settle()
		cfg := s.configs.Load(s.opts.File, s.opts.Env)
		known := false
		if err := s.do(ctx, func() { known = s.tried == cfg.Hash() }); err != nil || known {
			return
		}
		s.tellReloading()
		s.logReport(s.take(cfg, Request{Trigger: triggerWatch, AllOrNothing: s.opts.WatchAllOrNothing}))
		s.ready()
	})
	if err != nil {
		s.log.Debug("change not taken in", "error", err)
	}
}

// settle does what was left until the sites served: it opens their logs, and returns
// the memory to the system that taking the configuration in took: many times what the
// sites need, and it may be long until the next one. Only for who keeps the owner from
// ending.
func (s *Supervisor) settle() {
	s.work.Go(func() {
		s.openLogs()
		debug.FreeOSMemory()
	})
}

// openLogs opens the logs of the instances that began to serve since the last call.
func (s *Supervisor) openLogs() {
	var fresh []*instance.Instance
	if err := s.do(context.Background(), func() { fresh, s.fresh = s.fresh, nil }); err != nil {
		return // all of them were closed
	}
	for _, inst := range fresh {
		inst.OpenLogs()
	}
}

// tellReloading tells systemd that READY=1 will come again (Type=notify-reload).
func (s *Supervisor) tellReloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		s.log.Warn("monotonic clock not read", "error", err)
	}
	s.notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
}

// Preview tells what Reload would do: it reads the configuration and tries
// whether new addresses can be taken, and changes nothing.
func (s *Supervisor) Preview(ctx context.Context) (*Report, error) {
	cfg := s.configs.Load(s.opts.File, s.opts.Env)
	report := newReport(cfg, triggerPlan)
	if err := s.do(ctx, func() {
		if cfg.Fatal() {
			report.conclude()
			return
		}
		changes := s.plan(cfg)
		move := s.planAdmin(cfg)
		s.place(changes)
		for _, c := range changes {
			report.Steps = append(report.Steps, s.step(c, Pending))
		}
		report.Admin = move.report(Pending)
		report.conclude()
		s.abandon(changes)
		s.abandonMove(move)
	}); err != nil {
		return nil, err
	}
	return report, nil
}

func newReport(cfg *config.Config, trigger string) *Report {
	report := &Report{
		FormatVersion: FormatVersion, Time: time.Now(), Trigger: trigger, Hash: cfg.Hash(),
		Steps: []ReportStep{}, Diagnostics: cfg.Diagnostics(), errors: cfg.HasErrors(),
	}
	if cfg.Fatal() {
		report.Error = "the configuration can't be used as it is; what runs goes on"
	}
	return report
}

// plan compares cfg with what runs. Owner only.
func (s *Supervisor) plan(cfg *config.Config) []*change {
	var running []instance.Spec
	held := cfg.Refused
	for _, st := range s.sites {
		if st.current != nil {
			running = append(running, *st.current.spec)
		}
		if st.state != Draining && cfg.Holds(st.name, st.origin) {
			held = append(held[:len(held):len(held)], st.name)
		}
	}
	diags := cfg.Diagnostics()
	steps := Plan(running, cfg.Sites, held...)
	changes := make([]*change, len(steps))
	for i, step := range steps {
		changes[i] = &change{Step: step}
		if step.Op == Refused {
			changes[i].refusal = refusal(diags, step.Site)
		}
	}
	return changes
}

// refusal says in a line what is wrong with the block of a refused site; the
// diagnostics say it in full.
func refusal(diags []config.Diagnostic, site string) string {
	var first string
	n := 0
	for _, d := range diags {
		if d.Severity != "error" || d.Site != site {
			continue
		}
		if n++; n == 1 {
			first = fmt.Sprintf("%s:%d: %s: %s", filepath.Base(d.File), d.Line, d.Summary, d.Detail)
		}
	}
	switch n {
	case 0:
		return "its file, or something that its block refers to, has errors: see the diagnostics"
	case 1:
		return first
	default:
		return fmt.Sprintf("%s (and %d more)", first, n-1)
	}
}

// take takes a configuration in, with the turn taken: plan, prepare beside what
// runs, swap, drain. Only the plan and the swap are the owner's.
func (s *Supervisor) take(cfg *config.Config, req Request) *Report {
	report := newReport(cfg, req.Trigger)
	var changes []*change
	if err := s.do(s.killed, func() {
		s.logDiagnostics(cfg)
		s.watch(cfg)
		s.path = cfg.Path
		s.read = cfg.Reading()
		if s.tried = cfg.Hash(); !cfg.Fatal() {
			changes = s.plan(cfg)
			s.hold(changes)
		}
	}); err != nil {
		report.Error = ErrStopped.Error()
	}
	s.prepare(s.life, changes)
	bindUnknown(changes)
	if err := s.do(context.Background(), func() {
		s.commit(cfg, changes, req.AllOrNothing, report)
		s.record(report)
	}); err != nil {
		report.Error = ErrStopped.Error()
	}
	return report
}

// record keeps what a reload came to. Owner only.
func (s *Supervisor) record(report *Report) {
	s.reg.Config.Reloaded(report.Result, report.Time)
	s.recall.add(report)
}

// logDiagnostics says what is wrong with a configuration, once for each content.
func (s *Supervisor) logDiagnostics(cfg *config.Config) {
	if len(cfg.Diags) == 0 || cfg.Hash() == s.tried {
		return
	}
	if s.opts.Diagnostics != nil {
		s.opts.Diagnostics(cfg)
		return
	}
	var text strings.Builder
	if err := cfg.WriteDiagnostics(&text, false); err != nil {
		s.log.Error("diagnostics not rendered", "error", err)
	}
	level := slog.LevelWarn
	if cfg.HasErrors() {
		level = slog.LevelError
	}
	s.log.Log(context.Background(), level, "configuration", "path", cfg.Path, "diagnostics", text.String())
}

func (s *Supervisor) logReport(r *Report) {
	level := slog.LevelInfo
	if r.Result == metrics.ReloadPartial || r.Result == metrics.ReloadRefused {
		level = slog.LevelError
	}
	s.log.Log(context.Background(), level, "configuration read", "trigger", r.Trigger, "result", r.Result, "summary", r.summary())
}

// watch tells the watcher which files count from now on: those of the newest
// configuration and, while that is not in force, those of the one that is.
func (s *Supervisor) watch(cfg *config.Config) {
	files := []string{cfg.Path}
	for _, f := range cfg.Files {
		if f.Kind == config.KindConfig || f.Kind == config.KindFunction {
			files = append(files, f.Path)
		}
	}
	if !cfg.Fatal() {
		s.inForce = files
	}
	files = append(files, s.inForce...)
	select {
	case <-s.watched: // nobody took the list before: it is out of date
	default:
	}
	s.watched <- files
}
