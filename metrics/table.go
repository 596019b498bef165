package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// table holds the counters and gauges of all sites: a row for each site, a column
// for each family and values of the labels besides site. Unlike the client's own
// vectors it keeps little more than a number for each series, and makes the labels
// when they are asked for, because every site has some fifty; and it deletes those
// of a site without looking at the others.
type table struct {
	families []*family

	mu   sync.Mutex
	rows map[string]*row
}

// family is one counter or gauge of all sites.
type family struct {
	desc    *prometheus.Desc
	kind    prometheus.ValueType
	columns map[labels]*column // guarded by table.mu
}

// labels are the values of the labels besides site, in the family's order; ""
// for those it has not.
type labels [2]string

type column struct {
	family *family
	values []string
}

// row is one site's series. One that was forgotten goes on counting, for nobody.
type row struct {
	table   *table
	site    string
	created time.Time
	cells   []*cell // guarded by table.mu
}

var _ prometheus.Collector = (*table)(nil)

func (t *table) add(kind prometheus.ValueType, name, help string, names []string) *family {
	f := &family{
		desc:    prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, names, nil),
		kind:    kind,
		columns: map[labels]*column{},
	}
	t.families = append(t.families, f)
	return f
}

// row returns the row of a site, which it makes if need be.
func (t *table) row(site string) *row {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rows[site]
	if r == nil {
		r = &row{table: t, site: site, created: time.Now(), cells: make([]*cell, 0, 48)}
		t.rows[site] = r
	}
	return r
}

// forget deletes the series of a site.
func (t *table) forget(site string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.rows, site)
}

// cell returns the row's series of f with these values of its other labels, which
// it makes if need be.
func (r *row) cell(f *family, values ...string) *cell {
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	var key labels
	copy(key[:], values)
	col := f.columns[key]
	if col == nil {
		col = &column{family: f, values: append([]string(nil), values...)}
		f.columns[key] = col
	}
	for _, c := range r.cells {
		if c.column == col {
			return c
		}
	}
	c := &cell{column: col, row: r}
	r.cells = append(r.cells, c)
	return c
}

// touch makes the series of f with each of these values of its second label.
func (r *row) touch(f *family, values []string) {
	for _, value := range values {
		r.cell(f, value)
	}
}

// drop deletes the series that match.
func (t *table) drop(site string, match func(*column) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rows[site]
	if r == nil {
		return
	}
	var kept []*cell
	for _, c := range r.cells {
		if !match(c.column) {
			kept = append(kept, c)
		}
	}
	r.cells = kept
}

// Describe implements prometheus.Collector.
func (t *table) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range t.families {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (t *table) Collect(ch chan<- prometheus.Metric) {
	t.mu.Lock()
	var all []*cell
	for _, r := range t.rows {
		all = append(all, r.cells...)
	}
	t.mu.Unlock()
	for _, c := range all {
		ch <- c
	}
}
