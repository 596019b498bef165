package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"sited/rig"
)

// process is `sited run` with what these tests do with it.
type process struct{ *rig.Process }

// run starts `sited run` on f's sites.hcl and waits until it runs, whether or not
// all sites are up.
func (f *folder) run(flags ...string) *process {
	f.T.Helper()
	p := &process{f.Launch(flags...)}
	rig.Eventually(f.T, "sited runs", func() bool {
		status, err := p.sites()
		if p.Ended() {
			f.T.Fatal("sited ended")
		}
		return err == nil && status.Phase == "running" && strings.Contains(p.Stdout.String(), "(admin)")
	})
	return p
}

// logged waits for a line of its log that has all the words.
func (p *process) logged(words ...string) {
	p.Rig.T.Helper()
	rig.Eventually(p.Rig.T, "the log says "+strings.Join(words, ", "), func() bool { return p.Said(words...) > 0 })
}

// scrape is Scrape without an error.
func (p *process) scrape() map[string]float64 {
	p.Rig.T.Helper()
	samples, err := p.Scrape()
	rig.Must(p.Rig.T, err)
	return samples
}

// ask asks the admin endpoint. Connections are not kept, so that they don't
// show in what is measured.
func (p *process) ask(method, path string, fields ...string) (*http.Response, string, error) {
	req, err := http.NewRequest(method, p.Rig.URL("admin", path), nil)
	if err != nil {
		return nil, "", err
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if req.Header.Set(fields[i], fields[i+1]); fields[i] == "Host" {
			req.Host = fields[i+1]
		}
	}
	return rig.Do(req)
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
	p.Rig.T.Helper()
	s, err := p.sites()
	rig.Must(p.Rig.T, err)
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
	p.Rig.T.Helper()
	r, err := p.reload()
	rig.Must(p.Rig.T, err)
	if r.Result != want {
		p.Rig.T.Fatalf("reload: %+v; want %s", r, want)
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
	f.T.Helper()
	return execute(f.T, f.Dir, stdin, binary, args...)
}

func execute(t testing.TB, dir, stdin, program string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*rig.Patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, rig.Environment(), strings.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}
