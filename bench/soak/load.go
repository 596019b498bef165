package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// writers is how many goroutines change files.
const writers = 4

// load is what is done to two sites: files, upload takes PUT and DELETE besides.
type load struct {
	files, upload site
	incoming      string // a folder on the same file system as the roots
	clients       int
	subjects      int
	packed        bool // the server sends precompressed files

	clock     clock
	report    *report
	writers   []*writer
	resources []*resource
}

// prepare makes the files that are there from the start.
func (l *load) prepare() error {
	l.clock = clock{time.Now()}
	l.report = newReport(l.clock)
	serial := new(atomic.Uint64)
	for i := range writers {
		l.writers = append(l.writers, &writer{
			clock: l.clock, rng: rand.New(rand.NewPCG(uint64(i), 2)), incoming: l.incoming, serial: serial, report: l.report,
		})
	}
	kinds := l.kinds()
	for i := range max(l.subjects, len(kinds)) {
		round := i / len(kinds)
		s := kinds[i%len(kinds)](fmt.Sprintf("/%d", i), uint32(2*i+1), sizes[(round+i)%len(sizes)])
		w := l.writers[i%writers]
		if err := s.create(w); err != nil {
			return err
		}
		w.add(s, tempos[(round/len(sizes)+round)%len(tempos)])
		l.resources = append(l.resources, s.resources()...)
	}
	return nil
}

// kinds are the makers of the kinds of subjects, each with a path, an id (the
// next one is its own, too) and a size.
func (l *load) kinds() []func(path string, id uint32, base int64) subject {
	kinds := []func(path string, id uint32, base int64) subject{
		func(path string, id uint32, base int64) subject {
			return &replacedFile{file: newFile(l.files, "replaced", path+".txt", id, base)}
		},
		func(path string, id uint32, base int64) subject {
			f := &appendedFile{file: newFile(l.files, "appended", path+".log", id, base)}
			f.res.grows = true
			return f
		},
		func(path string, id uint32, base int64) subject {
			f := &rewrittenFile{newFile(l.files, "rewritten", path+".dat", id, base)}
			f.res.rewritten = true
			return f
		},
		func(path string, id uint32, base int64) subject {
			return &deletedFile{file: newFile(l.files, "deleted", path+".tmp", id, base)}
		},
		func(path string, id uint32, base int64) subject { return newSwappedFile(l.files, path, id, base) },
		func(path string, id uint32, base int64) subject {
			return newIndexedFolder(l.files, path, id, base, id%4 == 1)
		},
		func(path string, id uint32, base int64) subject {
			return &uploadedFile{file: newFile(l.upload, "uploaded", path+".bin", id, base)}
		},
	}
	if l.packed {
		kinds = append(kinds, func(path string, id uint32, base int64) subject {
			return newPackedFile(l.files, path+".css", id, base)
		})
	}
	return kinds
}

// patience is how long a run may be drawn out for answers of a kind that has not
// come: on a machine that is busy with something else.
const patience = time.Minute

// run asks and changes for that long, and for at most patience more until no kind
// of answer is missing, or until ctx ends. An error is one of the tool; wrong
// answers are in the report.
func (l *load) run(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d+patience)
	defer cancel()
	var group sync.WaitGroup
	failed := make([]error, len(l.writers))
	for i, w := range l.writers {
		group.Go(func() {
			if failed[i] = w.run(ctx); failed[i] != nil {
				cancel()
			}
		})
	}
	for i := range l.clients {
		group.Go(func() { newClient(l.clock, i, l.resources, l.report).run(ctx) })
	}
	l.wait(ctx, d)
	cancel()
	group.Wait()
	return errors.Join(failed...)
}

// wait returns after d, once no kind of answer is missing, or when ctx ends.
func (l *load) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if len(l.missing()) == 0 || l.report.count() > 0 {
			return
		}
		timer.Reset(100 * time.Millisecond)
	}
}

// missing lists the kinds of right answers that never came and ought to have.
func (l *load) missing() []string {
	kinds := needed
	if l.packed {
		kinds = append([]string{"gzip 200"}, kinds...)
	}
	return l.report.missing(kinds)
}

// probePacked reports whether the site sends a precompressed file in the place
// of the file that was asked for.
func probePacked(s site) (bool, error) {
	f := newFile(s, "probe", "/probe.css", 0, recordSize)
	for _, name := range []string{f.name, f.name + ".gz"} {
		if err := os.WriteFile(name, version{0, 1}.bytes(0, recordSize), 0o644); err != nil {
			return false, err
		}
	}
	w, err := dial(s.addr)
	if err != nil {
		return false, err
	}
	defer w.close()
	if err := w.send(clock{time.Now()}, &request{of: f.res, method: "GET", gzip: true, close: true}); err != nil {
		return false, err
	}
	a := w.receive("GET")
	if a.err != nil || a.status != 200 {
		return false, errors.Join(fmt.Errorf("the first answer: status %d", a.status), a.err)
	}
	return a.coding == "gzip", nil
}
