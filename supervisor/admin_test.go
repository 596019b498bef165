package supervisor

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

func TestAdminEndpoints(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "one")}
	})
	r.get(a)
	for _, tt := range []struct {
		method, path string
		header       []string
		status       int
		body         string
	}{
		{"GET", "/", nil, 200, "/api/reload"},
		{"GET", "/healthz", nil, 200, "ok\n"},
		{"GET", "/readyz", nil, 200, "ready\n"},
		{"GET", "/metrics", nil, 200, `sited_site_up{site="a"} 1`},
		{"GET", "/api/sites", nil, 200, `"name": "a"`},
		{"GET", "/api/plan", nil, 200, `"result": "unchanged"`},
		{"GET", "/api/reload", nil, 405, ""},
		{"GET", "/api/upgrade", nil, 405, ""},
		{"POST", "/api/upgrade", []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
		{"POST", "/api/upgrade", []string{"Origin", "http://evil.example"}, 403, ""},
		{"POST", "/api/upgrade", nil, 500, `"result": "failed"`},
		{"POST", "/api/sites", nil, 405, ""},
		{"GET", "/nothing", nil, 404, ""},
		{"POST", "/api/reload?all_or_nothing=perhaps", nil, 400, "all_or_nothing is 0 or 1"},
		{"GET", "/healthz", []string{"Host", "evil.example:9180"}, 421, "by its IP address"},
		{"GET", "/healthz", []string{"Host", "localhost:9180"}, 200, "ok"},
		{"GET", "/healthz", []string{"Host", "[::1]:9180"}, 200, "ok"},
		{"GET", "/healthz", []string{"Host", "127.0.0.1.evil.example"}, 421, ""},
		{"POST", "/api/reload", []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
		{"POST", "/api/reload", []string{"Origin", "http://evil.example"}, 403, ""},
		{"POST", "/api/reload", nil, 200, `"result": "unchanged"`},
	} {
		status, body := r.ask(tt.method, tt.path, tt.header...)
		if status != tt.status || !strings.Contains(body, tt.body) {
			t.Errorf("%s %s %v: %d, want %d with %q:\n%s", tt.method, tt.path, tt.header, status, tt.status, tt.body, body)
		}
	}
	r.wantMetric(1, "sited_config_reloads_total", "result", "unchanged")

	r.config(r.site("a", a, "one"), r.site("b", r.port(), "B", "nonsense = 1"))
	if status, body := r.ask("POST", "/api/reload"); status != 422 || !strings.Contains(body, "nonsense") {
		t.Errorf("refused: %d %s", status, body)
	}
	r.config(r.site("a", a, "two"), r.site("b", r.port(), "B", "nonsense = 1"))
	status, body := r.ask("POST", "/api/reload")
	var report Report
	if err := json.Unmarshal([]byte(body), &report); status != 409 || err != nil || report.FormatVersion != 1 || report.Result != "partial" {
		t.Errorf("partial: %d %v %s", status, err, body)
	}
}

func TestAdminMoves(t *testing.T) {
	var site string
	r := run(t, func(r *rig) []string {
		site = r.site("a", r.port(), "A")
		return []string{site}
	})
	block := func(port int) string { return fmt.Sprintf("admin {\n  ip = %q\n  port = %d\n}\n%s", r.ip, port, site) }
	before, after := r.admin, r.port()
	r.config(block(after))
	report, err := Client{r.adminAddr()}.Reload(context.Background(), false) // answered by the one that goes
	must(t, err)
	if m := report.Admin; report.Result != "applied" || m == nil || m.Outcome != Applied || m.New != r.addr(after) {
		t.Errorf("report:\n%s", report.Text())
	}
	r.admin = after
	if code, _ := r.ask("GET", "/healthz"); code != 200 {
		t.Errorf("healthz: %d", code)
	}
	r.wait("old address closed", func() bool { return r.refused(before) })

	other, err := net.Listen("tcp4", r.ip+":0")
	must(t, err)
	defer other.Close()
	taken := other.Addr().(*net.TCPAddr).Port
	report = r.reload("refused", block(taken))
	if m := report.Admin; m == nil || m.Outcome != Failure || !strings.Contains(m.Error, "in use") {
		t.Errorf("report:\n%s", report.Text())
	}
	status, err := r.Status(context.Background())
	if err != nil || status.Admin.Addr != r.addr(after) || !strings.Contains(status.Admin.Reason, "in use") {
		t.Errorf("status: %+v", status.Admin)
	}
	must(t, other.Close())
	r.admin = taken
	r.wait("moved once it could", func() bool { s, _ := r.Status(context.Background()); return s.Admin.Addr == r.addr(taken) })
	if code, _ := r.ask("GET", "/healthz"); code != 200 {
		t.Errorf("healthz: %d", code)
	}
}

// The names that the endpoint answers to are taken in live, and its address
// stays as it is.
func TestAdminHosts(t *testing.T) {
	var site string
	r := run(t, func(r *rig) []string {
		site = r.site("a", r.port(), "A")
		return []string{site}
	})
	block := func(hosts string) string {
		return fmt.Sprintf("admin {\n  ip = %q\n  port = %d\n  hosts = %s\n}\n%s", r.ip, r.admin, hosts, site)
	}
	ask := func(host string, want int) {
		t.Helper()
		if status, body := r.ask("GET", "/metrics", "Host", host); status != want {
			t.Errorf("Host %s: %d, want %d: %s", host, status, want, body)
		}
	}
	ask("sited:9180", 421)

	r.config(block(`["sited", "Monitor.example.org"]`))
	preview, err := r.Preview(context.Background())
	if err != nil || preview.ExitCode() != 2 {
		t.Errorf("%v: plan:\n%s", err, preview.Text())
	}
	ask("sited:9180", 421) // a plan changes nothing
	report := r.reload("applied", block(`["sited", "Monitor.example.org"]`))
	want := "~ swap    (admin)  " + r.addr(r.admin) + "  applied\n      admin.hosts: (none) -> [\"sited\", \"monitor.example.org\"]\n"
	if !strings.Contains(report.Text(), want) {
		t.Errorf("no %q in:\n%s", want, report.Text())
	}
	for host, status := range map[string]int{
		"sited": 200, "sited:9180": 200, "SITED:9180": 200, "monitor.example.org": 200, "localhost": 200, r.addr(r.admin): 200,
		"sited.": 421, "sited.evil.example": 421, "evil.example": 421, "[sited": 200,
	} {
		ask(host, status)
	}
	if status, body := r.ask("POST", "/api/reload", "Host", "sited", "Origin", "http://evil.example"); status != 403 {
		t.Errorf("a page of another origin: %d %s", status, body)
	}
	r.reload("unchanged", block(`["sited", "Monitor.example.org"]`))
	r.reload("applied", block(`[]`))
	ask("sited:9180", 421)
}

func TestAdminTakenAtStart(t *testing.T) {
	var a int
	var other net.Listener
	r := run(t, func(r *rig) []string {
		var err error
		other, err = net.Listen("tcp4", r.addr(r.admin))
		must(t, err)
		t.Cleanup(func() { other.Close() })
		a = r.port()
		return []string{r.site("a", a, "A")}
	})
	if got := r.get(a); got != "A" {
		t.Errorf("got %q", got)
	}
	if status, err := r.Status(context.Background()); err != nil || status.Admin.Addr != "" || !strings.Contains(status.Text(), "not reachable: ") {
		t.Errorf("%v:\n%s", err, status.Text())
	}
	must(t, other.Close())
	r.wait("admin endpoint", func() bool { s, _ := r.Status(context.Background()); return s.Admin.Addr != "" })
	if code, _ := r.ask("GET", "/healthz"); code != 200 {
		t.Errorf("healthz: %d", code)
	}
}

func TestClient(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "one")}
	})
	ctx := context.Background()
	c := Client{r.adminAddr()}
	status, err := c.Status(ctx)
	if err != nil || len(status.Sites) != 1 || status.Sites[0].State != Serving || status.Phase != Running || status.Config.Reload.Trigger != "start" {
		t.Fatalf("%v: %+v", err, status)
	}
	for _, want := range []string{"sited test", "SITE", "a     " + r.addr(a), "serving", "admin   " + r.addr(r.admin) + "\n"} {
		if !strings.Contains(status.Text(), want) {
			t.Errorf("no %q in\n%s", want, status.Text())
		}
	}
	r.config(r.site("a", a, "two"))
	plan, err := c.Plan(ctx)
	if err != nil || plan.ExitCode() != 2 || step(t, plan, "a").Op != Swap {
		t.Fatalf("%v: %+v", err, plan)
	}
	report, err := c.Reload(ctx, true)
	if err != nil || report.Result != "applied" || !strings.Contains(report.Text(), "~ swap    a") {
		t.Fatalf("%v: %+v", err, report)
	}

	nobody := Client{netip.MustParseAddrPort(r.addr(r.port()))}
	if _, err := nobody.Status(ctx); err == nil || !strings.HasSuffix(err.Error(), ": is it running? (sited run)") {
		t.Errorf("nobody there: %v", err)
	}
	wrong := Client{netip.MustParseAddrPort(r.addr(a))}
	if _, err := wrong.Status(ctx); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a site instead of the admin endpoint: %v", err)
	}
}

func TestClientTarget(t *testing.T) {
	for from, want := range map[string]string{
		"127.0.0.1:1": "127.0.0.1:1", "0.0.0.0:2": "127.0.0.1:2", "[::]:3": "[::1]:3", "10.0.0.1:4": "10.0.0.1:4",
	} {
		if got := (Client{netip.MustParseAddrPort(from)}).target().String(); got != want {
			t.Errorf("%s: %s, want %s", from, got, want)
		}
	}
}

// A site whose root is not there answers 503, and is not up: monitors see it, and
// see it mended.
func TestRootIsMissing(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "A"), r.site("b", r.port(), "B")}
	}, func(o *Options) { o.PollEvery = 10 * time.Millisecond })
	root := func() string { s, _ := r.siteStatus("a"); return s.Root }()
	away := root + ".away"
	must(t, os.Rename(root, away))
	r.wait("noticed", func() bool { s, _ := r.siteStatus("a"); return s.Problem != "" })
	r.wantMetric(0, "sited_site_up", "site", "a")
	r.wantMetric(1, "sited_site_up", "site", "b")
	if code, body := r.ask("GET", "/readyz"); code != 503 || !strings.Contains(body, "a: the site's root is not there") {
		t.Errorf("readyz: %d %s", code, body)
	}
	must(t, os.Rename(away, root))
	r.wait("mended", func() bool { s, _ := r.siteStatus("a"); return s.Problem == "" })
	r.wantMetric(1, "sited_site_up", "site", "a")
	if got := r.get(a); got != "A" {
		t.Errorf("got %q", got)
	}
}
