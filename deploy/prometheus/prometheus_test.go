package prometheus_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"sited/rig"
)

// prometheus is a server that was started by the test.
type prometheus struct {
	url    string
	begun  time.Time
	output rig.Buffer
	client http.Client
}

// startPrometheus starts one with the shipped configuration, in which only the
// targets and the intervals are others. It ends with the test.
func startPrometheus(t *testing.T, addr string, targets []string, flags ...string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	copyConfig(t, dir, targets)
	p := &prometheus{url: "http://" + addr, begun: time.Now().Add(-time.Second)}
	p.client.Timeout = rig.Patience
	cmd := exec.Command(rig.Need(t, "prometheus"), append([]string{
		"--config.file=" + filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + addr, "--log.level=warn",
	}, flags...)...)
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait() // how it ended is of no interest
		close(done)
	}()
	t.Cleanup(func() {
		p.client.CloseIdleConnections()
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(rig.Patience):
			cmd.Process.Kill()
			<-done
		}
	})
	rig.Eventually(t, "Prometheus is ready", func() bool {
		select {
		case <-done:
			t.Fatalf("Prometheus ended:\n%s", p.output.String())
		default:
		}
		status, _, err := rig.Get(p.url + "/-/ready")
		return err == nil && status == 200
	})
	return p
}

// copyConfig copies prometheus.yml and the rules: with other targets, and with all
// intervals a second.
func copyConfig(t *testing.T, dir string, targets []string) {
	t.Helper()
	var config map[string]any
	decode(t, "prometheus.yml", &config)
	for name := range config["global"].(map[string]any) {
		if strings.HasSuffix(name, "_interval") {
			config["global"].(map[string]any)[name] = "1s"
		}
	}
	job := config["scrape_configs"].([]any)[0].(map[string]any)
	job["static_configs"] = []any{map[string]any{"targets": targets}}
	writeYAML(t, filepath.Join(dir, "prometheus.yml"), config)
	for _, name := range glob(t, "rules/*.yml") {
		var rules map[string]any
		decode(t, name, &rules)
		for _, g := range rules["groups"].([]any) {
			delete(g.(map[string]any), "interval")
		}
		writeYAML(t, filepath.Join(dir, name), rules)
	}
}

func writeYAML(t *testing.T, name string, value any) {
	t.Helper()
	b, err := yaml.Marshal(value)
	rig.Must(t, err)
	rig.Must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	rig.Must(t, os.WriteFile(name, b, 0o644))
}

// ask calls the API and decodes the data of its answer.
func (p *prometheus) ask(path string, params url.Values, into any) error {
	res, err := p.client.Get(p.url + "/api/v1/" + path + "?" + params.Encode())
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: into}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s %s: %s", path, params.Get("query"), answer.Error)
	}
	return nil
}

// sinceBegun are the parameters of a query over all the time there is.
func (p *prometheus) sinceBegun(expr string) url.Values {
	return url.Values{
		"query": {expr}, "step": {"1"},
		"start": {p.begun.Format(time.RFC3339Nano)}, "end": {time.Now().Format(time.RFC3339Nano)},
	}
}

// series is one of an answer, with its last value that is a number.
type series struct {
	Metric map[string]string
	value  float64
}

// data is what a query has returned at any second since p was started, without
// series that are never a number.
func (p *prometheus) data(expr string) ([]series, error) {
	var answer struct {
		Result []struct {
			Metric map[string]string
			Values [][2]any
		}
	}
	err := p.ask("query_range", p.sinceBegun(expr), &answer)
	var found []series
	for _, r := range answer.Result {
		s := series{r.Metric, math.NaN()}
		for _, v := range r.Values {
			text, _ := v[1].(string)
			if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(f) {
				s.value = f
			}
		}
		if !math.IsNaN(s.value) {
			found = append(found, s)
		}
	}
	return found, err
}

// last is the greatest last value of a query's series; NaN without any.
func (p *prometheus) last(expr string) float64 {
	found, err := p.data(expr)
	most := math.NaN()
	for _, s := range found {
		if err == nil && !(s.value <= most) {
			most = s.value
		}
	}
	return most
}

// ruleState is what Prometheus says of a rule.
type ruleState struct {
	Name      string
	Health    string
	LastError string
}

func (p *prometheus) rules() (all []ruleState, err error) {
	var answer struct {
		Groups []struct {
			Rules []ruleState
		}
	}
	err = p.ask("rules", nil, &answer)
	for _, g := range answer.Groups {
		all = append(all, g.Rules...)
	}
	return all, err
}

// exemplars are the labels of those that a query's series have had.
func (p *prometheus) exemplars(expr string) (labels []map[string]string, err error) {
	var answer []struct {
		Exemplars []struct {
			Labels map[string]string
		}
	}
	err = p.ask("query_exemplars", p.sinceBegun(expr), &answer)
	for _, s := range answer {
		for _, e := range s.Exemplars {
			labels = append(labels, e.Labels)
		}
	}
	return labels, err
}
