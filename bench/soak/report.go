package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// shown is how many wrong answers are shown in full.
const shown = 10

// report collects what came of a run. Its methods may be called concurrently.
type report struct {
	clock clock

	mu      sync.Mutex
	kinds   map[string]int // right answers
	changes map[string]int
	late    int    // right answers whose content had been replaced before the request
	latest  moment // the longest time before
	wrongs  int
	details []string // of the first ones
}

func newReport(c clock) *report {
	return &report{clock: c, kinds: map[string]int{}, changes: map[string]int{}}
}

// judge checks an answer, counts it and reports whether it is right.
func (r *report) judge(q *request, a *answer) bool {
	v, err := check(q, a)
	if err != nil {
		r.wrong(q, a, err)
		return false
	}
	r.right(v)
	return true
}

func (r *report) right(v verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kinds[v.kind]++
	if v.late > 0 {
		r.late++
		r.latest = max(r.latest, v.late)
	}
}

func (r *report) changed(how string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes[how]++
}

// wrong counts a wrong answer; q and a may be nil where there is none.
func (r *report) wrong(q *request, a *answer, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrongs++
	if len(r.details) < shown {
		r.details = append(r.details, detail(q, a, err))
	}
}

// detail shows a wrong answer: what was asked, what came, and what would have
// been right.
func detail(q *request, a *answer, err error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "wrong: %v\n", err)
	if q == nil {
		return b.String()
	}
	fmt.Fprintf(&b, "  asked of %s from %v to %v:\n", q.of.kind, q.start, q.end)
	quote(&b, strings.Split(strings.TrimSpace(string(appendRequest(nil, q))), "\r\n"))
	if a != nil {
		fmt.Fprintf(&b, "  came:\n")
		quote(&b, a.fields)
		fmt.Fprintf(&b, "    (%d bytes: %q…)\n", len(a.body), a.body[:min(len(a.body), 2*headSize)])
		suspect(&b, q, a)
	}
	fmt.Fprintf(&b, "  would have been right:\n")
	for _, s := range q.of.history.during(q.start, q.end, staleness+tolerance) {
		fmt.Fprintf(&b, "    %s\n", &s)
	}
	if q.of.sibling != nil {
		for _, s := range q.of.sibling.during(q.start, q.end, staleness+tolerance) {
			fmt.Fprintf(&b, "    sibling: %s\n", &s)
		}
	}
	return b.String()
}

func quote(b *strings.Builder, lines []string) {
	for _, line := range lines {
		fmt.Fprintf(b, "    %q\n", line)
	}
}

// suspect tells of the version that the body says it is.
func suspect(b *strings.Builder, q *request, a *answer) {
	v, ok := versionOf(a.body)
	if !ok {
		return
	}
	same := int64(0)
	for n := int64(len(a.body)); same < n && v.equal(a.body[same:min(same+recordSize, n)], same); {
		same = min(same+recordSize, n)
	}
	fmt.Fprintf(b, "  says it is version %d of subject %d; %d of its %d bytes are\n", v.number, v.subject, same, len(a.body))
	for _, s := range q.of.history.of(v) {
		fmt.Fprintf(b, "    %s", &s)
		if s.until < q.start {
			fmt.Fprintf(b, ": ended %v before the request began", q.start-s.until)
		}
		fmt.Fprintln(b)
	}
}

// count is how many wrong answers there were so far.
func (r *report) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wrongs
}

// stale is how many right answers were of content that had been replaced.
func (r *report) stale() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.late
}

// answers is how many right answers there were.
func (r *report) answers() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.kinds {
		n += k
	}
	return n
}

// needed are the kinds of answers without any of which a run proves nothing.
var needed = []string{"200", "HEAD 200", "206", "304", "404", "301", "416", "PUT 201", "PUT 204", "PUT 412", "DELETE 204"}

// missing lists what of kinds never came.
func (r *report) missing(kinds []string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(kinds), func(kind string) bool { return r.kinds[kind] > 0 })
}

// print writes the counts and the wrong answers.
func (r *report) print(out io.Writer, took time.Duration) {
	n := r.answers()
	r.mu.Lock()
	defer r.mu.Unlock()
	changes := 0
	for _, k := range r.changes {
		changes += k
	}
	fmt.Fprintf(out, "%d right answers in %v (%.0f a second), %d changes on disk and through the site\n",
		n, took.Round(time.Millisecond), float64(n)/took.Seconds(), changes)
	fmt.Fprintf(out, "%d answers were of content replaced before their request began, by %v at most (%v are allowed)\n\n",
		r.late, r.latest.Round(time.Microsecond), staleness)
	table(out, "answers", r.kinds)
	table(out, "changes", r.changes)
	fmt.Fprintf(out, "wrong answers: %d\n", r.wrongs)
	for _, d := range r.details {
		fmt.Fprintf(out, "\n%s", d)
	}
	if r.wrongs > len(r.details) {
		fmt.Fprintf(out, "\n(the first %d of them)\n", len(r.details))
	}
	fmt.Fprintln(out)
}

func table(out io.Writer, title string, counts map[string]int) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(w, "%d\t  %s\n", counts[name], name)
	}
	fmt.Fprintln(out, title)
	w.Flush()
	fmt.Fprintln(out)
}
