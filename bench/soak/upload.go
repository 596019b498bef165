package main

import (
	"errors"
	"fmt"
)

// uploadedFile is changed through the site, by PUT and DELETE, and behind its
// back. What the site has confirmed shows from then on, with no staleness.
type uploadedFile struct {
	file
	has bool
	old string // an entity tag of a version before the last one; "" for none
	tag string // of the last upload
}

func (f *uploadedFile) create(w *writer) error {
	f.has = true
	return f.replace(w)
}

func (f *uploadedFile) change(w *writer) (string, error) {
	switch n := w.rng.IntN(20); {
	case n < 3 && f.has:
		return "deleted on disk", f.gone(f.remove(w))
	case n < 6:
		return "renamed on disk", f.create(w)
	case n < 9 && f.has:
		return "DELETE", f.gone(f.delete(w))
	case n < 13 && f.has && f.old != "":
		return "PUT refused by If-Match", f.refused(w)
	}
	return "PUT", f.put(w)
}

func (f *uploadedFile) gone(err error) error {
	f.has = false
	return err
}

// tell sends a request that changes the file and returns the answer. What the
// history is to hold is begun before, and acknowledged after an answer below 300.
// An answer that is not what it ought to be is a wrong answer of the site; an
// error is one of the tool, or leaves open what became of the file.
func (f *uploadedFile) tell(w *writer, method, fields string, content []byte, want int, next ...state) (*answer, error) {
	if err := w.call(f.res.addr); err != nil {
		return nil, err
	}
	q := &request{of: f.res, method: method, start: w.clock.now()}
	f.res.history.begin(q.start, next...)
	if err := w.line.put(method, f.res.path, fields, content); err != nil {
		return nil, err
	}
	a := w.line.receive(method)
	q.end = w.clock.now()
	if a.err != nil {
		w.report.wrong(q, a, a.err)
		return nil, fmt.Errorf("it is not known what became of the file: %w", a.err)
	}
	if a.close {
		w.hangUp()
	}
	if a.status != want {
		w.report.wrong(q, a, fmt.Errorf("status %d, where %d was due", a.status, want))
		if a.status/100 != 2 && want/100 == 2 {
			return nil, errors.New("the file is not what it was to become")
		}
	}
	if a.status/100 == 2 {
		f.res.history.acknowledge(q.end)
	}
	w.report.right(verdict{kind: fmt.Sprintf("%s %d", method, a.status)})
	return a, nil
}

func (f *uploadedFile) put(w *writer) error {
	want := 204
	if !f.has {
		want = 201
	}
	v, size := f.next(), w.vary(f.base)
	a, err := f.tell(w, "PUT", "", v.bytes(0, size), want, present(v, size))
	if err != nil {
		return err
	}
	f.has, f.old, f.tag = true, f.tag, a.tag
	if err := f.res.history.learn(body{v, size}, validators{tag: a.tag}, true); err != nil {
		w.report.wrong(&request{of: f.res, method: "PUT"}, a, err)
	}
	return f.look(w)
}

func (f *uploadedFile) delete(w *writer) error {
	if _, err := f.tell(w, "DELETE", "", nil, 204, state{presence: absent}); err != nil {
		return err
	}
	return f.look(w)
}

// refused tries to replace the file under a condition that does not hold.
func (f *uploadedFile) refused(w *writer) error {
	v := version{f.id, 1 << 60} // is never to be seen
	_, err := f.tell(w, "PUT", "If-Match: "+f.old+"\r\n", v.bytes(0, recordSize), 412)
	if err != nil {
		return err
	}
	return f.look(w)
}

// look gets the file at once.
func (f *uploadedFile) look(w *writer) error {
	if err := w.call(f.res.addr); err != nil {
		return err
	}
	q := &request{of: f.res, method: "GET"}
	if err := w.line.send(w.clock, q); err != nil {
		return err
	}
	a := w.line.receive(q.method)
	q.end = w.clock.now()
	w.report.judge(q, a)
	if a.err != nil || a.close {
		w.hangUp()
	}
	return nil
}

// call opens the line to a site unless it is open.
func (w *writer) call(addr string) (err error) {
	if w.line == nil {
		w.line, err = dial(addr)
	}
	return err
}

func (w *writer) hangUp() {
	if w.line != nil {
		w.line.close()
		w.line = nil
	}
}
