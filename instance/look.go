package instance

import (
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What is kept in memory is compared with what is on disk by name, from the root's
// descriptor, with one call for each name. Names are only compared: what they lead
// to is read through the os.Root alone.

// identity tells whether a file is the same and has the same content.
type identity struct {
	dev, ino          uint64
	size              int64
	modified, changed int64 // nanoseconds
}

// identityOf is for a file that was opened.
func identityOf(info fs.FileInfo) identity {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}
	}
	return identity{st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
}

// readWhole reads a file that was what was says when it was opened. unchanged tells
// whether it still is after that; it is false with an error.
func readWhole(file *os.File, was identity) (body []byte, unchanged bool, err error) {
	body = make([]byte, was.size)
	if n, err := file.ReadAt(body, 0); err != nil {
		return nil, false, fmt.Errorf("has %d bytes of %d: %w", n, was.size, err)
	}
	info, err := file.Stat()
	return body, err == nil && identityOf(info) == was, nil
}

func identityOfStat(st *unix.Stat_t) identity {
	return identity{st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
}

// settledTime is how long ago a file must have been changed last to be kept:
// within a tick of the file system's clock a further change would not show.
const settledTime = 100 * time.Millisecond

// settled reports whether a change from now on would show in the file's identity.
func (id identity) settled(now int64) bool {
	return now-max(id.modified, id.changed) >= int64(settledTime)
}

// lookAt identifies what a name leads to, if there is something.
func lookAt(root int, name string) (id identity, there bool) {
	var st unix.Stat_t
	if unix.Fstatat(root, name, &st, 0) != nil {
		return identity{}, false
	}
	return identityOfStat(&st), true
}

// nothing reports whether there is nothing of a name: not even a link that leads
// nowhere, or out of the root.
func nothing(root int, name string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(root, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == unix.ENOENT || err == unix.ENOTDIR
}

// watched is a folder that is looked at, at most every lookTime, to see whether
// names came up in it. It may be used concurrently.
type watched struct {
	name  string
	users int // guarded by the cache's mu
	seen  atomic.Pointer[sight]
}

// sight is what a folder was like.
type sight struct {
	at    int64 // when a request came before which it was looked at, in nanoseconds of Unix time
	state int64 // changes when a name comes up in the folder; 0 when that can't be told: it is not there, or was changed just then
}

// look tells what the folder is like, or was less than lookTime before now. Of
// nil nothing can be told.
func (w *watched) look(root int, now int64) sight {
	if w == nil {
		return sight{at: now}
	}
	if seen := w.seen.Load(); seen != nil && uint64(now-seen.at) < uint64(lookTime) {
		return *seen
	}
	seen := &sight{at: now}
	if id, there := lookAt(root, w.name); there && id.settled(now) {
		seen.state = max(id.modified, id.changed) ^ int64(id.ino)
	}
	w.seen.Store(seen)
	return *seen
}
