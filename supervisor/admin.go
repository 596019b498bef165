package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"sited/supervisor/config"
)

// admin is the admin endpoint: where it is and where it ought to be. Its
// requests are answered by adminHandler. Owner only, but for names.
type admin struct {
	s       *Supervisor
	handler http.Handler
	hosts   atomic.Pointer[[]string] // names it answers to; nil: none
	ln      *net.TCPListener         // nil while there is none
	server  *http.Server
	addr    netip.AddrPort // of ln
	wanted  netip.AddrPort
	reason  string // why it is not where it ought to be
	backoff backoff
	timer   *time.Timer
}

func newAdmin(s *Supervisor) *admin {
	return &admin{s: s, handler: s.adminHandler(), backoff: backoff{min: s.opts.BackoffMin, max: s.opts.BackoffMax}}
}

// names are those that the endpoint answers to, besides IP addresses and
// localhost. It may be called concurrently.
func (a *admin) names() []string {
	if hosts := a.hosts.Load(); hosts != nil {
		return *hosts
	}
	return nil
}

func (a *admin) sockets() []*net.TCPListener {
	if a.ln == nil {
		return nil
	}
	return []*net.TCPListener{a.ln}
}

func (a *admin) status() AdminStatus {
	if a.ln == nil {
		return AdminStatus{Reason: a.reason}
	}
	return AdminStatus{Addr: a.addr.String(), Reason: a.reason}
}

// adminMove is a change of the admin endpoint on its way: of its address, of its
// names, or of both. A nil adminMove is no change.
type adminMove struct {
	old            string
	new            netip.AddrPort
	before, hosts  []string
	addressIsBound bool
	ln             *net.TCPListener // bound for new; nil when that is bound already
	err            error
}

// planAdmin binds the admin address that cfg asks for, unless it is bound.
func (s *Supervisor) planAdmin(cfg *config.Config) *adminMove {
	bound := s.admin.ln != nil && s.admin.addr == cfg.Admin.Addr
	if bound && slices.Equal(s.admin.names(), cfg.Admin.Hosts) {
		return nil
	}
	move := &adminMove{
		old: s.admin.status().Addr, new: cfg.Admin.Addr, addressIsBound: bound,
		before: s.admin.names(), hosts: cfg.Admin.Hosts,
	}
	if !bound {
		move.ln, move.err = s.listen(move.new, nil)
	}
	return move
}

func (m *adminMove) failed() bool { return m != nil && m.err != nil }

// abandonMove gives up what was bound for m; nil is allowed.
func (s *Supervisor) abandonMove(m *adminMove) {
	if m != nil && m.ln != nil {
		s.unbind(m.ln)
	}
}

// report is the report's line; outcome is that of a move that has no error.
func (m *adminMove) report(outcome Outcome) *AdminMove {
	if m == nil {
		return nil
	}
	report := &AdminMove{Old: m.old, New: m.new.String(), Outcome: outcome}
	if m.old != "" && !slices.Equal(m.before, m.hosts) {
		report.Changes = []Change{{Name: "admin.hosts", Old: listText(m.before), New: listText(m.hosts)}}
	}
	if m.err != nil {
		report.Outcome, report.Error = Failure, m.err.Error()
	}
	return report
}

// listText is a list as the configuration would write it, and "" for none.
func listText(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return `["` + strings.Join(list, `", "`) + `"]`
}

// apply serves on the new address and lets the old one end, or arranges another
// try; new names hold whatever comes of that. m is nil when the admin endpoint is
// as it ought to be.
func (a *admin) apply(m *adminMove) {
	a.noTimer()
	if m != nil {
		a.hosts.Store(&m.hosts)
	}
	if m == nil || m.addressIsBound {
		a.wanted, a.reason = a.addr, ""
		a.backoff.reset()
		return
	}
	a.wanted = m.new
	if m.err != nil {
		a.tryLater(m.err)
		return
	}
	a.serve(m.ln)
}

func (a *admin) noTimer() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

func (a *admin) tryLater(err error) {
	a.reason = err.Error()
	wait, wanted := a.backoff.wait(), a.wanted
	a.s.log.Error("admin endpoint not reachable", "addr", wanted, "reason", a.reason, "retry_in", wait)
	a.timer = time.AfterFunc(wait, func() { a.s.post(func() { a.retry(wanted) }) })
}

// retry tries again to bind what was wanted when the try was arranged.
func (a *admin) retry(wanted netip.AddrPort) {
	if a.wanted != wanted || a.ln != nil && a.addr == wanted || a.s.phase == Ending {
		return
	}
	ln, err := a.s.listen(wanted, nil)
	if err != nil {
		a.tryLater(err)
		return
	}
	a.serve(ln)
}

func (a *admin) serve(ln *net.TCPListener) {
	if a.server != nil {
		a.retire(a.server)
	}
	a.ln, a.addr, a.reason = ln, a.wanted, ""
	delete(a.s.spare, a.addr)
	a.backoff.reset()
	server := &http.Server{
		Handler:           a.handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      2 * time.Minute, // a reload may take its time
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(a.s.log.With("part", "admin").Handler(), slog.LevelWarn),
	}
	a.server = server
	a.s.work.Go(func() {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) { // see leave
			a.s.log.Error("admin endpoint down", "addr", ln.Addr().String(), "error", err)
		}
	})
	a.s.log.Info("admin endpoint serving", "addr", a.addr)
}

// retire ends a server whose requests in flight may be the very reload that
// moves it.
func (a *admin) retire(server *http.Server) {
	a.s.background(func() { shutdown(server, 5*time.Second) })
}

// leave stops accepting, at once, what another process accepts as well; one of
// the requests in flight may be the very upgrade.
func (a *admin) leave() {
	a.noTimer()
	if a.server != nil {
		_ = a.ln.Close() // Shutdown, which is to close it, runs beside the owner
		a.retire(a.server)
		a.server, a.ln = nil, nil
	}
}

// close ends the endpoint. It waits a moment for requests in flight; the owner
// is past its work when it calls this.
func (a *admin) close() {
	a.noTimer()
	if a.server != nil {
		shutdown(a.server, 500*time.Millisecond)
	}
}

func shutdown(server *http.Server, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close() // the sockets are gone whatever it says
	}
}
