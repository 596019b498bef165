package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"
)

// site is one of the two that are asked.
type site struct {
	addr string // host:port
	root string
}

// subject is a file or folder that changes, with all paths that it shows under.
type subject interface {
	// create brings it about before anything is asked.
	create(w *writer) error
	// change changes it once, and says in a word how.
	change(w *writer) (string, error)
	resources() []*resource
}

// spacing is the least time between two changes of a subject. The clock of a
// file system ticks every few milliseconds: two versions of one size within a
// tick would have the same ETag, whatever the server does.
const spacing = 20 * time.Millisecond

// tempos are how long subjects rest between two changes, at least and at most:
// some change before a server would think of keeping them, some after it did.
var tempos = [][2]time.Duration{
	{spacing, 80 * time.Millisecond},
	{150 * time.Millisecond, 450 * time.Millisecond},
	{700 * time.Millisecond, 2500 * time.Millisecond},
}

// sizes are about how large files are, in bytes.
var sizes = []int64{0, 1 << 10, 10 << 10, 100 << 10, 1 << 20}

// writer changes subjects, one at a time. What it needs besides them is for its
// goroutine alone.
type writer struct {
	clock    clock
	rng      *rand.Rand
	incoming string // a folder beside the roots, for files on their way
	serial   *atomic.Uint64
	report   *report
	subjects []subject
	due      []moment
	tempo    [][2]time.Duration
	line     *wire // to the site that takes uploads; nil: none is open
}

func (w *writer) add(s subject, tempo [2]time.Duration) {
	w.subjects = append(w.subjects, s)
	w.tempo = append(w.tempo, tempo)
	w.due = append(w.due, 0)
}

// run changes subjects until ctx ends.
func (w *writer) run(ctx context.Context) error {
	defer w.hangUp()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range w.subjects {
		w.rest(i)
	}
	for {
		next := 0
		for i, due := range w.due {
			if due < w.due[next] {
				next = i
			}
		}
		timer.Reset(max(0, w.due[next]-w.clock.now()))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		how, err := w.subjects[next].change(w)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", w.subjects[next].resources()[0].path, how, err)
		}
		w.report.changed(w.subjects[next].resources()[0].kind + ": " + how)
		w.rest(next)
	}
}

// rest says when the subject is due next.
func (w *writer) rest(i int) {
	t := w.tempo[i]
	w.due[i] = w.clock.now() + t[0] + time.Duration(w.rng.Int64N(int64(t[1]-t[0])))
}

// temp is a name for something new in the incoming folder.
func (w *writer) temp() string {
	return filepath.Join(w.incoming, strconv.FormatUint(w.serial.Add(1), 10))
}

// prepare writes a version as a file in the incoming folder.
func (w *writer) prepare(v version, size int64) (string, error) {
	name := w.temp()
	return name, os.WriteFile(name, v.bytes(0, size), 0o644)
}

// vary is a size about base: every other time base itself, so that versions of
// one size follow each other.
func (w *writer) vary(base int64) int64 {
	switch {
	case base == 0 && w.rng.IntN(2) == 0:
		return 0
	case base == 0:
		return headSize + w.rng.Int64N(recordSize)
	case w.rng.IntN(2) == 0:
		return base
	}
	return base + w.rng.Int64N(base/4) - base/8
}

// file is a file with versions, and where they go.
type file struct {
	id     uint32
	number uint64 // of the last version
	base   int64  // about how many bytes
	name   string // on disk
	res    *resource
	also   *history // of another resource that leads to the file; nil for none
}

// newFile describes a file of a site. It has a resource of its own, and is not
// on disk yet.
func newFile(s site, kind, path string, id uint32, base int64) file {
	return file{
		id: id, base: base, name: filepath.Join(s.root, filepath.FromSlash(path)),
		res: &resource{addr: s.addr, path: path, kind: kind, size: base, history: newHistory()},
	}
}

func (f *file) next() version {
	f.number++
	return version{f.id, f.number}
}

func (f *file) resources() []*resource { return []*resource{f.res} }

// create puts a first version in place.
func (f *file) create(w *writer) error { return f.replace(w) }

// replace puts a new version in the place of what is there, if anything.
func (f *file) replace(w *writer) error {
	v, size := f.next(), w.vary(f.base)
	name, err := w.prepare(v, size)
	if err != nil {
		return err
	}
	return w.clock.change(func() error { return os.Rename(name, f.name) },
		f.becomes(present(v, size)))
}

// becomes is what a change makes of the file, in all that tells of it.
func (f *file) becomes(next ...state) map[*history][]state {
	all := map[*history][]state{f.res.history: next}
	if f.also != nil {
		all[f.also] = next
	}
	return all
}

// remove deletes the file.
func (f *file) remove(w *writer) error {
	return w.clock.change(func() error { return os.Remove(f.name) },
		f.becomes(state{presence: absent}))
}
