package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/testing/protocmp"
)

// theirs is a histogram of the client library with the same buckets.
func theirs() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "theirs", Help: "theirs", Buckets: durationBuckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramZeroThreshold: zeroThreshold,
	})
}

// like compares what ours exposes with theirs, bucket by bucket.
func like(t *testing.T, ours *Histogram, theirs prometheus.Histogram) {
	t.Helper()
	var m dto.Metric
	if err := theirs.Write(&m); err != nil {
		t.Fatal(err)
	}
	got, want := ours.expose(), m.Histogram
	if math.Abs(got.GetSampleSum()-want.GetSampleSum()) > 1e-9*want.GetSampleSum() { // theirs is a sum of rounded numbers
		t.Errorf("sum %v, want %v", got.GetSampleSum(), want.GetSampleSum())
	}
	got.SampleSum, want.SampleSum, want.CreatedTimestamp = nil, nil, nil
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("-theirs +ours:\n%s", diff)
	}
}

const longest = 1 << 10 * time.Second // beyond it the native buckets differ on purpose

// Values of every magnitude, and those on both sides of every bound, are counted
// as the client library counts them.
func TestLikeTheClient(t *testing.T) {
	var bounds []time.Duration
	for _, b := range cells.bounds[:len(cells.bounds)-1] {
		bounds = append(bounds, time.Duration(b-1), time.Duration(b), time.Duration(min(b+1, int64(longest))))
	}
	random := rand.New(rand.NewPCG(1, 2))
	var spread, narrow []time.Duration
	for range 20_000 {
		spread = append(spread, time.Duration(math.Exp(random.Float64()*math.Log(float64(longest)))))
		narrow = append(narrow, time.Duration(20_000+random.ExpFloat64()*30_000))
	}
	for name, values := range map[string][]time.Duration{
		"none": nil, "zero": {0}, "the zero bucket": {1, 953, 900}, "one": {time.Millisecond}, "the longest": {longest},
		"small gaps": {1000, 1200, 1500, 5 * time.Microsecond, 5200, 10 * time.Second}, "every bound": bounds,
		"every magnitude": spread, "as a site has them": narrow,
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := &Histogram{}, theirs()
			for _, v := range values {
				ours.Observe(v)
				theirs.Observe(v.Seconds())
			}
			like(t, ours, theirs)
		})
	}
	for i, v := range bounds { // also each alone, so that no two errors make up for each other
		ours, theirs := &Histogram{}, theirs()
		ours.Observe(v)
		theirs.Observe(v.Seconds())
		if like(t, ours, theirs); t.Failed() {
			t.Fatalf("%v, %d", v, i)
		}
	}
}

// A duration that no native bucket is made for is in the last, and in +Inf; one
// that went back is none.
func TestBeyondTheBuckets(t *testing.T) {
	h := &Histogram{}
	for _, v := range []time.Duration{longest + 1, 1000 * time.Hour, math.MaxInt64, -time.Second} {
		h.Observe(v)
	}
	got := h.expose()
	if got.GetSampleCount() != 4 || got.GetZeroCount() != 1 || len(got.PositiveSpan) != 1 || got.PositiveSpan[0].GetOffset() != lastKey+1 || !slices.Equal(got.PositiveDelta, []int64{3}) {
		t.Errorf("%v", got)
	}
	if last := got.Bucket[len(got.Bucket)-1]; last.GetUpperBound() != 30 || last.GetCumulativeCount() != 1 {
		t.Errorf("classic: %v", last)
	}
	if want := (longest + 1 + 1000*time.Hour).Seconds() + time.Duration(math.MaxInt64).Seconds(); math.Abs(got.GetSampleSum()-want) > 1e-6*want {
		t.Errorf("sum %v, want %v", got.GetSampleSum(), want)
	}
}

// The sum goes on where nanoseconds alone would overflow.
func TestLongSum(t *testing.T) {
	h := &Histogram{}
	const day = 24 * time.Hour
	for range 1_000_000 { // 2,700 years of tunnels
		h.Observe(day + 1)
	}
	if got, want := h.expose().GetSampleSum(), 86400e6+1e-3; got != want {
		t.Errorf("sum %v, want %v", got, want)
	}
}

func TestLayout(t *testing.T) {
	if n := len(cells.bounds); n > maxCells || n > math.MaxUint8+1 {
		t.Fatalf("%d cells", n)
	}
	if len(durationBuckets)+1 != maxClassic {
		t.Errorf("%d classic buckets, and room for %d exemplars", len(durationBuckets)+1, maxClassic)
	}
	if !slices.IsSorted(cells.bounds) || cells.bounds[0] != 953 || cells.bounds[len(cells.bounds)-2] != int64(longest) {
		t.Errorf("bounds %v", cells.bounds)
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 100_000 {
		v := time.Duration(random.Uint64() >> (1 + random.IntN(63)))
		want, found := slices.BinarySearch(cells.bounds, int64(v))
		if got := cells.find(v); got != want {
			t.Fatalf("%d is in cell %d, want %d (%t)", v, got, want, found)
		}
	}
}

// FuzzFind compares with a binary search.
func FuzzFind(f *testing.F) {
	for _, b := range []int64{0, 1, 953, 954, 500_000, math.MaxInt64, -1} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, v int64) {
		want, _ := slices.BinarySearch(cells.bounds, max(v, 0))
		if got := cells.find(time.Duration(v)); got != want {
			t.Errorf("%d is in cell %d, want %d", v, got, want)
		}
	})
}

// While it is counted up, every reading agrees with itself and none goes back.
func TestConsistentWhileObserved(t *testing.T) {
	h := &Histogram{}
	var all sync.WaitGroup
	stop := make(chan struct{})
	const each = 20_000
	for i := range 4 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(5, uint64(i)))
			for n := range each {
				took := time.Duration(math.Exp(random.Float64() * math.Log(float64(longest))))
				h.ObserveWith(took, uint64(n+1), time.Unix(int64(n), 0))
			}
		})
	}
	go func() { all.Wait(); close(stop) }()
	before := h.expose()
	for over := false; !over; {
		select {
		case <-stop:
			over = true
		default:
		}
		now := h.expose()
		consistent(t, now)
		if now.GetSampleCount() < before.GetSampleCount() || now.GetSampleSum() < before.GetSampleSum()-1e-9 {
			t.Fatalf("went from %v to %v", before, now)
		}
		for i := range durationBuckets {
			if now.Bucket[i].GetCumulativeCount() < before.Bucket[i].GetCumulativeCount() {
				t.Fatalf("bucket %d went back", i)
			}
		}
		before = now
	}
	if before.GetSampleCount() != 4*each {
		t.Errorf("%d counted, want %d", before.GetSampleCount(), 4*each)
	}
}

// consistent checks what Prometheus checks of a native histogram, and that the
// classic one agrees.
func consistent(t *testing.T, h *dto.Histogram) {
	t.Helper()
	sum, count, buckets := h.GetZeroCount(), int64(0), 0
	for _, d := range h.PositiveDelta {
		if count += d; count < 0 {
			t.Fatalf("a bucket below zero: %v", h)
		}
		sum += uint64(count)
	}
	for i, s := range h.PositiveSpan {
		if buckets += int(s.GetLength()); i > 0 && s.GetOffset() < 0 {
			t.Fatalf("spans overlap: %v", h)
		}
	}
	if sum != h.GetSampleCount() || buckets != len(h.PositiveDelta) {
		t.Fatalf("%d in the native buckets, %d in all; %d buckets in spans of %d", sum, h.GetSampleCount(), len(h.PositiveDelta), buckets)
	}
	last := uint64(0)
	for _, b := range h.Bucket {
		if b.GetCumulativeCount() < last || b.GetCumulativeCount() > sum {
			t.Fatalf("classic buckets: %v", h)
		}
		last = b.GetCumulativeCount()
		if e := b.Exemplar; e != nil && (e.GetValue() > b.GetUpperBound() || e.Label[0].GetName() != "request_id") {
			t.Fatalf("exemplar %v in the bucket of %v", e, b.GetUpperBound())
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	h := &Histogram{}
	took := time.Duration(0)
	b.ReportAllocs()
	for b.Loop() {
		took = (took + 7919) % 100_000
		h.Observe(took)
	}
}
