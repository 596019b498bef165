package instance

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// keeping is what becomes of the files that were rotated.
type keeping struct {
	most   int    // files kept of each log; 0: all
	coding string // as Logs.Compress
}

// Archive looks after the rotated log files of a process: it compresses them, one
// at a time, deletes those that are too many, and completes what a process that
// was killed has left. Its goroutine runs while there is something to do; the
// last instance that is closed ends it, and a file that is being compressed then
// stays as it is until the log is opened again. The zero value is ready, and its
// methods may be called concurrently.
type Archive struct {
	mu    sync.Mutex
	users int
	due   map[string]archived // logs to look after, by path
	stop  context.CancelFunc  // nil: there is no goroutine
	done  chan struct{}       // closed by the goroutine

	failing map[string]bool // logs of which it was said that something fails; the goroutine's
}

type archived struct {
	keeping
	log *slog.Logger
}

func (a *Archive) use() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users++
}

// release is called once for each use; after the last one nothing runs.
func (a *Archive) release() {
	a.mu.Lock()
	a.users--
	stop, done := a.stop, a.done
	if a.users > 0 || stop == nil {
		a.mu.Unlock()
		return
	}
	clear(a.due)
	stop()
	a.mu.Unlock()
	<-done
}

// add has the rotated files of the log at path looked after.
func (a *Archive) add(path string, k keeping, log *slog.Logger) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.due == nil {
		a.due = map[string]archived{}
	}
	a.due[path] = archived{k, log}
	if a.stop == nil {
		a.start()
	}
}

// start is for who holds mu.
func (a *Archive) start() {
	ctx, stop := context.WithCancel(context.Background())
	a.stop, a.done = stop, make(chan struct{})
	go a.run(ctx, a.done)
}

// run looks after what is due until nothing is.
func (a *Archive) run(ctx context.Context, done chan struct{}) {
	defer close(done)
	for {
		a.mu.Lock()
		if len(a.due) == 0 || ctx.Err() != nil {
			a.stop()
			a.stop = nil
			if len(a.due) > 0 { // of who came after the last had gone
				a.start()
			}
			a.mu.Unlock()
			return
		}
		due := a.due
		a.due = nil
		a.mu.Unlock()
		for folder, logs := range byFolder(due) {
			a.tidy(ctx, folder, logs)
		}
	}
}

// byFolder sorts logs by their folder and name.
func byFolder(due map[string]archived) map[string]map[string]archived {
	folders := map[string]map[string]archived{}
	for path, log := range due {
		path, err := realLog(path)
		if err != nil {
			continue // nothing was logged, or it can't be opened, which is said
		}
		folder, name := filepath.Split(path)
		if folders[folder] == nil {
			folders[folder] = map[string]archived{}
		}
		folders[folder][name] = log
	}
	return folders
}

// tidy looks after the rotated files of some logs of a folder, which may have
// many.
func (a *Archive) tidy(ctx context.Context, folder string, logs map[string]archived) {
	names, err := readNames(folder)
	found := map[string]map[string]*remains{}
	for _, name := range names {
		for _, r := range parseRotated(name) {
			if _, ours := logs[r.log]; ours {
				if found[r.log] == nil {
					found[r.log] = map[string]*remains{}
				}
				found[r.log][r.stamp] = found[r.log][r.stamp].with(r, filepath.Join(folder, name))
				break
			}
		}
	}
	for name, log := range logs {
		if ctx.Err() != nil {
			return
		}
		path := filepath.Join(folder, name)
		a.say(path, log.log, errors.Join(err, log.tidy(ctx, path, found[name])))
	}
}

func readNames(folder string) ([]string, error) {
	dir, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Readdirnames(-1)
}

// say tells the process's log when trouble begins and when it is over.
func (a *Archive) say(path string, log *slog.Logger, err error) {
	switch {
	case err != nil && errors.Is(err, context.Canceled):
	case err != nil && !a.failing[path]:
		if a.failing == nil {
			a.failing = map[string]bool{}
		}
		a.failing[path] = true
		log.Error("rotated log files can't be compressed or deleted; they stay as they are", "path", path, "error", err,
			"remedy", "make room on the disk, or let sited write to the folder; sited tries again when it rotates the next time")
	case err == nil && a.failing[path]:
		log.Info("rotated log files are compressed and deleted again", "path", path)
		delete(a.failing, path)
	}
}

// remains are the files that one rotation has left.
type remains struct {
	stamp   string
	plain   string // path of the file as it was rotated, or ""
	packed  string // path of the compressed one, or ""
	partial []string
}

func (r *remains) with(f rotatedFile, path string) *remains {
	if r == nil {
		r = &remains{stamp: f.stamp}
	}
	switch {
	case f.partial:
		r.partial = append(r.partial, path)
	case f.coding != "":
		r.packed = path
	default:
		r.plain = path
	}
	return r
}

// tidy deletes what is too much, completes what was begun and compresses the rest.
func (k *archived) tidy(ctx context.Context, path string, found map[string]*remains) error {
	all := make([]*remains, 0, len(found))
	for _, r := range found {
		if r.plain == "" && r.packed == "" { // its file was deleted or compressed by someone else
			removePartial(r.partial)
			continue
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(x, y *remains) int { return cmp.Compare(x.stamp, y.stamp) })
	var errs []error
	for k.most > 0 && len(all) > k.most {
		errs = append(errs, remove(all[0].plain), remove(all[0].packed))
		removePartial(all[0].partial)
		all = all[1:]
	}
	for _, r := range all {
		removePartial(r.partial)
		if r.plain != "" && r.packed != "" { // which is complete
			errs = append(errs, remove(r.plain))
		} else if r.plain != "" && compressions[k.coding] != "" {
			errs = append(errs, compress(ctx, path, r.plain, k.coding))
		}
	}
	return errors.Join(errs...)
}

// remove deletes a file; it may be gone already.
func remove(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
