package chaos

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take that is waited for.
const patience = 20 * time.Second

// eventually polls until ok, and fails the test when that takes too long.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is a temporary folder with a sites.hcl, what it serves, and free addresses
// for its sites and "admin". They are in a network of the rig's own in
// 127.0.0.0/8, so that they stay free whatever others do while nothing listens.
type rig struct {
	t     *testing.T
	dir   string
	ip    string
	addrs map[string]string // site (or "admin") -> ip:port

	binary string              // another sited than the one all have; "" for that
	user   *syscall.Credential // whom it runs as; nil for whoever runs the tests
}

var lastRig atomic.Uint32

func newRig(t *testing.T, sites ...string) *rig {
	t.Helper()
	n := lastRig.Add(1)
	if n > 255 {
		t.Fatal("more rigs than addresses")
	}
	r := &rig{t: t, dir: t.TempDir(), addrs: map[string]string{}}
	r.ip = fmt.Sprintf("127.%d.%d.%d", 128+os.Getpid()>>8&63, os.Getpid()&255, n)
	var held []net.Listener
	for _, name := range append(sites, "admin") {
		ln, err := net.Listen("tcp", r.ip+":0")
		must(t, err)
		held = append(held, ln)
		r.addrs[name] = ln.Addr().String()
	}
	for _, ln := range held {
		ln.Close()
	}
	return r
}

// url is that of a path on a site, or on "admin".
func (r *rig) url(site, path string) string {
	r.t.Helper()
	if r.addrs[site] == "" {
		r.t.Fatalf("no address for %q", site)
	}
	return "http://" + r.addrs[site] + path
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// fill puts addresses into a configuration: @name becomes the ip and port
// arguments of that site.
func (r *rig) fill(text string) string {
	var names, pairs []string
	for name := range r.addrs {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	for _, name := range names {
		_, port, _ := net.SplitHostPort(r.addrs[name])
		pairs = append(pairs, "@"+name, fmt.Sprintf("ip = %q\n  port = %s", r.ip, port))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// config writes sites.hcl in place, as many editors do, and returns what is in it.
func (r *rig) config(text string) string {
	r.t.Helper()
	text = r.fill(text)
	r.write("sites.hcl", text)
	return text
}

// replaceConfig renames a new sites.hcl into place, as the others do, and returns
// what is in it.
func (r *rig) replaceConfig(text string) string {
	r.t.Helper()
	text = r.fill(text)
	r.write("sites.hcl.new", text)
	must(r.t, os.Rename(r.path("sites.hcl.new"), r.path("sites.hcl")))
	return text
}

// write writes a file, and makes its folder.
func (r *rig) write(name, content string) {
	r.t.Helper()
	must(r.t, os.MkdirAll(filepath.Dir(r.path(name)), 0o755))
	must(r.t, os.WriteFile(r.path(name), []byte(content), 0o644))
}

func (r *rig) read(name string) string {
	r.t.Helper()
	b, err := os.ReadFile(r.path(name))
	must(r.t, err)
	return string(b)
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

// process is `sited run` on a rig's sites.hcl.
type process struct {
	rig            *rig
	cmd            *exec.Cmd
	stdout, stderr buffer
	done           chan struct{} // closed when it has ended
}

// start starts sited and waits until it is ready. When the test is over it is
// stopped, if that was not done, and what it said is searched for data races and
// panics.
func (r *rig) start(flags ...string) *process {
	r.t.Helper()
	p := r.launch(flags...)
	p.ready()
	return p
}

// launch is start without the wait.
func (r *rig) launch(flags ...string) *process {
	r.t.Helper()
	p := &process{rig: r, done: make(chan struct{})}
	p.cmd = r.command(append(append([]string{"run"}, flags...), r.path("sites.hcl"))...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	must(r.t, p.cmd.Start())
	go func() {
		p.cmd.Wait() // how it ended is looked at in stop
		close(p.done)
	}()
	r.t.Cleanup(func() {
		if !p.ended() {
			p.stop()
		}
		said := p.stderr.String()
		if strings.Contains(said, "DATA RACE") || strings.Contains(said, "panic") {
			r.t.Errorf("a data race or a panic:\n%s", said)
		}
	})
	return p
}

// command is sited with these arguments.
func (r *rig) command(args ...string) *exec.Cmd {
	cmd := exec.Command(cmp.Or(r.binary, binary), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C", "GORACE=atexit_sleep_ms=0"}
	if r.user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: r.user}
	}
	return cmd
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// ready waits until all sites are up.
func (p *process) ready() {
	p.rig.t.Helper()
	eventually(p.rig.t, "sited is ready", func() bool {
		if p.ended() {
			p.rig.t.Fatalf("sited ended:\n%s", p.stderr.String())
		}
		status, _, err := get(p.rig.url("admin", "/readyz"))
		return err == nil && status == 200
	})
}

// kill ends it by SIGKILL, with nothing done in time.
func (p *process) kill() {
	p.rig.t.Helper()
	must(p.rig.t, p.cmd.Process.Kill())
	<-p.done
}

// stop ends it as a service manager does.
func (p *process) stop() {
	p.rig.t.Helper()
	must(p.rig.t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.done:
	case <-time.After(patience):
		p.cmd.Process.Signal(syscall.SIGQUIT) // shows where it stands
		p.cmd.Process.Kill()
		<-p.done
		p.rig.t.Errorf("sited did not end within %v:\n%s", patience, p.stderr.String())
	}
	if status := p.cmd.ProcessState.ExitCode(); status != 0 {
		p.rig.t.Errorf("exit status %d:\n%s", status, p.stderr.String())
	}
}

// said is how many lines of its log have all the words.
func (p *process) said(words ...string) (n int) {
line:
	for line := range strings.Lines(p.stderr.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue line
			}
		}
		n++
	}
	return n
}

// metric is the value of a series, written as in the text format without spaces:
// `sited_site_up{site="web"}`. It is an error when there is no such series.
func (p *process) metric(series string) (float64, error) {
	_, text, err := get(p.rig.url("admin", "/metrics"))
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

// request sends a request on a connection of its own and reads the answer. It may
// be called from any goroutine.
func request(method, url string, body io.Reader, length int64) (status int, content string, err error) {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return 0, "", err
	}
	req.ContentLength = length
	client := http.Client{Timeout: 2 * patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

func get(url string) (status int, content string, err error) {
	return request("GET", url, nil, 0)
}

// temporaries are the files below a folder that uploads have left.
func (r *rig) temporaries(folder string) (found []string) {
	r.t.Helper()
	must(r.t, filepath.WalkDir(r.path(folder), func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) { // it went meanwhile
			return nil
		}
		if err == nil && strings.HasPrefix(d.Name(), ".sited-upload-") {
			found = append(found, path)
		}
		return err
	}))
	return found
}

// counts is how often each of several things has happened.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[what]++
}

func (c *counts) of(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[what]
}

// String lists them, each on a line of its own.
func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(c.n)) {
		fmt.Fprintf(&b, "\n%7d %s", c.n[what], what)
	}
	return b.String()
}

// figures are what must not grow.
type figures struct {
	goroutines, descriptors, children int
	heap, resident                    int // KiB
}

func (p *process) figures() figures {
	p.rig.t.Helper()
	var f figures
	proc := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	open, err := os.ReadDir(proc + "fd")
	must(p.rig.t, err)
	f.descriptors = len(open)
	tasks, err := filepath.Glob(proc + "task/*/children")
	must(p.rig.t, err)
	for _, task := range tasks {
		b, _ := os.ReadFile(task) // a thread may end
		f.children += len(strings.Fields(string(b)))
	}
	b, err := os.ReadFile(proc + "status")
	must(p.rig.t, err)
	_, rss, _ := strings.Cut(string(b), "VmRSS:")
	if _, err := fmt.Sscan(rss, &f.resident); err != nil {
		p.rig.t.Fatalf("VmRSS: %v", err)
	}
	for series, value := range map[string]*int{"go_goroutines": &f.goroutines, "go_memstats_heap_alloc_bytes": &f.heap} {
		n, err := p.metric(series)
		must(p.rig.t, err)
		*value = int(n)
	}
	f.heap >>= 10
	return f
}

// sited runs another command of it, and returns its exit status and what it said.
func (r *rig) sited(args ...string) (status int, said string) {
	r.t.Helper()
	cmd := r.command(args...)
	out, err := cmd.CombinedOutput()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		r.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}
