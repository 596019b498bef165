package instance

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// openFiles counts the descriptors of this process that lead to a file, deleted or
// not.
func openFiles(t *testing.T, name string) (n int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, e := range list {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.TrimSuffix(to, " (deleted)") == name {
			n++
		}
	}
	return n
}

// A large file is kept open and sent to many at the same time; a change in place
// shows at the next request, and a file that nobody asks for is closed, so that a
// deleted one gives its place on the disk back.
func TestLargeFileIsKeptOpen(t *testing.T) {
	s := open(t, nil)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	large := strings.Repeat("0123456789abcdef", 10_000)
	s.file("large.txt", large)
	name := filepath.Join(s.root, "large.txt")
	s.warm("/large.txt", large)
	for range 20 {
		s.wants("/large.txt", 200, large)
	}
	if n := openFiles(t, name); n != 1 {
		t.Errorf("the file is open %d times", n)
	}
	a := s.get("/large.txt", "Range: bytes=0-9,100000-100009")
	if a.status != 206 || !strings.Contains(a.body, "0123456789") {
		t.Errorf("two ranges: %d %q", a.status, a.body)
	}
	for _, field := range []string{"If-None-Match: *", `If-Match: "x"`, "Range: bytes=900000-"} {
		if a := s.get("/large.txt", field); a.status != 304 && a.status != 412 && a.status != 416 {
			t.Errorf("%s: %d", field, a.status)
		}
	}
	must(t, os.WriteFile(name, []byte(large[16:]), 0o644))
	s.wants("/large.txt", 200, large[16:])
	s.warm("/large.txt", large[16:])
	must(t, os.Remove(name))
	eventually(t, "the file is closed", func() bool { return openFiles(t, name) == 0 })
	s.warmed(0)
}

// warmed checks that nothing is counted as kept but n entries.
func (s *site) warmed(n int) {
	s.t.Helper()
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	if len(s.files.ring) != n || n == 0 && s.files.used != 0 {
		s.t.Errorf("%d entries of %d bytes are kept, want %d", len(s.files.ring), s.files.used, n)
	}
}

func TestSharedFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	writeFile(t, name, "content")
	f, err := os.Open(name)
	must(t, err)
	info, err := f.Stat()
	must(t, err)
	s := share(f, identityOf(info))
	if !s.borrow() || !s.hold() {
		t.Fatal("can't be borrowed")
	}
	must(t, s.Close())
	must(t, s.Close())
	time.Sleep(10 * time.Millisecond) // over a tick of the file system's clock
	must(t, os.WriteFile(name, []byte("CONTENT"), 0o644))
	if s.borrow() {
		t.Error("another content is lent")
	}
	must(t, s.Close())
	if s.hold() || s.borrow() {
		t.Error("a closed file is lent")
	}
}
