package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// sample is one run of wrk against one server.
type sample struct {
	cpu      time.Duration // of the server, for each request
	requests float64       // a second
	p99      time.Duration
}

// run loads s for some time and measures what that cost it.
func run(s *server, w *work, dir string, core int, seconds int) (sample, error) {
	if err := check(s, w); err != nil {
		return sample{}, err
	}
	args := []string{"-c", strconv.Itoa(core), "wrk", "-t1", "-c" + strconv.Itoa(w.connections), fmt.Sprintf("-d%ds", seconds), "--latency"}
	if w.lua != nil {
		script, err := w.lua(s)
		if err != nil {
			return sample{}, err
		}
		file, err := write(dir, "wrk.lua", script)
		if err != nil {
			return sample{}, err
		}
		args = append(args, "-s", file)
	}
	before, err := cpuTime(s.cmd.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	out, err := exec.Command("taskset", append(args, s.url(w.path))...).CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	after, err := cpuTime(s.cmd.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	return parseWrk(string(out), after-before, w)
}

// check makes sure that what is measured is what was meant.
func check(s *server, w *work) error {
	if w.status != 200 || s.name == "floor" {
		return nil
	}
	res, err := http.Head(s.url(w.path))
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode != w.status {
		return fmt.Errorf("%s answers %s to %s", s.name, res.Status, w.path)
	}
	return nil
}

var (
	wrkTotal   = regexp.MustCompile(`(\d+) requests in ([\d.]+)(m|s)`)
	wrkP99     = regexp.MustCompile(`99%\s+([\d.]+)(us|ms|s|m)`)
	wrkErrors  = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	wrkNon2xx  = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	wrkPerUnit = map[string]time.Duration{"us": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "m": time.Minute}
)

func parseWrk(out string, cpu time.Duration, w *work) (sample, error) {
	total := wrkTotal.FindStringSubmatch(out)
	p99 := wrkP99.FindStringSubmatch(out)
	if total == nil || p99 == nil {
		return sample{}, fmt.Errorf("wrk said what can't be understood:\n%s", out)
	}
	requests, _ := strconv.ParseFloat(total[1], 64)
	if requests == 0 {
		return sample{}, fmt.Errorf("no request was answered:\n%s", out)
	}
	failed := 0.0
	if m := wrkErrors.FindStringSubmatch(out); m != nil && w.connections > 4 { // a 100 MB answer may be cut off at the end
		for _, n := range m[1:] {
			count, _ := strconv.ParseFloat(n, 64)
			failed += count
		}
	}
	if failed > requests/100 {
		return sample{}, fmt.Errorf("%v of %v requests failed", failed, requests)
	}
	other := 0.0
	if m := wrkNon2xx.FindStringSubmatch(out); m != nil {
		other, _ = strconv.ParseFloat(m[1], 64)
	}
	if want := w.status >= 400; want && other < requests || !want && other > 0 {
		return sample{}, fmt.Errorf("%v of %v answers are not what was asked for", other, requests)
	}
	took := duration(total[2], total[3])
	return sample{cpu: cpu / time.Duration(requests), requests: requests / took.Seconds(), p99: duration(p99[1], p99[2])}, nil
}

func duration(number, unit string) time.Duration {
	n, _ := strconv.ParseFloat(number, 64)
	return time.Duration(n * float64(wrkPerUnit[unit]))
}

// tree lists a process and all below it.
func tree(pid int) []int {
	all := []int{pid}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		b, _ := os.ReadFile(t)
		for _, f := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(f); err == nil {
				all = append(all, tree(child)...)
			}
		}
	}
	return all
}

// cpuTime is the CPU time of a process and those below it, to the nanosecond.
func cpuTime(pid int) (time.Duration, error) {
	var sum time.Duration
	for _, p := range tree(pid) {
		sum += ownCPUTime(p)
	}
	if sum == 0 {
		return 0, fmt.Errorf("process %d uses no CPU time: has it ended?", pid)
	}
	return sum, nil
}

// ownCPUTime is the CPU time of one process; 0 when it is gone.
func ownCPUTime(pid int) (sum time.Duration) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, t := range tasks {
		b, _ := os.ReadFile(t) // fails when the thread has ended
		if fields := strings.Fields(string(b)); len(fields) > 0 {
			ns, _ := strconv.ParseInt(fields[0], 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}

// memory is the private and shared memory of a process and those below it, in bytes:
// their proportional set size.
func memory(pid int) int64 {
	var sum int64
	for _, p := range tree(pid) {
		sum += kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", p), "Pss:")
	}
	return sum
}

// idleCost is the memory that each of n connections takes while it is kept open
// after one request.
func idleCost(s *server, n int) (float64, error) {
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	open := func() error {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err != nil {
			return err
		}
		conns = append(conns, c)
		fmt.Fprintf(c, "GET /1k.txt HTTP/1.1\r\nHost: bench\r\n\r\n")
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		for got, buf := 0, make([]byte, 4096); got < 1024; {
			k, err := c.Read(buf)
			if err != nil {
				return err
			}
			got += k
		}
		return nil
	}
	for range 10 { // what the first connections bring up is no cost of theirs
		if err := open(); err != nil {
			return 0, err
		}
	}
	before := memory(s.cmd.Process.Pid)
	for range n {
		if err := open(); err != nil {
			return 0, err
		}
	}
	time.Sleep(6 * time.Second) // for what only the requests needed to be given back
	return float64(memory(s.cmd.Process.Pid)-before) / float64(n), nil
}
