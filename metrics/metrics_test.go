package metrics

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

var shape = Shape{
	Methods:       []string{"GET", "PUT"},
	Scripts:       []string{".php", ".cgi"},
	BadRequests:   []string{"host"},
	Rejected:      []string{"max_connections"},
	TunnelRefused: []string{"not_allowed"},
	ScriptResults: []string{"ok", "timeout"},
}

func scrape(t *testing.T, r *Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("scrape: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestLint(t *testing.T) {
	r := New("1.2.3")
	r.Site("a", shape)
	problems, err := promlint.New(strings.NewReader(scrape(t, r))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Every series that a site can have without a request is there from the start.
func TestSeriesFromTheStart(t *testing.T) {
	r := New("1.2.3")
	r.Site("a", shape)
	text := scrape(t, r)
	for _, want := range []string{
		`sited_build_info{goversion="go`,
		`sited_config_reloads_total{result="partial"} 0`,
		`sited_http_requests_total{code="200",method="PUT",site="a"} 0`,
		`sited_http_requests_total{code="500",method="GET",site="a"} 0`,
		`sited_http_request_duration_seconds_count{site="a"} 0`,
		`sited_connections{site="a",state="idle"} 0`,
		`sited_connections_rejected_total{reason="max_connections",site="a"} 0`,
		`sited_bad_requests_total{reason="host",site="a"} 0`,
		`sited_script_requests_total{result="timeout",script=".cgi",site="a"} 0`,
		`sited_script_processes{script=".php",site="a"} 0`,
		`sited_tunnel_bytes_total{direction="to_client",site="a"} 0`,
		`sited_tunnel_refused_total{reason="not_allowed",site="a"} 0`,
		`sited_site_up{site="a"} 0`,
		`sited_log_lines_lost_total{site="a"} 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
}

// A site's counters outlive its generations and go with the site.
func TestSiteLives(t *testing.T) {
	r := New("1.2.3")
	first := r.Site("a", shape)
	other := r.Site("ab", shape)
	other.Request("GET", 200)
	first.Request("GET", 404)
	first.Script(".cgi").Request("ok")

	next := shape
	next.Scripts = []string{".php"}
	second := r.Site("a", next)
	second.Request("GET", 404)
	if !strings.Contains(scrape(t, r), `script_requests_total{result="ok",script=".cgi",site="a"} 1`) {
		t.Error("a script's series went before Prune")
	}
	r.Prune("a", next.Scripts)
	text := scrape(t, r)
	if !strings.Contains(text, `sited_http_requests_total{code="404",method="GET",site="a"} 2`) {
		t.Error("a counter did not go on")
	}
	if strings.Contains(text, `script=".cgi",site="a"`) || !strings.Contains(text, `script=".php",site="a"`) || !strings.Contains(text, `script=".cgi",site="ab"`) {
		t.Error("Prune took the wrong series")
	}
	r.Forget("a")
	text = scrape(t, r)
	if strings.Contains(text, `site="a"`) {
		t.Error("series of a forgotten site are still there")
	}
	if !strings.Contains(text, `sited_http_requests_total{code="200",method="GET",site="ab"} 1`) {
		t.Error("another site lost its series")
	}
	second.Request("GET", 200) // for nobody
	second.BadRequest("field")
	second.Request("PUT", 418)
	if got := testutil.CollectAndCount(r.table, "sited_http_requests_total"); got != 6 {
		t.Errorf("%d request series", got)
	}
	if strings.Contains(scrape(t, r), `site="a"`) {
		t.Error("a forgotten site came back")
	}
}

func TestReloaded(t *testing.T) {
	r := New("1.2.3")
	r.Config.Reloaded(ReloadApplied, time.Unix(100, 500_000_000))
	r.Config.Reloaded(ReloadPartial, time.Unix(200, 0))
	text := scrape(t, r)
	for _, want := range []string{
		"sited_config_last_reload_successful 0",
		"sited_config_last_reload_success_timestamp_seconds 100.5",
		`sited_config_reloads_total{result="applied"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
}

func TestRequestsConcurrently(t *testing.T) {
	r := New("1.2.3")
	s := r.Site("a", shape)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for code := range 50 {
				s.Request("GET", 200+(code+i)%50)
			}
		})
	}
	all.Wait()
	sum := 0.0
	for code := 200; code < 250; code++ {
		sum += testutil.ToFloat64(s.requests.get("GET", code))
	}
	if sum != 400 {
		t.Errorf("counted %v of 400", sum)
	}
}

func TestCell(t *testing.T) {
	r := New("1.2.3")
	s := r.Site("a", shape)
	s.Script(".php").CPU.Add(1.5)
	s.Script(".php").CPU.Add(0.25)
	s.Script(".php").CPU.Add(2)
	s.ResponseBytes.Add(1 << 40)
	s.ResponseBytes.Inc()
	s.Active.Inc()
	s.Active.Add(2.5)
	s.Active.Sub(0.5)
	s.Active.Dec()
	s.Up.Set(0.5)
	s.Up.Set(1)
	s.InFlight.SetToCurrentTime()
	for name, c := range map[string]struct {
		got, want float64
	}{
		"cpu":    {testutil.ToFloat64(s.Script(".php").CPU), 3.75},
		"bytes":  {testutil.ToFloat64(s.ResponseBytes), 1<<40 + 1},
		"active": {testutil.ToFloat64(s.Active), 2},
		"up":     {testutil.ToFloat64(s.Up), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if got := testutil.ToFloat64(s.InFlight); got < 1.7e9 {
		t.Errorf("now: %v", got)
	}
}

// Parts of numbers that are added at the same time are all counted.
func TestCellConcurrently(t *testing.T) {
	s := New("1.2.3").Site("a", shape)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				s.RequestBytes.Add(0.5)
				s.RequestBytes.Inc()
			}
		})
	}
	all.Wait()
	if got := testutil.ToFloat64(s.RequestBytes); got != 12000 {
		t.Errorf("%v", got)
	}
}

// BenchmarkSites makes the series of 1,000 sites and deletes them.
func BenchmarkSites(b *testing.B) {
	r := New("1.2.3")
	b.ReportAllocs()
	for b.Loop() {
		for i := range 1000 {
			r.Site(strconv.Itoa(i), shape)
		}
		for i := range 1000 {
			r.Forget(strconv.Itoa(i))
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	s := New("1.2.3").Site("a", shape)
	b.ReportAllocs()
	for b.Loop() {
		s.Request("GET", 200)
		s.Duration.Observe(0.0001)
		s.ResponseBytes.Add(1024)
	}
}
