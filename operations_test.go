package sited_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sited/supervisor"
)

// operations is the page for operators.
const operations = "docs/operations.md"

// TestOperationsNamesMetricsThatExist looks at the alarms as well.
func TestOperationsNamesMetricsThatExist(t *testing.T) {
	exported := exportedMetrics(t)
	named := regexp.MustCompile(`\bsited_[a-z_]+`).FindAllString(string(read(t, operations)), -1)
	if len(named) < 10 {
		t.Fatalf("only %q: the test does not see the metrics", named)
	}
	for _, name := range named {
		if !slices.Contains(exported, strings.TrimSuffix(name, "_bucket")) {
			t.Errorf("there is no metric %s", name)
		}
	}
}

// TestOperationsNamesEveryEndpoint compares the table with what is answered.
func TestOperationsNamesEveryEndpoint(t *testing.T) {
	var served, named []string
	for _, m := range regexp.MustCompile(`mux\.Handle(?:Func)?\("((?:GET|POST) [^"]+)"`).FindAllStringSubmatch(string(read(t, "supervisor/adminhandler.go")), -1) {
		served = append(served, strings.TrimSuffix(m[1], "{$}"))
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `((?:GET|POST) [^`]+)` \\|").FindAllStringSubmatch(string(read(t, operations)), -1) {
		named = append(named, m[1])
	}
	slices.Sort(served)
	slices.Sort(named)
	if diff := cmp.Diff(served, named); diff != "" || len(served) < 5 {
		t.Errorf("endpoints of the admin address (-served +named):\n%s", diff)
	}
}

// TestOperationsNamesEveryState compares the page with the states of a site's
// life that there is something to see of.
func TestOperationsNamesEveryState(t *testing.T) {
	text := string(read(t, operations))
	for _, state := range []supervisor.State{
		supervisor.Preparing, supervisor.Serving, supervisor.Draining, supervisor.Backoff, supervisor.Failed,
	} {
		if !strings.Contains(text, "\n| `"+string(state)+"` |") {
			t.Errorf("the state %s has no row", state)
		}
	}
}

// TestOperationsLogLine wants the example to be JSON, as lines of a log are.
func TestOperationsLogLine(t *testing.T) {
	lines := regexp.MustCompile("(?ms)^ *```json\n(.*?)^ *```$").FindAllStringSubmatch(string(read(t, operations)), -1)
	if len(lines) == 0 {
		t.Fatal("there is no example")
	}
	for _, m := range lines {
		var line struct {
			Status int    `json:"status"`
			Error  string `json:"error"`
		}
		if err := json.Unmarshal([]byte(m[1]), &line); err != nil || line.Status < 400 || line.Error == "" {
			t.Errorf("%v in:\n%s", err, m[1])
		}
	}
}
