package metrics

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// cell is one series: of a family of counters a prometheus.Counter, of a family
// of gauges a prometheus.Gauge. All methods may be called concurrently, but Set
// only without any other that changes the value.
type cell struct {
	column *column
	row    *row

	// The value is whole and part together, so that whole numbers, which most
	// are, take one addition.
	whole atomic.Int64
	part  atomic.Uint64 // bits of a float64
}

var (
	_ prometheus.Counter = (*cell)(nil)
	_ prometheus.Gauge   = (*cell)(nil)
)

func (c *cell) Inc()              { c.whole.Add(1) }
func (c *cell) Dec()              { c.whole.Add(-1) }
func (c *cell) Sub(v float64)     { c.Add(-v) }
func (c *cell) SetToCurrentTime() { c.Set(float64(time.Now().UnixNano()) / 1e9) }

func (c *cell) Add(v float64) {
	if n := int64(v); float64(n) == v {
		c.whole.Add(n)
		return
	}
	for {
		old := c.part.Load()
		if c.part.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

func (c *cell) Set(v float64) {
	c.part.Store(math.Float64bits(v))
	c.whole.Store(0)
}

func (c *cell) value() float64 {
	return float64(c.whole.Load()) + math.Float64frombits(c.part.Load())
}

// Desc implements prometheus.Metric.
func (c *cell) Desc() *prometheus.Desc { return c.column.family.desc }

// Write implements prometheus.Metric.
func (c *cell) Write(out *dto.Metric) error {
	f := c.column.family
	values := append([]string{c.row.site}, c.column.values...)
	var m prometheus.Metric
	var err error
	if f.kind == prometheus.CounterValue {
		m, err = prometheus.NewConstMetricWithCreatedTimestamp(f.desc, f.kind, c.value(), c.row.created, values...)
	} else {
		m, err = prometheus.NewConstMetric(f.desc, f.kind, c.value(), values...)
	}
	if err != nil {
		return err
	}
	return m.Write(out)
}

// Describe implements prometheus.Collector.
func (c *cell) Describe(ch chan<- *prometheus.Desc) { ch <- c.Desc() }

// Collect implements prometheus.Collector.
func (c *cell) Collect(ch chan<- prometheus.Metric) { ch <- c }
