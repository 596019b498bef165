package instance

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockedFolder is a folder in which nobody else replaces or deletes a file: no
// other request, and no other generation or site that shares the folder, which is
// what flock(2) is for. Where the file system has no such locks only the
// instance's own requests are kept apart.
type lockedFolder struct {
	self   *os.File
	writes *sync.Mutex
}

// lockFolder waits for its turn. The caller unlocks the folder. The error is an
// *protocol.Error.
func (i *Instance) lockFolder(root *os.Root, name string) (*lockedFolder, error) {
	self, err := root.Open(name)
	if err != nil {
		return nil, diskError(err)
	}
	i.writes.Lock() // first, so that one thread at most waits in flock
	flock(self, unix.LOCK_EX)
	return &lockedFolder{self, &i.writes}, nil
}

// flock is flock(2), which signals don't interrupt. The lock lasts until f is
// closed.
func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

func (f *lockedFolder) unlock() {
	f.self.Close()
	f.writes.Unlock()
}

// sync has what was changed in the folder on disk before it returns.
func (f *lockedFolder) sync() error {
	switch err := f.self.Sync(); {
	case err == nil, errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOTSUP): // fsync(2): not every file system can
		return nil
	default:
		return diskError(err)
	}
}
