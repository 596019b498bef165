package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// series is a cell or a histogram as a scrape sees it.
type series struct {
	group     *group
	column    *column
	value     int64      // of a cell, as it was when it was looked up
	histogram *Histogram // nil for a cell
}

var _ prometheus.Metric = (*series)(nil)

// Desc implements prometheus.Metric.
func (s *series) Desc() *prometheus.Desc { return s.column.family.desc }

// Write implements prometheus.Metric.
func (s *series) Write(out *dto.Metric) error {
	values := append([]string{s.group.row.site}, s.column.values...)
	out.Label = prometheus.MakeLabelPairs(s.Desc(), values)
	created := timestamppb.New(s.group.created)
	switch s.column.family.kind {
	case counter:
		out.Counter = &dto.Counter{Value: new(s.column.family.number(s.value)), CreatedTimestamp: created}
	case gauge:
		out.Gauge = &dto.Gauge{Value: new(s.column.family.number(s.value))}
	case histogram:
		out.Histogram = s.histogram.expose()
		out.Histogram.CreatedTimestamp = created
	}
	return nil
}
