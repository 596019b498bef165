package metrics

import (
	"fmt"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// exemplarLabel is the name of the label that tells which request it was.
const exemplarLabel = "request_id"

// renewExemplar is how long an exemplar stays: a scrape can't show more.
const renewExemplar = time.Second

// exemplars are one observation of each classic bucket. All of its methods may be
// called for nil, which has none.
type exemplars [maxClassic]atomic.Pointer[exemplar]

const maxClassic = 16

// exemplar is one observation. It does not change.
type exemplar struct {
	id   uint64
	took time.Duration
	end  int64 // in nanoseconds since 1970
}

// exemplify keeps an observation, if the last one of its bucket is old.
func (h *Histogram) exemplify(cell int, took time.Duration, id uint64, end int64) {
	all := h.exemplars.Load()
	if all == nil {
		h.exemplars.CompareAndSwap(nil, new(exemplars))
		all = h.exemplars.Load()
	}
	place := &all[cells.classic[cell]]
	if last := place.Load(); last == nil || end-last.end >= int64(renewExemplar) {
		place.CompareAndSwap(last, &exemplar{id: id, took: max(took, 0), end: end})
	}
}

// expose is the exemplar of a classic bucket, or nil.
func (e *exemplars) expose(bucket int) *dto.Exemplar {
	if e == nil {
		return nil
	}
	x := e[bucket].Load()
	if x == nil {
		return nil
	}
	return &dto.Exemplar{
		Label:     []*dto.LabelPair{{Name: new(exemplarLabel), Value: new(fmt.Sprintf("%016x", x.id))}},
		Value:     new(x.took.Seconds()),
		Timestamp: timestamppb.New(time.Unix(0, x.end)),
	}
}
