package supervisor

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watcher calls changed when one of the files it was given may have changed. It
// watches folders and not files, because editors and deployments replace files;
// what the kernel doesn't tell of (a bind-mounted file, a network file system)
// it finds by looking now and then.
type watcher struct {
	root    string // what Load is given: always watched
	poll    time.Duration
	log     *slog.Logger
	files   <-chan []string // the files to watch from now on
	changed func(context.Context)

	notify *fsnotify.Watcher // nil when the kernel gives none
	paths  []string
	names  map[string]map[string]bool // folder -> names in it that matter
	hcl    string                     // folder in which every *.hcl matters, or ""
	seen   map[string]fingerprint
}

const (
	quietTime   = 100 * time.Millisecond // without an event, before files are read
	renamedTime = 10 * time.Millisecond  // the same after nothing but renames: such a file is complete, but another may follow
	longestWait = 2 * time.Second        // for quiet
	missingTime = 500 * time.Millisecond // that a file may be gone or empty between two steps of a save
)

func newWatcher(root string, poll time.Duration, log *slog.Logger, files <-chan []string, changed func(context.Context)) *watcher {
	return &watcher{root: root, poll: poll, log: log, files: files, changed: changed}
}

// run watches until ctx ends.
func (w *watcher) run(ctx context.Context) {
	var events <-chan fsnotify.Event
	var errs <-chan error
	var err error
	if w.notify, err = fsnotify.NewWatcher(); err != nil {
		w.log.Warn("files are only looked at now and then", "every", w.poll, "error", err)
	} else {
		defer w.notify.Close()
		events, errs = w.notify.Events, w.notify.Errors
	}
	ticker := time.NewTicker(w.poll)
	defer ticker.Stop()

	w.paths = []string{w.root}
	w.check(ctx) // for what happened before the watch began
	for {
		select {
		case <-ctx.Done():
			return
		case paths := <-w.files:
			slices.Sort(paths)
			if paths = slices.Compact(paths); !slices.Equal(paths, w.paths) {
				w.paths = paths
				w.check(ctx) // a file may have changed between its being read and its being watched
			}
		case e, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			if w.matters(e) && w.settle(ctx, events, quietAfter(e)) {
				w.check(ctx)
			}
		case err, ok := <-errs:
			if !ok {
				errs = nil
				continue
			}
			w.log.Warn("watching files", "error", err)
			w.check(ctx) // events may have been lost
		case <-ticker.C:
			w.arm()
			if seen := w.look(); !maps.Equal(seen, w.seen) && w.settle(ctx, events, quietTime) {
				w.check(ctx)
			}
		}
	}
}

// check watches what is to be watched as things are now, waits until the files
// are there, and reports.
func (w *watcher) check(ctx context.Context) {
	w.arm() // first: a folder that came back is watched before it is read
	if !w.waitForFiles(ctx) {
		return
	}
	w.seen = w.look()
	w.changed(ctx)
}

// settle waits until there was no event that matters for a while, which is as
// long as the event says that asks for most. It reports false when ctx ended.
func (w *watcher) settle(ctx context.Context, events <-chan fsnotify.Event, wait time.Duration) bool {
	quiet := time.NewTimer(wait)
	defer quiet.Stop()
	longest := time.NewTimer(longestWait)
	defer longest.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case e, ok := <-events:
			if !ok {
				events = nil
			} else if w.matters(e) {
				wait = max(wait, quietAfter(e))
				quiet.Reset(wait)
			}
		case <-quiet.C:
			return true
		case <-longest.C:
			return true
		}
	}
}

// quietAfter is how long it must be quiet after an event.
func quietAfter(e fsnotify.Event) time.Duration {
	if renamedHere(e) {
		return renamedTime
	}
	return quietTime
}

// renamedHere reports whether e tells of a file that was renamed to its name from
// another one in a folder that is watched. fsnotify knows, and says so only in its
// text: "CREATE "/a/sites.hcl" ← "/a/sites.hcl.new"".
func renamedHere(e fsnotify.Event) bool {
	return e.Has(fsnotify.Create) && strings.Contains(e.String(), `" ← "`)
}

// waitForFiles gives a file that is gone or empty a moment to come back. It
// reports false when ctx ended.
func (w *watcher) waitForFiles(ctx context.Context) bool {
	deadline := time.Now().Add(missingTime)
	for w.someMissing() && time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}

func (w *watcher) someMissing() bool {
	for _, path := range w.paths {
		if info, err := os.Stat(path); err != nil || info.Mode().IsRegular() && info.Size() == 0 {
			return true
		}
	}
	return false
}

// arm watches the folders that matter as things are now. Folders that are gone
// are found again through their parents, or at the next look.
func (w *watcher) arm() {
	w.names, w.hcl = map[string]map[string]bool{}, ""
	folders := map[string]string{} // where they lead to
	for _, path := range append(w.paths[:len(w.paths):len(w.paths)], w.root) {
		w.follow(path, folders)
	}
	if info, err := os.Stat(w.root); err == nil && info.IsDir() {
		if folder, err := filepath.EvalSymlinks(w.root); err == nil {
			w.hcl, _ = filepath.Abs(folder) // EvalSymlinks worked, so that the working folder is there
			w.want(filepath.Join(w.hcl, "*.hcl"))
		}
	}
	if w.notify == nil {
		return
	}
	for _, folder := range w.notify.WatchList() {
		if w.names[folder] == nil {
			_ = w.notify.Remove(folder) // it may be gone already
		}
	}
	for folder := range w.names {
		if err := w.notify.Add(folder); err != nil && !os.IsNotExist(err) {
			w.log.Debug("folder not watched", "path", folder, "error", err)
		}
	}
}

// follow has events matter about all that path leads through. Most files are in
// the same few folders, whose way is not followed again for each.
func (w *watcher) follow(path string, folders map[string]string) {
	folder, name := filepath.Split(path)
	there, known := folders[folder]
	if !known {
		for _, step := range steps(folder) {
			w.want(step)
			there = step
		}
		folders[folder] = there
	}
	found := filepath.Join(there, name)
	if _, err := os.Readlink(found); err != nil { // no link, or nothing there
		w.want(found)
		return
	}
	for _, step := range steps(found) {
		w.want(step)
	}
}

// want has an event about path matter, and one about the folder it is in.
func (w *watcher) want(path string) {
	for range 2 {
		folder, name := filepath.Split(path)
		folder = filepath.Clean(folder)
		if w.names[folder] == nil {
			w.names[folder] = map[string]bool{"..data": true} // what Kubernetes swaps
		}
		w.names[folder][name] = true
		path = folder
	}
}

func (w *watcher) matters(e fsnotify.Event) bool {
	folder, name := filepath.Split(e.Name)
	folder = filepath.Clean(folder)
	return w.names[folder][name] || folder == w.hcl && strings.HasSuffix(name, ".hcl")
}

// steps are the paths whose change changes what path leads to: every symbolic
// link on the way, and the file in the end.
func steps(path string) []string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return []string{path}
	}
	var found []string
	rest := strings.Split(strings.TrimPrefix(abs, "/"), "/")
	at := "/"
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		target, err := os.Readlink(next)
		if err != nil { // no link, or nothing there
			at = next
			continue
		}
		if links++; links > 40 { // as the kernel's own limit
			break
		}
		found = append(found, next)
		if !filepath.IsAbs(target) {
			target = filepath.Join(at, target)
		}
		rest = append(strings.Split(strings.TrimPrefix(filepath.Clean(target), "/"), "/"), rest...)
		at = "/"
	}
	return append(found, at)
}

// fingerprint tells two states of a file apart without reading it.
type fingerprint struct {
	size     int64
	modified time.Time
	changed  int64 // ctime in nanoseconds
	inode    uint64
	mode     os.FileMode
}

// look takes the fingerprints of all files, and of the *.hcl files of a folder.
func (w *watcher) look() map[string]fingerprint {
	seen := map[string]fingerprint{}
	paths := append(w.paths[:len(w.paths):len(w.paths)], w.root)
	if w.hcl != "" {
		entries, _ := os.ReadDir(w.hcl) // a folder that is gone has no files
		for _, entry := range entries {
			if strings.HasSuffix(entry.Name(), ".hcl") {
				paths = append(paths, filepath.Join(w.hcl, entry.Name()))
			}
		}
	}
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			seen[path] = fingerprintOf(info)
		}
	}
	return seen
}

func fingerprintOf(info os.FileInfo) fingerprint {
	f := fingerprint{size: info.Size(), modified: info.ModTime(), mode: info.Mode()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		f.changed, f.inode = sys.Ctim.Nano(), sys.Ino
	}
	return f
}
