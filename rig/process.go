package rig

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Buffer collects what a process writes while others read it. The zero value is
// empty; all methods may be called concurrently.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Process is `sited run` on a rig's sites.hcl.
type Process struct {
	Cmd            *exec.Cmd
	Stdout, Stderr Buffer
	Done           chan struct{} // closed when it has ended

	of *Rig
}

// Start starts sited and waits until it is ready. When the test is over it is
// stopped, if that was not done, and what it said is searched for data races and
// panics.
func (r *Rig) Start(flags ...string) *Process {
	r.T.Helper()
	p := r.Launch(flags...)
	p.Ready()
	return p
}

// Launch is Start without the wait.
func (r *Rig) Launch(flags ...string) *Process {
	r.T.Helper()
	p := &Process{of: r, Done: make(chan struct{})}
	p.Cmd = r.Command(append(append([]string{"run"}, flags...), r.Path("sites.hcl"))...)
	p.Cmd.Stdout, p.Cmd.Stderr = &p.Stdout, &p.Stderr
	Must(r.T, p.Cmd.Start())
	go func() {
		p.Cmd.Wait() // how it ended is looked at in Stop
		close(p.Done)
	}()
	r.T.Cleanup(func() {
		if !p.Ended() {
			p.Stop()
		}
		said := p.Stderr.String()
		if strings.Contains(said, "DATA RACE") || strings.Contains(said, "panic") {
			r.T.Errorf("a data race or a panic:\n%s", said)
		}
	})
	return p
}

// Ended reports whether it has.
func (p *Process) Ended() bool {
	select {
	case <-p.Done:
		return true
	default:
		return false
	}
}

// Ready waits until all sites are up.
func (p *Process) Ready() {
	p.of.T.Helper()
	p.answers("/readyz", "sited is ready")
}

// Alive waits until the admin endpoint answers, whether or not all sites are up.
func (p *Process) Alive() {
	p.of.T.Helper()
	p.answers("/healthz", "sited answers")
}

func (p *Process) answers(path, what string) {
	p.of.T.Helper()
	Eventually(p.of.T, what, func() bool {
		if p.Ended() {
			p.of.T.Fatalf("sited ended:\n%s", p.Stderr.String())
		}
		status, _, err := Get(p.of.URL("admin", path))
		return err == nil && status == 200
	})
}

// Kill ends it by SIGKILL, with nothing done in time.
func (p *Process) Kill() {
	p.of.T.Helper()
	Must(p.of.T, p.Cmd.Process.Kill())
	<-p.Done
}

// Stop ends it as a service manager does.
func (p *Process) Stop() {
	p.of.T.Helper()
	Must(p.of.T, p.Cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.Done:
	case <-time.After(Patience):
		p.Cmd.Process.Signal(syscall.SIGQUIT) // shows where it stands
		p.Cmd.Process.Kill()
		<-p.Done
		p.of.T.Errorf("sited did not end within %v:\n%s", Patience, p.Stderr.String())
	}
	if status := p.Cmd.ProcessState.ExitCode(); status != 0 {
		p.of.T.Errorf("exit status %d:\n%s", status, p.Stderr.String())
	}
}

// Said is how many lines of its log have all the words.
func (p *Process) Said(words ...string) (n int) {
line:
	for line := range strings.Lines(p.Stderr.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue line
			}
		}
		n++
	}
	return n
}

// Metric is the value of a series, written as in the text format without spaces:
// `sited_site_up{site="web"}`. It is an error when there is no such series.
func (p *Process) Metric(series string) (float64, error) {
	_, text, err := Get(p.of.URL("admin", "/metrics"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("no series %s", series)
}
