package metrics

import (
	"strconv"
	"sync/atomic"
	"time"
)

// Exchange is what there is to count of one request and its answer.
type Exchange struct {
	Method    string // one that is not of HTTP's counts as "other"
	Code      int    // one that is not between 100 and 599 counts as "other"
	ID        uint64 // for the exemplars
	Start     time.Time
	Took      time.Duration
	FirstByte time.Duration // 0: nothing was sent
	Received  int64         // bytes of the request's body
	Sent      int64         // bytes of the answer's body
}

// Exchange counts a request that is over, answered or not.
func (s *Site) Exchange(x *Exchange) {
	s.requests.get(s, x.Method, x.Code).value.Add(1)
	start := x.Start.UnixNano()
	cell := cells.find(x.Took)
	s.duration.add(cell, x.Took)
	s.duration.exemplify(cell, x.Took, x.ID, start+int64(x.Took))
	if x.FirstByte > 0 {
		if x.FirstByte != x.Took {
			cell = cells.find(x.FirstByte)
		}
		s.firstByte.add(cell, x.FirstByte)
		s.firstByte.exemplify(cell, x.FirstByte, x.ID, start+int64(x.FirstByte))
	}
	if x.Received > 0 {
		s.requestBytes.value.Add(x.Received)
	}
	if x.Sent > 0 {
		s.responseBytes.value.Add(x.Sent)
	}
	if x.Code >= 500 { // after the duration: no more failures than requests are ever seen
		s.row.errors.Add(1)
	}
}

// methods are the values of the method label: those of RFC 9110, section 9, and
// RFC 5789, and one for all others.
var methods = [...]string{"other", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

func methodIndex(method string) int {
	switch method {
	case "GET":
		return 1
	case "HEAD":
		return 2
	case "POST":
		return 3
	case "PUT":
		return 4
	case "DELETE":
		return 5
	case "CONNECT":
		return 6
	case "OPTIONS":
		return 7
	case "TRACE":
		return 8
	case "PATCH":
		return 9
	}
	return 0
}

// codeLabel is the value of the code label.
func codeLabel(code int) string {
	if code < 100 || code > 599 {
		return "other"
	}
	return strconv.Itoa(code)
}

// requestCounters remembers counters of http_requests_total, so that they need
// not be looked up by their labels for each request. What hits the same place
// takes turns in it.
type requestCounters [requestPlaces]atomic.Pointer[requestCounter]

// requestPlaces is such that the codes that go together have places of their own.
const requestPlaces = 31

type requestCounter struct {
	*Counter
	method, code int
}

func (c *requestCounters) get(s *Site, method string, code int) *Counter {
	m := methodIndex(method)
	place := &c[uint(code+m*17)%requestPlaces]
	if known := place.Load(); known != nil && known.method == m && known.code == code {
		return known.Counter
	}
	g := s.group
	g.row.table.mu.Lock()
	counter := g.counter(s.of.requests, methods[m], codeLabel(code))
	g.row.table.mu.Unlock()
	place.Store(&requestCounter{counter, m, code})
	return counter
}
