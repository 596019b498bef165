package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// printSites prints the medians of all rounds: a line for each figure, and sited
// as a ratio of nginx with the same files.
func printSites(out io.Writer, n int, samples map[layout][]sitesSample) {
	fmt.Fprintf(out, "### %d sites\n\n| | sited | nginx | sited takes | sited, a file each | nginx, a file each | sited takes |\n|---|---:|---:|---:|---:|---:|---:|\n", n)
	for _, row := range sitesRows() {
		fmt.Fprintf(out, "| %s |", row.name)
		for _, folder := range []bool{false, true} {
			ours := middle(samples[layout{"sited", folder}], row.of)
			theirs := middle(samples[layout{"nginx", folder}], row.of)
			ratio := ""
			if ours > 0 && theirs > 0 {
				ratio = fmt.Sprintf("%.2fx", ours/theirs)
			}
			fmt.Fprintf(out, " %s | %s | %s |", row.text(ours), row.text(theirs), ratio)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out)
}

type sitesRow struct {
	name string
	unit string
	of   func(sitesSample) float64
}

func (r sitesRow) text(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f %s", v, r.unit)
}

func sitesRows() []sitesRow {
	ms := func(name string, of func(*sitesSample) time.Duration) sitesRow {
		return sitesRow{name, "ms", func(s sitesSample) float64 { return of(&s).Seconds() * 1000 }}
	}
	mib := func(name string, of func(*sitesSample) int64) sitesRow {
		return sitesRow{name, "MiB", func(s sitesSample) float64 { return float64(of(&s)) / (1 << 20) }}
	}
	return []sitesRow{
		ms("started, until the last site answers", func(s *sitesSample) time.Duration { return s.start }),
		ms("… by its own log", func(s *sitesSample) time.Duration { return s.said }),
		ms("… CPU time", func(s *sitesSample) time.Duration { return s.startCPU }),
		mib("memory after the start (PSS)", func(s *sitesSample) int64 { return s.started.pss }),
		mib("… RSS", func(s *sitesSample) int64 { return s.started.rss }),
		mib("… RSS at its peak", func(s *sitesSample) int64 { return s.started.peak }),
		mib("memory after a request to each (PSS)", func(s *sitesSample) int64 { return s.asked.pss }),
		mib("… RSS", func(s *sitesSample) int64 { return s.asked.rss }),
		ms("one more site, until it answers", func(s *sitesSample) time.Duration { return s.add }),
		ms("… CPU time", func(s *sitesSample) time.Duration { return s.addCPU }),
		ms("one site less, until its port is closed", func(s *sitesSample) time.Duration { return s.remove }),
		ms("… CPU time", func(s *sitesSample) time.Duration { return s.removeCPU }),
	}
}

// middle is the median of a figure; 0 for no samples.
func middle(samples []sitesSample, of func(sitesSample) float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
