package instance

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// sweeper removes, in the background, the files of uploads that were under way
// when a process was killed: those that are named like one and that nobody holds
// a lock on. What another process or generation is still receiving stays. It may
// be used concurrently.
type sweeper struct {
	log *slog.Logger

	mu      sync.Mutex
	root    *os.Root        // the last one that was opened
	visited map[string]bool // folders below root
	stopped bool
	running sync.WaitGroup
}

// maxVisited is how many folders are remembered. When there are more, they are
// swept again.
const maxVisited = 1000

// visit sweeps a folder below root, once.
func (s *sweeper) visit(root *os.Root, dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root != root || len(s.visited) >= maxVisited {
		s.root, s.visited = root, map[string]bool{}
	}
	if s.stopped || s.visited[dir] {
		return
	}
	s.visited[dir] = true
	s.running.Go(func() { s.sweep(root, dir) })
}

// stop ends what is running; nothing is swept from then on.
func (s *sweeper) stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.running.Wait()
}

func (s *sweeper) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// sweep sweeps a folder of any size and says what came of it.
func (s *sweeper) sweep(root *os.Root, dir string) {
	var failed error
	removed := 0
	folder, err := root.Open(dir)
	if err != nil {
		return // it is not there any more, and what was in it neither
	}
	defer folder.Close()
	for !s.isStopped() {
		entries, err := folder.ReadDir(256)
		for _, e := range entries {
			if !e.Type().IsRegular() || !isTempName(e.Name()) {
				continue
			}
			switch ok, err := removeLeftover(root, path.Join(dir, e.Name())); {
			case err != nil:
				failed = err
			case ok:
				removed++
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				failed = err
			}
			break
		}
	}
	if removed > 0 {
		s.log.Info("removed what was left of uploads that were cut short", "folder", folder.Name(), "files", removed)
	}
	if failed != nil {
		s.log.Warn("what is left of uploads that were cut short can't be removed; it is never served", "folder", folder.Name(), "error", failed,
			"remedy", "remove files named "+tempPrefix+"… while sited does not run, or let sited write to the folder")
	}
}

// removeLeftover removes the file of an upload unless its writer is still there,
// or that can't be told.
func removeLeftover(root *os.Root, name string) (removed bool, err error) {
	const still = syscall.O_NONBLOCK | syscall.O_NOCTTY
	f, err := root.OpenFile(name, os.O_WRONLY|still, 0) // NFS locks only what may be written
	if errors.Is(err, fs.ErrPermission) {
		f, err = root.OpenFile(name, os.O_RDONLY|still, 0)
	}
	if err == nil {
		defer f.Close() // after it was removed: a writer that waits for the lock finds it gone
		if err = flock(f, unix.LOCK_EX|unix.LOCK_NB); err == unix.EWOULDBLOCK {
			return false, nil
		}
	}
	if err == nil {
		err = root.Remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
