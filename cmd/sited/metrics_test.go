package main_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"sited/rig"
)

// siteMetrics are the metrics with a site label, and their other labels with a
// value that is there from the start.
var siteMetrics = []string{
	`http_requests_total{code="200",method="GET",site="S"}`, `http_requests_total{code="404",method="HEAD",site="S"}`,
	`http_request_duration_seconds_count{site="S"}`, `http_request_duration_seconds_bucket{site="S",le="+Inf"}`,
	`http_requests_in_flight{site="S"}`, `http_request_bytes_total{site="S"}`, `http_response_bytes_total{site="S"}`,
	`connections{site="S",state="idle"}`, `connections{site="S",state="active"}`, `connections_accepted_total{site="S"}`,
	`connections_rejected_total{reason="max_connections",site="S"}`,
	`bad_requests_total{reason="host",site="S"}`, `bad_requests_total{reason="chunk",site="S"}`, `bad_requests_total{reason="timeout",site="S"}`,
	`auth_failures_total{site="S"}`, `panics_total{site="S"}`,
	`tunnels{site="S"}`, `tunnel_bytes_total{direction="to_target",site="S"}`, `tunnel_bytes_total{direction="to_client",site="S"}`,
	`tunnel_refused_total{reason="not_allowed",site="S"}`, `tunnel_refused_total{reason="special_purpose",site="S"}`,
	`site_up{site="S"}`, `site_restarts_total{site="S"}`, `site_config_current{site="S"}`,
}

// scriptMetrics are those with a script label as well.
var scriptMetrics = []string{
	`script_requests_total{result="ok",script=".sh",site="app"}`, `script_requests_total{result="timeout",script=".sh",site="app"}`,
	`script_duration_seconds_count{script=".sh",site="app"}`, `script_processes{script=".sh",site="app"}`,
	`script_restarts_total{script=".sh",site="app"}`, `script_cpu_seconds_total{script=".sh",site="app"}`,
}

func TestMetricsFromTheStart(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	p := f.run()
	m := p.scrape()
	want := slices.Clone(scriptMetrics)
	for _, site := range []string{"static", "app", "upload"} {
		for _, name := range siteMetrics {
			want = append(want, strings.ReplaceAll(name, `"S"`, `"`+site+`"`))
		}
	}
	want = append(want, `config_last_reload_successful`, `config_last_reload_success_timestamp_seconds`,
		`config_reloads_total{result="applied"}`, `config_reloads_total{result="refused"}`)
	for _, name := range want {
		value, there := m["sited_"+name]
		if !there {
			t.Errorf("no sited_%s", name)
		}
		one := strings.HasPrefix(name, "site_up") || strings.HasPrefix(name, "site_config_current") || name == "config_last_reload_successful" || strings.Contains(name, `"applied"`)
		if one && value != 1 || !one && !strings.Contains(name, "timestamp") && value != 0 {
			t.Errorf("sited_%s is %v before any request", name, value)
		}
	}
	if m["go_goroutines"] == 0 || m["process_open_fds"] == 0 {
		t.Error("no Go or process metrics")
	}
	if !slices.ContainsFunc(keys(m), func(s string) bool { return strings.HasPrefix(s, "sited_build_info{goversion=") }) {
		t.Error("no sited_build_info")
	}
}

func keys(m map[string]float64) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	return all
}

func TestMetricsCount(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	p := f.run()
	for range 3 {
		ask(t, f.Addr("static"), request("GET", "/hello.txt"))
	}
	ask(t, f.Addr("static"), request("HEAD", "/hello.txt"))
	ask(t, f.Addr("static"), request("GET", "/nothing", "User-Agent: evil\"} 1"))
	ask(t, f.Addr("static"), request("BREW", "/"))
	ask(t, f.Addr("static"), "GET / HTTP/1.1\r\n\r\n")
	ask(t, f.Addr("app"), requestWith("POST", "/echo.sh", "12345"))
	ask(t, f.Addr("upload"), request("GET", "/private/secret.txt", basic("alice", "wrong")))
	ask(t, f.Addr("upload"), request("GET", "/private/secret.txt"))
	kept := dial(t, f.Addr("upload"))
	kept.get(t, "/public.txt")
	want := map[string]float64{
		`http_requests_total{code="200",method="GET",site="static"}`:         3,
		`http_requests_total{code="200",method="HEAD",site="static"}`:        1,
		`http_requests_total{code="404",method="GET",site="static"}`:         1,
		`http_requests_total{code="501",method="other",site="static"}`:       1,
		`http_requests_total{code="400",method="GET",site="static"}`:         1,
		`http_request_duration_seconds_count{site="static"}`:                 7,
		`connections_accepted_total{site="static"}`:                          7,
		`connections{site="static",state="idle"}`:                            0,
		`connections{site="static",state="active"}`:                          0,
		`connections{site="upload",state="idle"}`:                            1,
		`bad_requests_total{reason="host",site="static"}`:                    1,
		`http_request_bytes_total{site="app"}`:                               5,
		`http_response_bytes_total{site="app"}`:                              5,
		`script_requests_total{result="ok",script=".sh",site="app"}`:         1,
		`script_duration_seconds_count{script=".sh",site="app"}`:             1,
		`script_processes{script=".sh",site="app"}`:                          0,
		`auth_failures_total{site="upload"}`:                                 1,
		`http_requests_total{code="401",method="GET",site="upload"}`:         2,
		`http_requests_in_flight{site="static"}`:                             0,
		`http_request_duration_seconds_bucket{site="static",le="+Inf"}`:      7,
		`connections_rejected_total{reason="max_connections",site="static"}`: 0,
		`panics_total{site="app"}`:                                           0,
	}
	wrong := ""
	defer func() {
		if wrong != "" {
			t.Errorf("not as counted here:%s", wrong)
		}
	}()
	rig.Eventually(t, "the counts are right", func() bool {
		m := p.scrape()
		wrong = ""
		for name, value := range want {
			if got, there := m["sited_"+name]; !there || got != value {
				wrong += fmt.Sprintf("\n%s is %v, want %v", name, got, value)
			}
		}
		return wrong == ""
	})
	for name := range p.scrape() {
		if strings.Contains(name, "BREW") || strings.Contains(name, "evil") || strings.Contains(name, "site.example") {
			t.Errorf("a label from a request: %s", name)
		}
	}
}

func TestPromtool(t *testing.T) {
	rig.Need(t, "promtool")
	t.Parallel()
	f := newSites(t)
	p := f.run()
	for _, raw := range []string{request("GET", "/"), request("BREW", "/"), "rubbish\r\n\r\n"} {
		ask(t, f.Addr("app"), raw)
	}
	_, text, err := p.ask("GET", "/metrics")
	rig.Must(t, err)
	if r := execute(t, f.Dir, text, "promtool", "check", "metrics"); r.status != 0 || r.stdout+r.stderr != "" {
		t.Errorf("promtool: %+v", r)
	}
	res, _, err := p.ask("GET", "/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
	if err != nil || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/openmetrics-text") {
		t.Errorf("OpenMetrics: %v %v", res, err)
	}
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	p := f.run()
	for _, tt := range []struct {
		method, path string
		fields       []string
		status       int
		body         string
	}{
		{"GET", "/healthz", nil, 200, "ok\n"},
		{"GET", "/readyz", nil, 200, "ready\n"},
		{"GET", "/", nil, 200, "/metrics"},
		{"GET", "/api/sites", nil, 200, `"name": "static"`},
		{"GET", "/api/plan", nil, 200, `"result": "unchanged"`},
		{"POST", "/api/reload", nil, 200, `"result": "unchanged"`},
		{"GET", "/api/reload", nil, 405, ""},
		{"POST", "/api/reload?all_or_nothing=maybe", nil, 400, "all_or_nothing"},
		{"GET", "/nothing", nil, 404, ""},
		{"GET", "/metrics", []string{"Host", "localhost"}, 200, "sited_site_up"},
		// A page of another origin: its POST, and its name that resolves to us.
		{"POST", "/api/reload", []string{"Origin", "http://evil.example"}, 403, ""},
		{"POST", "/api/reload", []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
		{"POST", "/api/reload", []string{"Sec-Fetch-Site", "same-site"}, 403, ""},
		{"POST", "/api/reload", []string{"Sec-Fetch-Site", "same-origin"}, 200, "unchanged"},
		{"GET", "/api/sites", []string{"Host", "evil.example"}, 421, "IP address"},
		{"GET", "/metrics", []string{"Host", "127.0.0.1.evil.example:9180"}, 421, ""},
		{"POST", "/api/reload", []string{"Host", "evil.example"}, 421, ""},
	} {
		res, body, err := p.ask(tt.method, tt.path, tt.fields...)
		rig.Must(t, err)
		if res.StatusCode != tt.status || !strings.Contains(body, tt.body) {
			t.Errorf("%s %s %q: %d %.200q, want %d %q", tt.method, tt.path, tt.fields, res.StatusCode, body, tt.status, tt.body)
		}
	}
	s, err := p.sites()
	if err != nil || s.FormatVersion != 1 || s.PID != p.Cmd.Process.Pid || len(s.Sites) != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	if got := p.site("upload"); got.Addr != f.Addr("upload") || got.State != "serving" || got.Generation != 1 || !got.ConfigCurrent {
		t.Errorf("%+v", got)
	}
}

// The admin endpoint moves when its address does, and sites that want its
// address are told.
func TestAdminMoves(t *testing.T) {
	t.Parallel()
	f := newSites(t, "elsewhere")
	p := f.run()
	f.Config(strings.Replace(threeSites, "@admin", "@elsewhere", 1))
	p.reload() // the answer comes from the one or from the other
	old := f.Addr("admin")
	f.Addrs["admin"] = f.Addr("elsewhere")
	rig.Eventually(t, "it answers at its new address", func() bool {
		_, body, err := p.ask("GET", "/readyz")
		return err == nil && body == "ready\n"
	})
	rig.Eventually(t, "the old address is free", func() bool {
		ln, err := net.Listen("tcp", old)
		if err != nil {
			return false
		}
		return ln.Close() == nil
	})
}
