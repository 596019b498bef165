package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// past is a history with these states: version 1 (1000 bytes) until 1s, version 2
// (1000 bytes) until 2s, nothing until 3s, version 4 (700 bytes) since. The
// system calls between them took 10 ms each.
func past() *history {
	h := newHistory()
	at := moment(0)
	for _, s := range []state{present(version{1, 1}, 1000), present(version{1, 2}, 1000), {presence: absent}, present(version{1, 4}, 700)} {
		h.begin(at, s)
		h.end(at + 10*ms)
		at += time.Second
	}
	return h
}

// got is an answer with that body, as the wire reads it.
func got(status int, b []byte) *answer {
	return &answer{status: status, body: b, length: int64(len(b)), tag: `"t"`, modified: "m"}
}

func part(v version, first, last, size int64) *answer {
	a := got(206, v.bytes(first, last-first+1))
	a.span = fmt.Sprintf("bytes %d-%d/%d", first, last, size)
	return a
}

// TestCheck asks for the file of past with a request that lasts 5 ms.
func TestCheck(t *testing.T) {
	one, two, four := version{1, 1}, version{1, 2}, version{1, 4}
	torn := append(one.bytes(0, 600), two.bytes(600, 400)...)
	flipped := two.bytes(0, 1000)
	flipped[999]++
	cases := []struct {
		name  string
		start moment
		q     request
		a     *answer
		wrong string // part of the error; "" when the answer is right
	}{
		{"current", 1500 * ms, request{}, got(200, two.bytes(0, 1000)), ""},
		{"replaced while asked", 1005 * ms, request{}, got(200, one.bytes(0, 1000)), ""},
		{"new while asked", 1005 * ms, request{}, got(200, two.bytes(0, 1000)), ""},
		{"stale by 190 ms", 1200 * ms, request{}, got(200, one.bytes(0, 1000)), ""},
		{"stale by 211 ms", 1221 * ms, request{}, got(200, one.bytes(0, 1000)), "not what was on disk"},
		{"stale by 500 ms", 1510 * ms, request{}, got(200, one.bytes(0, 1000)), "not what was on disk"},
		{"ahead of its time", 990 * ms, request{}, got(200, two.bytes(0, 1000)), "not what was on disk"},
		{"torn", 1005 * ms, request{}, got(200, torn), "not what was on disk"},
		{"one byte wrong", 1500 * ms, request{}, got(200, flipped), "not what was on disk"},
		{"too short", 1500 * ms, request{}, got(200, two.bytes(0, 999)), "not what was on disk"},
		{"too long", 1500 * ms, request{}, got(200, two.bytes(0, 1001)), "not what was on disk"},
		{"of another file", 1500 * ms, request{}, got(200, version{2, 2}.bytes(0, 1000)), "not what was on disk"},
		{"there though deleted", 2300 * ms, request{}, got(200, two.bytes(0, 1000)), "not what was on disk"},
		{"deleted", 2500 * ms, request{}, got(404, nil), ""},
		{"not found though there", 1500 * ms, request{}, got(404, nil), "not what was on disk"},
		{"not found long after", 3300 * ms, request{}, got(404, nil), "not what was on disk"},
		{"a folder", 1500 * ms, request{}, &answer{status: 301, location: "/f/"}, "not what was on disk"},
		{"server error", 1500 * ms, request{}, got(500, nil), "status 500"},
		{"no ETag", 1500 * ms, request{}, &answer{status: 200, body: two.bytes(0, 1000), length: 1000}, "no ETag"},
		{"length beyond the body", 1500 * ms, request{}, &answer{status: 200, tag: "t", body: two.bytes(0, 1000), length: 1001}, "Content-Length says 1001"},
		{"no length", 1500 * ms, request{}, &answer{status: 200, tag: "t", body: two.bytes(0, 1000), length: -1}, "no Content-Length"},
		{"cut short", 1500 * ms, request{}, &answer{status: 200, length: 1000, err: io.ErrUnexpectedEOF}, "unexpected EOF"},
		{"compressed", 1500 * ms, request{}, &answer{status: 200, coding: "gzip", length: 0}, "Content-Encoding"},
		{"HEAD", 1500 * ms, request{method: "HEAD"}, &answer{status: 200, length: 1000, tag: "t"}, ""},
		{"HEAD of another length", 1500 * ms, request{method: "HEAD"}, &answer{status: 200, length: 700, tag: "t"}, "not what was on disk"},
		{"HEAD with a body", 1500 * ms, request{method: "HEAD"}, got(200, two.bytes(0, 1000)), "a body of 1000 bytes"},
		{"part", 1500 * ms, request{spans: "100-"}, part(two, 100, 999, 1000), ""},
		{"part, stale", 1500 * ms, request{spans: "100-"}, part(one, 100, 999, 1000), "not what was on disk"},
		{"part of a size that was not", 1500 * ms, request{spans: "100-"}, part(two, 100, 899, 900), "not what was on disk"},
		{"another part", 1500 * ms, request{spans: "100-"}, part(two, 101, 999, 1000), "for Range"},
		{"part, shifted", 1500 * ms, request{spans: "0-99"}, &answer{status: 206, tag: "t", span: "bytes 0-99/1000", body: two.bytes(1, 100), length: 100}, "not what was on disk"},
		{"last part", 1500 * ms, request{spans: "-100"}, part(two, 900, 999, 1000), ""},
		{"part in spite of If-Range", 1500 * ms, request{spans: "0-", ifRange: "other"}, part(two, 0, 999, 1000), "If-Range"},
		{"unsatisfiable", 3500 * ms, request{spans: "900-"}, &answer{status: 416, span: "bytes */700"}, ""},
		{"unsatisfiable, though it can be", 1500 * ms, request{spans: "900-"}, &answer{status: 416, span: "bytes */1000"}, "can be satisfied"},
		{"unsatisfiable, of a size that was not", 3500 * ms, request{spans: "900-"}, &answer{status: 416, span: "bytes */701"}, "not what was on disk"},
		{"unchanged", 1500 * ms, request{ifNone: "t", had: body{two, 1000}}, &answer{status: 304, tag: "t", length: -1}, ""},
		{"unchanged, though it was", 3500 * ms, request{ifNone: "t", had: body{two, 1000}}, &answer{status: 304, tag: "t", length: -1}, "not what was on disk"},
		{"unchanged without a condition", 1500 * ms, request{}, &answer{status: 304, tag: "t", length: -1}, "If-None-Match"},
		{"sent though unchanged", 3500 * ms, request{ifNone: `"t"`, had: body{four, 700}}, got(200, four.bytes(0, 700)), "304 is the answer"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := past()
			q := c.q
			q.of, q.hadIn, q.start, q.end = &resource{path: "/f", history: h}, h, c.start, c.start+5*ms
			if q.method == "" {
				q.method = "GET"
			}
			_, err := check(&q, c.a)
			if c.wrong == "" && err != nil {
				t.Errorf("a right answer: %v", err)
			}
			if c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("error %v; want one with %q", err, c.wrong)
			}
			if text := detail(&q, c.a, err); !strings.Contains(text, "/f HTTP/1.1") {
				t.Errorf("the details don't show the request:\n%s", text)
			}
		})
	}
}

// TestAcknowledged: what the site has confirmed leaves no time for the old.
func TestAcknowledged(t *testing.T) {
	h := newHistory()
	one, two := version{1, 1}, version{1, 2}
	h.begin(0, present(one, 600))
	h.end(1 * ms)
	h.begin(1000*ms, present(two, 600))
	h.acknowledge(1010 * ms)
	r := &resource{path: "/f", history: h}
	for _, c := range []struct {
		start moment
		v     version
		right bool
	}{
		{1005 * ms, one, true}, {1005 * ms, two, true}, {1010 * ms, one, false}, {1011 * ms, one, false}, {1011 * ms, two, true},
	} {
		q := &request{of: r, method: "GET", start: c.start, end: c.start + 50*ms}
		a := got(200, c.v.bytes(0, 600))
		a.tag = fmt.Sprint(c.v.number)
		if _, err := check(q, a); (err == nil) != c.right {
			t.Errorf("version %d at %v: %v; right: %t", c.v.number, c.start, err, c.right)
		}
	}
}

// TestValidators: one tag, one content; one version, one tag and one time.
func TestValidators(t *testing.T) {
	r := &resource{path: "/f", history: past()}
	ask := func(start moment, v version, size int64, tag, modified string) error {
		a := got(200, v.bytes(0, size))
		a.tag, a.modified = tag, modified
		_, err := check(&request{of: r, method: "GET", start: start, end: start + ms}, a)
		return err
	}
	if err := ask(500*ms, version{1, 1}, 1000, "a", "m"); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"the tag of another version": ask(1500*ms, version{1, 2}, 1000, "a", "m"),
		"another tag":                ask(600*ms, version{1, 1}, 1000, "b", "m"),
		"another time":               ask(600*ms, version{1, 1}, 1000, "a", "n"),
	} {
		if err == nil {
			t.Errorf("%s is found right", name)
		}
	}
	if err := ask(600*ms, version{1, 1}, 1000, "a", "m"); err != nil {
		t.Error(err)
	}
}

// TestGrowing: of a file that grows, each size it had on the way is right, and
// nothing else.
func TestGrowing(t *testing.T) {
	h := newHistory()
	v := version{1, 1}
	h.begin(0, present(v, recordSize))
	h.end(0)
	h.begin(1000*ms, growing(v, recordSize, 4*recordSize), present(v, 4*recordSize))
	h.end(1010 * ms)
	r := &resource{path: "/f", history: h, grows: true}
	for _, c := range []struct {
		start moment
		size  int64
		right bool
	}{
		{1005 * ms, 1, true}, {1005 * ms, 2, true}, {1005 * ms, 4, true}, {1005 * ms, 5, false}, {1005 * ms, 0, false},
		{900 * ms, 2, false}, {1500 * ms, 3, false}, {1500 * ms, 1, false}, {1500 * ms, 4, true},
	} {
		q := &request{of: r, method: "GET", start: c.start, end: c.start + ms}
		a := got(200, v.bytes(0, c.size*recordSize))
		a.tag = fmt.Sprint(c.size)
		if _, err := check(q, a); (err == nil) != c.right {
			t.Errorf("%d records at %v: %v; right: %t", c.size, c.start, err, c.right)
		}
	}
}

// TestRewritten: while a file is rewritten in place an answer may be cut short or
// mixed of its records, and only then.
func TestRewritten(t *testing.T) {
	h := newHistory()
	one, two := version{1, 1}, version{1, 2}
	h.begin(0, present(one, 4*recordSize))
	h.end(0)
	h.begin(1000*ms, present(two, 0), growing(two, 0, 4*recordSize), present(two, 4*recordSize))
	h.end(1010 * ms)
	mix := append(one.bytes(0, 2*recordSize), two.bytes(2*recordSize, 2*recordSize)...)
	scrap := append(one.bytes(0, recordSize/2), two.bytes(recordSize/2, recordSize/2)...)
	for _, c := range []struct {
		name  string
		start moment
		a     *answer
		right bool
	}{
		{"mixed while written", 1005 * ms, got(200, mix), true},
		{"mixed within a record", 1005 * ms, got(200, scrap), false},
		{"mixed afterwards", 1050 * ms, got(200, mix), false},
		{"cut short while written", 1005 * ms, &answer{status: 200, length: 2048, err: io.ErrUnexpectedEOF}, true},
		{"cut short afterwards", 1050 * ms, &answer{status: 200, length: 2048, err: io.ErrUnexpectedEOF}, false},
		{"500 while written", 1005 * ms, got(500, nil), true},
		{"500 afterwards", 1050 * ms, got(500, nil), false},
		{"empty while written", 1005 * ms, got(200, nil), true},
		{"empty long afterwards", 1300 * ms, got(200, nil), false},
	} {
		q := &request{of: &resource{path: "/f", history: h, rewritten: true}, method: "GET", start: c.start, end: c.start + ms}
		if _, err := check(q, c.a); (err == nil) != c.right {
			t.Errorf("%s: %v; right: %t", c.name, err, c.right)
		}
	}
}

// TestHistoryForgets: a history of any length keeps what requests may still need.
func TestHistoryForgets(t *testing.T) {
	h := newHistory()
	const changes = 6000
	for i := range changes {
		now := moment(i) * 20 * ms
		v := version{1, uint64(i + 1)}
		h.begin(now, present(v, 1000))
		if i%2 == 0 {
			h.acknowledge(now + ms)
		} else {
			h.end(now + ms)
		}
		if err := h.learn(body{v, 1000}, validators{fmt.Sprint(i), "m"}, true); err != nil {
			t.Fatal(err)
		}
	}
	bound := int(remembered/(20*ms)) + 100
	if len(h.states) > bound || len(h.barriers) > bound || len(h.tags.content) > bound || len(h.tags.seen) > bound {
		t.Errorf("%d states, %d barriers, %d and %d tags are kept", len(h.states), len(h.barriers), len(h.tags.content), len(h.tags.seen))
	}
	now := moment(changes-1) * 20 * ms
	if found := h.during(now-answerTime, now, staleness); found[0].since > now-answerTime {
		t.Errorf("the oldest state that is kept began at %v; a request may have begun at %v", found[0].since, now-answerTime)
	}
}

// FuzzVersion: a part of a version is what equal takes for it, and nothing else.
func FuzzVersion(f *testing.F) {
	f.Add(uint32(1), uint64(2), uint16(700), uint16(0), uint16(3))
	f.Add(uint32(7), uint64(1<<40), uint16(5000), uint16(511), uint16(600))
	f.Fuzz(func(t *testing.T, subject uint32, number uint64, size, offset, length uint16) {
		v := version{subject, number}
		all := v.bytes(0, int64(size))
		from := min(int64(offset), int64(size))
		to := min(from+int64(length), int64(size))
		b := v.bytes(from, to-from)
		if !bytes.Equal(b, all[from:to]) || !v.equal(b, from) {
			t.Fatalf("bytes %d to %d are not those of the whole", from, to)
		}
		if len(b) >= recordSize && (v.equal(b, from+1) || version{subject, number + 1}.equal(b, from)) {
			t.Fatal("other bytes are taken for the same")
		}
		if read, ok := versionOf(all); len(all) >= headSize && (!ok || read != v) {
			t.Fatalf("read as %v, %t", read, ok)
		}
		if len(b) > 0 {
			b = slices.Clone(b)
			b[len(b)/2] ^= 1
			if v.equal(b, from) {
				t.Fatal("a bit that differs is not seen")
			}
		}
	})
}

func TestFlat(t *testing.T) {
	run := func(of func(i int) int64) (all []sample) {
		for i := range 100 {
			all = append(all, sample{memory: of(i) << 20, goroutines: of(i), descriptors: of(i)})
		}
		return all
	}
	for _, c := range []struct {
		name string
		of   func(i int) int64
		flat bool
	}{
		{"constant", func(int) int64 { return 50 }, true},
		{"swinging", func(i int) int64 { return 50 + int64(i%7) }, true},
		{"one peak at the end", func(i int) int64 { return 50 + 1000*int64(i/98) }, true},
		{"growing", func(i int) int64 { return 50 + int64(i) }, false},
		{"doubled", func(i int) int64 { return 50 + 50*int64(i/50) }, false},
	} {
		for _, m := range measures(16 << 20) {
			if err := flat(run(c.of), m); (err == nil) != c.flat {
				t.Errorf("%s, %s: %v; flat: %t", c.name, m.name, err, c.flat)
			}
		}
	}
	if flat(nil, measures(0)[0]) == nil {
		t.Error("no samples at all are called flat")
	}
}
