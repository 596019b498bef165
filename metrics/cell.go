package metrics

import (
	"math"
	"sync/atomic"
)

// cell is the value of one series that is a number, in whole units of its
// family: one, or a nanosecond where the family counts seconds.
type cell struct {
	column *column
	value  atomic.Int64
}

// absent is the value of a series that is not there.
const absent = math.MinInt64

// in is v in units of the cell's family.
func (c *cell) in(v float64) int64 { return int64(math.Round(v * c.column.family.unit)) }

// number is v, in units of the family, as Prometheus has it.
func (f *family) number(v int64) float64 { return float64(v) / f.unit }

func (c *cell) number() float64 { return c.column.family.number(c.value.Load()) }

// Counter is one series that only goes up. Its methods may be called
// concurrently.
type Counter cell

// Inc adds 1.
func (c *Counter) Inc() { c.Add(1) }

// Add adds v, at least 0: a whole number, but for a counter of seconds, which
// goes by nanoseconds.
func (c *Counter) Add(v float64) { c.value.Add((*cell)(c).in(v)) }

// Value is what was counted.
func (c *Counter) Value() float64 { return (*cell)(c).number() }

// Gauge is one series that goes up and down, in whole numbers. Its methods may
// be called concurrently.
type Gauge cell

// Inc adds 1.
func (g *Gauge) Inc() { g.value.Add(1) }

// Dec takes 1 away.
func (g *Gauge) Dec() { g.value.Add(-1) }

// Add adds n.
func (g *Gauge) Add(n int64) { g.value.Add(n) }

// Set makes the value n.
func (g *Gauge) Set(n int64) { g.value.Store(n) }

// Raise makes the value n if it is less.
func (g *Gauge) Raise(n int64) {
	for {
		old := g.value.Load()
		if old >= n || g.value.CompareAndSwap(old, n) {
			return
		}
	}
}

// Value is the value.
func (g *Gauge) Value() float64 { return (*cell)(g).number() }

// Hide takes the series out until Set makes it anew.
func (g *Gauge) Hide() { g.value.Store(absent) }
