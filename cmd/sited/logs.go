package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sited/supervisor"
	"sited/supervisor/config"
)

const (
	followInterval = 250 * time.Millisecond // how often the files are looked at
	configInterval = time.Second            // how often the configuration is
	goneAfter      = time.Minute            // without a line, until the log of a site that is gone is closed
)

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
body, the client's address, the user and the error; "-" is what the log does not
tell, as the format combined has no duration and no error. --json shows a JSON
object per line in either format, --raw lines as they are in the file.

Logs may be rotated, truncated or not be there yet. What is rotated while they are
followed is shown too, and sites that come into FILE meanwhile are, if no SITE was
given. Only the files themselves are read: neither a running sited nor what was
rotated before.`,
		Example: `  sited logs
  sited logs -f shop blog
  sited logs -n 100 --json shop /etc/sited/sites.hcl`,
		RunE: func(_ *cobra.Command, args []string) error {
			if most < 0 {
				return fmt.Errorf("-n %d: it is a number of lines, 0 or more", most)
			}
			p := logPrinter{raw: raw, json: asJSON, terminal: isTerminal(e.stdout)}
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
			return logs.run(e, &p, most, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is logged from then on")
	cmd.Flags().IntVarP(&most, "lines", "n", 10, "how many lines to begin with")
	cmd.Flags().BoolVar(&asJSON, "json", false, "show lines as JSON objects, those in the format combined too")
	cmd.Flags().BoolVar(&raw, "raw", false, "show lines as they are in the file")
	cmd.MarkFlagsMutuallyExclusive("json", "raw")
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
	sites *loggedSites
	tails []*logTail
}

func newLogReader(e *env, args []string) (*logReader, error) {
	named, files := args, []string(nil)
	if n := len(args); n > 0 && (strings.Contains(args[n-1], "/") || strings.HasSuffix(args[n-1], ".hcl")) {
		named, files = args[:n-1], args[n-1:]
	}
	sites := &loggedSites{env: e, named: named}
	cfg := sites.load(file(files))
	labels := make([]string, len(sites.all))
	for i := range sites.all {
		labels[i] = sites.all[i].label
	}
	for _, site := range named {
		if !slices.Contains(labels, site) {
			return nil, unknownSite(site, labels, cfg)
		}
	}
	if len(labels) == 0 {
		return nil, fmt.Errorf("%s has no site whose logs could be shown", cfg.Path)
	}
	r := &logReader{sites: sites}
	r.adjust(time.Time{})
	return r, nil
}

func unknownSite(site string, labels []string, cfg *config.Config) error {
	if slices.Contains(cfg.Refused, site) {
		return fmt.Errorf("the site %q has errors in %s, so it is not known where it logs", site, cfg.Path)
	}
	return &supervisor.UnknownSite{Name: site, In: cfg.Path, Known: labels}
}

// run prints the last lines, and what comes then.
func (r *logReader) run(e *env, p *logPrinter, most int, follow bool) error {
	out := bufio.NewWriter(e.stdout)
	defer r.close()
	p.width = r.sites.width()
	lines, err := r.last(most)
	if err := p.print(out, lines); err != nil {
		return err
	}
	if !follow {
		return err
	}
	signals := e.signals()
	complain := complaints{w: e.stderr}
	complain.about(err)
	tick := time.NewTicker(followInterval)
	defer tick.Stop()
	for looked := time.Now(); ; {
		select {
		case sig := <-signals:
			switch sig {
			case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP:
				return nil
			}
		case now := <-tick.C:
			if now.Sub(looked) >= configInterval {
				if before := looked; r.sites.changed() {
					r.adjust(before.Truncate(time.Second)) // as exact as the format combined
					p.width = r.sites.width()
				}
				looked = now
			}
			lines, err := r.next()
			complain.about(err)
			if err := p.print(out, lines); err != nil {
				return err
			}
		}
	}
}

// adjust reads the logs of the sites that there are now, of new ones what was logged
// from then on, rotated or not, and takes note of those that are gone.
func (r *logReader) adjust(from time.Time) {
	wanted, owner := r.sites.paths()
	old := map[string]*logTail{}
	for _, t := range r.tails {
		old[t.path] = t
		if t.gone.IsZero() {
			t.gone = time.Now()
		}
	}
	for _, path := range wanted {
		t := old[path]
		if t == nil {
			t = &logTail{path: path, seen: from.UTC().Format(stampLayout), from: from}
			r.tails = append(r.tails, t)
		}
		t.site, t.gone = owner[path], time.Time{}
	}
}

// last are the last lines of all files together. It reads what it can; the error
// is about what it could not.
func (r *logReader) last(most int) ([]logLine, error) {
	lines, err := r.collect(func(t *logTail) ([][]byte, error) {
		return t.last(most, func(text []byte) bool {
			if len(r.sites.named) == 0 {
				return true
			}
			line := parseLogLine(text, t.site)
			return r.sites.wants(&line)
		})
	})
	return lines[max(0, len(lines)-most):], err
}

// next are the lines that have come since. A log that is gone is read until
// nothing has come for a while.
func (r *logReader) next() ([]logLine, error) {
	lines, err := r.collect((*logTail).next)
	r.tails = slices.DeleteFunc(r.tails, func(t *logTail) bool {
		over := !t.gone.IsZero() && time.Since(t.gone) > goneAfter
		if over {
			t.close()
		}
		return over
	})
	return lines, err
}

// collect reads from all files and brings what is wanted into the order of time.
func (r *logReader) collect(read func(*logTail) ([][]byte, error)) ([]logLine, error) {
	var lines []logLine
	var errs []error
	for _, t := range r.tails {
		raw, err := read(t)
		if err != nil {
			errs = append(errs, err)
		}
		if len(raw) > 0 && !t.gone.IsZero() {
			t.gone = time.Now()
		}
		for _, text := range raw {
			line := parseLogLine(text, t.site)
			if line.at.IsZero() {
				line.at = t.at // it stays where it is
			}
			if line.at.Before(t.from) {
				continue
			}
			t.at = line.at
			if r.sites.wants(&line) {
				lines = append(lines, line)
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b logLine) int { return a.at.Compare(b.at) })
	return lines, errors.Join(errs...)
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
