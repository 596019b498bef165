package prometheus_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// query is a PromQL expression of a shipped file.
type query struct {
	where string // file and what in it
	expr  string
}

// selectors are the vector selectors of an expression, each once. It is cut into
// tokens only: what is no keyword, no function and stands in no list of labels
// names a metric.
func selectors(expr string) (found []string) {
	const (
		word = `[a-zA-Z_:][a-zA-Z0-9_:]*`
		text = `"(?:[^"\\]|\\.)*"`
	)
	token := regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)` + // lists of labels
		`|\[[^\]]*\]|` + text + // ranges and strings
		`|` + word + `\s*\(` + // functions and aggregations
		`|[0-9][0-9a-zA-Z_.]*` + // numbers and durations
		`|` + word + `(?:\s*\{(?:` + text + `|[^}"])*\})?`) // metrics and keywords
	keywords := []string{"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset", "sum", "min", "max", "count"}
	for _, s := range token.FindAllString(expr, -1) {
		if !regexp.MustCompile(`^[a-zA-Z_:]`).MatchString(s) || strings.HasSuffix(s, "(") || strings.HasSuffix(s, ")") {
			continue
		}
		if !slices.Contains(keywords, s) && !slices.Contains(found, s) {
			found = append(found, s)
		}
	}
	return found
}

func TestSelectors(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string][]string{
		`up == 0`: {"up"},
		`sum by (job, site) (rate(a_total{code=~"5..", x!="}("}[5m])) / (b:c:rate5m > 0)`: {`a_total{code=~"5..", x!="}("}`, "b:c:rate5m"},
		`14.4 * scalar(x:y:z) unless on (job) group_left() d offset 5m`:                   {"x:y:z", "d"},
		`sum(a) by (site) and a or vector(1e3)`:                                           {"a"},
	} {
		if got := selectors(expr); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

// dashboards is where those of Grafana are.
const dashboards = "../grafana/dashboards/*.json"

// dashboard is as much of one as asks Prometheus for something.
type dashboard struct {
	name        string
	Panels      []panel `json:"panels"`
	Annotations struct {
		List []struct {
			Name       string     `json:"name"`
			Datasource datasource `json:"datasource"`
			Expr       string     `json:"expr"`
		} `json:"list"`
	} `json:"annotations"`
	Templating struct {
		List []variable `json:"list"`
	} `json:"templating"`
}

type datasource struct {
	Type string `json:"type"`
}

type panel struct {
	Title   string `json:"title"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
	Panels []panel `json:"panels"` // of a row
}

type variable struct {
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Query      json.RawMessage `json:"query"` // a string, or an object with one
	IncludeAll bool            `json:"includeAll"`
}

func readDashboards(t *testing.T) (all []dashboard) {
	t.Helper()
	for _, name := range glob(t, dashboards) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d := dashboard{name: filepath.Base(name)}
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(d.queries()) == 0 {
			t.Fatalf("%s: the test sees no queries", name)
		}
		all = append(all, d)
	}
	return all
}

// queries are those of panels and annotations, with variables in them.
func (d *dashboard) queries() (all []query) {
	var add func(panels []panel)
	add = func(panels []panel) {
		for _, p := range panels {
			for _, target := range p.Targets {
				all = append(all, query{fmt.Sprintf("%s, panel %q", d.name, p.Title), target.Expr})
			}
			add(p.Panels)
		}
	}
	add(d.Panels)
	for _, a := range d.Annotations.List {
		if a.Datasource.Type == "prometheus" {
			all = append(all, query{fmt.Sprintf("%s, annotation %q", d.name, a.Name), a.Expr})
		}
	}
	return all
}

// builtIn are Grafana's own variables as the tests fill them in.
var builtIn = map[string]string{
	"__rate_interval": "5m", "__interval": "5m", "__range": "5m", "__range_s": "300", "__interval_ms": "300000", "interval": "5m",
}

// fillIn puts values into the places of variables: $name, ${name} and
// ${name:format}. A variable without a value is an error.
func fillIn(expr string, values map[string]string) (string, error) {
	var err error
	filled := regexp.MustCompile(`\$(?:([a-zA-Z_]\w*)|\{([a-zA-Z_]\w*)(?::\w+)?\})`).ReplaceAllStringFunc(expr, func(s string) string {
		name, _, _ := strings.Cut(strings.Trim(s, "${}"), ":")
		if value, ok := builtIn[name]; ok {
			return value
		}
		value, ok := values[name]
		if !ok {
			err = fmt.Errorf("nothing is known of the variable %s", s)
		}
		return value
	})
	return filled, err
}

var labelValues = regexp.MustCompile(`^label_values\((.+),\s*(\w+)\)$`)

// combinations are all ways to give the dashboard's variables values that
// Prometheus knows: one for each value of those that take one, and ".*" for those
// that may be all.
func (d *dashboard) combinations(t *testing.T, p *prometheus) []map[string]string {
	t.Helper()
	all := []map[string]string{{}}
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		var next []map[string]string
		for _, values := range all {
			for _, value := range d.valuesOf(t, p, v, values) {
				with := map[string]string{v.Name: value}
				for name, value := range values {
					with[name] = value
				}
				next = append(next, with)
			}
		}
		all = next
	}
	return all
}

func (d *dashboard) valuesOf(t *testing.T, p *prometheus, v variable, others map[string]string) []string {
	t.Helper()
	var text string
	if err := json.Unmarshal(v.Query, &text); err != nil {
		var object struct {
			Query string `json:"query"`
		}
		if err := json.Unmarshal(v.Query, &object); err != nil {
			t.Fatalf("%s, variable %s: %v", d.name, v.Name, err)
		}
		text = object.Query
	}
	filled, err := fillIn(text, others)
	m := labelValues.FindStringSubmatch(filled)
	if err != nil || m == nil {
		t.Fatalf("%s, variable %s: %s: %v", d.name, v.Name, text, err)
	}
	series, err := p.data(fmt.Sprintf("group by (%s) (%s)", m[2], m[1]))
	if err != nil {
		t.Fatalf("%s, variable %s: %v", d.name, v.Name, err)
	}
	var values []string
	for _, s := range series {
		if value := s.Metric[m[2]]; value != "" {
			values = append(values, value)
		}
	}
	if len(values) == 0 {
		t.Fatalf("%s: the variable %s has no values: %s", d.name, v.Name, text)
	}
	if v.IncludeAll {
		return []string{".*"}
	}
	slices.Sort(values)
	return values
}
