package main

import (
	"os"
	"path/filepath"
)

// swappedFile is a file, then a folder with an index file, and then a file
// again; in between it is not there.
type swappedFile struct {
	file
	inside, index file // the folder's path with its slash; its index file
	isFolder      bool
}

func newSwappedFile(s site, path string, id uint32, base int64) *swappedFile {
	f := &swappedFile{
		file:   newFile(s, "swapped", path, id, base),
		inside: newFile(s, "swapped", path+"/", id, base),
		index:  newFile(s, "swapped", path+"/index.html", id, base),
	}
	f.inside.res.history.begin(0, state{presence: absent})
	f.index.res.history.begin(0, state{presence: absent})
	return f
}

func (f *swappedFile) resources() []*resource {
	return []*resource{f.res, f.inside.res, f.index.res}
}

// show is what a change makes of the three paths.
func (f *swappedFile) show(itself, below state) map[*history][]state {
	return map[*history][]state{
		f.res.history: {itself}, f.inside.res.history: {below}, f.index.res.history: {below},
	}
}

func (f *swappedFile) change(w *writer) (string, error) {
	away := w.temp()
	gone := f.show(state{presence: absent}, state{presence: absent})
	if err := w.clock.change(func() error { return os.Rename(f.name, away) }, gone); err != nil {
		return "moved away", err
	}
	if err := os.RemoveAll(away); err != nil {
		return "removed", err
	}
	f.isFolder = !f.isFolder
	if !f.isFolder {
		return "folder to file", f.replace(w)
	}
	v, size, made := f.next(), w.vary(f.base), w.temp()
	if err := os.Mkdir(made, 0o755); err != nil {
		return "mkdir", err
	}
	if err := os.WriteFile(filepath.Join(made, "index.html"), v.bytes(0, size), 0o644); err != nil {
		return "index file", err
	}
	return "file to folder", w.clock.change(func() error { return os.Rename(made, f.name) },
		f.show(state{presence: folder}, present(v, size)))
}

// indexedFolder is a folder whose index.html comes, changes and goes. The next
// index file of the site, index.htm, is there all the time or never.
type indexedFolder struct {
	inside, index, second, bare file
	rest                        state // of the folder without an index.html
	has                         bool
}

func newIndexedFolder(s site, path string, id uint32, base int64, second bool) *indexedFolder {
	f := &indexedFolder{
		inside: newFile(s, "index", path+"/", id, base),
		index:  newFile(s, "index", path+"/index.html", id, base),
		second: newFile(s, "index", path+"/index.htm", id+1, base),
		bare:   newFile(s, "index", path, id, 0),
	}
	if second {
		f.rest = present(f.second.next(), base)
	}
	return f
}

func (f *indexedFolder) resources() []*resource {
	return []*resource{f.inside.res, f.index.res, f.second.res, f.bare.res}
}

func (f *indexedFolder) create(w *writer) error {
	if err := os.Mkdir(f.bare.name, 0o755); err != nil {
		return err
	}
	now := w.clock.now()
	f.bare.res.history.begin(now, state{presence: folder})
	f.second.res.history.begin(now, f.rest)
	f.index.res.history.begin(now, state{presence: absent})
	f.inside.res.history.begin(now, f.rest)
	if f.rest.presence != there {
		return nil
	}
	return os.WriteFile(f.second.name, f.rest.version.bytes(0, f.rest.most), 0o644)
}

func (f *indexedFolder) change(w *writer) (string, error) {
	if f.has && w.rng.IntN(2) == 0 {
		f.has = false
		return "index deleted", w.clock.change(func() error { return os.Remove(f.index.name) },
			map[*history][]state{f.index.res.history: {{presence: absent}}, f.inside.res.history: {f.rest}})
	}
	how := "index created"
	if f.has {
		how = "index renamed"
	}
	f.has = true
	v, size := f.index.next(), w.vary(f.index.base)
	name, err := w.prepare(v, size)
	if err != nil {
		return how, err
	}
	return how, w.clock.change(func() error { return os.Rename(name, f.index.name) },
		map[*history][]state{f.index.res.history: {present(v, size)}, f.inside.res.history: {present(v, size)}})
}
