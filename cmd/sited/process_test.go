package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take that is waited for.
const patience = 20 * time.Second

// eventually polls until ok, and fails the test when that takes too long.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// buffer collects what a process writes while others read it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// process is `sited run` on a folder.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	admin          string
	stdout, stderr buffer
	done           chan struct{} // closed when it has ended
}

// run starts `sited run` on f's sites.hcl and waits until it runs. It is ended,
// if the test has not done so, when the test is over.
func (f *folder) run(flags ...string) *process { return f.runWith(nil, flags...) }

// runWith is run with more environment variables.
func (f *folder) runWith(env []string, flags ...string) *process {
	f.t.Helper()
	p := f.launch(env, flags...)
	eventually(f.t, "sited runs", func() bool {
		status, err := p.sites()
		if p.ended() {
			f.t.Fatal("sited ended")
		}
		return err == nil && status.Phase == "running" && strings.Contains(p.stdout.String(), "(admin)")
	})
	return p
}

// launch is run without the wait.
func (f *folder) launch(env []string, flags ...string) *process {
	f.t.Helper()
	p := &process{t: f.t, admin: f.addr("admin"), done: make(chan struct{})}
	p.cmd = exec.Command(binary, append(append([]string{"run"}, flags...), f.path("sites.hcl"))...)
	p.cmd.Env = append(environment(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		p.cmd.Wait() // the status is looked at in stop
		close(p.done)
	}()
	f.t.Cleanup(func() {
		if !p.ended() {
			p.stop()
		}
		if s := p.stderr.String(); strings.Contains(s, "DATA RACE") || strings.Contains(s, "panic") {
			f.t.Error("a data race or a panic: see standard error")
		}
		if f.t.Failed() {
			f.t.Logf("standard output:\n%s\nstandard error:\n%s", p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

// environment is that of the tests without what would change how programs
// behave. The race detector is told not to wait a second before each exit.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C", "GORACE=atexit_sleep_ms=0"}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("signal %v: %v", s, err)
	}
}

// wait waits for the end and returns the exit status.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.cmd.Process.Signal(syscall.SIGQUIT) // shows where it stands
		p.cmd.Process.Kill()
		<-p.done
		p.t.Errorf("sited did not end within %v", patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop ends it as a service manager does.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if status := p.wait(); status != 0 {
		p.t.Errorf("exit status %d", status)
	}
}

// logged waits for a line of its log that has all the words.
func (p *process) logged(words ...string) {
	p.t.Helper()
	eventually(p.t, "the log says "+strings.Join(words, ", "), func() bool { return hasLine(p.stderr.String(), words...) })
}

// hasLine reports whether text has a line that has all the words.
func hasLine(text string, words ...string) bool {
line:
	for line := range strings.Lines(text) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue line
			}
		}
		return true
	}
	return false
}

// ask asks the admin endpoint. Connections are not kept, so that they don't
// show in what is measured.
func (p *process) ask(method, path string, fields ...string) (*http.Response, string, error) {
	req, err := http.NewRequest(method, "http://"+p.admin+path, nil)
	if err != nil {
		return nil, "", err
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if req.Header.Set(fields[i], fields[i+1]); fields[i] == "Host" {
			req.Host = fields[i+1]
		}
	}
	dialer := net.Dialer{Timeout: patience}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, addr)
	}}
	res, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

// status is what the tests read of /api/sites.
type status struct {
	FormatVersion int `json:"format_version"`
	Phase         string
	PID           int
	Sites         []siteStatus
}

type siteStatus struct {
	Name, Addr, State, Reason string
	Generation                int
	ConfigCurrent             bool `json:"config_current"`
	Connections               int
	InFlight                  int `json:"in_flight"`
	Tunnels, Processes        int
}

func (p *process) sites() (*status, error) {
	_, body, err := p.ask("GET", "/api/sites")
	if err != nil {
		return nil, err
	}
	s := new(status)
	return s, json.Unmarshal([]byte(body), s)
}

// site is what sited says of one site.
func (p *process) site(name string) siteStatus {
	p.t.Helper()
	s, err := p.sites()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, site := range s.Sites {
		if site.Name == name {
			return site
		}
	}
	return siteStatus{}
}

// report is what the tests read of a reload's answer.
type report struct {
	FormatVersion int `json:"format_version"`
	Result, Error string
	Steps         []struct{ Op, Site, Outcome, Error string }
}

// reload has the configuration taken in by POST /api/reload.
func (p *process) reload() (*report, error) {
	_, body, err := p.ask("POST", "/api/reload")
	if err != nil {
		return nil, err
	}
	r := new(report)
	return r, json.Unmarshal([]byte(body), r)
}

// reloads is reload, with the result that must come of it.
func (p *process) reloads(want string) *report {
	p.t.Helper()
	r, err := p.reload()
	if err != nil {
		p.t.Fatal(err)
	}
	if r.Result != want {
		p.t.Fatalf("reload: %+v; want %s", r, want)
	}
	return r
}

// op is what a reload did to a site.
func (r *report) op(site string) string {
	for _, s := range r.Steps {
		if s.Site == site {
			return s.Op + " " + s.Outcome
		}
	}
	return ""
}

// result is what a command of sited's came to.
type result struct {
	stdout, stderr string
	status         int
}

// sited runs a command in a folder.
func (f *folder) sited(stdin string, args ...string) result {
	f.t.Helper()
	return execute(f.t, f.dir, stdin, binary, args...)
}

func execute(t *testing.T, dir, stdin, program string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, environment(), strings.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}
