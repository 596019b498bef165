package metrics

import (
	"net/http/httptest"
	"os"
	"os/exec"
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

// scrape is what a scraper gets that accepts the text format, or that.
func scrape(t testing.TB, r *Registry, accept ...string) string {
	t.Helper()
	w, req := httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil)
	for _, a := range accept {
		req.Header.Add("Accept", a)
	}
	r.Handler().ServeHTTP(w, req)
	if w.Code != 200 {
		t.Fatalf("scrape: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if !strings.Contains("\n"+text, "\n"+want) {
			t.Errorf("missing: %s", want)
		}
	}
}

// exchange counts a request that has taken a millisecond.
func (s *Site) exchange(method string, code int) {
	s.Exchange(&Exchange{Method: method, Code: code, ID: 1, Start: time.Now(), Took: time.Millisecond, FirstByte: time.Millisecond})
}

func TestLint(t *testing.T) {
	r := New("1.2.3")
	r.Site("a", shape).Limits(10, 5)
	problems, err := promlint.New(strings.NewReader(scrape(t, r))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// promtool, where it is installed, has nothing to say about a scrape under way.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	r := New("1.2.3")
	s := r.Site("a", shape)
	s.Limits(10, 5)
	s.exchange("GET", 200)
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(scrape(t, r))
	if said, err := cmd.CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("%v\n%s", err, said)
	}
}

// A help text is a sentence or more, and no two are the same.
func TestHelp(t *testing.T) {
	r := New("1.2.3")
	r.Site("a", shape).Limits(10, 5)
	families, err := r.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen, ours := map[string]string{}, 0
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "sited_") {
			continue
		}
		ours++
		help := f.GetHelp()
		if other := seen[help]; other != "" || len(help) < 25 || !strings.HasSuffix(help, ".") {
			t.Errorf("%s: help %q, that of %q", f.GetName(), help, other)
		}
		seen[help] = f.GetName()
		if strings.HasSuffix(f.GetName(), "_seconds") && !strings.Contains(strings.ToLower(help), "seconds") {
			t.Errorf("%s: help does not name the unit: %q", f.GetName(), help)
		}
	}
	if ours != len(r.table.families)+4 {
		t.Errorf("%d metrics of ours are exported, of %d and 4", ours, len(r.table.families))
	}
}

// Every series that a site can have without a request is there from the start,
// and every family of a site has one.
func TestSeriesFromTheStart(t *testing.T) {
	r := New("1.2.3")
	r.Site("a", shape)
	text := scrape(t, r)
	for _, want := range []string{
		`sited_build_info{goversion="go`,
		`sited_config_reloads_total{result="partial"} 0`,
	} {
		wantLines(t, text, want)
	}
	wantLines(t, text,
		`sited_http_requests_total{code="200",method="PUT",site="a"} 0`,
		`sited_http_requests_total{code="500",method="GET",site="a"} 0`,
		`sited_http_request_duration_seconds_count{site="a"} 0`,
		`sited_http_request_duration_seconds_bucket{site="a",le="0.0005"} 0`,
		`sited_http_request_duration_seconds_bucket{site="a",le="+Inf"} 0`,
		`sited_http_time_to_first_byte_seconds_sum{site="a"} 0`,
		`sited_http_request_bytes_total{site="a"} 0`,
		`sited_connections{site="a",state="idle"} 0`,
		`sited_connections_limit{site="a"} 0`,
		`sited_connections_rejected_total{reason="max_connections",site="a"} 0`,
		`sited_bad_requests_total{reason="host",site="a"} 0`,
		`sited_script_requests_total{result="timeout",script=".cgi",site="a"} 0`,
		`sited_script_duration_seconds_count{script=".cgi",site="a"} 0`,
		`sited_script_processes{script=".php",site="a"} 0`,
		`sited_script_processes_limit{script=".php",site="a"} 0`,
		`sited_script_requests_waiting{script=".php",site="a"} 0`,
		`sited_script_peak_memory_bytes{script=".php",site="a"} 0`,
		`sited_script_cpu_seconds_total{script=".php",site="a"} 0`,
		`sited_tunnel_bytes_total{direction="to_client",site="a"} 0`,
		`sited_tunnel_refused_total{reason="not_allowed",site="a"} 0`,
		`sited_site_up{site="a"} 0`,
		`sited_log_lines_lost_total{site="a"} 0`,
	)
	if strings.Contains(text, "in_flight_limit") {
		t.Error("there is a limit of requests in flight before one was set")
	}
}

// A site's counters outlive its generations and go with the site.
func TestSiteLives(t *testing.T) {
	r := New("1.2.3")
	first := r.Site("a", shape)
	other := r.Site("ab", shape)
	other.exchange("GET", 200)
	first.exchange("GET", 404)
	first.Script(".cgi").Request("ok")
	first.Script(".cgi").Duration.Observe(time.Second)
	first.Limits(7, 3)

	next := shape
	next.Scripts = []string{".php"}
	second := r.Site("a", next)
	second.exchange("GET", 404)
	wantLines(t, scrape(t, r), `sited_script_requests_total{result="ok",script=".cgi",site="a"} 1`) // until Prune
	r.Prune("a", next.Scripts)
	text := scrape(t, r)
	wantLines(t, text,
		`sited_http_requests_total{code="404",method="GET",site="a"} 2`,
		`sited_http_request_duration_seconds_count{site="a"} 2`,
		`sited_http_time_to_first_byte_seconds_count{site="a"} 2`,
		`sited_connections_limit{site="a"} 7`,
		`sited_http_requests_in_flight_limit{site="a"} 3`,
	)
	if strings.Contains(text, `script=".cgi",site="a"`) || !strings.Contains(text, `script=".php",site="a"`) || !strings.Contains(text, `script=".cgi",site="ab"`) {
		t.Error("Prune took the wrong series")
	}
	r.Forget("a")
	text = scrape(t, r)
	if strings.Contains(text, `site="a"`) {
		t.Error("series of a forgotten site are still there")
	}
	wantLines(t, text, `sited_http_requests_total{code="200",method="GET",site="ab"} 1`)
	second.exchange("GET", 200) // for nobody
	second.BadRequest("field")
	second.exchange("PUT", 418)
	second.Limits(1, 1)
	if got := testutil.CollectAndCount(r.table, "sited_http_requests_total"); got != 6+5 { // GET with scripts, and PUT
		t.Errorf("%d request series", got)
	}
	if strings.Contains(scrape(t, r), `site="a"`) {
		t.Error("a forgotten site came back")
	}
	r.Prune("a", nil) // of a site that is not known: nothing
	r.Site("a", shape)
	wantLines(t, scrape(t, r), `sited_http_requests_total{code="404",method="GET",site="a"} 0`)
}

// The same handles serve every generation that has the same shape; a script that
// was forgotten and is there again begins anew, also for them.
func TestSiteAgain(t *testing.T) {
	r := New("1.2.3")
	a := r.Site("a", shape)
	same := shape
	same.Methods = append([]string(nil), shape.Methods...)
	if r.Site("a", same) != a {
		t.Error("an equal shape gets handles of its own")
	}
	a.Script(".php").CPU.Add(2)
	created := a.Script(".php").group.created
	without := shape
	without.Scripts = nil
	r.Site("a", without)
	r.Prune("a", nil)
	again := r.Site("a", shape).Script(".php")
	if again.CPU.Value() != 0 || again == a.Script(".php") || again.group.created.Before(created) {
		t.Errorf("the script goes on: %v since %v", again.CPU.Value(), again.group.created)
	}
	r.Prune("a", []string{".cgi"})
	r.Site("a", shape).Script(".php").CPU.Add(1)
	wantLines(t, scrape(t, r), `sited_script_cpu_seconds_total{script=".php",site="a"} 1`) // not that of old handles
	for i := range 2 * maxShapes {                                                         // more than are remembered
		odd := shape
		odd.Scripts = []string{".x" + string(rune('a'+i))}
		r.Site("b", odd)
	}
	if len(r.shapes) > maxShapes {
		t.Errorf("%d shapes are remembered", len(r.shapes))
	}
	if r.Site("a", shape).Script(".php") == nil || r.Site("a", shape).Script(".none") != nil {
		t.Error("the wrong scripts")
	}
}

// The limit of requests in flight is there where there is one.
func TestLimits(t *testing.T) {
	r := New("1.2.3")
	s := r.Site("a", shape)
	s.Limits(100, 0)
	s.Script(".php").Limit.Set(4)
	text := scrape(t, r)
	wantLines(t, text, `sited_connections_limit{site="a"} 100`, `sited_script_processes_limit{script=".php",site="a"} 4`)
	if strings.Contains(text, "in_flight_limit") {
		t.Error("there is a limit of requests in flight")
	}
	s.Limits(100, 9)
	r.Site("a", Shape{}) // another generation is prepared, and does not serve
	wantLines(t, scrape(t, r), `sited_http_requests_in_flight_limit{site="a"} 9`)
	s.Limits(50, 0)
	if text := scrape(t, r); strings.Contains(text, "in_flight_limit") || !strings.Contains(text, `sited_connections_limit{site="a"} 50`) {
		t.Error("the limit of requests in flight is still there, or that of connections did not change")
	}
}

func TestReloaded(t *testing.T) {
	r := New("1.2.3")
	r.Config.Reloaded(ReloadApplied, time.Unix(100, 500_000_000))
	r.Config.Reloaded(ReloadPartial, time.Unix(200, 0))
	wantLines(t, scrape(t, r),
		"sited_config_last_reload_successful 0",
		"sited_config_last_reload_success_timestamp_seconds 100.5",
		`sited_config_reloads_total{result="applied"} 1`,
	)
}

// All that a site may fail with is there from the start: a counter that comes up
// with its first failures has no rate.
func TestFailuresFromTheStart(t *testing.T) {
	for _, c := range []struct {
		method  string
		scripts []string
		want    string
	}{
		{"GET", nil, "200 404 500 503"},
		{"GET", []string{".php"}, "200 404 500 502 503 504"},
		{"POST", []string{".php"}, "200 404 500 502 503 504"},
		{"PUT", []string{".php"}, "200 404 500 503 507"},
		{"CONNECT", nil, "200 404 500 502 503 504"},
		{"OPTIONS", []string{".php"}, "200 404 500 503"},
	} {
		r := New("1.2.3")
		r.Site("a", Shape{Methods: []string{c.method}, Scripts: c.scripts})
		var got []string
		for line := range strings.Lines(scrape(t, r)) {
			if rest, ok := strings.CutPrefix(line, `sited_http_requests_total{code="`); ok {
				if !strings.HasSuffix(rest, " 0\n") {
					t.Errorf("%s", line)
				}
				got = append(got, rest[:3])
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s, scripts %v: %v, want %s", c.method, c.scripts, got, c.want)
		}
	}
}

// Whatever a request says, its labels are of a small set.
func TestExchangeLabels(t *testing.T) {
	r := New("1.2.3")
	s := r.Site("a", shape)
	for _, m := range []string{"GET", "get", "BREW", "", "\xff", "other", "CONNECT", "OPTIONS", "TRACE", "PATCH", "HEAD", "POST", "PUT", "DELETE"} {
		for _, code := range []int{200, 100, 599, 99, 600, 0, -1} {
			s.exchange(m, code)
		}
	}
	text := scrape(t, r)
	wantLines(t, text,
		`sited_http_requests_total{code="200",method="other",site="a"} 5`,
		`sited_http_requests_total{code="other",method="other",site="a"} 20`,
		`sited_http_requests_total{code="other",method="GET",site="a"} 4`,
		`sited_http_requests_total{code="599",method="CONNECT",site="a"} 1`,
	)
	if got, want := strings.Count(text, "\nsited_http_requests_total{"), 10*4+5+4; got != want { // and those from the start: GET, PUT
		t.Errorf("%d series of requests, want %d", got, want)
	}
}

// Codes that go together have places of their own, so that they don't have to be
// looked up again and again.
func TestRequestPlaces(t *testing.T) {
	taken := map[int]string{}
	for _, method := range []string{"GET", "HEAD"} {
		for _, code := range []int{200, 206, 301, 304, 404} {
			place := (code + 17*methodIndex(method)) % requestPlaces
			if taken[place] != "" {
				t.Errorf("%s %d has the place of %s", method, code, taken[place])
			}
			taken[place] = method + " " + codeLabel(code)
		}
	}
	r := New("1.2.3")
	s := r.Site("a", shape)
	for range 3 {
		s.exchange("GET", 200)
		s.exchange("GET", 200+requestPlaces) // the same place
	}
	wantLines(t, scrape(t, r),
		`sited_http_requests_total{code="200",method="GET",site="a"} 3`,
		`sited_http_requests_total{code="231",method="GET",site="a"} 3`,
	)
}

func TestExchangesConcurrently(t *testing.T) {
	r := New("1.2.3")
	s := r.Site("a", shape)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for code := range 50 {
				s.Exchange(&Exchange{Method: "GET", Code: 200 + (code+i)%50, Start: time.Now(), Took: time.Second, Received: 1, Sent: 2})
			}
		})
	}
	all.Wait()
	sum := 0.0
	for code := 200; code < 250; code++ {
		sum += s.requests.get(s, "GET", code).Value()
	}
	if sum != 400 || s.requestBytes.Value() != 400 || s.responseBytes.Value() != 800 {
		t.Errorf("counted %v of 400, %v and %v bytes", sum, s.requestBytes.Value(), s.responseBytes.Value())
	}
	wantLines(t, scrape(t, r), `sited_http_request_duration_seconds_sum{site="a"} 400`, `sited_http_time_to_first_byte_seconds_count{site="a"} 0`)
}

func TestCounterAndGauge(t *testing.T) {
	r := New("1.2.3")
	s := r.Site("a", shape)
	cpu, bytes, active, peak := s.Script(".php").CPU, s.ToClient, s.Active, s.Script(".php").PeakMemory
	cpu.Add(1.5)
	cpu.Add(0.000000001)
	cpu.Inc()
	bytes.Add(1 << 40)
	bytes.Inc()
	active.Inc()
	active.Add(3)
	active.Dec()
	s.Up.Set(1)
	for _, v := range []int64{5, 9, 7} {
		peak.Raise(v)
	}
	for name, c := range map[string]struct{ got, want float64 }{
		"cpu":    {cpu.Value(), 2.500000001},
		"bytes":  {bytes.Value(), 1<<40 + 1},
		"active": {active.Value(), 3},
		"up":     {s.Up.Value(), 1},
		"peak":   {peak.Value(), 9},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
}

// Counters never go back, whatever is done to the site while it is scraped.
func TestCountersNeverGoBack(t *testing.T) {
	r := New("1.2.3")
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			next := shape
			if i%2 == 0 {
				next.Methods, next.Scripts = []string{"GET", "POST", "DELETE"}, nil
			}
			s := r.Site("a", next)
			r.Prune("a", next.Scripts)
			s.exchange("GET", 200+i%300)
			s.Restarts.Inc()
			r.Sample(time.Now())
		}
	})
	before := map[string]float64{}
	for range 50 {
		families, err := r.Gatherer().Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "sited_http_requests_total" || f.GetName() == "sited_site_restarts_total" || f.GetName() == "sited_http_request_duration_seconds" {
				for _, m := range f.GetMetric() {
					now := m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
					key := f.GetName()
					for _, l := range m.GetLabel() {
						key += " " + l.GetValue()
					}
					if now < before[key] {
						t.Errorf("%s went from %v to %v", key, before[key], now)
					}
					before[key] = now
				}
			}
		}
	}
	close(done)
	all.Wait()
	if len(before) < 10 || before["sited_site_restarts_total a"] == 0 {
		t.Errorf("nothing happened: %v", before)
	}
}
