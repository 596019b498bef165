package instance

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"sited/protocol"
)

func TestRelative(t *testing.T) {
	for path, want := range map[string]string{
		"/": ".", "/a": "a", "/a/": "a", "/a/b": "a/b", "/a/b/": "a/b", "/.well-known/": ".well-known", "/a\nb": "a\nb",
	} {
		if got := relative(path); got != want {
			t.Errorf("relative(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestDiskError(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	must(t, err)
	defer root.Close()
	must(t, os.Symlink("/etc/passwd", filepath.Join(root.Name(), "out")))
	_, escapes := root.Open("out")
	_, up := root.Open("../x")
	pathError := func(errno syscall.Errno) error { return &fs.PathError{Op: "open", Path: "x", Err: errno} }
	for _, c := range []struct {
		err  error
		want int
	}{
		{pathError(syscall.ENOENT), 404},
		{pathError(syscall.ENOTDIR), 404},
		{pathError(syscall.ELOOP), 404},
		{pathError(syscall.ENAMETOOLONG), 404},
		{pathError(syscall.ENXIO), 404},
		{escapes, 404},
		{up, 404},
		{pathError(syscall.EACCES), 403},
		{pathError(syscall.EPERM), 403},
		{pathError(syscall.EMFILE), 503},
		{pathError(syscall.ENFILE), 503},
		{pathError(syscall.ENOSPC), 507},
		{pathError(syscall.EDQUOT), 507},
		{pathError(syscall.EFBIG), 507},
		{&os.LinkError{Op: "rename", Old: "a", New: "b", Err: syscall.ENOSPC}, 507},
		{pathError(syscall.EIO), 500},
		{pathError(syscall.EROFS), 403},
		{io.ErrShortWrite, 500},
		{io.ErrUnexpectedEOF, 500},
	} {
		got := diskError(c.err)
		if protocol.StatusOf(got) != c.want || !errors.Is(got, c.err) {
			t.Errorf("diskError(%v) = %d %v, want %d with the cause", c.err, protocol.StatusOf(got), got, c.want)
		}
		e, _ := errors.AsType[*protocol.Error](got)
		if (c.want == 503) != (e.Header.Get("Retry-After") != "") {
			t.Errorf("diskError(%v): Retry-After %q", c.err, e.Header.Get("Retry-After"))
		}
	}
}

func TestSiteRootIsSafeWhileItIsReplaced(t *testing.T) {
	dir := t.TempDir()
	for _, release := range []string{"a", "b"} {
		writeFile(t, filepath.Join(dir, release, "x"), release)
	}
	link := filepath.Join(dir, "current")
	must(t, os.Symlink("a", link))
	r := siteRoot{path: link, replaced: func() {}}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				root, err := r.get(time.Now())
				if err != nil {
					t.Errorf("get: %v", err)
					return
				}
				if b, err := root.ReadFile("x"); err != nil || string(b) != "a" && string(b) != "b" {
					t.Errorf("read %q, %v", b, err)
					return
				}
				r.mu.Lock()
				r.checked = r.checked.Add(-rootCheck) // have it looked up every time
				r.mu.Unlock()
			}
		})
	}
	for i := range 50 {
		next := filepath.Join(dir, fmt.Sprint("next", i))
		must(t, os.Symlink([]string{"b", "a"}[i%2], next))
		must(t, os.Rename(next, link))
	}
	close(stop)
	readers.Wait()
	root, err := r.get(time.Now())
	must(t, err)
	if b, _ := root.ReadFile("x"); string(b) != "a" {
		t.Errorf("the root is %q in the end", b)
	}
	must(t, r.close())
}
