package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sample is what the server takes at a moment.
type sample struct {
	at          moment
	memory      int64 // resident, bytes
	goroutines  int64
	descriptors int64
}

// samplePause is the time between two samples; rotateEvery says how many of
// them pass between two rotations of the logs.
const (
	samplePause = 250 * time.Millisecond
	rotateEvery = 20
)

func (s *server) sample(at moment) (sample, error) {
	proc := "/proc/" + strconv.Itoa(s.cmd.Process.Pid)
	one := sample{at: at}
	open, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return one, err
	}
	one.descriptors = int64(len(open))
	statm, err := os.ReadFile(proc + "/statm")
	if err != nil {
		return one, err
	}
	if fields := strings.Fields(string(statm)); len(fields) > 1 {
		pages, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return one, err
		}
		one.memory = pages * int64(os.Getpagesize())
	}
	text, err := s.get("/metrics")
	if err != nil {
		return one, err
	}
	one.goroutines, err = goroutines(text)
	return one, err
}

// goroutines reads go_goroutines of an exposition.
func goroutines(text string) (int64, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return int64(n), err
		}
	}
	return 0, errors.New("/metrics has no go_goroutines")
}

// watch takes samples until ctx ends, and has the logs rotated.
func (s *server) watch(ctx context.Context, c clock) ([]sample, error) {
	var all []sample
	tick := time.NewTicker(samplePause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return all, nil
		case <-tick.C:
		}
		one, err := s.sample(c.now())
		if err != nil {
			return all, err
		}
		all = append(all, one)
		if len(all)%rotateEvery == 0 {
			if err := s.rotate(); err != nil {
				return all, err
			}
		}
	}
}

// measure is something the process takes, and how much of it may differ and still
// be called flat: a tenth, and slack.
type measure struct {
	name  string
	of    func(*sample) int64
	slack int64
	unit  int64 // for showing
}

// measures are what must not grow. memorySlack, in bytes, covers the swings of a
// heap that is collected when it has doubled.
func measures(memorySlack int64) []measure {
	return []measure{
		{"memory (KiB)", func(s *sample) int64 { return s.memory }, memorySlack, 1 << 10},
		{"goroutines", func(s *sample) int64 { return s.goroutines }, 16, 1},
		{"descriptors", func(s *sample) int64 { return s.descriptors }, 16, 1},
	}
}

// warmUp is how long a run of length d is not looked at: until caches and pools
// are filled.
func warmUp(d time.Duration) time.Duration {
	return min(max(d/10, 2*time.Second), 30*time.Second, d/3)
}

// flat compares the medians of the first and the last fifth of the samples.
func flat(all []sample, m measure) error {
	fifth := len(all) / 5
	if fifth == 0 {
		return fmt.Errorf("%s: %d samples are too few", m.name, len(all))
	}
	first, last := median(all[:fifth], m), median(all[len(all)-fifth:], m)
	if last > first+first/10+m.slack {
		return fmt.Errorf("%s grew from %d to %d: more than a tenth and %d", m.name, first/m.unit, last/m.unit, m.slack/m.unit)
	}
	return nil
}

func median(some []sample, m measure) int64 {
	values := make([]int64, len(some))
	for i := range some {
		values[i] = m.of(&some[i])
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// settle waits until the server, which has nothing to do any more, holds no more
// goroutines and descriptors than idle did. A connection lingers for two seconds.
func (s *server) settle(ctx context.Context, c clock, idle sample) (sample, error) {
	const room = 8
	for deadline := time.Now().Add(15 * time.Second); ; {
		now, err := s.sample(c.now())
		if err != nil {
			return now, err
		}
		if now.goroutines <= idle.goroutines+room && now.descriptors <= idle.descriptors+room {
			return now, nil
		}
		if time.Now().After(deadline) {
			return now, fmt.Errorf("with nothing to do, sited holds %d goroutines and %d descriptors; before the load it held %d and %d",
				now.goroutines, now.descriptors, idle.goroutines, idle.descriptors)
		}
		select {
		case <-ctx.Done():
			return now, ctx.Err()
		case <-time.After(samplePause):
		}
	}
}

// printSamples shows how the use of resources went: before the load, in each
// fifth of it, and after.
func printSamples(out io.Writer, idle, after sample, all []sample, memorySlack int64) {
	fmt.Fprintf(out, "%-14s %10s", "sited's", "idle")
	for i := range 5 {
		fmt.Fprintf(out, " %9s%d", "fifth ", i+1)
	}
	fmt.Fprintf(out, " %10s\n", "after")
	for _, m := range measures(memorySlack) {
		fmt.Fprintf(out, "%-14s %10d", m.name, m.of(&idle)/m.unit)
		for i := range 5 {
			if part := all[i*len(all)/5 : (i+1)*len(all)/5]; len(part) > 0 {
				fmt.Fprintf(out, " %10d", median(part, m)/m.unit)
			}
		}
		fmt.Fprintf(out, " %10d\n", m.of(&after)/m.unit)
	}
	fmt.Fprintln(out)
}
