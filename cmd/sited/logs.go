package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sited/supervisor/config"
)

// followInterval is how often the files are looked at.
const followInterval = 250 * time.Millisecond

func logsCommand(e *env) *cobra.Command {
	var follow, raw, asJSON bool
	var most int
	var color string
	cmd := &cobra.Command{
		Use:   "logs [SITE...] [FILE]",
		Short: "Show what was logged last, and follow it",
		Long: `Show the last lines of the access logs of the sites of FILE (sites.hcl), passed and
failed together and in the order of their times; with -f, go on with what is logged
from then on, until SIGINT. SITE is a site's label; none: all sites. The last
argument is FILE when it has a slash or ends in .hcl.

A line shows time, site, status, method, target, duration, bytes of the answer's
body, the client's address and the error; --json shows lines as they are in the
file. Logs may be rotated, truncated or not be there yet. Only the files
themselves are read: neither a running sited nor what was rotated before.`,
		Example: `  sited logs
  sited logs -f shop blog
  sited logs -n 100 --json shop /etc/sited/sites.hcl`,
		RunE: func(_ *cobra.Command, args []string) error {
			if most < 0 {
				return fmt.Errorf("-n %d: it is a number of lines, 0 or more", most)
			}
			p := logPrinter{raw: raw || asJSON, terminal: isTerminal(e.stdout)}
			switch color {
			case "always", "never":
				p.color = color == "always"
			case "auto":
				p.color = p.terminal && wantsColor(e.lookup)
			default:
				return fmt.Errorf("--color %q: it is auto, always or never", color)
			}
			logs, err := newLogReader(e, args)
			if err != nil {
				return err
			}
			p.width = logs.width
			return logs.run(e, &p, most, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is logged from then on")
	cmd.Flags().IntVarP(&most, "lines", "n", 10, "how many lines to begin with")
	cmd.Flags().BoolVar(&asJSON, "json", false, "show lines as they are in the file")
	cmd.Flags().BoolVar(&raw, "raw", false, "the same as --json, which the format combined is not")
	cmd.Flags().StringVar(&color, "color", "auto", "auto, always or never; auto: on a terminal, unless NO_COLOR is set")
	return cmd
}

// wantsColor follows https://no-color.org.
func wantsColor(lookup func(string) (string, bool)) bool {
	no, _ := lookup("NO_COLOR")
	term, _ := lookup("TERM")
	return no == "" && term != "dumb"
}

// logReader reads the logs of some sites.
type logReader struct {
	tails []*logTail
	sites []string // lines of others are left out; none: all lines
	width int      // of the longest label
}

func newLogReader(e *env, args []string) (*logReader, error) {
	r := &logReader{sites: args}
	var files []string
	if n := len(args); n > 0 && (strings.Contains(args[n-1], "/") || strings.HasSuffix(args[n-1], ".hcl")) {
		r.sites, files = args[:n-1], args[n-1:]
	}
	cfg := config.Load(file(files), e.lookup)
	if cfg.HasErrors() {
		writeDiagnostics(e.stderr, cfg)
	}
	var labels []string
	for _, spec := range cfg.Sites {
		labels = append(labels, spec.Name)
		if len(r.sites) > 0 && !slices.Contains(r.sites, spec.Name) {
			continue
		}
		r.width = max(r.width, len(spec.Name))
		for _, path := range []string{spec.Logs.Passed, spec.Logs.Failed} {
			if path != "" && !slices.ContainsFunc(r.tails, func(t *logTail) bool { return t.path == path }) {
				r.tails = append(r.tails, &logTail{path: path})
			}
		}
	}
	for _, site := range r.sites {
		if !slices.Contains(labels, site) {
			return nil, unknownSite(site, labels, cfg)
		}
	}
	if len(labels) == 0 {
		return nil, fmt.Errorf("%s has no site whose logs could be shown", cfg.Path)
	}
	return r, nil
}

func unknownSite(site string, labels []string, cfg *config.Config) error {
	if slices.Contains(cfg.Refused, site) {
		return fmt.Errorf("the site %q has errors in %s, so it is not known where it logs", site, cfg.Path)
	}
	if suggestion := config.Nearest(site, labels); suggestion != "" {
		return fmt.Errorf("there is no site %q in %s; did you mean %q?", site, cfg.Path, suggestion)
	}
	if len(labels) == 0 {
		return fmt.Errorf("there is no site %q in %s", site, cfg.Path)
	}
	return fmt.Errorf("there is no site %q in %s; there are: %s", site, cfg.Path, strings.Join(labels, ", "))
}

// run prints the last lines, and what comes then.
func (r *logReader) run(e *env, p *logPrinter, most int, follow bool) error {
	out := bufio.NewWriter(e.stdout)
	defer r.close()
	lines, err := r.last(most)
	if err := p.print(out, lines); err != nil {
		return err
	}
	if !follow {
		return err
	}
	complain := complaints{w: e.stderr}
	complain.about(err)
	for tick := time.NewTicker(followInterval); ; {
		select {
		case sig := <-e.signals:
			switch sig {
			case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP:
				tick.Stop()
				return nil
			}
		case <-tick.C:
			lines, err := r.next()
			complain.about(err)
			if err := p.print(out, lines); err != nil {
				return err
			}
		}
	}
}

// last are the last lines of all files together. It reads what it can; the error
// is about what it could not.
func (r *logReader) last(most int) ([]logLine, error) {
	lines, err := r.collect(func(t *logTail) ([][]byte, error) { return t.last(most, r.wanted) })
	return lines[max(0, len(lines)-most):], err
}

// next are the lines that have come since.
func (r *logReader) next() ([]logLine, error) { return r.collect((*logTail).next) }

// collect reads from all files and brings what is wanted into the order of time.
func (r *logReader) collect(read func(*logTail) ([][]byte, error)) ([]logLine, error) {
	var lines []logLine
	var errs []error
	for _, t := range r.tails {
		raw, err := read(t)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, text := range raw {
			line := parseLogLine(text)
			if line.at.IsZero() {
				line.at = t.at // it stays where it is
			}
			t.at = line.at
			if r.wants(&line) {
				lines = append(lines, line)
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b logLine) int { return a.at.Compare(b.at) })
	return lines, errors.Join(errs...)
}

// wants reports whether a line is of a site that was asked for, or may be.
func (r *logReader) wants(l *logLine) bool {
	return len(r.sites) == 0 || l.Site == "" || slices.Contains(r.sites, l.Site)
}

func (r *logReader) wanted(text []byte) bool {
	line := parseLogLine(text)
	return r.wants(&line)
}

func (r *logReader) close() {
	for _, t := range r.tails {
		t.close()
	}
}

// complaints tells of an error once, until it is another.
type complaints struct {
	w    io.Writer
	last string
}

func (c *complaints) about(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != c.last {
		fmt.Fprintln(c.w, "sited:", text)
	}
	c.last = text
}
