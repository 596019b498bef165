package metrics

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// table holds the series of all sites: a row for each site, a column for each
// family and values of the labels besides site. Unlike the client's own vectors
// it keeps little more than a number for each series, and makes the labels when
// they are asked for, because every site has some sixty; and it deletes those of
// a site without looking at the others.
type table struct {
	families []*family

	mu      sync.Mutex
	rows    map[string]*row
	sampled time.Time // the last call of Sample
	slots   int       // of SampleEvery, since the first one
}

// family is one metric of all sites.
type family struct {
	desc    *prometheus.Desc
	kind    kind
	unit    float64            // how many of what its cells hold make 1
	columns map[labels]*column // guarded by table.mu
}

type kind uint8

const (
	counter kind = iota
	gauge
	histogram
)

// labels are the values of the labels besides site, in the family's order; ""
// for those it has not.
type labels [2]string

type column struct {
	family *family
	values []string
}

// row is one site's series. One that was forgotten goes on counting, for nobody.
// All but errors is guarded by table.mu.
type row struct {
	table  *table
	site   string
	groups []*group // the site's own, then one for each script

	shape   *Shape // that of handles
	handles *Site  // what Site returned last; nil when that holds no longer

	duration *Histogram    // of requests
	errors   atomic.Uint64 // answers of 500 and above
	past     past
}

// group is the series of a row that come and go together.
type group struct {
	row        *row
	script     string // "": the site's own
	created    time.Time
	slabs      [][]cell // grow by slabs, because handles point into them
	histograms []*Histogram
}

// slabCells is how many cells are made at once where it is not known how many
// there will be.
const slabCells = 8

var _ prometheus.Collector = (*table)(nil)

func (t *table) add(k kind, unit float64, name, help string, names []string) *family {
	f := &family{
		desc: prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, names, nil),
		kind: k, unit: unit, columns: map[labels]*column{},
	}
	t.families = append(t.families, f)
	return f
}

// row returns the row of a site, which it makes if need be. The caller holds mu.
func (t *table) row(site string) *row {
	r := t.rows[site]
	if r == nil {
		r = &row{table: t, site: site}
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

// group returns the row's group for a script, or its own for "". It makes it if
// need be, with room for so many cells. The caller holds table.mu.
func (r *row) group(script string, cells int) *group {
	for _, g := range r.groups {
		if g.script == script {
			return g
		}
	}
	g := &group{row: r, script: script, created: time.Now(), slabs: [][]cell{make([]cell, 0, cells)}}
	r.groups = append(r.groups, g)
	return g
}

// column returns the column of f for these values. The caller holds table.mu.
func (f *family) column(values []string) *column {
	var key labels
	copy(key[:], values)
	c := f.columns[key]
	if c == nil {
		c = &column{family: f, values: append([]string(nil), values...)}
		f.columns[key] = c
	}
	return c
}

// cell returns the group's series of f with these values of its other labels,
// which it makes if need be. The caller holds table.mu.
func (g *group) cell(f *family, values ...string) *cell {
	col := f.column(values)
	for _, slab := range g.slabs {
		for i := range slab {
			if slab[i].column == col {
				return &slab[i]
			}
		}
	}
	last := len(g.slabs) - 1
	if len(g.slabs[last]) == cap(g.slabs[last]) {
		g.slabs = append(g.slabs, make([]cell, 0, slabCells))
		last++
	}
	g.slabs[last] = append(g.slabs[last], cell{column: col})
	return &g.slabs[last][len(g.slabs[last])-1]
}

// fill makes the cells of these columns in a group that has none, in that order.
func (g *group) fill(columns []*column) {
	for _, col := range columns {
		g.slabs[0] = append(g.slabs[0], cell{column: col})
	}
}

// columns are those of the group's cells, in order.
func (g *group) columns() (all []*column) {
	for _, slab := range g.slabs {
		for i := range slab {
			all = append(all, slab[i].column)
		}
	}
	return all
}

func (g *group) counter(f *family, values ...string) *Counter {
	return (*Counter)(g.cell(f, values...))
}

func (g *group) gauge(f *family, values ...string) *Gauge { return (*Gauge)(g.cell(f, values...)) }

// histogram is for histograms what cell is for numbers.
func (g *group) histogram(f *family, values ...string) *Histogram {
	col := f.column(values)
	for _, h := range g.histograms {
		if h.column == col {
			return h
		}
	}
	h := &Histogram{column: col}
	g.histograms = append(g.histograms, h)
	return h
}

// count adds 1 to the group's series of f with these values.
func (g *group) count(f *family, values ...string) {
	g.row.table.mu.Lock()
	c := g.counter(f, values...)
	g.row.table.mu.Unlock()
	c.value.Add(1)
}

// Describe implements prometheus.Collector.
func (t *table) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range t.families {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (t *table) Collect(ch chan<- prometheus.Metric) {
	all := t.series()
	for i := range all {
		ch <- &all[i]
	}
}

// series are all there are.
func (t *table) series() (all []series) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		for _, g := range r.groups {
			for _, slab := range g.slabs {
				for i := range slab {
					if v := slab[i].value.Load(); v != absent {
						all = append(all, series{group: g, column: slab[i].column, value: v})
					}
				}
			}
			for _, h := range g.histograms {
				all = append(all, series{group: g, column: h.column, histogram: h})
			}
		}
	}
	return all
}
