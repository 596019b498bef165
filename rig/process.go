package rig

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	Rig            *Rig
	Cmd            *exec.Cmd
	Stdout, Stderr Buffer
	Done           chan struct{} // closed when it has ended
}

// Start starts sited and waits until it is ready. When the test is over it is
// stopped, if that was not done, and what it said is searched for data races and
// panics, and logged if the test failed.
func (r *Rig) Start(flags ...string) *Process {
	r.T.Helper()
	p := r.Launch(flags...)
	p.Ready()
	return p
}

// Launch is Start without the wait.
func (r *Rig) Launch(flags ...string) *Process {
	r.T.Helper()
	return r.LaunchCommand(r.Command(append(append([]string{"run"}, flags...), r.Path("sites.hcl"))...))
}

// LaunchCommand is Launch for a command that is more than sited and its flags. What
// it says is collected unless the command has it go elsewhere.
func (r *Rig) LaunchCommand(cmd *exec.Cmd) *Process {
	r.T.Helper()
	p := &Process{Rig: r, Cmd: cmd, Done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout, cmd.Stderr = &p.Stdout, &p.Stderr
	}
	Must(r.T, cmd.Start())
	go func() {
		cmd.Wait() // how it ended is looked at in Wait
		close(p.Done)
	}()
	r.T.Cleanup(func() {
		if !p.Ended() {
			p.Stop()
		}
		if said := p.Stderr.String(); strings.Contains(said, "DATA RACE") || strings.Contains(said, "panic") {
			r.T.Error("a data race or a panic: see standard error")
		}
		if r.T.Failed() {
			r.T.Logf("standard output:\n%s\nstandard error:\n%s", p.Stdout.String(), p.Stderr.String())
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
	p.Rig.T.Helper()
	p.answers("/readyz", "sited is ready")
}

// Alive waits until the admin endpoint answers, whether or not all sites are up.
func (p *Process) Alive() {
	p.Rig.T.Helper()
	p.answers("/healthz", "sited answers")
}

func (p *Process) answers(path, what string) {
	p.Rig.T.Helper()
	Eventually(p.Rig.T, what, func() bool {
		if p.Ended() {
			p.Rig.T.Fatal("sited ended")
		}
		status, _, err := Get(p.Rig.URL("admin", path))
		return err == nil && status == 200
	})
}

// Kill ends it by SIGKILL, with nothing done in time.
func (p *Process) Kill() {
	p.Rig.T.Helper()
	Must(p.Rig.T, p.Cmd.Process.Kill())
	<-p.Done
}

// Signal sends it a signal.
func (p *Process) Signal(s os.Signal) {
	p.Rig.T.Helper()
	Must(p.Rig.T, p.Cmd.Process.Signal(s))
}

// Wait waits for its end and returns the exit status.
func (p *Process) Wait() int {
	p.Rig.T.Helper()
	select {
	case <-p.Done:
	case <-time.After(Patience):
		p.Cmd.Process.Signal(syscall.SIGQUIT) // shows where it stands
		p.Cmd.Process.Kill()
		<-p.Done
		p.Rig.T.Errorf("sited did not end within %v", Patience)
	}
	return p.Cmd.ProcessState.ExitCode()
}

// Stop ends it as a service manager does.
func (p *Process) Stop() {
	p.Rig.T.Helper()
	p.Signal(syscall.SIGTERM)
	if status := p.Wait(); status != 0 {
		p.Rig.T.Errorf("exit status %d", status)
	}
}

// Said is how many lines of its log have all the words.
func (p *Process) Said(words ...string) int { return Lines(p.Stderr.String(), words...) }

// Lines is how many lines of a text have all the words.
func Lines(text string, words ...string) (n int) {
line:
	for line := range strings.Lines(text) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue line
			}
		}
		n++
	}
	return n
}

// Scrape is what /metrics says: the series as they are written there, such as
// `sited_site_up{site="web"}`, and their values.
func (p *Process) Scrape() (map[string]float64, error) {
	_, text, err := Get(p.Rig.URL("admin", "/metrics"))
	if err != nil {
		return nil, err
	}
	samples := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		space := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || space < 0 {
			continue
		}
		if samples[line[:space]], err = strconv.ParseFloat(line[space+1:], 64); err != nil {
			return nil, err
		}
	}
	return samples, nil
}

// Metric is the value of a series. It is an error when there is no such series.
func (p *Process) Metric(series string) (float64, error) {
	samples, err := p.Scrape()
	value, ok := samples[series]
	if err == nil && !ok {
		err = fmt.Errorf("no series %s", series)
	}
	return value, err
}

// Children are the ids of the processes that it has started and not reaped yet.
func (p *Process) Children() (pids []string) {
	p.Rig.T.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.Cmd.Process.Pid))
	if err != nil || len(lists) == 0 {
		p.Rig.T.Fatalf("no list of children: %v", err)
	}
	for _, list := range lists {
		b, _ := os.ReadFile(list) // a thread may end; its children are another's then
		pids = append(pids, strings.Fields(string(b))...)
	}
	return pids
}

// Descriptors is how many files it has open.
func (p *Process) Descriptors() int {
	p.Rig.T.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Cmd.Process.Pid))
	Must(p.Rig.T, err)
	return len(open)
}
