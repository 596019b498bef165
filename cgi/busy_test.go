package cgi

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// As many processes as may, as many waiting as may; the next is turned away at
// once, and those that wait get their turn.
func TestBusy(t *testing.T) {
	b := newBench(t, Config{Workers: 2})
	file := b.script("#!/bin/sh\nprintf 'Content-Type: a/b\\n\\n'; echo x >> running; while [ ! -e go ]; do sleep 0.01; done; printf hello")
	var all sync.WaitGroup
	const fit = 2 + 4*2
	for range fit {
		b.runs++
		all.Go(func() {
			answer, err := b.Run(t.Context(), b.call(file, "POST", "body"))
			if err != nil {
				t.Errorf("Run: %v", err)
				return
			}
			buf := make([]byte, 64)
			n, err := reader(t, answer).Read(buf)
			if string(buf[:n]) != "hello" {
				t.Errorf("body %q, %v", buf[:n], err)
			}
			answer.Body.Close()
		})
	}
	eventually(t, "all in line", func() bool { b.slots.mu.Lock(); defer b.slots.mu.Unlock(); return b.slots.line.Len() == fit-2 })
	eventually(t, "those in line are told", func() bool { b.seen.mu.Lock(); defer b.seen.mu.Unlock(); return b.seen.waiting == fit-2 })
	eventually(t, "two running", func() bool { lines, _ := os.ReadFile(b.dir + "/running"); return len(lines) == 4 })
	if n := b.Processes(); n != 2 {
		t.Errorf("%d processes; want 2", n)
	}
	err := b.fails(b.call(file, "GET", ""), 503, ResultBusy)
	if got := err.Header.Get("Retry-After"); got != "1" || !strings.Contains(err.Error(), errQueueFull.Error()) {
		t.Errorf("Retry-After %q, cause %q", got, err)
	}
	writeScript(t, b.dir, "go", "", 0o644)
	all.Wait()
}

func TestBusyTooLong(t *testing.T) {
	b := newBench(t, Config{Workers: 1, Timeout: time.Second})
	file := b.script("#!/bin/sh\nprintf 'Content-Type: a/b\\n\\n'; while :; do echo more; done")
	answer, err := b.run(t.Context(), b.call(file, "GET", ""))
	if err != nil {
		t.Fatal(err)
	}
	failed := b.fails(b.call(file, "GET", ""), 503, ResultBusy)
	if got := failed.Header.Get("Retry-After"); got != "1" || !strings.Contains(failed.Error(), errWaitOver.Error()) {
		t.Errorf("Retry-After %q, cause %q", got, failed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.runs++
	if _, err := b.Run(ctx, b.call(file, "GET", "")); err == nil || !strings.HasSuffix(b.seen.all(), ResultAborted) {
		t.Errorf("with an ended context: %v, reported as %q", err, b.seen.all())
	}
	answer.Body.Close()
	eventually(t, "its slot is free", func() bool { return b.Processes() == 0 })
	if answer, err := b.run(t.Context(), b.call(file, "GET", "")); err != nil {
		t.Errorf("afterwards: %v", err)
	} else {
		answer.Body.Close()
	}
}
