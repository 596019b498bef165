// Package supervisor owns everything that outlives a generation of a site: the
// listening sockets, the lifecycle of each site, the watch on the
// configuration, and the admin endpoint.
//
// One goroutine, the owner, touches the mutable state; it never waits for
// anything. What takes time happens outside: a journey (a reload or another try
// at a site that could not be started) reads and prepares in a goroutine of its
// own and hands the owner what it made. Only one journey is under way at a time.
package supervisor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"sited/instance"
	"sited/metrics"
	"sited/protocol"
	"sited/supervisor/config"
)

// Options say how a Supervisor is to work. File and Log must be given; all else
// has a default.
type Options struct {
	File    string // the configuration: a file, or a folder of *.hcl files
	Version string // for build_info and status
	Log     *slog.Logger
	Env     func(name string) (string, bool) // what env() asks; os.LookupEnv
	Notify  func(state string)               // sd_notify(3); does nothing without NOTIFY_SOCKET

	// Diagnostics is called once for each content of the configuration that has
	// any, by the owner: it must be quick. Nil: they go to Log.
	Diagnostics func(*config.Config)

	Watch     bool          // take changed files in without being asked
	PollEvery time.Duration // how often files are looked at besides; 5 s
	// WatchAllOrNothing has the watcher apply a change only if every site can
	// be prepared.
	WatchAllOrNothing bool

	BackoffMin     time.Duration // first wait before a site is tried again; 1 s
	BackoffMax     time.Duration // longest wait; 60 s
	PrepareTimeout time.Duration // for making all new generations of a reload; 10 s

	Inherited      *Inherited    // sockets and a process to take over from; nil: none
	Program        Program       // what Upgrade starts
	UpgradeTimeout time.Duration // for the new process to serve; 1 min
	Watchdog       time.Duration // how long systemd waits for a sign of life; 0: it doesn't

	// Ready is called once, when everything in the first configuration was
	// tried. It may call the Supervisor.
	Ready func(Status)
}

func (o *Options) setDefaults() {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	if o.Notify == nil {
		o.Notify = func(state string) {
			if _, err := daemon.SdNotify(false, state); err != nil {
				o.Log.Warn("systemd was not told", "state", state, "error", err)
			}
		}
	}
	if o.Ready == nil {
		o.Ready = func(Status) {}
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.PollEvery, 5 * time.Second},
		{&o.BackoffMin, time.Second},
		{&o.BackoffMax, time.Minute},
		{&o.PrepareTimeout, 10 * time.Second},
		{&o.UpgradeTimeout, time.Minute},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
}

// ErrStopped is returned by the methods of a Supervisor that is ending or has
// ended.
var ErrStopped = errors.New("sited is shutting down")

// ConfigError says that the first configuration can't be used at all.
type ConfigError struct {
	Config *config.Config // for WriteDiagnostics in colour
}

// Error has all diagnostics, as text.
func (e *ConfigError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s can't be used:\n", e.Config.Path)
	if err := e.Config.WriteDiagnostics(&b, false); err != nil {
		fmt.Fprintf(&b, "%v\n", err)
	}
	return strings.TrimRight(b.String(), "\n")
}

// Supervisor runs the sites of one configuration. Make it with New.
type Supervisor struct {
	opts Options
	log  *slog.Logger
	reg  *metrics.Registry
	pid  int

	configs config.Reloader

	inbox chan func()   // what the owner is asked to do
	over  chan struct{} // closed when the owner is gone
	turn  chan struct{} // holds a token while a journey is under way
	work  sync.WaitGroup

	token string // a secret that the status page's forms send back

	alone     atomic.Bool   // nobody is to be taken over from any more
	upgrading chan struct{} // holds a token while an upgrade is under way or waits for its turn

	life    context.Context // ends when the process begins to drain; its cause says why
	endLife context.CancelCauseFunc
	killed  context.Context // ends when nothing is to be waited for any more
	kill    context.CancelFunc

	newInstance func(instance.Spec, instance.Shared) (*instance.Instance, error)
	files       *instance.Budget
	archive     instance.Archive
	reserve     *protocol.Spare // of all servers

	// The owner's.
	startedAt time.Time
	phase     Phase
	busy      int // background jobs and journeys under way
	sites     map[string]*site
	fresh     []*instance.Instance                // that serve and whose logs were not opened so far
	endpoints map[netip.AddrPort]*endpoint        // that accept
	closing   map[netip.AddrPort]*endpoint        // that were told to end
	spare     map[netip.AddrPort]*net.TCPListener // inherited and not served so far
	admin     *admin
	path      string         // of the configuration, absolute
	tried     string         // hash of the configuration read last
	read      config.Reading // that it was made of
	recall    recall
	watched   chan []string // the newest list of files to watch; holds at most one
	inForce   []string      // files of the configuration applied last
}

// New returns a supervisor that does nothing before Run is called.
func New(opts Options) *Supervisor {
	opts.setDefaults()
	s := &Supervisor{
		opts: opts, log: opts.Log, reg: metrics.New(opts.Version), pid: os.Getpid(),
		inbox: make(chan func()), over: make(chan struct{}), turn: make(chan struct{}, 1), upgrading: make(chan struct{}, 1),
		newInstance: instance.New, files: instance.NewBudget(instance.DefaultBudget),
		token:     rand.Text(),
		startedAt: time.Now(), phase: Starting,
		sites:     map[string]*site{},
		endpoints: map[netip.AddrPort]*endpoint{},
		closing:   map[netip.AddrPort]*endpoint{},
		spare:     map[netip.AddrPort]*net.TCPListener{},
		path:      opts.File,
		watched:   make(chan []string, 1),
	}
	s.life, s.endLife = context.WithCancelCause(context.Background())
	s.killed, s.kill = context.WithCancel(context.Background())
	s.admin = newAdmin(s)
	s.alone.Store(s.predecessor() == nil)
	if opts.Inherited != nil {
		s.keepSpare(opts.Inherited)
	}
	return s
}

// Run serves until ctx ends. It then stops accepting, lets what is in flight
// end within each site's drain timeout, and returns nil when all that it
// started has ended. It returns a *ConfigError, and has served nothing, when
// the first configuration can't be used at all. It may be called once.
func (s *Supervisor) Run(ctx context.Context) error {
	defer s.kill()
	defer s.endLife(ErrStopped)
	defer s.closeSpare()
	s.reserve = s.newReserve()
	defer s.reserve.Close()
	s.work.Go(makeRoom)
	cfg := s.configs.Load(s.opts.File, s.opts.Env)
	if cfg.Fatal() {
		close(s.over)
		err := &ConfigError{Config: cfg}
		if stream := s.predecessor(); stream != nil {
			s.succeed(stream, word{Error: err.Error()})
		}
		return err
	}
	s.startedAt = time.Now()
	s.work.Go(s.sample)
	s.turn <- struct{}{}
	s.background(func() { s.first(cfg) })
	if s.opts.Watchdog > 0 {
		s.work.Go(s.watchdog)
	}
	done, killed := ctx.Done(), s.killed.Done()
	for s.phase != Ending || s.busy > 0 {
		select {
		case f := <-s.inbox:
			f()
		case <-done:
			done = nil
			s.shutdown()
		case <-killed:
			killed = nil
			s.shutdown()
		}
	}
	s.admin.close()
	close(s.over)
	s.work.Wait()
	s.log.Info("stopped")
	return nil
}

// newReserve takes the file descriptor that is kept for the time when there is no
// other left.
func (s *Supervisor) newReserve() *protocol.Spare {
	reserve, err := protocol.NewSpare()
	if err != nil {
		s.log.Warn("clients will wait, and get no 503, when there is no file descriptor left", "error", err)
		return &protocol.Spare{}
	}
	return reserve
}

// first takes the first configuration in.
func (s *Supervisor) first(cfg *config.Config) {
	report := s.take(cfg, Request{Trigger: triggerStart})
	s.endTurn()
	defer s.settle()
	var status *Status
	if err := s.do(context.Background(), func() {
		if s.phase == Starting {
			s.phase = Running
			status = s.status()
		}
	}); err != nil || status == nil {
		return
	}
	s.logReport(report)
	if stream := s.predecessor(); stream != nil {
		s.work.Go(func() { s.succeed(stream, word{Status: status}) })
	} else {
		s.ready()
	}
	s.opts.Ready(*status)
	s.work.Go(func() { s.watchHealth(s.life) })
	if s.opts.Watch {
		w := newWatcher(s.opts.File, s.opts.PollEvery, s.log, s.watched, s.fileChanged)
		s.work.Go(func() { w.run(s.life) })
	}
}

// Kill ends Run at once: connections are closed and scripts killed. It may be
// called at any time, from any goroutine, more than once.
func (s *Supervisor) Kill() { s.kill() }

// shutdown begins to drain everything. Owner only.
func (s *Supervisor) shutdown() {
	if s.phase == Ending {
		return
	}
	s.notify(daemon.SdNotifyStopping)
	s.log.Info("draining", "sites", len(s.sites))
	s.end(ErrStopped, s.stopAccepting)
}

// end drains everything; halt has an endpoint accept no more. Owner only.
func (s *Supervisor) end(cause error, halt func(*endpoint)) {
	s.phase = Ending
	s.endLife(cause)
	for _, ep := range s.endpoints {
		s.closeEndpoint(ep, halt)
	}
	s.closeSpare()
	for _, st := range s.sites {
		st.noTimer()
		st.current, st.pending, st.refused = nil, nil, false
		st.on(removed)
		s.leave(st)
	}
}

// do has the owner call f and waits for it. The error is ErrStopped or ctx's,
// and f was not called then.
func (s *Supervisor) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case s.inbox <- func() { f(); close(done) }:
		<-done
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.over:
		return ErrStopped
	}
}

// post has the owner call f, unless it is gone.
func (s *Supervisor) post(f func()) {
	select {
	case s.inbox <- f:
	case <-s.over:
	}
}

// background runs f beside the owner, which does not end before f has. Owner
// only.
func (s *Supervisor) background(f func()) {
	s.busy++
	s.work.Go(func() {
		f()
		s.post(func() { s.busy-- })
	})
}

// takeTurn waits until no other journey is under way and begins one.
func (s *Supervisor) takeTurn(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.life.Done():
		return context.Cause(s.life)
	case <-s.over:
		return ErrStopped
	}
}

func (s *Supervisor) endTurn() { <-s.turn }

// journey runs f beside the owner with the turn taken, and returns once f has
// or ctx ends; f goes on then.
func (s *Supervisor) journey(ctx context.Context, f func()) error {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	done := make(chan struct{})
	ending := false
	err := s.do(ctx, func() {
		if ending = s.phase == Ending; ending {
			return
		}
		s.background(func() {
			defer close(done)
			defer s.endTurn()
			f()
		})
	})
	if err != nil || ending {
		s.endTurn()
		if err == nil {
			err = context.Cause(s.life)
		}
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Status tells what the process is doing.
func (s *Supervisor) Status(ctx context.Context) (*Status, error) {
	var status *Status
	if err := s.do(ctx, func() { status = s.status() }); err != nil {
		return nil, err
	}
	s.addRecent(status)
	return status, nil
}

// Metrics is what the process exports.
func (s *Supervisor) Metrics() *metrics.Registry { return s.reg }

// Reopen has every site open its log files anew, for logrotate. What fails is
// logged.
func (s *Supervisor) Reopen() {
	var open []*generation
	if err := s.do(context.Background(), func() {
		for _, st := range s.sites {
			open = append(open, st.old...)
			if st.current != nil {
				open = append(open, st.current)
			}
		}
	}); err != nil {
		return
	}
	for _, gen := range open {
		if err := gen.inst.Reopen(); err != nil {
			s.log.Error("log files not reopened", "site", gen.spec.Name, "error", err)
		}
	}
	s.log.Info("log files reopened", "sites", len(open))
}
