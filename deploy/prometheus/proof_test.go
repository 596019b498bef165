package prometheus_test

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sited/rig"
)

// unprovoked are the alerts that the test has no way to bring about.
var unprovoked = []string{
	"SitedPanics", // no request is known that makes sited panic
	"SitedAbsent", // comes when there is no target, and then none of the others can
}

// TestEverythingReturnsData has a Prometheus with the shipped configuration scrape
// two machines to which everything happens. Each query of each shipped file has to
// return data then, and each alert that can be provoked has to be on its way.
func TestEverythingReturnsData(t *testing.T) {
	rig.Need(t, "prometheus")
	o := newTowns(t)
	targets := []string{o.main.Addrs["admin"], o.other.Addrs["admin"], o.main.Addrs["nobody"]}
	p := startPrometheus(t, o.main.Addrs["prometheus"], targets, "--enable-feature=exemplar-storage")
	native := startPrometheus(t, o.main.Addrs["native"], targets[:1], "--enable-feature=exemplar-storage,native-histograms")
	rig.Eventually(t, "the first scrape", func() bool {
		return p.last(`sited_site_up{site="quiet"}`) == 1 // before that nothing can increase
	})
	o.visit()
	o.keepBusy()
	o.reconfigure()
	o.startAgain(3, func(starts int) bool {
		n := p.last(fmt.Sprintf(`changes(process_start_time_seconds{instance=%q}[30m])`, o.other.Addrs["admin"]))
		return n >= float64(starts-1)
	})
	o.scarce()

	checkQueries(t, p)
	checkAlerts(t, p)
	checkExemplars(t, p, o)
	checkNative(t, native)
	t.Logf("%v", time.Since(p.begun).Round(time.Second))
}

// checkQueries sees that every query returns data, rule by rule, selector by
// selector, panel by panel.
func checkQueries(t *testing.T, p *prometheus) {
	t.Helper()
	all := map[query][]string{} // by where they are from, the expressions of which one has to return data
	for name, rules := range shippedRules(t) {
		for _, r := range rules {
			where := fmt.Sprintf("%s, %s", name, r.name())
			if r.Record != "" {
				all[query{where, r.Record}] = []string{r.Record}
			} else if r.Alert != "" && !slices.Contains(unprovoked, r.Alert) {
				all[query{where, r.Expr}] = []string{r.Expr}
			}
			parts := selectors(r.Expr)
			if len(parts) == 0 && !strings.HasPrefix(r.Expr, "vector(") {
				t.Errorf("%s: no metric is seen in %s", where, r.Expr)
			}
			for _, s := range parts {
				all[query{where, s}] = []string{s}
			}
		}
	}
	for _, d := range readDashboards(t) {
		combinations := d.combinations(t, p)
		for _, q := range d.queries() {
			for _, values := range combinations {
				expr, err := fillIn(q.expr, values)
				if err != nil {
					t.Errorf("%s: %s: %v", q.where, q.expr, err)
				}
				if !slices.Contains(all[q], expr) {
					all[q] = append(all[q], expr)
				}
			}
		}
	}
	if len(all) < 100 {
		t.Errorf("only %d queries: the test does not see them", len(all))
	}
	t.Logf("%d queries", len(all))
	var why map[query]error
	for deadline := time.Now().Add(2 * rig.Patience); len(all) > 0 && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		why = map[query]error{}
		for q, exprs := range all {
			for _, expr := range exprs {
				found, err := p.data(expr)
				if len(found) > 0 {
					delete(all, q)
					break
				}
				why[q] = err
			}
		}
	}
	for q := range all {
		t.Errorf("%s: this returns nothing, whatever happens (%v):\n%s", q.where, why[q], q.expr)
	}
}

// checkAlerts sees that every rule can be evaluated, that the alerts have been
// pending or firing, and that the site without traffic had none.
func checkAlerts(t *testing.T, p *prometheus) {
	t.Helper()
	rules, err := p.rules()
	if err != nil || len(rules) < 40 {
		t.Fatalf("%d rules, %v", len(rules), err)
	}
	for _, r := range rules {
		if r.Health != "ok" {
			t.Errorf("%s: %s, %s", r.Name, r.Health, r.LastError)
		}
	}
	var missing []string
	defer func() {
		if len(missing) > 0 {
			t.Errorf("these alerts did not come, whatever happened: %q", missing)
		}
	}()
	rig.Eventually(t, "all alerts are on their way", func() bool {
		seen := map[string]bool{}
		came, err := p.data("ALERTS")
		rig.Must(t, err)
		for _, a := range came {
			seen[a.Metric["alertname"]] = true
			if a.Metric["site"] == "quiet" || a.Metric["severity"] == "" {
				t.Fatalf("an alert without a reason: %v", a.Metric)
			}
		}
		missing = nil
		for _, a := range alerts(t) {
			if !seen[a.Alert] && !slices.Contains(unprovoked, a.Alert) {
				missing = append(missing, a.Alert)
			}
		}
		return len(missing) == 0
	})
}

var requestID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// checkExemplars sees that exemplars lead to a line in a log.
func checkExemplars(t *testing.T, p *prometheus, o *towns) {
	t.Helper()
	for _, metric := range []string{
		"sited_http_request_duration_seconds_bucket", "sited_http_time_to_first_byte_seconds_bucket", "sited_script_duration_seconds_bucket",
	} {
		rig.Eventually(t, metric+" has exemplars whose requests are in the log", func() bool {
			labels, err := p.exemplars(metric)
			rig.Must(t, err)
			found := false
			for _, l := range labels {
				if id := l["request_id"]; !requestID.MatchString(id) || len(l) != 1 {
					t.Fatalf("%s has an exemplar with %v", metric, l)
				} else if o.logged(id) {
					found = true
				}
			}
			return found
		})
	}
}

// checkNative sees that histograms arrive as native ones where Prometheus asks for
// those.
func checkNative(t *testing.T, p *prometheus) {
	t.Helper()
	for _, metric := range []string{
		"sited_http_request_duration_seconds", "sited_http_time_to_first_byte_seconds", "sited_script_duration_seconds",
	} {
		for _, expr := range []string{
			fmt.Sprintf("histogram_count(sum(%s))", metric),
			fmt.Sprintf("histogram_quantile(0.99, sum by (site) (rate(%s[5m])))", metric),
		} {
			rig.Eventually(t, expr, func() bool {
				n := p.last(expr)
				return n > 0 && !math.IsInf(n, 0)
			})
		}
	}
}
