package metrics

import (
	"math"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// Histogram is one series of durations. It is at once a classic histogram and a
// native one: what is counted is how many lie in each cell of the layout, from
// which both are made whenever they are asked for, so that they always agree with
// each other and with the count. The memory for cells is made when one of them is
// needed. Its methods may be called concurrently.
type Histogram struct {
	column    *column
	chunks    [maxCells / chunkCells]atomic.Pointer[chunk]
	exemplars atomic.Pointer[exemplars]

	// The sum is both together: whole seconds are kept apart so that thousands
	// of tunnels that are open for days don't make it overflow.
	nanos   atomic.Uint64
	seconds atomic.Uint64
}

const chunkCells = 32

type chunk [chunkCells]atomic.Uint64

// Observe counts a duration. One below zero counts as zero.
func (h *Histogram) Observe(took time.Duration) { h.add(cells.find(took), took) }

// ObserveWith counts the duration of the request id, which ended at end, and may
// keep it for an exemplar.
func (h *Histogram) ObserveWith(took time.Duration, id uint64, end time.Time) {
	cell := cells.find(took)
	h.add(cell, took)
	h.exemplify(cell, took, id, end.UnixNano())
}

// add counts a duration that is in a cell.
func (h *Histogram) add(cell int, took time.Duration) {
	part := &h.chunks[cell/chunkCells]
	c := part.Load()
	if c == nil {
		part.CompareAndSwap(nil, new(chunk))
		c = part.Load()
	}
	c[cell%chunkCells].Add(1)
	if took >= time.Second {
		h.seconds.Add(uint64(took / time.Second))
		took %= time.Second
	}
	if took > 0 {
		h.nanos.Add(uint64(took))
	}
}

// counts is how many durations are in each cell.
type counts [maxCells]uint64

// read adds what was counted to n, and returns how much that is.
func (h *Histogram) read(n *counts) (all uint64) {
	for i := range h.chunks {
		c := h.chunks[i].Load()
		if c == nil {
			continue
		}
		for j := range c {
			v := c[j].Load()
			n[i*chunkCells+j] += v
			all += v
		}
	}
	return all
}

// expose is the histogram as Prometheus takes it, but for the time it was created.
func (h *Histogram) expose() *dto.Histogram {
	var n counts
	all := h.read(&n)
	out := &dto.Histogram{
		SampleCount:   &all,
		SampleSum:     new(float64(h.seconds.Load()) + float64(h.nanos.Load())/1e9),
		Schema:        new(int32(nativeSchema)),
		ZeroThreshold: new(zeroThreshold),
		ZeroCount:     new(n[0]),
	}
	exposeClassic(out, &n, h.exemplars.Load())
	exposeNative(out, &n)
	return out
}

// exposeClassic adds the classic buckets, and the exemplars, which a native
// histogram has in a list of their own. The bucket of +Inf, which goes without
// saying, is added only for its exemplar.
func exposeClassic(out *dto.Histogram, n *counts, e *exemplars) {
	buckets := make([]dto.Bucket, len(durationBuckets)+1)
	sum, cell := uint64(0), 0
	for i := range buckets {
		for ; cell < len(cells.bounds) && int(cells.classic[cell]) == i; cell++ {
			sum += n[cell]
		}
		b := &buckets[i]
		b.CumulativeCount, b.UpperBound, b.Exemplar = new(sum), new(math.Inf(1)), e.expose(i)
		if i < len(durationBuckets) {
			b.UpperBound = new(durationBuckets[i])
		} else if b.Exemplar == nil {
			break
		}
		out.Bucket = append(out.Bucket, b)
		if b.Exemplar != nil {
			out.Exemplars = append(out.Exemplars, b.Exemplar)
		}
	}
}

// exposeNative adds the native buckets: spans of those in use, with gaps of one
// or two bridged, and in them the difference of each to the one before.
func exposeNative(out *dto.Histogram, n *counts) {
	next, before := 0, int64(0)
	push := func(count int64) {
		*out.PositiveSpan[len(out.PositiveSpan)-1].Length++
		out.PositiveDelta = append(out.PositiveDelta, count-before)
		before = count
	}
	for cell := 1; cell < len(cells.bounds); {
		key, count := cells.native[cell], int64(0)
		for ; cell < len(cells.bounds) && cells.native[cell] == key; cell++ {
			count += int64(n[cell])
		}
		if count == 0 {
			continue
		}
		if gap := key - next; len(out.PositiveSpan) == 0 || gap > 2 {
			out.PositiveSpan = append(out.PositiveSpan, &dto.BucketSpan{Offset: new(int32(gap)), Length: new(uint32(0))})
		} else {
			for range gap {
				push(0)
			}
		}
		push(count)
		next = key + 1
	}
}
