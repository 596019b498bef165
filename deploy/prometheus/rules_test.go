// Package prometheus_test checks what is shipped for Prometheus: by promtool, and by
// a Prometheus that scrapes a sited to which everything happens.
package prometheus_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"sited/rig"
)

const operations = "../../docs/operations.md"

// rule is a recording rule or an alert.
type rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func (r *rule) name() string { return r.Record + r.Alert }

// shippedRules are those of all files, by file.
func shippedRules(t *testing.T) map[string][]rule {
	t.Helper()
	rules := map[string][]rule{}
	for _, name := range glob(t, "rules/*.yml") {
		var file struct {
			Groups []struct {
				Name     string `yaml:"name"`
				Interval string `yaml:"interval"`
				Rules    []rule `yaml:"rules"`
			} `yaml:"groups"`
		}
		decode(t, name, &file)
		for _, g := range file.Groups {
			rules[name] = append(rules[name], g.Rules...)
		}
		if len(rules[name]) == 0 {
			t.Fatalf("%s: the test sees no rules", name)
		}
	}
	return rules
}

// alerts are the shipped ones.
func alerts(t *testing.T) (found []rule) {
	t.Helper()
	for _, rules := range shippedRules(t) {
		for _, r := range rules {
			if r.Alert != "" {
				found = append(found, r)
			}
		}
	}
	if len(found) < 10 {
		t.Fatalf("only %d alerts: the test does not see them", len(found))
	}
	return found
}

func decode(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(names), err)
	}
	return names
}

func TestPromtoolCheck(t *testing.T) {
	t.Parallel()
	promtool := rig.Need(t, "promtool")
	for _, args := range [][]string{
		{"check", "config", "prometheus.yml"},
		append([]string{"check", "rules"}, glob(t, "rules/*.yml")...),
	} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestConfigIsOfOneJob wants prometheus.yml to be what the rules count on.
func TestConfigIsOfOneJob(t *testing.T) {
	t.Parallel()
	var config struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string `yaml:"job_name"`
			StaticConfigs []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
		Global map[string]string `yaml:"global"`
	}
	decode(t, "prometheus.yml", &config)
	if len(config.ScrapeConfigs) != 1 || config.ScrapeConfigs[0].JobName != "sited" {
		t.Fatalf("the rules ask for the job sited: %+v", config.ScrapeConfigs)
	}
	if targets := config.ScrapeConfigs[0].StaticConfigs[0].Targets; !slices.Equal(targets, []string{"127.0.0.1:9180"}) {
		t.Errorf("targets %q: want the default of the admin block", targets)
	}
	var matched []string
	for _, pattern := range config.RuleFiles {
		matched = append(matched, glob(t, pattern)...)
	}
	if len(matched) != len(shippedRules(t)) {
		t.Errorf("rule_files takes in %q", matched)
	}
}

func TestPromtoolTestRules(t *testing.T) {
	promtool := rig.Need(t, "promtool")
	for _, name := range glob(t, "tests/*.yml") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			for _, read := range append(glob(t, "rules/*.yml"), name) { // what the cached result depends on
				if _, err := os.ReadFile(read); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command(promtool, "test", "rules", name).CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("SUCCESS")) {
				t.Errorf("promtool test rules %s: %v\n%s", name, err, out)
			}
		})
	}
}

// ruleTests is a file for promtool test rules.
type ruleTests struct {
	RuleFiles          []string `yaml:"rule_files"`
	EvaluationInterval string   `yaml:"evaluation_interval"`
	GroupEvalOrder     []string `yaml:"group_eval_order"`
	Tests              []struct {
		Name           string      `yaml:"name"`
		Interval       string      `yaml:"interval"`
		InputSeries    []yaml.Node `yaml:"input_series"`
		AlertRuleTests []struct {
			EvalTime  string      `yaml:"eval_time"`
			Alertname string      `yaml:"alertname"`
			ExpAlerts []yaml.Node `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	} `yaml:"tests"`
}

// TestEveryAlertIsTested wants each alert to fire and then to clear in one test,
// and to stay quiet through another one.
func TestEveryAlertIsTested(t *testing.T) {
	t.Parallel()
	clears, quiet := map[string]bool{}, map[string]bool{}
	for _, name := range glob(t, "tests/*.yml") {
		var file ruleTests
		decode(t, name, &file)
		for _, test := range file.Tests {
			fired, asked := map[string]bool{}, map[string]bool{}
			for _, at := range test.AlertRuleTests {
				alert := at.Alertname
				asked[alert] = true
				if len(at.ExpAlerts) > 0 {
					fired[alert] = true
				} else if fired[alert] {
					clears[alert] = true
				}
			}
			for alert := range asked {
				if !fired[alert] {
					quiet[alert] = true
				}
			}
		}
	}
	for _, a := range alerts(t) {
		if !clears[a.Alert] {
			t.Errorf("no test in tests/ has %s fire and then clear", a.Alert)
		}
		if !quiet[a.Alert] {
			t.Errorf("no test in tests/ stays below what %s needs", a.Alert)
		}
	}
}

func TestAlertsSayWhatIsToBeKnown(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(operations)
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, m := range regexp.MustCompile(`(?m)^### Alarm: (\w+)$`).FindAllStringSubmatch(string(page), -1) {
		named = append(named, m[1])
	}
	for _, a := range alerts(t) {
		if !strings.HasPrefix(a.Alert, "Sited") {
			t.Errorf("%s: a name that others may have as well", a.Alert)
		}
		if s := a.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", a.Alert, s)
		}
		if !slices.Contains(named, a.Alert) {
			t.Errorf("%s has no heading %q in %s", a.Alert, "### Alarm: "+a.Alert, operations)
		}
		named = slices.DeleteFunc(named, func(name string) bool { return name == a.Alert })
		if want := "docs/operations.md#alarm-" + strings.ToLower(a.Alert); a.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url %q, want %q", a.Alert, a.Annotations["runbook_url"], want)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s: summary %q, description %q", a.Alert, a.Annotations["summary"], a.Annotations["description"])
		}
		row := regexp.MustCompile(`(?m)^\| \[` + a.Alert + `\]\(#[^)]+\) \| (\w+) \| `).FindSubmatch(page)
		if row == nil || string(row[1]) != a.Labels["severity"] {
			t.Errorf("%s: %s has no row of it with severity %s", a.Alert, operations, a.Labels["severity"])
		}
	}
	if len(named) > 0 {
		t.Errorf("%s has headings for alarms that are not there: %q", operations, named)
	}
}

// recordedName is level:metric:operations.
var recordedName = regexp.MustCompile(`^[a-z_]+:[a-z_]+:[a-z0-9_]+$`)

func TestRecordedNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for name, rules := range shippedRules(t) {
		for _, r := range rules {
			if r.Record != "" && !recordedName.MatchString(r.Record) {
				t.Errorf("%s: %s is not level:metric:operations", name, r.Record)
			}
			if seen[r.name()] {
				t.Errorf("%s: there are two rules %s", name, r.name())
			}
			seen[r.name()] = true
		}
	}
}
