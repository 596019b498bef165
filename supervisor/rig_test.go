package supervisor

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	real "sited/rig"
)

// rig is a supervisor that runs on a configuration in a folder of its own, and
// on a loopback address of its own.
type rig struct {
	*Supervisor
	t     *testing.T
	dir   string
	ip    string
	admin int
	log   *syncBuffer
	ready chan Status
	done  chan struct{} // closed once Run has returned err
	err   error
	end   context.CancelFunc

	mu       sync.Mutex
	notified []string
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newRig makes everything but the configuration; run starts it.
func newRig(t *testing.T, edit ...func(*Options)) *rig {
	t.Helper()
	r := &rig{
		t: t, dir: t.TempDir(), log: &syncBuffer{}, ready: make(chan Status, 1), done: make(chan struct{}),
		ip: fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(255), 1+rand.IntN(254)),
	}
	r.admin = r.port()
	opts := Options{
		File: filepath.Join(r.dir, "sites.hcl"), Version: "test",
		Log:        slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Env:        func(string) (string, bool) { return "", false },
		BackoffMin: 10 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
		PollEvery: time.Hour,
		Ready:     func(s Status) { r.ready <- s },
		Notify: func(state string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.notified = append(r.notified, state)
		},
	}
	for _, e := range edit {
		e(&opts)
	}
	r.Supervisor = New(opts)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	})
	return r
}

func (r *rig) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.end = cancel
	go func() {
		defer close(r.done)
		r.err = r.Run(ctx)
	}()
	r.t.Cleanup(func() {
		cancel()
		r.Kill()
		<-r.done
	})
}

// run starts the rig and waits until everything was tried.
func run(t *testing.T, blocks func(r *rig) []string, edit ...func(*Options)) *rig {
	t.Helper()
	r := newRig(t, edit...)
	r.config(blocks(r)...)
	r.start()
	select {
	case <-r.ready:
	case <-r.done:
		t.Fatalf("Run ended: %v", r.err)
	case <-time.After(20 * time.Second):
		t.Fatal("never ready")
	}
	return r
}

// port is one that is free, and that nothing else gets while the test runs.
func (r *rig) port() int {
	r.t.Helper()
	return real.Ports(r.t, 1)[0]
}

func (r *rig) addr(port int) string { return fmt.Sprintf("%s:%d", r.ip, port) }

// site is a block for a site whose root holds a file that says content.
func (r *rig) site(name string, port int, content string, extra ...string) string {
	root := filepath.Join(r.dir, "root-"+name+"-"+content)
	must(r.t, os.MkdirAll(root, 0o755))
	if path := filepath.Join(root, "f.txt"); !exists(path) { // it may be being served
		write(r.t, path, content)
	}
	return fmt.Sprintf("site %q {\n  ip = %q\n  port = %d\n  root = %q\n  %s\n}\n",
		name, r.ip, port, root, strings.Join(extra, "\n  "))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// config replaces the configuration in one step.
func (r *rig) config(blocks ...string) {
	r.t.Helper()
	if !slices.ContainsFunc(blocks, func(b string) bool { return strings.HasPrefix(b, "admin") }) {
		blocks = append(blocks, fmt.Sprintf("admin {\n  ip = %q\n  port = %d\n}\n", r.ip, r.admin))
	}
	path := filepath.Join(r.dir, "sites.hcl")
	write(r.t, path+".new", strings.Join(blocks, "\n"))
	must(r.t, os.Rename(path+".new", path))
}

// reload puts a configuration in place, has it taken in, and checks the result.
func (r *rig) reload(result string, blocks ...string) *Report {
	r.t.Helper()
	r.config(blocks...)
	return r.reloadAs(Request{Trigger: "test"}, result)
}

func (r *rig) reloadAs(req Request, result string) *Report {
	r.t.Helper()
	report, err := r.Reload(context.Background(), req)
	must(r.t, err)
	if report.Result != result {
		r.t.Fatalf("result is %s, want %s:\n%s", report.Result, result, report.Text())
	}
	return report
}

// step is the report's line for a site.
func step(t *testing.T, r *Report, site string) ReportStep {
	t.Helper()
	for _, s := range r.Steps {
		if s.Site == site {
			return s
		}
	}
	t.Fatalf("no step for %s in:\n%s", site, r.Text())
	return ReportStep{}
}

// siteStatus is the status of one site; ok is false when there is none.
func (r *rig) siteStatus(name string) (status SiteStatus, ok bool) {
	r.t.Helper()
	all, err := r.Status(context.Background())
	must(r.t, err)
	for _, s := range all.Sites {
		if s.Name == name {
			return s, true
		}
	}
	return SiteStatus{}, false
}

// wait polls until cond is true.
func (r *rig) wait(what string, cond func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			status, _ := r.Status(context.Background())
			r.t.Fatalf("never happened: %s\n%+v", what, status)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *rig) waitState(name string, state State) {
	r.t.Helper()
	r.wait(name+" "+string(state), func() bool {
		s, _ := r.siteStatus(name)
		return s.State == state
	})
}

// client is one connection, on which it asks for one thing after the other.
type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.DialTimeout("tcp4", addr, 5*time.Second)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return &client{Conn: c, t: t, r: bufio.NewReader(c)}
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c, format, args...)
	must(c.t, err)
}

func (c *client) answer() (status int, body string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, nil)
	must(c.t, err)
	b, err := io.ReadAll(res.Body)
	must(c.t, err, res.Body.Close())
	return res.StatusCode, string(b)
}

// get asks for the file of rig.site and returns what it says.
func (c *client) get() string {
	c.t.Helper()
	c.send("GET /f.txt HTTP/1.1\r\nHost: x\r\n\r\n")
	status, body := c.answer()
	if status != 200 {
		c.t.Fatalf("status %d: %s", status, body)
	}
	return body
}

func (r *rig) get(port int) string {
	r.t.Helper()
	return dial(r.t, r.addr(port)).get()
}

// refused reports whether nobody listens there.
func (r *rig) refused(port int) bool {
	c, err := net.DialTimeout("tcp4", r.addr(port), 5*time.Second)
	if err == nil {
		c.Close()
	}
	return err != nil
}

func (r *rig) adminAddr() netip.AddrPort { return netip.MustParseAddrPort(r.addr(r.admin)) }

// ask sends a request to the admin endpoint.
func (r *rig) ask(method, path string, header ...string) (status int, body string) {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://"+r.addr(r.admin)+path, nil)
	must(r.t, err)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	must(r.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(r.t, err)
	return res.StatusCode, string(b)
}

// metric sums the series of a family whose labels include the given ones; ok is
// false when there is none.
func (r *rig) metric(name string, labels ...string) (sum float64, ok bool) {
	r.t.Helper()
	families, err := r.Metrics().Gatherer().Gather()
	must(r.t, err)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if hasLabels(m, labels) {
				sum, ok = sum+m.GetCounter().GetValue()+m.GetGauge().GetValue(), true
			}
		}
	}
	return sum, ok
}

func hasLabels(m *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		if !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool {
			return l.GetName() == labels[i] && l.GetValue() == labels[i+1]
		}) {
			return false
		}
	}
	return true
}

// wantMetric checks a metric; a request is counted a moment after its answer.
func (r *rig) wantMetric(want float64, name string, labels ...string) {
	r.t.Helper()
	got, ok := r.metric(name, labels...)
	for deadline := time.Now().Add(5 * time.Second); (!ok || got != want) && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
		got, ok = r.metric(name, labels...)
	}
	if !ok || got != want {
		r.t.Errorf("%s%v is %v (there: %t), want %v", name, labels, got, ok, want)
	}
}
