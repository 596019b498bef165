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
	for unix.Flock(int(self.Fd()), unix.LOCK_EX) == unix.EINTR {
	}
	return &lockedFolder{self, &i.writes}, nil
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
