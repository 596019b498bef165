package metrics

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"
)

// What a scraper asks for that wants exemplars, or native histograms.
const (
	openMetrics = "application/openmetrics-text; version=1.0.0"
	protobuf    = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

// inProtobuf are the families of a scrape in protobuf.
func inProtobuf(t *testing.T, r *Registry) map[string]*dto.MetricFamily {
	t.Helper()
	in := bufio.NewReader(strings.NewReader(scrape(t, r, protobuf)))
	found := map[string]*dto.MetricFamily{}
	for {
		f := &dto.MetricFamily{}
		if err := protodelim.UnmarshalFrom(in, f); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		found[f.GetName()] = f
	}
}

// The three formats of a scrape agree, and the last two have the exemplars.
func TestExemplars(t *testing.T) {
	r := New("1.2.3")
	s := r.Site("a", shape)
	start := time.Unix(1_700_000_000, 0)
	s.Exchange(&Exchange{Method: "GET", Code: 200, ID: 0xabc, Start: start, Took: 40 * time.Second, FirstByte: 3 * time.Millisecond})
	s.Script(".php").Duration.ObserveWith(80*time.Millisecond, 0xdef, start)

	wantLines(t, scrape(t, r),
		`sited_http_request_duration_seconds_bucket{site="a",le="30"} 0`,
		`sited_http_request_duration_seconds_bucket{site="a",le="+Inf"} 1`,
		`sited_http_request_duration_seconds_sum{site="a"} 40`,
		`sited_http_time_to_first_byte_seconds_bucket{site="a",le="0.005"} 1`,
		`sited_script_duration_seconds_sum{script=".php",site="a"} 0.08`,
	)
	wantLines(t, scrape(t, r, openMetrics),
		`sited_http_request_duration_seconds_bucket{site="a",le="+Inf"} 1 # {request_id="0000000000000abc"} 40.0 1.70000004e+09`,
		`sited_http_time_to_first_byte_seconds_bucket{site="a",le="0.005"} 1 # {request_id="0000000000000abc"} 0.003 1.700000000003e+09`,
		`sited_script_duration_seconds_bucket{script=".php",site="a",le="0.1"} 1 # {request_id="0000000000000def"} 0.08 1.7e+09`,
	)
	all := inProtobuf(t, r)
	for name, want := range map[string]string{
		"http_request_duration_seconds":   "40 [0000000000000abc 40]",
		"http_time_to_first_byte_seconds": "0.003 [0000000000000abc 0.003]",
	} {
		h := all["sited_"+name].GetMetric()[0].GetHistogram()
		consistent(t, h)
		got := fmt.Sprintf("%v %v", h.GetSampleSum(), told(h.Exemplars))
		if got != want || h.GetSchema() != nativeSchema || h.GetZeroThreshold() != zeroThreshold || h.CreatedTimestamp == nil {
			t.Errorf("%s: %s, want %s; %v", name, got, want, h)
		}
	}
	if c := all["sited_http_requests_total"].GetMetric()[0].GetCounter(); c.CreatedTimestamp == nil {
		t.Error("a counter does not say when it was created")
	}
}

func told(list []*dto.Exemplar) []string {
	var said []string
	for _, e := range list {
		said = append(said, fmt.Sprint(e.Label[0].GetValue(), " ", e.GetValue()))
	}
	return said
}

// An exemplar stays for a second, each bucket has its own, and one that goes back
// in time takes nobody's place.
func TestExemplarsAreRenewed(t *testing.T) {
	h := &Histogram{}
	start := time.Unix(1_700_000_000, 0)
	for _, step := range []struct {
		after time.Duration
		took  time.Duration
		id    uint64
		want  string
	}{
		{0, 2 * time.Millisecond, 1, "[0000000000000001 0.002]"},
		{999 * time.Millisecond, 2100 * time.Microsecond, 2, "[0000000000000001 0.002]"},
		{999 * time.Millisecond, 20 * time.Microsecond, 3, "[0000000000000003 2e-05 0000000000000001 0.002]"},
		{time.Second, 2200 * time.Microsecond, 4, "[0000000000000003 2e-05 0000000000000004 0.0022]"},
		{-time.Hour, 2300 * time.Microsecond, 5, "[0000000000000003 2e-05 0000000000000004 0.0022]"},
		{time.Minute, time.Hour, ^uint64(0), "[0000000000000003 2e-05 0000000000000004 0.0022 ffffffffffffffff 3600]"},
		{2 * time.Minute, -1, 7, "[0000000000000007 0 0000000000000004 0.0022 ffffffffffffffff 3600]"},
	} {
		h.ObserveWith(step.took, step.id, start.Add(step.after))
		if got := fmt.Sprint(told(h.expose().Exemplars)); got != step.want {
			t.Errorf("after %v: %v, want %v", step.after, got, step.want)
		}
	}
	if n := h.expose().GetSampleCount(); n != 7 {
		t.Errorf("%d counted, want 7", n)
	}
}
