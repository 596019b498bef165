package main

import (
	"os"
	"time"
)

// replacedFile is always there, each version renamed over the one before: every
// answer is exactly one version.
type replacedFile struct {
	file
	ready     string // a version that waits to be put in place; "" for none
	readySize int64
}

func (f *replacedFile) change(w *writer) (string, error) {
	if f.ready != "" {
		name, v := f.ready, version{f.id, f.number}
		f.ready = ""
		return "renamed, written before", w.clock.change(func() error { return os.Rename(name, f.name) },
			f.becomes(present(v, f.readySize)))
	}
	switch w.rng.IntN(4) {
	case 0: // with a time of modification from before, and a new one of the inode
		var err error
		f.readySize = w.vary(f.base)
		f.ready, err = w.prepare(f.next(), f.readySize)
		return "prepared", err
	case 1:
		return "renamed, backdated", f.backdated(w)
	}
	return "renamed", f.replace(w)
}

// backdated replaces the file by one with an older time of modification, as a
// restored backup has.
func (f *replacedFile) backdated(w *writer) error {
	v, size := f.next(), w.vary(f.base)
	name, err := w.prepare(v, size)
	if err != nil {
		return err
	}
	then := time.Unix(1_000_000_000+int64(v.number), 0) // no two versions have the same
	if err := os.Chtimes(name, then, then); err != nil {
		return err
	}
	return w.clock.change(func() error { return os.Rename(name, f.name) },
		f.becomes(present(v, size)))
}

// appendedFile grows by records, and begins anew when it is long enough: every
// answer is a beginning of the file that was all of it at some moment.
type appendedFile struct {
	file
	size int64
}

func (f *appendedFile) create(w *writer) error { return f.grow(w, f.base) }

func (f *appendedFile) change(w *writer) (string, error) {
	if f.size > f.base+64*recordSize {
		if err := f.remove(w); err != nil {
			return "deleted", err
		}
		f.size = 0
		return "deleted and begun anew", f.grow(w, f.base)
	}
	return "appended", f.grow(w, recordSize*(1+w.rng.Int64N(16)))
}

// grow appends at least more bytes, creating the file if it is not there.
func (f *appendedFile) grow(w *writer, more int64) error {
	if f.size == 0 {
		f.next()
	}
	v := version{f.id, f.number}
	from, to := f.size, f.size+(more+recordSize-1)/recordSize*recordSize
	f.size = to
	content := v.bytes(from, to-from)
	return w.clock.change(func() error { return write(f.name, os.O_APPEND, content) },
		f.becomes(growing(v, from, to), present(v, to)))
}

// write opens or creates a file and writes to it in place.
func write(name string, flag int, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|flag, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// rewrittenFile is emptied and written again in place. See resource.rewritten.
type rewrittenFile struct{ file }

func (f *rewrittenFile) create(w *writer) error { return f.rewrite(w) }

func (f *rewrittenFile) change(w *writer) (string, error) { return "emptied and written", f.rewrite(w) }

func (f *rewrittenFile) rewrite(w *writer) error {
	v, size := f.next(), w.vary(f.base)/recordSize*recordSize
	content := v.bytes(0, size)
	return w.clock.change(func() error { return write(f.name, os.O_TRUNC, content) },
		f.becomes(present(v, 0), growing(v, 0, size), present(v, size)))
}

// deletedFile comes and goes.
type deletedFile struct {
	file
	gone bool
}

func (f *deletedFile) change(w *writer) (string, error) {
	f.gone = !f.gone
	if f.gone {
		return "deleted", f.remove(w)
	}
	return "created", f.replace(w)
}

// packedFile has a precompressed file beside it, which comes and goes. What is
// in that one need not be compressed: a server sends it as it is.
type packedFile struct {
	file
	packed file
	has    bool
}

func newPackedFile(s site, path string, id uint32, base int64) *packedFile {
	f := &packedFile{
		file:   newFile(s, "packed", path, id, base),
		packed: newFile(s, "packed", path+".gz", id+1, base/2),
	}
	f.res.sibling = newHistory() // of its own, because the ETags are others
	f.packed.also = f.res.sibling
	for h, next := range f.packed.becomes(state{presence: absent}) {
		h.begin(0, next...)
	}
	return f
}

func (f *packedFile) resources() []*resource { return []*resource{f.res, f.packed.res} }

func (f *packedFile) change(w *writer) (string, error) {
	switch n := w.rng.IntN(4); {
	case n == 0:
		return "renamed", f.replace(w)
	case n == 1 && f.has:
		f.has = false
		return "sibling deleted", f.packed.remove(w)
	}
	f.has = true
	return "sibling put in place", f.packed.replace(w)
}
