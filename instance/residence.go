package instance

import (
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// residence knows whether an open file is in memory as a whole, in the kernel's
// cache of pages, so that sending it waits for nothing. Its methods may be called
// concurrently.
type residence struct {
	fd    int
	pages uint64 // of the file; 0: it is never taken to be in memory
	since time.Time
	due   atomic.Int64 // when to look again, in nanoseconds since then
	found atomic.Bool  // what was seen last
}

const (
	// maxResident is how long a file may be at most: sending a longer one takes so
	// long that the scheduler is to know.
	maxResident = 1 << 20

	// residentFor is how long what was seen is relied on. What is asked for again and
	// again is not what the kernel takes out of its cache; if it does, one answer has a
	// processor wait for a disk.
	residentFor = 200 * time.Millisecond
)

// localFileSystems are the types, as statfs(2) has them, of file systems on which
// what is in memory waits for no other machine and no other process.
var localFileSystems = []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC}

func (r *residence) init(fd int, size int64) {
	r.fd, r.since = fd, time.Now()
	var st unix.Statfs_t
	if callsAtOnce && size <= maxResident && unix.Fstatfs(fd, &st) == nil && slices.Contains(localFileSystems, int64(st.Type)) {
		page := int64(unix.Getpagesize())
		r.pages = uint64((size + page - 1) / page)
	}
}

// local reports whether to look at the file takes no time worth speaking of.
func (r *residence) local() bool { return r.pages > 0 }

// inMemory reports whether the file is. A kernel older than Linux 6.5 does not tell:
// then it is not.
func (r *residence) inMemory() bool {
	if !r.local() {
		return false
	}
	now := time.Since(r.since)
	if now < time.Duration(r.due.Load()) {
		return r.found.Load()
	}
	var cached unix.Cachestat_t
	err := unix.Cachestat(uint(r.fd), &unix.CachestatRange{}, &cached, 0)
	r.found.Store(err == nil && cached.Cache >= r.pages)
	r.due.Store(int64(now + residentFor))
	return r.found.Load()
}

// look is what the file is now.
func (r *residence) look() (identity, bool) {
	var st unix.Stat_t
	var err error
	if r.local() {
		err = fstatAtOnce(r.fd, &st)
	} else {
		err = unix.Fstat(r.fd, &st)
	}
	return identityOfStat(&st), err == nil
}
