package metrics

import (
	"math"
	"math/bits"
	"sort"
	"time"
)

// durationBuckets are the classic buckets, in seconds. They reach lower than
// the client's defaults: a small file takes well under a millisecond.
var durationBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// The native buckets: bucket k ends with, and includes, 2^(k/8) seconds. What
// takes longer than the last one's end is in the one after it, however long it
// took: there the native histogram only knows that it was more than 17 minutes.
const (
	nativeSchema  = 3
	perDoubling   = 1 << nativeSchema
	zeroThreshold = 0x1p-20 // seconds, just below a microsecond; all up to it are in the zero bucket
	firstKey      = -20*perDoubling + 1
	lastKey       = 10 * perDoubling
)

// cells is the layout of every histogram.
var cells = newLayout(durationBuckets)

// layout cuts time into cells so that each lies in one classic bucket and in one
// native one: their bounds are the bounds of both, in nanoseconds rounded down,
// which changes nothing for whole nanoseconds.
type layout struct {
	bounds  []int64 // the last value in each cell; the last is the greatest there is
	native  []int   // the bucket of each cell; of the first cell, which is the zero bucket, 0
	classic []uint8 // the bucket of each cell; len(durationBuckets) for +Inf

	// start tells by the four leading bits of a value, and how many there are
	// in all, in which cell to begin to look.
	start [64 * 8]uint8
}

// maxCells is how many cells a layout may have.
const maxCells = 256

func newLayout(classic []float64) *layout {
	l := &layout{}
	bounds := map[int64]bool{nanos(zeroThreshold): true, math.MaxInt64: true}
	for _, bound := range classic {
		bounds[int64(math.Round(bound*1e9))] = true
	}
	for key := firstKey; key <= lastKey; key++ {
		bounds[nanos(keyBound(key))] = true
	}
	for bound := range bounds {
		l.bounds = append(l.bounds, bound)
	}
	sort.Slice(l.bounds, func(i, j int) bool { return l.bounds[i] < l.bounds[j] })

	for i, bound := range l.bounds {
		l.classic = append(l.classic, uint8(sort.Search(len(classic), func(c int) bool { return int64(math.Round(classic[c]*1e9)) >= bound })))
		key := 0
		if i > 0 {
			key = firstKey + sort.Search(lastKey+1-firstKey, func(k int) bool { return nanos(keyBound(firstKey+k)) >= bound })
		}
		l.native = append(l.native, key)
	}
	for slot := range l.start {
		least := int64(0)
		if size, next := slot>>3, slot&7; size >= 4 {
			least = int64(8+next) << (size - 4)
		}
		l.start[slot] = uint8(sort.Search(len(l.bounds), func(i int) bool { return l.bounds[i] >= least }))
	}
	return l
}

// keyBound is the upper bound of a native bucket, in seconds.
func keyBound(key int) float64 { return math.Exp2(float64(key) / perDoubling) }

// nanos is what a bound in seconds is in nanoseconds, rounded down.
func nanos(seconds float64) int64 { return int64(math.Floor(seconds * 1e9)) }

// find is the cell of a duration.
func (l *layout) find(took time.Duration) int {
	if took <= 0 {
		return 0
	}
	size := bits.Len64(uint64(took))
	slot := size << 3
	if size >= 4 {
		slot |= int(took>>(size-4)) & 7
	}
	i := int(l.start[slot])
	for l.bounds[i] < int64(took) {
		i++
	}
	return i
}

// below is the bound between a cell and the one before it.
func (l *layout) below(cell int) int64 {
	if cell == 0 {
		return 0
	}
	return l.bounds[cell-1]
}
