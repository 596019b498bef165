package instance

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockFolder has nobody else replace or delete a file in a folder until unlock is
// called: no other request, and no other generation or site that shares the
// folder, which is what flock(2) is for. Where the file system has no such locks
// only the instance's own requests are kept apart.
func (i *Instance) lockFolder(root *os.Root, name string) (unlock func(), err error) {
	folder, err := root.Open(name)
	if err != nil {
		return nil, diskError(err)
	}
	i.writes.Lock() // first, so that one thread at most waits in flock
	for unix.Flock(int(folder.Fd()), unix.LOCK_EX) == unix.EINTR {
	}
	return func() {
		folder.Close()
		i.writes.Unlock()
	}, nil
}
