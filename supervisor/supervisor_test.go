package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sited/instance"
)

func TestStartAndStop(t *testing.T) {
	var a, b int
	r := run(t, func(r *rig) []string {
		a, b = r.port(), r.port()
		return []string{r.site("a", a, "A"), r.site("b", b, "B")}
	})
	if got := r.get(a) + r.get(b); got != "AB" {
		t.Errorf("got %q", got)
	}
	r.wantMetric(1, "sited_site_up", "site", "a")
	r.wantMetric(1, "sited_site_config_current", "site", "b")
	r.wantMetric(1, "sited_config_last_reload_successful")

	conn := dial(t, r.addr(b))
	conn.get()
	report := r.reload("applied", r.site("a", a, "A"))
	if s := step(t, report, "b"); s.Op != Stop || s.Outcome != Applied || s.Live.Connections < 1 {
		t.Errorf("step of b: %+v", s)
	}
	r.wait("b gone", func() bool { _, ok := r.siteStatus("b"); return !ok })
	if !r.refused(b) {
		t.Error("b still listens")
	}
	if _, ok := r.metric("sited_site_up", "site", "b"); ok {
		t.Error("b still has metrics")
	}
	r.end()
	<-r.done
	if r.err != nil {
		t.Errorf("Run: %v", r.err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.notified) != 4 || r.notified[0] != "READY=1\nSTATUS=sited test: 2 of 2 sites serving" || !strings.HasPrefix(r.notified[1], "RELOADING=1\nMONOTONIC_USEC=") ||
		r.notified[2] != "READY=1\nSTATUS=sited test: 1 of 1 sites serving" || r.notified[3] != "STOPPING=1" {
		t.Errorf("systemd was told %q", r.notified)
	}
}

func TestFatalAtStart(t *testing.T) {
	r := newRig(t)
	r.config(`site "a" {`)
	r.start()
	<-r.done
	if _, ok := errors.AsType[*ConfigError](r.err); !ok || !strings.Contains(r.err.Error(), "sites.hcl") || !strings.Contains(r.err.Error(), `site "a" {`) {
		t.Errorf("Run: %v", r.err)
	}
	if _, err := r.Status(context.Background()); !errors.Is(err, ErrStopped) {
		t.Errorf("Status: %v", err)
	}
}

// A changed site's connections stay and see the new generation with their next
// request; a site that is not changed notices nothing.
func TestSwapOnOpenConnection(t *testing.T) {
	var a, b int
	r := run(t, func(r *rig) []string {
		a, b = r.port(), r.port()
		return []string{r.site("a", a, "one"), r.site("b", b, "B")}
	})
	connA, connB := dial(t, r.addr(a)), dial(t, r.addr(b))
	if got := connA.get() + connB.get(); got != "oneB" {
		t.Fatalf("got %q", got)
	}
	report := r.reload("applied", r.site("a", a, "two"), r.site("b", b, "B"))
	s := step(t, report, "a")
	if s.Op != Swap || s.Outcome != Applied || len(s.Changes) != 1 || s.Changes[0].Name != "root" || s.Live.Connections != 1 {
		t.Errorf("step of a: %+v", s)
	}
	if s := step(t, report, "b"); s.Op != Keep || s.Outcome != Stays {
		t.Errorf("step of b: %+v", s)
	}
	if got := connA.get() + connB.get(); got != "twoB" {
		t.Errorf("got %q", got)
	}
	status, _ := r.siteStatus("a")
	if status.Generation != 2 || !status.ConfigCurrent {
		t.Errorf("status of a: %+v", status)
	}
	if status, _ := r.siteStatus("b"); status.Generation != 1 {
		t.Errorf("status of b: %+v", status)
	}
	r.wantMetric(2, "sited_http_requests_total", "site", "b", "code", "200")
	r.wantMetric(2, "sited_http_requests_total", "site", "a", "code", "200")
	r.reload("unchanged", r.site("a", a, "two"), r.site("b", b, "B"))
}

// A request that is in flight ends under the generation that began it.
func TestSwapWithRequestInFlight(t *testing.T) {
	var a int
	put := `methods = ["GET", "PUT"]`
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "one", put)}
	})
	conn := dial(t, r.addr(a))
	conn.send("PUT /up.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
	r.wait("request in flight", func() bool { s, _ := r.siteStatus("a"); return s.InFlight == 1 })
	r.reload("applied", r.site("a", a, "two", put))
	conn.send("world")
	if status, body := conn.answer(); status != 201 {
		t.Fatalf("upload: %d %s", status, body)
	}
	got, err := os.ReadFile(filepath.Join(r.dir, "root-a-one", "up.txt"))
	if err != nil || string(got) != "helloworld" {
		t.Errorf("upload: %q, %v", got, err)
	}
	if got := conn.get(); got != "two" {
		t.Errorf("then %q", got)
	}
}

// Two sites swap their ports again and again while clients connect to both: no
// connection is refused and no request goes unanswered.
func TestPortHandoverUnderLoad(t *testing.T) {
	var p, q int
	r := run(t, func(r *rig) []string {
		p, q = r.port(), r.port()
		return []string{r.site("a", p, "A"), r.site("b", q, "B")}
	})
	stop := make(chan struct{})
	results := make(chan error, 2)
	var asked atomic.Int64
	for _, port := range []int{p, q} {
		go func() {
			for {
				select {
				case <-stop:
					results <- nil
					return
				default:
				}
				if err := askOnce(r.addr(port)); err != nil {
					results <- err
					return
				}
				asked.Add(1)
			}
		}()
	}
	for i := range 20 {
		before := asked.Load()
		r.wait("requests", func() bool { return asked.Load() >= before+5 || len(results) > 0 })
		if i%2 == 0 {
			p, q = q, p
		} else { // and through a renaming: the same ports, other sites
			p, q = q, p
			if s := step(t, r.reload("applied", r.site("c", p, "C"), r.site("d", q, "D")), "c"); s.Op != Start {
				t.Errorf("step of c: %+v", s)
			}
		}
		r.reload("applied", r.site("a", p, "A"), r.site("b", q, "B"))
	}
	close(stop)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got := r.get(p) + r.get(q); got != "AB" {
		t.Errorf("in the end: %q", got)
	}
}

func askOnce(addr string) error {
	c, err := net.DialTimeout("tcp4", addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(c, "GET /f.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(b), "HTTP/1.1 200") {
		return fmt.Errorf("answer %q", b)
	}
	return nil
}

// The wildcard and one address of the same port can't normally be bound at the
// same time; a site still moves from one to the other without a refusal.
func TestWildcardHandover(t *testing.T) {
	var p int
	r := run(t, func(r *rig) []string {
		p = r.port()
		return []string{r.site("a", p, "A")}
	})
	stop, result := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				result <- nil
				return
			default:
				// What was accepted just before a socket closes may still be
				// closed without an answer; nothing may be refused.
				if err := askOnce(r.addr(p)); errors.Is(err, syscall.ECONNREFUSED) {
					result <- err
					return
				}
			}
		}
	}()
	for range 5 {
		wild := strings.Replace(r.site("a", p, "A"), r.ip, "0.0.0.0", 1)
		if s := step(t, r.reload("applied", wild), "a"); s.Op != Rebind {
			t.Errorf("step: %+v", s)
		}
		r.reload("applied", r.site("a", p, "A"))
	}
	close(stop)
	if err := <-result; err != nil {
		t.Error(err)
	}
	if _, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", p)); err == nil {
		t.Error("the wildcard is not taken, but the site's socket would share its port")
	}
}

func TestBrokenBlockKeepsLastGood(t *testing.T) {
	var a, b int
	r := run(t, func(r *rig) []string {
		a, b = r.port(), r.port()
		return []string{r.site("a", a, "one"), r.site("b", b, "one")}
	})
	conn := dial(t, r.addr(a))
	conn.get()
	broken := r.site("a", a, "two", `metods = ["GET"]`)
	report := r.reload("partial", broken, r.site("b", b, "two"), r.site("new", r.port(), "N", "nonsense = 1"))
	if s := step(t, report, "a"); s.Op != Refused || s.Outcome != Stays || !strings.Contains(s.Error, "metods") {
		t.Errorf("step of a: %+v", s)
	}
	if s := step(t, report, "new"); s.Op != Refused || s.Outcome != Failure {
		t.Errorf("step of new: %+v", s)
	}
	if len(report.Diagnostics) < 2 || report.ExitCode() != 1 || !strings.Contains(report.Text(), "metods") {
		t.Errorf("exit %d, report:\n%s", report.ExitCode(), report.Text())
	}
	if got := conn.get() + r.get(b); got != "onetwo" {
		t.Errorf("got %q", got)
	}
	r.wantMetric(0, "sited_site_config_current", "site", "a")
	r.wantMetric(1, "sited_site_up", "site", "a")
	r.wantMetric(0, "sited_site_up", "site", "new")
	r.wantMetric(0, "sited_config_last_reload_successful")
	status, _ := r.siteStatus("a")
	if status.State != Serving || status.ConfigCurrent || !strings.Contains(status.Reason, "metods") {
		t.Errorf("status of a: %+v", status)
	}
	if status, _ := r.siteStatus("new"); status.State != Failed {
		t.Errorf("status of new: %+v", status)
	}
	if code, body := r.ask("GET", "/readyz"); code != 503 || !strings.HasPrefix(body, "new: failed: ") || strings.Contains(body, "\na:") {
		t.Errorf("readyz: %d %s", code, body)
	}

	r.reload("refused", broken, r.site("b", b, "two"), r.site("new", r.port(), "N", "nonsense = 1"))
	r.reload("applied", r.site("a", a, "two"), r.site("b", b, "two"))
	if got := conn.get(); got != "two" {
		t.Errorf("got %q", got)
	}
	r.wantMetric(1, "sited_site_config_current", "site", "a")
	if _, ok := r.siteStatus("new"); ok {
		t.Error("new is not gone")
	}
	if code, body := r.ask("GET", "/readyz"); code != 200 {
		t.Errorf("readyz: %d %s", code, body)
	}
	if n := strings.Count(r.log.String(), "diagnostics="); n != 2 {
		t.Errorf("diagnostics were logged %d times, want once for each content", n)
	}
}

// A block that is mended by taking the change back leaves the running
// generation as it is.
func TestBrokenBlockReverted(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "one")}
	})
	r.reload("refused", r.site("a", a, "one", "nonsense = 1"))
	r.wantMetric(0, "sited_site_config_current", "site", "a")
	r.reload("unchanged", r.site("a", a, "one"))
	r.wantMetric(1, "sited_site_config_current", "site", "a")
	if status, _ := r.siteStatus("a"); status.Generation != 1 || status.Reason != "" {
		t.Errorf("status: %+v", status)
	}
}

func TestFatalFileKeepsAll(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "A")}
	})
	conn := dial(t, r.addr(a))
	conn.get()
	for name, spoil := range map[string]func(path string){
		"syntax": func(path string) { write(t, path, `site "a" {`) },
		"gone":   func(path string) { must(t, os.RemoveAll(path)) },
		"folder": func(path string) { must(t, os.RemoveAll(path), os.Mkdir(path, 0o755)) },
	} {
		spoil(filepath.Join(r.dir, "sites.hcl"))
		report := r.reloadAs(Request{Trigger: "test"}, "refused")
		if report.Error == "" || len(report.Steps) != 0 || len(report.Diagnostics) == 0 {
			t.Errorf("%s: report %+v", name, report)
		}
		if got := conn.get(); got != "A" {
			t.Errorf("%s: got %q", name, got)
		}
		must(t, os.RemoveAll(filepath.Join(r.dir, "sites.hcl")))
	}
	r.reload("unchanged", r.site("a", a, "A"))
	r.wantMetric(3, "sited_config_reloads_total", "result", "refused")
}

// An address that is taken when the process starts is tried again until it is
// free; the neighbours serve meanwhile.
func TestAddressTakenThenFreed(t *testing.T) {
	var taken, b int
	var other net.Listener
	r := run(t, func(r *rig) []string {
		taken, b = r.port(), r.port()
		var err error
		other, err = net.Listen("tcp4", r.addr(taken))
		must(t, err)
		t.Cleanup(func() { other.Close() })
		return []string{r.site("a", taken, "A"), r.site("b", b, "B")}
	})
	if got := r.get(b); got != "B" {
		t.Errorf("got %q", got)
	}
	status, _ := r.siteStatus("a")
	if status.State != Backoff && status.State != Preparing || !strings.Contains(status.Reason, "in use by another process") {
		t.Errorf("status: %+v", status)
	}
	if code, body := r.ask("GET", "/readyz"); code != 503 || !strings.Contains(body, "in use") {
		t.Errorf("readyz: %d %s", code, body)
	}
	r.wait("three tries", func() bool { n, _ := r.metric("sited_site_restarts_total", "site", "a"); return n >= 3 })
	r.wantMetric(0, "sited_site_up", "site", "a")
	must(t, other.Close())
	r.waitState("a", Serving)
	if got := r.get(taken); got != "A" {
		t.Errorf("got %q", got)
	}
	r.wantMetric(1, "sited_site_up", "site", "a")
	if code, _ := r.ask("GET", "/readyz"); code != 200 {
		t.Errorf("readyz: %d", code)
	}
	r.wantMetric(1, "sited_config_last_reload_successful")
	if status, err := r.Status(t.Context()); err != nil || status.Config.Reload.Result != "applied" || len(status.Config.Reload.Errors) != 0 {
		t.Errorf("the last reload: %+v, %v", status, err)
	}
}

// A running site whose new address is taken goes on at the old one, and moves
// once it can.
func TestRebindToTakenAddress(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "A")}
	})
	other, err := net.Listen("tcp4", r.ip+":0")
	must(t, err)
	defer other.Close()
	to := other.Addr().(*net.TCPAddr).Port
	report := r.reload("refused", r.site("a", to, "A"))
	if s := step(t, report, "a"); s.Op != Rebind || s.Outcome != Failure || !strings.Contains(s.Error, "in use") {
		t.Errorf("step: %+v", s)
	}
	if got := r.get(a); got != "A" {
		t.Errorf("got %q", got)
	}
	r.wantMetric(0, "sited_site_config_current", "site", "a")
	must(t, other.Close())
	r.wait("rebound", func() bool { s, _ := r.siteStatus("a"); return s.Addr == r.addr(to) && s.ConfigCurrent })
	if got := r.get(to); got != "A" {
		t.Errorf("got %q", got)
	}
	r.wait("old address closed", func() bool { return r.refused(a) })
}

// Two sites are to swap ports, and one can't be prepared: both stay where they
// are, and both move once it can.
func TestSwapOfPortsHeldBack(t *testing.T) {
	var p, q int
	var fail atomic.Bool
	r := newRig(t)
	r.newInstance = func(s instance.Spec, shared instance.Shared) (*instance.Instance, error) {
		if s.Name == "a" && fail.Load() {
			return nil, errors.New("no luck")
		}
		return instance.New(s, shared)
	}
	p, q = r.port(), r.port()
	r.config(r.site("a", p, "A"), r.site("b", q, "B"))
	r.start()
	<-r.ready
	fail.Store(true)
	report := r.reload("refused", r.site("a", q, "A"), r.site("b", p, "B"))
	if s := step(t, report, "b"); s.Outcome != Failure || !strings.Contains(s.Error, `still held by site "a"`) {
		t.Errorf("step of b: %+v", s)
	}
	if got := r.get(p) + r.get(q); got != "AB" {
		t.Errorf("got %q", got)
	}
	fail.Store(false)
	r.wait("both current", func() bool {
		a, _ := r.siteStatus("a")
		b, _ := r.siteStatus("b")
		return a.ConfigCurrent && b.ConfigCurrent
	})
	if got := r.get(p) + r.get(q); got != "BA" {
		t.Errorf("got %q", got)
	}
}

func TestPanicAndHangWhilePreparing(t *testing.T) {
	r := newRig(t, func(o *Options) { o.PrepareTimeout = 300 * time.Millisecond })
	release := make(chan struct{})
	var late atomic.Int64
	r.newInstance = func(s instance.Spec, shared instance.Shared) (*instance.Instance, error) {
		switch s.Name {
		case "panics":
			panic("oh no")
		case "hangs":
			late.Add(1)
			defer late.Add(-1)
			<-release
		}
		return instance.New(s, shared)
	}
	a := r.port()
	r.config(r.site("a", a, "A"), r.site("panics", r.port(), "P"), r.site("hangs", r.port(), "H"))
	r.start()
	<-r.ready
	if got := r.get(a); got != "A" {
		t.Errorf("got %q", got)
	}
	for name, reason := range map[string]string{"panics": "panic while preparing: oh no", "hangs": "took longer than 300ms"} {
		if s, _ := r.siteStatus(name); !strings.Contains(s.Reason, reason) {
			t.Errorf("%s: %+v", name, s)
		}
	}
	r.end()
	<-r.done
	close(release) // what is made now is thrown away: goleak would find it
	for late.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
}

func TestAllOrNothing(t *testing.T) {
	var a, c int
	r := run(t, func(r *rig) []string {
		a, c = r.port(), r.port()
		return []string{r.site("a", a, "one")}
	})
	all := Request{Trigger: "test", AllOrNothing: true}
	other, err := net.Listen("tcp4", r.ip+":0")
	must(t, err)
	defer other.Close()
	taken := other.Addr().(*net.TCPAddr).Port

	r.config(r.site("a", a, "two"), r.site("b", taken, "B"), r.site("c", c, "C"))
	report := r.reloadAs(all, "refused")
	if s := step(t, report, "a"); s.Outcome != Pending {
		t.Errorf("step of a: %+v", s)
	}
	if s := step(t, report, "b"); s.Outcome != Failure {
		t.Errorf("step of b: %+v", s)
	}
	if got := r.get(a); got != "one" {
		t.Errorf("got %q", got)
	}
	if !r.refused(c) {
		t.Error("c listens")
	}
	if status, _ := r.Status(context.Background()); len(status.Sites) != 1 {
		t.Errorf("sites: %+v", status.Sites)
	}
	r.config(r.site("a", a, "two", "nonsense = 1"), r.site("c", c, "C"))
	r.reloadAs(all, "refused")
	if !r.refused(c) {
		t.Error("c listens")
	}
	r.config(r.site("a", a, "two"), r.site("c", c, "C"))
	r.reloadAs(all, "applied")
	if got := r.get(a) + r.get(c); got != "twoC" {
		t.Errorf("got %q", got)
	}
}

func TestPreviewChangesNothing(t *testing.T) {
	var a, b int
	r := run(t, func(r *rig) []string {
		a, b = r.port(), r.port()
		return []string{r.site("a", a, "one"), r.site("b", b, "B"), r.site("k", r.port(), "K")}
	})
	plan := func() *Report {
		t.Helper()
		report, err := r.Preview(context.Background())
		must(t, err)
		return report
	}
	if p := plan(); p.Result != "unchanged" || p.ExitCode() != 0 {
		t.Errorf("nothing new: %s", p.Text())
	}
	conn := dial(t, r.addr(a))
	conn.get()
	status, _ := r.siteStatus("k")
	k := strings.Replace(r.site("k", 0, "K"), "port = 0", "port = "+strings.Split(status.Addr, ":")[1], 1)
	other, err := net.Listen("tcp4", r.ip+":0")
	must(t, err)
	defer other.Close()
	fresh := r.port()
	r.config(r.site("a", a, "two"), k, r.site("c", fresh, "C"))
	p := plan()
	want := fmt.Sprintf("~ swap    a  %s  [1 connection]\n      root: %q -> %q\n- stop    b  %s\n+ start   c  %s\nPlan: 1 to start, 1 to swap, 1 to stop, 1 unchanged.\n",
		r.addr(a), filepath.Join(r.dir, "root-a-one"), filepath.Join(r.dir, "root-a-two"), r.addr(b), r.addr(fresh))
	if got := p.Text(); got != want || p.ExitCode() != 2 {
		t.Errorf("exit %d, plan:\n%s\nwant:\n%s", p.ExitCode(), got, want)
	}
	r.config(r.site("a", a, "two"), k, r.site("c", other.Addr().(*net.TCPAddr).Port, "C"))
	if p := plan(); p.ExitCode() != 1 || step(t, p, "c").Outcome != Failure {
		t.Errorf("an address that is taken: %s", p.Text())
	}
	if got := conn.get() + r.get(b); got != "oneB" {
		t.Errorf("got %q", got)
	}
	if !r.refused(fresh) {
		t.Error("the address was not given back")
	}
}

// A site that is removed and comes back before it has drained is not forgotten.
func TestBackWhileDraining(t *testing.T) {
	var a int
	var b string
	put := `methods = ["GET", "PUT"]`
	r := run(t, func(r *rig) []string {
		a = r.port()
		b = r.site("b", r.port(), "B")
		return []string{r.site("a", a, "A", put), b}
	})
	conn := dial(t, r.addr(a))
	conn.send("PUT /up.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
	r.wait("request in flight", func() bool { s, _ := r.siteStatus("a"); return s.InFlight == 1 })
	r.reload("applied", b)
	if s, _ := r.siteStatus("a"); s.State != Draining {
		t.Errorf("status: %+v", s)
	}
	r.reload("applied", r.site("a", a, "A", put), b)
	if got := r.get(a); got != "A" {
		t.Errorf("got %q", got)
	}
	conn.send("world")
	if status, body := conn.answer(); status != 201 {
		t.Errorf("upload: %d %s", status, body)
	}
	r.wait("drained", func() bool { return strings.Contains(r.log.String(), "generation drained") })
	if s, ok := r.siteStatus("a"); !ok || s.State != Serving || s.Generation != 2 {
		t.Errorf("status: %+v", s)
	}
	r.wantMetric(1, "sited_site_up", "site", "a")
	r.wantMetric(2, "sited_http_requests_total", "site", "a")
}

// A listening socket that breaks is opened again.
func TestServerDies(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "A")}
	})
	must(t, r.do(context.Background(), func() {
		for _, ep := range r.endpoints {
			ep.closeSocket()
		}
	}))
	r.wait("serving again", func() bool { s, _ := r.siteStatus("a"); return s.State == Serving && s.Restarts > 0 })
	if got := r.get(a); got != "A" {
		t.Errorf("got %q", got)
	}
}

func TestDrainOnEnd(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "A", `methods = ["GET", "PUT"]`)}
	})
	idle := dial(t, r.addr(a))
	idle.get()
	conn := dial(t, r.addr(a))
	conn.send("PUT /up.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
	r.wait("request in flight", func() bool { s, _ := r.siteStatus("a"); return s.InFlight == 1 })
	r.end()
	r.wait("no new connections", func() bool { return r.refused(a) })
	if code, body := r.ask("GET", "/readyz"); code != 503 || !strings.Contains(body, "draining") {
		t.Errorf("readyz: %d %s", code, body)
	}
	if _, err := r.Reload(context.Background(), Request{Trigger: "test"}); !errors.Is(err, ErrStopped) {
		t.Errorf("Reload: %v", err)
	}
	select {
	case <-r.done:
		t.Fatal("Run returned with a request in flight")
	default:
	}
	conn.send("world")
	if status, body := conn.answer(); status != 201 {
		t.Errorf("upload: %d %s", status, body)
	}
	<-r.done
	if r.err != nil {
		t.Errorf("Run: %v", r.err)
	}
	if !r.refused(r.admin) {
		t.Error("the admin endpoint still listens")
	}
}

func TestDrainTimeout(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "A", `methods = ["GET", "PUT"]`, `timeouts { drain = "100ms" }`)}
	})
	conn := dial(t, r.addr(a))
	conn.send("PUT /up.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
	r.wait("request in flight", func() bool { s, _ := r.siteStatus("a"); return s.InFlight == 1 })
	r.end()
	<-r.done // the test's own timeout is the limit
	if _, err := os.Stat(filepath.Join(r.dir, "root-a-A", "up.txt")); err == nil {
		t.Error("half an upload is there")
	}
}

func TestKill(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "A", `methods = ["GET", "PUT"]`, `timeouts { drain = "1h" }`)}
	})
	conn := dial(t, r.addr(a))
	conn.send("PUT /up.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
	r.wait("request in flight", func() bool { s, _ := r.siteStatus("a"); return s.InFlight == 1 })
	r.end()
	r.wait("draining", func() bool { return r.refused(a) })
	r.Kill()
	<-r.done
	if r.err != nil {
		t.Errorf("Run: %v", r.err)
	}
}

func TestWatch(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "one")}
	}, func(o *Options) { o.Watch, o.PollEvery = true, 30*time.Millisecond })
	content := func() string { return r.get(a) }
	r.config(r.site("a", a, "two"))
	r.wait("two", func() bool { return content() == "two" })
	r.config(r.site("a", a, "three", "nonsense = 1"))
	r.wait("refused", func() bool { s, _ := r.siteStatus("a"); return !s.ConfigCurrent })
	time.Sleep(200 * time.Millisecond) // several looks at the same broken file
	r.wantMetric(1, "sited_config_reloads_total", "result", "refused")
	r.config(r.site("a", a, "three"))
	r.wait("three", func() bool { return content() == "three" })
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(slices.DeleteFunc(slices.Clone(r.notified), func(s string) bool { return strings.HasPrefix(s, "READY=1\n") })); n != 3 {
		t.Errorf("%d reloads were announced, want 3: %q", n, r.notified)
	}
}

// A file that the configuration reads with file() counts, and one that it reads
// only since a reload counts from then on.
func TestWatchFilesReadByFunctions(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "one")}
	}, func(o *Options) { o.Watch = true })
	r.site("x", 1, "two")
	r.site("x", 1, "three")
	folder := t.TempDir()
	name := filepath.Join(folder, "root")
	write(t, name, filepath.Join(r.dir, "root-x-two"))
	block := r.site("a", a, "one")
	r.config(strings.Replace(block, fmt.Sprintf("%q", filepath.Join(r.dir, "root-a-one")), fmt.Sprintf("trimspace(file(%q))", name), 1))
	r.wait("two", func() bool { return r.get(a) == "two" })
	write(t, name, filepath.Join(r.dir, "root-x-three"))
	r.wait("three", func() bool { return r.get(a) == "three" })
}

func TestReopen(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "A")}
	})
	r.get(a)
	path := filepath.Join(r.dir, "logs", "a", "passed.log")
	r.wait("log", func() bool { i, err := os.Stat(path); return err == nil && i.Size() > 0 })
	must(t, os.Rename(path, path+".1"))
	r.Reopen()
	r.get(a)
	r.wait("new log", func() bool { i, err := os.Stat(path); return err == nil && i.Size() > 0 })
}
