package metrics

import (
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// A series that is hidden while a scrape is under way has the value that it was
// looked up with, and not the mark of one that is hidden.
func TestSeriesHiddenDuringScrape(t *testing.T) {
	r := New("test")
	s := r.Site("a", shape)
	s.Limits(10, 5)
	all := r.table.series()
	s.Limits(10, 0)
	found := false
	for i := range all {
		if all[i].column.family != r.inFlightLimit {
			continue
		}
		var out dto.Metric
		if err := all[i].Write(&out); err != nil {
			t.Fatal(err)
		}
		if found = true; out.GetGauge().GetValue() != 5 {
			t.Errorf("got %v", out.GetGauge())
		}
	}
	if !found {
		t.Error("no such series")
	}
}
