package chaos

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// served is what answers at a port: a generation of a site, on a socket that is
// bound to one address or to all. Without a site nothing listens.
type served struct {
	site string
	gen  int
	wild bool
}

// socket tells the sockets apart that a port can have, one after the other.
func (s served) socket() string {
	switch {
	case s.site == "":
		return "none"
	case s.wild:
		return "0.0.0.0"
	default:
		return "one address"
	}
}

// period is a time in which something may be in force.
type period struct {
	served
	from, until time.Time // until is zero while it may go on
	closing     bool      // another socket, or none, took its place: it drained
}

// drainTime is how long a socket that closes may still answer the connections
// that had come to it: sited takes what is in its queue for up to a second, waits
// a quarter of one for a last request, and the machine may be busy.
const drainTime = 5 * time.Second

// timeline is what may have been in force at one port, and when. From the moment
// before an edit is written both the old and the new may be; once sited has said
// that it took it in, only the new.
type timeline struct {
	mu      sync.Mutex
	periods []period // the open ones come last
}

// begin notes that s may be in force from now on, beside what may be already.
func (l *timeline) begin(s served) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.periods); n > 0 && l.periods[n-1].served == s {
		return
	}
	l.periods = append(l.periods, period{served: s, from: time.Now()})
}

// settle notes that nothing but the last is in force from now on.
func (l *timeline) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, last := time.Now(), len(l.periods)-1
	first := last
	replaced := false
	for first > 0 && l.periods[first-1].until.IsZero() {
		first--
		replaced = replaced || l.periods[first].socket() != l.periods[last].socket()
	}
	for i := first; i < last; i++ {
		p := &l.periods[i]
		p.until, p.closing = now, replaced && p.site != ""
	}
}

// now is what is in force, once settled.
func (l *timeline) now() served {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.periods[len(l.periods)-1].served
}

// during lists what may have been in force at some moment of that time.
func (l *timeline) during(from, to time.Time) (found []period) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.periods {
		until := p.until
		if p.closing {
			until = until.Add(drainTime)
		}
		if !p.from.After(to) && (until.IsZero() || !until.Before(from)) {
			found = append(found, p)
		}
	}
	return found
}

// answers reports whether that generation may have answered in that time, and
// whether nothing else could have.
func (l *timeline) answers(from, to time.Time, site string, gen int) (may, alone bool) {
	found := l.during(from, to)
	for _, p := range found {
		may = may || p.site == site && p.gen == gen
	}
	return may, may && len(found) == 1
}

// refuses reports whether it may be that nothing listened in that time.
func (l *timeline) refuses(from, to time.Time) bool {
	for _, p := range l.during(from, to) {
		if p.site == "" {
			return true
		}
	}
	return false
}

// closes reports whether connections may have been closed in that time, because
// their socket was.
func (l *timeline) closes(from, to time.Time) bool {
	found := l.during(from, to)
	for _, p := range found {
		if p.socket() != found[0].socket() {
			return true
		}
	}
	return false
}

// String is the end of the timeline, for messages.
func (l *timeline) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, p := range l.periods[max(0, len(l.periods)-4):] {
		until := "…"
		if !p.until.IsZero() {
			until = p.until.Format("05.000")
		}
		fmt.Fprintf(&b, "\n  %s to %s: %s generation %d, socket: %s", p.from.Format("05.000"), until, p.site, p.gen, p.socket())
	}
	return b.String()
}

// socketChanges is how often the port may have got another socket, or none.
func (l *timeline) socketChanges() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := 1; i < len(l.periods); i++ {
		if l.periods[i].socket() != l.periods[i-1].socket() {
			n++
		}
	}
	return n
}
