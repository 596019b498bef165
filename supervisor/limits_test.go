package supervisor

import (
	"net"
	"testing"
)

// The limits in the metrics are those of the generation that serves, whatever
// was prepared meanwhile, and go with the site.
func TestLimitsAreThoseInForce(t *testing.T) {
	limits := func(more string) string { return "limits {\n" + more + "\n}" }
	var a, b int
	r := run(t, func(r *rig) []string {
		a, b = r.port(), r.port()
		return []string{r.site("a", a, "A", limits("max_connections = 50"), `script ".cgi" { workers = 3 }`), r.site("b", b, "B")}
	})
	r.wantMetric(50, "sited_connections_limit", "site", "a")
	r.wantMetric(3, "sited_script_processes_limit", "site", "a", "script", ".cgi")
	r.wantMetric(10_000, "sited_connections_limit", "site", "b")
	without := func() {
		t.Helper()
		if _, ok := r.metric("sited_http_requests_in_flight_limit", "site", "a"); ok {
			t.Error("a has a limit of requests in flight")
		}
	}
	without()

	// a can be prepared; b, which is to have an address that is taken, can't.
	next := r.site("a", a, "A", limits("max_connections = 60\n  max_in_flight = 6"), `script ".cgi" { workers = 4 }`)
	other, err := net.Listen("tcp4", r.ip+":0")
	must(t, err)
	defer other.Close()
	r.config(next, r.site("b", other.Addr().(*net.TCPAddr).Port, "B"))
	r.reloadAs(Request{Trigger: "test", AllOrNothing: true}, "refused")
	r.wantMetric(50, "sited_connections_limit", "site", "a")
	r.wantMetric(3, "sited_script_processes_limit", "site", "a", "script", ".cgi")
	without()

	r.reload("applied", next)
	r.wantMetric(60, "sited_connections_limit", "site", "a")
	r.wantMetric(6, "sited_http_requests_in_flight_limit", "site", "a")
	r.wantMetric(4, "sited_script_processes_limit", "site", "a", "script", ".cgi")
	r.wait("b gone", func() bool { _, ok := r.siteStatus("b"); return !ok })
	if _, ok := r.metric("sited_connections_limit", "site", "b"); ok {
		t.Error("the limit of a site that is gone is still there")
	}

	r.reload("applied", r.site("a", a, "A"))
	r.wantMetric(10_000, "sited_connections_limit", "site", "a")
	without()
	if _, ok := r.metric("sited_script_processes_limit", "site", "a"); ok {
		t.Error("the limit of a script that is gone is still there")
	}
}
