package supervisor

import (
	"time"

	"sited/metrics"
)

// sample has the metrics look at the sites every metrics.SampleEvery, until the
// owner is gone: what drains still has requests.
func (s *Supervisor) sample() {
	ticker := time.NewTicker(metrics.SampleEvery)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			s.reg.Sample(now)
		case <-s.over:
			return
		}
	}
}

// Recent is what a site did in the last minutes. Rate, ErrorRatio and the times
// are those of the last minute.
type Recent struct {
	Rate       float64 `json:"rate"`        // requests/s
	ErrorRatio float64 `json:"error_ratio"` // 0 to 1: answers of 500 and above
	P50        float64 `json:"p50_seconds"` // half of the requests took at most that long; 0 when there were none
	P99        float64 `json:"p99_seconds"`
	Points     []Point `json:"points"` // of the last five minutes, one for 5 s, the oldest first; none for those before the first request
}

// Point counts the requests of five seconds.
type Point struct {
	Requests uint32 `json:"requests"`
	Errors   uint32 `json:"errors"`
}

// addRecent adds to a status what its sites did lately.
func (s *Supervisor) addRecent(status *Status) {
	for i := range status.Sites {
		r := s.reg.Recent(status.Sites[i].Name)
		recent := &Recent{Rate: r.Rate, ErrorRatio: r.ErrorRatio, P50: r.P50.Seconds(), P99: r.P99.Seconds(), Points: []Point{}}
		for _, p := range r.Points {
			if p.Requests > 0 || len(recent.Points) > 0 {
				recent.Points = append(recent.Points, Point(p))
			}
		}
		status.Sites[i].Recent = recent
	}
}
