package instance

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestResidence(t *testing.T) {
	if !callsAtOnce {
		t.Skip("no call is made without the scheduler")
	}
	opened := func(dir string, size int64) (*os.File, *residence) {
		f, err := os.Create(filepath.Join(dir, "f"))
		must(t, err)
		t.Cleanup(func() { f.Close() })
		_, err = f.Write(make([]byte, size))
		must(t, err)
		var r residence
		r.init(int(f.Fd()), size)
		return f, &r
	}
	again := func(r *residence) { r.due.Store(0) }

	t.Run("memory", func(t *testing.T) {
		dir, err := os.MkdirTemp("/dev/shm", "sited-test-")
		if err != nil {
			t.Skip(err)
		}
		defer os.RemoveAll(dir)
		f, r := opened(dir, 100_000)
		if !r.local() || !r.inMemory() || !r.inMemory() {
			t.Error("what is only in memory is not in memory")
		}
		if now, ok := r.look(); !ok || now.size != 100_000 {
			t.Errorf("%+v, %t", now, ok)
		}
		if _, r := opened(dir, maxResident+1); r.local() || r.inMemory() {
			t.Error("a file that is too long counts")
		}
		must(t, f.Close())
		if again(r); r.inMemory() {
			t.Error("a file that is not there counts")
		}
		if _, ok := r.look(); ok {
			t.Error("a file that is not there was looked at")
		}
	})
	t.Run("disk", func(t *testing.T) {
		dir := t.TempDir()
		var st unix.Statfs_t
		must(t, unix.Statfs(dir, &st))
		if st.Type == unix.TMPFS_MAGIC || !slices.Contains(localFileSystems, int64(st.Type)) {
			t.Skipf("a file system of type %#x", st.Type)
		}
		f, r := opened(dir, 100_000)
		if !r.inMemory() {
			t.Error("what was written just now is not in memory")
		}
		must(t, f.Sync())
		r.due.Store(math.MaxInt64)
		must(t, unix.Fadvise(r.fd, 0, 0, unix.FADV_DONTNEED))
		if !r.inMemory() {
			t.Error("it is looked at all the time")
		}
		eventually(t, "what was taken out of memory does not count", func() bool {
			must(t, unix.Fadvise(r.fd, 0, 0, unix.FADV_DONTNEED))
			again(r)
			return !r.inMemory()
		})
		if time.Duration(r.due.Load()) > time.Since(r.since)+residentFor {
			t.Error("it is not looked at again")
		}
	})
	t.Run("elsewhere", func(t *testing.T) {
		f, err := os.Open("/proc/self/status")
		must(t, err)
		defer f.Close()
		var r residence
		if r.init(int(f.Fd()), 1000); r.local() || r.inMemory() {
			t.Error("what a process makes up is taken to be in memory")
		}
		if _, ok := r.look(); !ok {
			t.Error("it was not looked at")
		}
	})
}
