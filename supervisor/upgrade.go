package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Upgrade says what became of an upgrade.
type Upgrade struct {
	FormatVersion int    `json:"format_version"`
	Result        string `json:"result"` // upgraded or failed
	OldPID        int    `json:"old_pid"`
	OldVersion    string `json:"old_version"`
	NewPID        int    `json:"new_pid,omitempty"` // of the process that was started, if one was
	NewVersion    string `json:"new_version,omitempty"`
	Error         string `json:"error,omitempty"` // why the old process goes on
}

// The results of an upgrade.
const (
	Upgraded      = "upgraded"
	UpgradeFailed = "failed"
)

// Text is the upgrade for a person.
func (u *Upgrade) Text() string {
	if u.Result == Upgraded {
		return fmt.Sprintf("Upgraded: pid %d -> %d, version %s -> %s.\n", u.OldPID, u.NewPID, u.OldVersion, u.NewVersion)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Not upgraded: pid %d, version %s, goes on.\n", u.OldPID, u.OldVersion)
	reason(&b, u.Error)
	return b.String()
}

// HandedOverError says that another process serves in the place of this one,
// which only drains. It is an ErrStopped.
type HandedOverError struct{ PID int }

// Error names the process to ask instead.
func (e *HandedOverError) Error() string {
	return fmt.Sprintf("sited was upgraded: process %d has taken over, and has read the configuration", e.PID)
}

// Is makes it an ErrStopped.
func (e *HandedOverError) Is(target error) bool { return target == ErrStopped }

// Upgrade starts Options.Program, has it take all listening sockets over, and
// waits until it serves; this process then stops accepting and drains, and Run
// returns. Until then both accept. When the new process ends, takes longer than
// Options.UpgradeTimeout, or does not serve what is served now, it is ended and
// this one goes on: that is in the result, and logged. Only one upgrade is under
// way at a time, another is refused at once; a reload waits until it is over.
// When ctx ends first the upgrade goes on and only the result is lost. The error
// is ctx's, an ErrStopped, or that of another process having taken over.
func (s *Supervisor) Upgrade(ctx context.Context) (*Upgrade, error) {
	select {
	case s.upgrading <- struct{}{}:
	default:
		return s.notUpgraded(errors.New("an upgrade is under way already")), nil
	}
	type result struct {
		u   *Upgrade
		err error
	}
	results := make(chan result, 1)
	ending := false
	err := s.do(ctx, func() {
		if ending = s.phase == Ending; ending {
			return
		}
		s.background(func() {
			defer func() { <-s.upgrading }()
			if err := s.takeTurn(s.life); err != nil {
				results <- result{err: context.Cause(s.life)}
				return
			}
			defer s.endTurn()
			results <- result{u: s.upgrade()}
		})
	})
	if ending {
		err = context.Cause(s.life)
	}
	if err != nil {
		<-s.upgrading
		return nil, err
	}
	select {
	case r := <-results:
		return r.u, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// notUpgraded logs why and says so.
func (s *Supervisor) notUpgraded(err error) *Upgrade {
	s.log.Error("not upgraded", "reason", err)
	return &Upgrade{FormatVersion: FormatVersion, Result: UpgradeFailed, OldPID: s.pid, OldVersion: s.opts.Version, Error: err.Error()}
}

// upgrade is Upgrade with the turn taken.
func (s *Supervisor) upgrade() *Upgrade {
	switch {
	case s.opts.Program.Path == "":
		return s.notUpgraded(errors.New("it is not known which program runs"))
	case s.pid == 1:
		return s.notUpgraded(errors.New("this is process 1, whose end would end all others, the new one included: start a new container instead"))
	}
	s.tellReloading()
	next, before, err := s.begin()
	if err != nil {
		s.ready()
		return s.notUpgraded(err)
	}
	s.log.Info("upgrading", "program", s.opts.Program.Path, "pid", next.process.Pid)
	after, err := s.comesUp(next, before)
	if err == nil {
		if e := s.do(s.killed, func() { err = s.handOver(after) }); e != nil {
			err = e
		}
	}
	if err != nil {
		err = s.dismiss(next, err)
		u := s.notUpgraded(err)
		u.NewPID = next.process.Pid
		return u
	}
	if err := next.leave(); err != nil {
		s.log.Warn("the new process is gone", "pid", after.PID, "error", err)
	}
	return &Upgrade{
		FormatVersion: FormatVersion, Result: Upgraded, OldPID: s.pid, OldVersion: s.opts.Version,
		NewPID: after.PID, NewVersion: after.Version,
	}
}

// begin starts the successor and says how things are before it serves.
func (s *Supervisor) begin() (next *successor, before *Status, err error) {
	var sockets []uintptr
	defer func() { closeAll(sockets) }()
	if e := s.do(s.killed, func() {
		if err = s.notRunning(); err != nil {
			return
		}
		before = s.status()
		for _, ln := range s.sockets(nil)() {
			var fd uintptr
			if fd, err = duplicate(ln); err != nil {
				err = explainBind(addressOf(ln), err)
				return
			}
			sockets = append(sockets, fd)
		}
	}); e != nil {
		return nil, nil, e
	}
	if err != nil {
		return nil, nil, err
	}
	next, err = startSuccessor(&s.opts.Program, sockets)
	return next, before, err
}

func (s *Supervisor) notRunning() error {
	switch s.phase {
	case Starting:
		return errors.New("sited is still starting")
	case Ending:
		return context.Cause(s.life)
	case Running:
	}
	return nil
}

// comesUp waits until next serves all that is served now.
func (s *Supervisor) comesUp(next *successor, before *Status) (*Status, error) {
	ctx, cancel := context.WithTimeoutCause(s.life, s.opts.UpgradeTimeout,
		fmt.Errorf("the new process did not come up within %s", s.opts.UpgradeTimeout))
	defer cancel()
	after, err := next.await(ctx)
	if err != nil {
		return nil, err
	}
	if lines := worse(before, after); len(lines) > 0 {
		return nil, fmt.Errorf("the new process, version %s, does not serve what this one does:\n%s", after.Version, strings.Join(lines, "\n"))
	}
	return after, nil
}

// dismissTime is how long a process that did not come up may take to drain, in
// addition to what the sites may.
const dismissTime = 2 * time.Second

// dismiss ends a successor that did not come up, most of it in the background,
// and returns why, with its exit status when that says more than err.
func (s *Supervisor) dismiss(next *successor, err error) error {
	ended := next.reap()
	if errors.Is(err, errSilent) {
		timer := time.NewTimer(time.Second)
		defer timer.Stop()
		select {
		case status := <-ended:
			err = fmt.Errorf("the new process ended at once (%s): what it wrote to standard error says why", status)
			ended <- status
		case <-timer.C:
		}
	}
	patience := dismissTime
	_ = s.do(context.Background(), func() { // the owner is there as long as this upgrade is
		for _, ep := range s.endpoints {
			patience = max(patience, dismissTime+ep.gen.spec.Timeouts.Drain)
		}
		s.unshare()
		s.tellReady()
		s.background(func() { next.dismiss(s.killed, ended, patience) })
	})
	return err
}

// unshare makes sure that the sockets are as they were: see listen for what a
// process may have done to them that was killed. Owner only.
func (s *Supervisor) unshare() {
	for _, ln := range s.sockets(nil)() {
		if err := setReusePort(ln, 0); err != nil {
			s.log.Warn("socket not reset", "addr", ln.Addr().String(), "error", err)
		}
	}
}

// handOver leaves the sockets to another process, which serves already, and
// begins to drain. Owner only.
func (s *Supervisor) handOver(after *Status) error {
	if err := s.notRunning(); err != nil {
		return err
	}
	// systemd takes this from the main process, which this one is no longer then.
	s.notify(fmt.Sprintf("MAINPID=%d\n%s\nSTATUS=%s", after.PID, daemon.SdNotifyReady, after.summary()))
	s.log.Info("upgraded: draining", "pid", after.PID, "version", after.Version, "sites", len(s.sites))
	s.end(&HandedOverError{PID: after.PID}, (*endpoint).closeSocket)
	s.admin.leave()
	return nil
}

// summary is the status for systemd, in a line.
func (s *Status) summary() string {
	serving, wanted := 0, 0
	for _, site := range s.Sites {
		switch site.State {
		case Serving:
			serving++
			wanted++
		case Preparing, Backoff, Failed:
			wanted++
		case Draining, Stopped:
		}
	}
	text := fmt.Sprintf("sited %s: %d of %d sites serving", s.Version, serving, wanted)
	lines := slices.DeleteFunc(s.NotReady(), func(line string) bool { return strings.HasPrefix(line, "sited: ") })
	if len(lines) > 0 {
		text += "; " + strings.ReplaceAll(lines[0], "\n", " ")
	}
	return text
}

// tellReady tells systemd that the process is ready, or ready again. Owner only.
func (s *Supervisor) tellReady() {
	if s.phase == Running {
		s.notify(daemon.SdNotifyReady + "\nSTATUS=" + s.status().summary())
	}
}

// tellStatus tells systemd how the sites are. Owner only.
func (s *Supervisor) tellStatus() {
	if s.phase == Running {
		s.notify("STATUS=" + s.status().summary())
	}
}

// notify tells systemd something, unless what it knows of is the process that
// this one is to take over from.
func (s *Supervisor) notify(state string) {
	if s.alone.Load() {
		s.opts.Notify(state)
	}
}

// ready is tellReady for all but the owner.
func (s *Supervisor) ready() {
	if err := s.do(context.Background(), s.tellReady); err != nil {
		s.log.Debug("systemd was not told", "error", err)
	}
}

// watchdog tells systemd three times in each interval that the owner answers,
// until it is gone or another process has taken over.
func (s *Supervisor) watchdog() {
	ticker := time.NewTicker(s.opts.Watchdog / 3)
	defer ticker.Stop()
	for {
		handedOver := false
		if err := s.do(context.Background(), func() {
			_, handedOver = errors.AsType[*HandedOverError](context.Cause(s.life))
		}); err != nil || handedOver {
			return
		}
		s.notify(daemon.SdNotifyWatchdog)
		select {
		case <-ticker.C:
		case <-s.over:
			return
		}
	}
}
