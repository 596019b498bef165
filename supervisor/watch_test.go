package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watching starts a watcher on path. What it returns waits until the watcher
// has seen want as the content of path.
func watching(t *testing.T, path string, poll time.Duration) (sees func(want string), calls *atomic.Int64) {
	t.Helper()
	files := make(chan []string, 1)
	files <- []string{path}
	content := make(chan string, 1000)
	calls = new(atomic.Int64)
	w := newWatcher(path, poll, slog.New(slog.DiscardHandler), files, func(context.Context) {
		calls.Add(1)
		b, err := os.ReadFile(path)
		if err != nil {
			content <- "error"
			return
		}
		content <- string(b)
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	sees = func(want string) {
		t.Helper()
		deadline := time.After(15 * time.Second)
		last := "nothing"
		for {
			select {
			case got := <-content:
				if last = got; got == want {
					return
				}
			case <-deadline:
				t.Fatalf("the watcher never saw %q; the last it saw was %q", want, last)
			}
		}
	}
	return sees, calls
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWatcherSeesEverySave(t *testing.T) {
	never := time.Hour // so that only events count
	saves := []struct {
		name string
		save func(t *testing.T, path, content string)
	}{
		{"truncate and write", write},
		{"truncate, then write in two writes", func(t *testing.T, path, content string) {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
			must(t, err)
			defer f.Close()
			for _, part := range []string{content[:1], content[1:]} {
				time.Sleep(20 * time.Millisecond)
				_, err = f.WriteString(part)
				must(t, err)
			}
		}},
		{"mv over", func(t *testing.T, path, content string) {
			write(t, path+".new", content)
			must(t, os.Rename(path+".new", path))
		}},
		{"vim: rename to a backup, write anew", func(t *testing.T, path, content string) {
			must(t, os.Rename(path, path+"~"))
			write(t, path, content)
			must(t, os.Remove(path+"~"))
		}},
		{"emacs: a lock file, a backup, write anew", func(t *testing.T, path, content string) {
			lock := filepath.Join(filepath.Dir(path), ".#"+filepath.Base(path))
			must(t, os.Symlink("me@host.1", lock), os.Rename(path, path+"~"))
			time.Sleep(50 * time.Millisecond)
			write(t, path, content)
			must(t, os.Remove(lock))
		}},
		{"sed -i", func(t *testing.T, path, content string) {
			must(t, exec.Command("sed", "-i", "s/.*/"+content+"/", path).Run())
		}},
		{"delete, then write", func(t *testing.T, path, content string) {
			must(t, os.Remove(path))
			write(t, path, content)
		}},
		{"folder deleted and made again", func(t *testing.T, path, content string) {
			must(t, os.RemoveAll(filepath.Dir(path)), os.Mkdir(filepath.Dir(path), 0o755))
			write(t, path, content)
		}},
		{"folder replaced by a rename", func(t *testing.T, path, content string) {
			folder := filepath.Dir(path)
			must(t, os.Mkdir(folder+".new", 0o755))
			write(t, filepath.Join(folder+".new", filepath.Base(path)), content)
			must(t, os.Rename(folder, folder+fmt.Sprint(".old", content)), os.Rename(folder+".new", folder))
		}},
	}
	for _, tt := range saves {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "etc", "sites.hcl")
			must(t, os.Mkdir(filepath.Dir(path), 0o755))
			write(t, path, "zero")
			sees, _ := watching(t, path, never)
			sees("zero")
			for _, content := range []string{"one", "two", "three"} { // a watch must survive the save
				tt.save(t, path, content)
				sees(content)
			}
		})
	}
}

func TestWatcherSeesSymlinks(t *testing.T) {
	t.Run("Kubernetes ..data", func(t *testing.T) {
		dir := t.TempDir()
		publish := func(version string) {
			must(t, os.Mkdir(filepath.Join(dir, ".."+version), 0o755))
			write(t, filepath.Join(dir, ".."+version, "sites.hcl"), version)
			must(t, os.Symlink(".."+version, filepath.Join(dir, "..data_tmp")),
				os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
		}
		publish("one")
		path := filepath.Join(dir, "sites.hcl")
		must(t, os.Symlink("..data/sites.hcl", path))
		sees, _ := watching(t, path, time.Hour)
		sees("one")
		for _, version := range []string{"two", "three"} {
			publish(version)
			sees(version)
		}
	})
	t.Run("target in another folder changes", func(t *testing.T) {
		target, path := filepath.Join(t.TempDir(), "real.hcl"), filepath.Join(t.TempDir(), "sites.hcl")
		write(t, target, "one")
		must(t, os.Symlink(target, path))
		sees, _ := watching(t, path, time.Hour)
		sees("one")
		write(t, target, "two")
		sees("two")
	})
	t.Run("a folder on the way is a link that is turned", func(t *testing.T) {
		dir := t.TempDir()
		for _, release := range []string{"one", "two"} {
			must(t, os.Mkdir(filepath.Join(dir, release), 0o755))
			write(t, filepath.Join(dir, release, "sites.hcl"), release)
		}
		must(t, os.Symlink("one", filepath.Join(dir, "current")))
		sees, _ := watching(t, filepath.Join(dir, "current", "sites.hcl"), time.Hour)
		sees("one")
		must(t, os.Symlink("two", filepath.Join(dir, "next")),
			os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "current")))
		sees("two")
	})
}

// A hard link changed under its other name stands for a bind mount: no event
// tells of it in the folder that is watched.
func TestWatcherPolls(t *testing.T) {
	other, path := filepath.Join(t.TempDir(), "other"), filepath.Join(t.TempDir(), "sites.hcl")
	write(t, other, "one")
	must(t, os.Link(other, path))
	sees, _ := watching(t, path, 50*time.Millisecond)
	sees("one")
	write(t, other, "two")
	sees("two")
}

func TestWatcherFolderOfFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.hcl"), "a")
	sees, calls := watching(t, dir, time.Hour)
	sees("error") // a folder can't be read as a file: it stands for one more call
	write(t, filepath.Join(dir, "b.hcl"), "b")
	sees("error")
	before := int64(-1)
	for before != calls.Load() { // until the last event of the write has been seen
		before = calls.Load()
		time.Sleep(5 * quietTime)
	}
	write(t, filepath.Join(dir, "README"), "no configuration")
	write(t, filepath.Join(dir, "b.hcl.swp"), "no configuration")
	time.Sleep(3 * quietTime)
	if got := calls.Load(); got != before {
		t.Errorf("files that are no configuration led to %d calls", got-before)
	}
	must(t, os.Remove(filepath.Join(dir, "b.hcl")))
	sees("error")
}

func TestWatcherWaitsForMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sites.hcl")
	write(t, path, "one")
	sees, calls := watching(t, path, time.Hour)
	sees("one")
	must(t, os.Remove(path))
	time.Sleep(quietTime + missingTime/2)
	write(t, path, "two")
	sees("two")
	if got := calls.Load(); got > 3 {
		t.Errorf("%d calls", got)
	}
	must(t, os.Remove(path))
	sees("error") // gone for good is told
}

func TestWatcherNoStorm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sites.hcl")
	write(t, path, "start")
	sees, calls := watching(t, path, time.Hour)
	sees("start")
	before := calls.Load()
	for i := range 100 {
		write(t, path, fmt.Sprint("edit ", i))
		time.Sleep(5 * time.Millisecond)
	}
	sees("edit 99")
	if got := calls.Load() - before; got > 10 {
		t.Errorf("100 edits led to %d calls", got)
	}
}

// What is renamed into place is complete; what is written there may not be.
func TestQuietAfter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sites.hcl")
	notify, err := fsnotify.NewWatcher()
	must(t, err)
	defer notify.Close()
	must(t, notify.Add(dir))
	created := func() fsnotify.Event {
		t.Helper()
		for deadline := time.After(10 * time.Second); ; {
			select {
			case e := <-notify.Events:
				if e.Name == path && e.Has(fsnotify.Create) {
					return e
				}
			case <-deadline:
				t.Fatal("no event")
			}
		}
	}
	write(t, path, "one")
	if e := created(); quietAfter(e) != quietTime {
		t.Errorf("%v: %v", e, quietAfter(e))
	}
	write(t, path+".new", "two")
	must(t, os.Rename(path+".new", path))
	if e := created(); quietAfter(e) != renamedTime {
		t.Errorf("%v: %v", e, quietAfter(e))
	}
	odd := filepath.Join(dir, `sites" ← ".hcl`)
	write(t, odd, "four")
	path = odd
	if e := created(); quietAfter(e) != quietTime {
		t.Errorf("%v: %v", e, quietAfter(e))
	}
}
