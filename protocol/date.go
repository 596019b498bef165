package protocol

import (
	"sync/atomic"
	"time"
)

// TimeFormat is the preferred form of an HTTP-date (RFC 9110, section 5.6.7), for
// times in UTC.
const TimeFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

// dateClock renders the Date field once a second. The zero value is ready; it may
// be used concurrently.
type dateClock struct{ last atomic.Pointer[dateSecond] }

type dateSecond struct {
	unix int64
	text string
}

// at returns t as an HTTP-date.
func (d *dateClock) at(t time.Time) string {
	if last := d.last.Load(); last != nil && last.unix == t.Unix() {
		return last.text
	}
	next := &dateSecond{t.Unix(), t.UTC().Format(TimeFormat)}
	d.last.Store(next)
	return next.text
}
