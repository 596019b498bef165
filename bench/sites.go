package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sitesSample is what one round tells of one layout.
type sitesSample struct {
	start, startCPU   time.Duration // until the last site answers
	said              time.Duration // until the server's own log says that it serves; 0: it says nothing
	started, asked    footprint     // at rest after the start, and after a request to each site
	add, addCPU       time.Duration // until one more site answers
	remove, removeCPU time.Duration // until its port is closed
}

// footprint is the memory of a server with the processes below it, in bytes.
type footprint struct{ pss, rss, peak int64 }

const (
	sitesTimeout = 30 * time.Second // for anything that is waited for
	restTime     = 2 * time.Second  // for buffers to be given back, before memory is measured
)

// benchSites measures servers with many sites: the start, the memory, and one
// site that comes and goes.
func benchSites(o *options, dir string, out io.Writer) error {
	m, err := newManySites(dir, o.sites)
	if err != nil {
		return err
	}
	// What measures stays on the load's core; a server that starts has both, as it
	// has all there are elsewhere.
	cores := fmt.Sprintf("%d,%d", o.serverCore, o.loadCore)
	if text, err := exec.Command("taskset", "-a", "-c", "-p", strconv.Itoa(o.loadCore), strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
		return fmt.Errorf("taskset: %w: %s", err, text)
	}
	binaries := map[string]string{"sited": o.sited}
	if nginx := (&peer{binary: "nginx"}).find(); nginx != "" {
		binaries["nginx"] = nginx
	} else {
		fmt.Fprintln(os.Stderr, "nginx is not installed (apt-get install nginx-light): left out")
	}
	samples := map[layout][]sitesSample{}
	for range o.rounds {
		for _, folder := range []bool{false, true} {
			for _, name := range []string{"sited", "nginx"} {
				if binaries[name] == "" {
					continue
				}
				l := layout{name, folder}
				s, err := m.round(l, binaries[name], cores)
				if err != nil {
					return fmt.Errorf("%s: %w", l, err)
				}
				samples[l] = append(samples[l], s)
			}
		}
	}
	printSites(out, o.sites, samples)
	return nil
}

// round starts a server, has one site come and go, and stops the server.
func (m *manySites) round(l layout, binary, cores string) (s sitesSample, err error) {
	args, err := m.write(l, binary)
	if err != nil {
		return s, err
	}
	said, err := os.Create(filepath.Join(m.dir, "output.log"))
	if err != nil {
		return s, err
	}
	defer said.Close()
	cmd := exec.Command("taskset", append([]string{"-c", cores}, args...)...)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return s, err
	}
	running := &server{peer: peer{name: l.server}, cmd: cmd}
	defer running.stop()
	defer func() {
		if err != nil {
			text, _ := os.ReadFile(said.Name())
			err = fmt.Errorf("%w\n%.2000s", err, text)
		}
	}()
	base := m.base()
	if s.start, err = until(begun, base[len(base)-1], answers); err != nil {
		return s, err
	}
	if s.startCPU, err = cpuTime(cmd.Process.Pid); err != nil {
		return s, err
	}
	time.Sleep(restTime)
	s.said = saidSo(said.Name(), begun)
	s.started = footprintOf(cmd.Process.Pid)
	for _, site := range base {
		if ok, err := answers(site); !ok || err != nil {
			return s, errors.Join(fmt.Errorf("%s at %s does not answer", site.name, site.addr()), err)
		}
	}
	time.Sleep(restTime)
	s.asked = footprintOf(cmd.Process.Pid)
	if s.add, s.addCPU, err = m.change(l, running, binary, m.add, answers); err != nil {
		return s, fmt.Errorf("one more site: %w", err)
	}
	time.Sleep(restTime)
	if s.remove, s.removeCPU, err = m.change(l, running, binary, m.remove, refuses); err != nil {
		return s, fmt.Errorf("one site less: %w", err)
	}
	return s, nil
}

// change has the extra site come or go, and measures how long it is until the
// site is as wanted, and the CPU time that takes the server. nginx has to be told.
func (m *manySites) change(l layout, running *server, binary string, do func(layout) error, wanted func(oneSite) (bool, error)) (took, cpu time.Duration, err error) {
	before := cpuTimes(running.cmd.Process.Pid)
	begun := time.Now()
	if err := do(l); err != nil {
		return 0, 0, err
	}
	var tell *exec.Cmd
	if l.server == "nginx" {
		shared, _ := m.parts(l)
		tell = exec.Command(binary, "-p", m.dir, "-c", shared, "-s", "reload")
		if text, err := tell.CombinedOutput(); err != nil {
			return 0, 0, fmt.Errorf("nginx -s reload: %w: %s", err, text)
		}
	}
	took, err = until(begun, m.extra(), wanted)
	if err != nil {
		return 0, 0, err
	}
	time.Sleep(restTime / 4) // what the change leaves behind is its cost, too
	for pid, t := range cpuTimes(running.cmd.Process.Pid) {
		cpu += t - before[pid]
	}
	if tell != nil {
		cpu += tell.ProcessState.UserTime() + tell.ProcessState.SystemTime()
	}
	return took, cpu, nil
}

// until asks a site every two milliseconds until it is as wanted.
func until(begun time.Time, s oneSite, wanted func(oneSite) (bool, error)) (time.Duration, error) {
	for time.Since(begun) < sitesTimeout {
		ok, err := wanted(s)
		if err != nil {
			return 0, err
		}
		if ok {
			return time.Since(begun), nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0, fmt.Errorf("%s at %s is not as it should be after %s", s.name, s.addr(), sitesTimeout)
}

// answers reports whether a site answers a GET with 200; that nobody listens is
// no error.
func answers(s oneSite) (bool, error) {
	c, err := net.Dial("tcp", s.addr())
	if errors.Is(err, syscall.ECONNREFUSED) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(sitesTimeout))
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", s.addr())
	text, err := io.ReadAll(c)
	if errors.Is(err, syscall.ECONNRESET) { // a socket that is bound and not served so far, or no longer
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !strings.HasPrefix(string(text), "HTTP/1.1 200 ") || !strings.Contains(string(text), s.name) {
		return false, fmt.Errorf("%s answers %.200q", s.name, text)
	}
	return true, nil
}

func refuses(s oneSite) (bool, error) {
	c, err := net.Dial("tcp", s.addr())
	if err == nil {
		return false, c.Close()
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return true, nil
	case errors.Is(err, syscall.ECONNRESET): // at the moment when the port is closed
		return false, nil
	}
	return false, err
}

// saidSo is when sited's log says that the configuration is in force, or 0.
func saidSo(file string, begun time.Time) time.Duration {
	f, err := os.Open(file)
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct {
			Time time.Time
			Msg  string
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "configuration read" {
			return line.Time.Sub(begun)
		}
	}
	return 0
}

// cpuTimes is the CPU time of each process of a tree. Those that ended are not
// in it.
func cpuTimes(pid int) map[int]time.Duration {
	times := map[int]time.Duration{}
	for _, p := range tree(pid) {
		times[p] = ownCPUTime(p)
	}
	return times
}

func footprintOf(pid int) (f footprint) {
	for _, p := range tree(pid) {
		f.pss += kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", p), "Pss:")
		f.rss += kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", p), "Rss:")
		f.peak += kilobytes(fmt.Sprintf("/proc/%d/status", p), "VmHWM:")
	}
	return f
}

// kilobytes is what a file of /proc gives for a name, in bytes; 0 when the process
// is gone.
func kilobytes(file, name string) int64 {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.Fields(kb)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}
