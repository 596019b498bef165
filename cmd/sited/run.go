package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sited/supervisor"
	"sited/supervisor/config"
)

func runCommand(e *env) *cobra.Command {
	var format, level string
	var watch, allOrNothing bool
	cmd := &cobra.Command{
		Use:   "run [FILE]",
		Short: "Serve the sites of FILE",
		Long: `Serve the sites of FILE (sites.hcl) until SIGTERM or SIGINT; requests in flight
then finish within each site's drain timeout, and a second signal ends at once,
with exit status 1.

A changed file is taken in live: unchanged sites are not touched, changed ones
are swapped on their open sockets, and a block that is wrong leaves its site as
it was. SIGHUP and ` + "`sited reload`" + ` do the same at once. SIGUSR1 reopens the log
files (logrotate).

SIGUSR2 and ` + "`sited upgrade`" + ` start the binary that is there now: once it serves on
the same sockets, the old process drains and ends with exit status 0; if it does
not come up, the old one goes on.

Under systemd, sockets of a .socket unit are taken by their addresses (LISTEN_FDS),
and the manager is told of readiness, reloads, upgrades and signs of life.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			signals := e.signals() // first: any may come while we start
			log, err := newLogger(e.stderr, format, level)
			if err != nil {
				return err
			}
			opts := supervisor.Options{
				File: file(args), Version: e.version, Log: log, Env: e.lookup,
				Watch: watch, WatchAllOrNothing: allOrNothing,
				Inherited: e.inherit(log), Program: e.program(),
				Ready: func(status supervisor.Status) { printServing(e.stdout, &status) },
			}
			if opts.Watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
				log.Warn("no watchdog", "error", err)
			}
			if isTerminal(e.stderr) { // a person reads lines, not one long value
				opts.Diagnostics = func(cfg *config.Config) { writeDiagnostics(e.stderr, cfg) }
			}
			return serve(e, signals, supervisor.New(opts), log, allOrNothing)
		},
	}
	cmd.Flags().StringVar(&format, "log-format", "auto", "text, json, or auto: text on a terminal, json otherwise")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	cmd.Flags().BoolVar(&watch, "watch", true, "take a changed file in by itself")
	cmd.Flags().BoolVar(&allOrNothing, "all-or-nothing", false, "the watcher and SIGHUP take a file in only if every site of it can be")
	return cmd
}

// serve runs s and gives it the signals; allOrNothing is what SIGHUP asks for.
func serve(e *env, signals <-chan os.Signal, s *supervisor.Supervisor, log *slog.Logger, allOrNothing bool) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	killed := false
	go func() { done <- s.Run(ctx) }()
	for {
		select {
		case err := <-done:
			if c, ok := errors.AsType[*supervisor.ConfigError](err); ok {
				fmt.Fprintf(e.stderr, "sited: %s can't be used; nothing was started\n\n", c.Config.Path)
				writeDiagnostics(e.stderr, c.Config)
				return exit(1)
			}
			if err == nil && killed {
				return exit(1)
			}
			return err
		case sig := <-signals:
			switch sig {
			case syscall.SIGHUP:
				go reload(ctx, s, log, allOrNothing)
			case syscall.SIGUSR1:
				go s.Reopen()
			case syscall.SIGUSR2:
				go upgrade(ctx, s, log)
			default:
				if ctx.Err() != nil {
					log.Warn("second signal: ending at once", "signal", sig.String())
					s.Kill()
					killed = true
				}
				cancel()
			}
		}
	}
}

// reload is what SIGHUP asks for; what came of it is logged by the supervisor. A
// process that has taken over meanwhile is asked instead.
func reload(ctx context.Context, s *supervisor.Supervisor, log *slog.Logger, allOrNothing bool) {
	_, err := s.Reload(ctx, supervisor.Request{Trigger: "signal", AllOrNothing: allOrNothing})
	if next, ok := errors.AsType[*supervisor.HandedOverError](err); ok {
		err = syscall.Kill(next.PID, syscall.SIGHUP)
	}
	if err != nil {
		log.Error("not reloaded", "error", err)
	}
}

// upgrade is what SIGUSR2 asks for; what came of it is logged by the supervisor.
func upgrade(ctx context.Context, s *supervisor.Supervisor, log *slog.Logger) {
	if _, err := s.Upgrade(ctx); err != nil {
		log.Error("not upgraded", "reason", err)
	}
}

func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var opts slog.HandlerOptions
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: it is debug, info, warn or error", level)
	}
	opts.Level = l
	if format == "auto" {
		format = "json"
		if isTerminal(w) {
			format = "text"
		}
	}
	switch format {
	case "json":
		opts.ReplaceAttr = readableDuration
		return slog.New(slog.NewJSONHandler(w, &opts)), nil
	case "text":
		opts.ReplaceAttr = shortTime
		return slog.New(slog.NewTextHandler(w, &opts)), nil
	}
	return nil, fmt.Errorf("--log-format %q: it is text, json or auto", format)
}

// readableDuration writes 1.5s, not 1500000000.
func readableDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().String())
	}
	return a
}

// shortTime leaves the date out: a person at a terminal knows it.
func shortTime(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		return slog.String(a.Key, a.Value.Time().Format(time.TimeOnly))
	}
	return a
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// printServing tells, once, what is served where.
func printServing(out io.Writer, status *supervisor.Status) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SITE\tURL\tSTATE\tROOT")
	for _, site := range status.Sites {
		url := "-"
		if site.Addr != "" {
			url = "http://" + site.Addr + "/"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", site.Name, url, site.State, site.Root)
	}
	if status.Admin.Addr != "" {
		fmt.Fprintf(w, "(admin)\thttp://%s/\tserving\t/metrics /healthz /readyz /api/sites\n", status.Admin.Addr)
	} else {
		fmt.Fprintf(w, "(admin)\t-\t%s\t\n", status.Admin.Reason)
	}
	w.Flush()
	for _, site := range status.Sites {
		for _, why := range []string{site.Reason, site.Problem} {
			if why != "" {
				fmt.Fprintf(out, "%s: %s\n", site.Name, why)
			}
		}
	}
}
