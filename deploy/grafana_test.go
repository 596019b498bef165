package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sited/metrics"
)

// dashboard is what the test looks at of Grafana's classic dashboard JSON.
type dashboard struct {
	ID            *int   `json:"id"`
	UID           string `json:"uid"`
	Title         string `json:"title"`
	SchemaVersion int    `json:"schemaVersion"`
	Annotations   struct {
		List []struct {
			BuiltIn    int               `json:"builtIn"`
			Datasource grafanaDatasource `json:"datasource"`
			Expr, Name string
			Target     struct{ Expr string }
		}
	}
	Links      []struct{ Title, URL string }
	Templating struct{ List []grafanaVariable }
	Panels     []*panel

	text string
}

type grafanaDatasource struct{ Type, UID string }

type grafanaVariable struct {
	Name, Type, Description string
	Datasource              grafanaDatasource
	Query                   json.RawMessage
	IncludeAll, Multi       bool
}

type panel struct {
	ID          int
	Type, Title string
	Description string
	Collapsed   bool
	Datasource  grafanaDatasource
	GridPos     struct{ H, W, X, Y int }
	FieldConfig struct {
		Defaults  struct{ Unit string }
		Overrides []struct {
			Matcher    struct{ ID, Options string }
			Properties []struct {
				ID    string
				Value json.RawMessage
			}
		}
	}
	Options         json.RawMessage
	Targets         []panelTarget
	Transformations []struct {
		ID      string
		Options struct{ RenameByName map[string]string }
	}
	Panels []*panel // of a collapsed row
}

type panelTarget struct {
	Datasource                        grafanaDatasource
	Expr, LegendFormat, RefID, Format string
	Instant, Range, Exemplar          bool
}

const dashboardFolder = "grafana/dashboards"

// dashboards are the ones shipped, by uid.
func dashboards(t *testing.T) map[string]*dashboard {
	t.Helper()
	files, err := filepath.Glob(dashboardFolder + "/*.json")
	if err != nil || len(files) < 2 {
		t.Fatalf("dashboards: %q, %v", files, err)
	}
	all := map[string]*dashboard{}
	for _, file := range files {
		text := textOf(t, file)
		d := &dashboard{text: text}
		if err := json.Unmarshal([]byte(text), d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if all[d.UID] != nil {
			t.Errorf("%s: there is another dashboard with the uid %q", file, d.UID)
		}
		if d.UID+".json" != filepath.Base(file) {
			t.Errorf("%s: its uid is %q", file, d.UID)
		}
		all[d.UID] = d
	}
	return all
}

// allPanels are those of d, rows and what is in them included.
func (d *dashboard) allPanels() []*panel {
	var all []*panel
	for _, p := range d.Panels {
		all = append(append(all, p), p.Panels...)
	}
	return all
}

func TestDashboardSchema(t *testing.T) {
	for uid, d := range dashboards(t) {
		if d.ID != nil || d.Title == "" || d.SchemaVersion < 39 || d.SchemaVersion > 42 {
			t.Errorf("%s: id %v (want null), title %q, schemaVersion %d", uid, d.ID, d.Title, d.SchemaVersion)
		}
		seen, titles := map[int]bool{}, map[string]bool{}
		for _, p := range d.allPanels() {
			where := fmt.Sprintf("%s, panel %d %q", uid, p.ID, p.Title)
			if p.ID <= 0 || seen[p.ID] {
				t.Errorf("%s: the id is there twice, or is none", where)
			}
			if p.Title == "" || titles[p.Title] {
				t.Errorf("%s: the title is there twice, or is empty", where)
			}
			seen[p.ID], titles[p.Title] = true, true
			if p.Type == "row" {
				if p.Collapsed != (len(p.Panels) > 0) {
					t.Errorf("%s: collapsed %t with %d panels", where, p.Collapsed, len(p.Panels))
				}
				continue
			}
			if !slices.Contains([]string{"stat", "timeseries", "table", "heatmap", "bargauge", "state-timeline"}, p.Type) {
				t.Errorf("%s: the type %q is not among the ones that Grafana has built in and that this test knows", where, p.Type)
			}
			if len(p.Description) < 20 || !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s: the description says nothing: %q", where, p.Description)
			}
			checkTargets(t, where, p)
			checkUnits(t, where, p)
		}
	}
}

var (
	outerBy   = regexp.MustCompile(`by \(([^)]*)\)`)
	aggregate = regexp.MustCompile(`\b(sum|min|max|count|histogram_quantile)\b`)
)

func checkTargets(t *testing.T, where string, p *panel) {
	t.Helper()
	if p.Datasource != variableDatasource {
		t.Errorf("%s: its datasource is %+v", where, p.Datasource)
	}
	if len(p.Targets) == 0 {
		t.Errorf("%s: it asks for nothing", where)
	}
	refs := map[string]bool{}
	for _, target := range p.Targets {
		if target.Datasource != variableDatasource {
			t.Errorf("%s: the datasource of query %s is %+v", where, target.RefID, target.Datasource)
		}
		if target.RefID == "" || refs[target.RefID] || target.Expr == "" || target.Instant == target.Range {
			t.Errorf("%s: query %+v", where, target)
		}
		refs[target.RefID] = true
		if strings.Contains(target.Expr, "rate(") && !strings.Contains(target.Expr, "[$__rate_interval]") {
			t.Errorf("%s: a rate over something else than $__rate_interval: %s", where, target.Expr)
		}
		if target.LegendFormat == "" {
			t.Errorf("%s: query %s has no legend", where, target.RefID)
		}
		if target.Format == "table" || p.Type == "heatmap" {
			continue
		}
		var labels []string
		if m := outerBy.FindStringSubmatch(target.Expr); m != nil {
			labels = strings.Split(m[1], ", ")
		} else if !aggregate.MatchString(target.Expr) {
			labels = []string{"instance"}
		}
		if strings.HasPrefix(target.Expr, "max(") || strings.HasPrefix(target.Expr, "min(") {
			continue // one series, whatever is inside
		}
		for _, label := range labels {
			if label != "le" && !strings.Contains(target.LegendFormat, "{{"+label+"}}") {
				t.Errorf("%s: the legend %q does not tell the series by %s: %s", where, target.LegendFormat, label, target.Expr)
			}
		}
	}
}

var variableDatasource = grafanaDatasource{"prometheus", "${datasource}"}

// checkUnits wants a unit for each number, and in a table for each column.
func checkUnits(t *testing.T, where string, p *panel) {
	t.Helper()
	if p.FieldConfig.Defaults.Unit == "" {
		t.Errorf("%s: no unit", where)
	}
	if p.Type == "heatmap" {
		var options struct {
			YAxis, CellValues struct{ Unit string }
			Calculate         bool
		}
		if err := json.Unmarshal(p.Options, &options); err != nil || options.YAxis.Unit == "" || options.CellValues.Unit == "" || options.Calculate {
			t.Errorf("%s: %v, %+v", where, err, options)
		}
	}
	if p.Type != "table" || len(p.Targets) < 2 {
		return
	}
	columns := map[string]string{}
	for _, transformation := range p.Transformations {
		for from, to := range transformation.Options.RenameByName {
			columns[from] = to
		}
	}
	for _, target := range p.Targets {
		name := columns["Value #"+target.RefID]
		if name == "" || name != target.LegendFormat {
			t.Errorf("%s: the column of query %s is called %q, and its legend %q", where, target.RefID, name, target.LegendFormat)
		}
		found := false
		for _, o := range p.FieldConfig.Overrides {
			for _, property := range o.Properties {
				found = found || o.Matcher.ID == "byName" && o.Matcher.Options == name && property.ID == "unit"
			}
		}
		if !found {
			t.Errorf("%s: the column %q has no unit", where, name)
		}
	}
}

// TestDashboardGrid wants panels to fill the 24 columns, with neither overlaps nor
// gaps.
func TestDashboardGrid(t *testing.T) {
	for uid, d := range dashboards(t) {
		checkGrid(t, uid, d.Panels, 0)
		for _, p := range d.Panels {
			if p.Type == "row" {
				if p.GridPos.X != 0 || p.GridPos.W != 24 || p.GridPos.H != 1 {
					t.Errorf("%s, row %q: %+v", uid, p.Title, p.GridPos)
				}
				checkGrid(t, uid+", row "+p.Title, p.Panels, p.GridPos.Y+1)
			}
		}
	}
}

func checkGrid(t *testing.T, where string, panels []*panel, top int) {
	t.Helper()
	held := map[[2]int]string{}
	bottom := top
	for _, p := range panels {
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 || g.Y < top {
			t.Errorf("%s, panel %q: %+v", where, p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other, taken := held[[2]int{x, y}]; taken {
					t.Errorf("%s: panels %q and %q overlap at column %d, line %d", where, other, p.Title, x, y)
					return
				}
				held[[2]int{x, y}] = p.Title
			}
		}
		bottom = max(bottom, g.Y+g.H)
	}
	for y := top; y < bottom; y++ {
		for x := range 24 {
			if _, taken := held[[2]int{x, y}]; !taken {
				t.Errorf("%s: nothing at column %d, line %d", where, x, y)
				return
			}
		}
	}
}

// exportedLabels are the labels of every metric of ours, by the metric's name.
func exportedLabels(t *testing.T) map[string][]string {
	t.Helper()
	collector, ok := metrics.New("test").Gatherer().(prometheus.Collector)
	if !ok {
		t.Fatal("the registry does not describe itself")
	}
	described := regexp.MustCompile(`fqName: "(sited_[a-z0-9_]+)".*variableLabels: \{([^}]*)\}`)
	descs := make(chan *prometheus.Desc)
	go func() { collector.Describe(descs); close(descs) }()
	found := map[string][]string{}
	for desc := range descs {
		if m := described.FindStringSubmatch(desc.String()); m != nil {
			found[m[1]] = strings.Split(m[2], ",")
		}
	}
	if len(found) < 25 || !slices.Contains(found["sited_http_requests_total"], "code") {
		t.Fatalf("only %v: the test does not see the metrics", found)
	}
	return found
}

var (
	metricInQuery = regexp.MustCompile(`\bsited_[a-z0-9_]+`)
	matcherLabel  = regexp.MustCompile(`[{,]\s*([a-z_]+)\s*(?:=~|!~|!=|=)`)
)

// TestDashboardsNameMetricsThatExist compares every query with what is exported.
func TestDashboardsNameMetricsThatExist(t *testing.T) {
	exported := exportedLabels(t)
	used := map[string]bool{}
	for uid, d := range dashboards(t) {
		queries := map[string]string{}
		for _, p := range d.allPanels() {
			for _, target := range p.Targets {
				queries[p.Title+" "+target.RefID] = target.Expr
			}
		}
		for _, a := range d.Annotations.List {
			queries["annotation "+a.Name] = a.Expr
			if a.Expr != a.Target.Expr {
				t.Errorf("%s, annotation %s: expr and target differ", uid, a.Name)
			}
		}
		for _, v := range d.Templating.List {
			queries["variable "+v.Name] = string(v.Query)
		}
		for where, query := range queries {
			labels := []string{"le", "instance", "job", "class"}
			for _, name := range metricInQuery.FindAllString(query, -1) {
				name = strings.TrimSuffix(name, "_bucket")
				if exported[name] == nil {
					t.Errorf("%s, %s: there is no metric %s", uid, where, name)
				}
				labels = append(labels, exported[name]...)
				used[name] = true
			}
			named := []string{}
			for _, m := range outerBy.FindAllStringSubmatch(query, -1) {
				named = append(named, strings.Split(m[1], ", ")...)
			}
			for _, m := range matcherLabel.FindAllStringSubmatch(query, -1) {
				named = append(named, m[1])
			}
			for _, label := range named {
				if !slices.Contains(labels, label) {
					t.Errorf("%s, %s: no metric in it has a label %q: %s", uid, where, label, query)
				}
			}
		}
	}
	for name := range exported {
		if !used[name] {
			t.Errorf("no dashboard shows %s", name)
		}
	}
}

var variableUse = regexp.MustCompile(`\$(?:\{([A-Za-z0-9_]+)[^}]*\}|([A-Za-z_][A-Za-z0-9_]*))`)

// builtIn are Grafana's own, and the group of a regular expression.
var builtIn = []string{"__rate_interval", "__url_time_range", "__value", "__field", "__all", "1"}

func TestDashboardVariablesAndLinks(t *testing.T) {
	all := dashboards(t)
	for uid, d := range all {
		defined := map[string]bool{}
		for _, v := range d.Templating.List {
			defined[v.Name] = true
			if v.Description == "" || v.Type == "query" && v.Datasource != variableDatasource {
				t.Errorf("%s, variable %s: description %q, datasource %+v", uid, v.Name, v.Description, v.Datasource)
			}
		}
		for _, m := range variableUse.FindAllStringSubmatch(d.text, -1) {
			if name := m[1] + m[2]; !defined[name] && !slices.Contains(builtIn, name) {
				t.Errorf("%s: the variable %s is not defined", uid, name)
			}
		}
		for name := range defined {
			if n := strings.Count(d.text, "$"+name) + strings.Count(d.text, "${"+name); n == 0 {
				t.Errorf("%s: nothing uses the variable %s", uid, name)
			}
		}
		others := map[string]bool{}
		for _, m := range regexp.MustCompile(`"/d/([^"?]+)([^"]*)"`).FindAllStringSubmatch(d.text, -1) {
			to := all[m[1]]
			if to == nil {
				t.Errorf("%s: a link leads to %q, which is no dashboard", uid, m[1])
				continue
			}
			others[m[1]] = true
			for _, v := range regexp.MustCompile(`var-([a-z]+)=`).FindAllStringSubmatch(m[2], -1) {
				if !slices.ContainsFunc(to.Templating.List, func(have grafanaVariable) bool { return have.Name == v[1] }) {
					t.Errorf("%s: a link gives %s a variable %q that it has not", uid, m[1], v[1])
				}
			}
		}
		if len(others) == 0 || others[uid] {
			t.Errorf("%s: links lead to %v", uid, others)
		}
	}
}

// TestDashboardsShowExemplarsAndReloads wants a way from a slow point to its
// request, and the moments at which the configuration changed.
func TestDashboardsShowExemplarsAndReloads(t *testing.T) {
	for uid, d := range dashboards(t) {
		histograms := map[string]bool{}
		for _, p := range d.allPanels() {
			for _, target := range p.Targets {
				for _, name := range metricInQuery.FindAllString(target.Expr, -1) {
					if base, is := strings.CutSuffix(name, "_bucket"); is && (p.Type == "timeseries" || p.Type == "heatmap") {
						histograms[base] = histograms[base] || target.Exemplar
					}
				}
			}
		}
		for name, shown := range histograms {
			if !shown {
				t.Errorf("%s: exemplars of %s are shown nowhere", uid, name)
			}
		}
		if !histograms["sited_http_request_duration_seconds"] {
			t.Errorf("%s: shows %v", uid, histograms)
		}
		reloads := false
		for _, a := range d.Annotations.List {
			reloads = reloads || strings.Contains(a.Expr, "sited_config_last_reload_success_timestamp_seconds")
			if a.BuiltIn == 0 && a.Datasource != variableDatasource {
				t.Errorf("%s, annotation %s: %+v", uid, a.Name, a.Datasource)
			}
		}
		if !reloads {
			t.Errorf("%s: reloads are not shown", uid)
		}
	}
}

// textOf reads a file of this folder, or below it.
func textOf(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
