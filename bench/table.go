package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"
)

// printWork prints the medians of one work, with sited's CPU time as a ratio of each
// other server's.
func printWork(out io.Writer, w *work, servers []*server, rows map[string][]sample) {
	fmt.Fprintf(out, "### %s\n\n| server | CPU per request | sited takes | requests/s | p99 | memory |\n|---|---:|---:|---:|---:|---:|\n", w.name)
	ours := median(rows["sited"], func(s sample) time.Duration { return s.cpu })
	for _, s := range servers {
		samples := rows[s.name]
		if len(samples) == 0 {
			continue
		}
		cpu := median(samples, func(s sample) time.Duration { return s.cpu })
		ratio := ""
		if ours > 0 {
			ratio = fmt.Sprintf("%.2fx", float64(ours)/float64(cpu))
		}
		fmt.Fprintf(out, "| %s | %s | %s | %.0f | %s | %.1f MiB |\n", s.name, micro(cpu), ratio,
			median(samples, func(s sample) float64 { return s.requests }),
			micro(median(samples, func(s sample) time.Duration { return s.p99 })),
			float64(memory(s.cmd.Process.Pid))/(1<<20))
	}
	fmt.Fprintln(out)
}

func median[T cmp.Ordered](samples []sample, of func(sample) T) T {
	var zero T
	if len(samples) == 0 {
		return zero
	}
	values := make([]T, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func micro(d time.Duration) string {
	if d >= 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.2f µs", float64(d)/1e3)
}
