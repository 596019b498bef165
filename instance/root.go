package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"sited/protocol"
)

// siteRoot is the folder a site serves, as an os.Root: no path and no symbolic
// link leads out of it. The folder may be replaced while the site runs (a
// deployment that switches a link): it is looked up by name again, at most once
// in rootCheck, and opened anew when it is another one. It may be used
// concurrently.
type siteRoot struct {
	path     string
	replaced func()        // called before another folder is returned
	opened   func(*folder) // called with a folder that was opened; may be nil

	mu      sync.Mutex
	open    *folder
	checked time.Time
}

// folder is an open root. The descriptor of its own is for stat(2) by name, which
// is quicker than os.Root's and may only be used to compare. It is valid as long
// as the folder is reachable.
type folder struct {
	*os.Root
	self *os.File
	fd   int // of self
}

const rootCheck = 200 * time.Millisecond

// get returns the folder as it is now, or was rootCheck before. One that was
// replaced is left to be closed by the collector, because requests may still be
// using it. The error is an *protocol.Error, 503 when the folder isn't there.
func (r *siteRoot) get(now time.Time) (*folder, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open != nil && now.Sub(r.checked) < rootCheck {
		return r.open, nil
	}
	if r.open != nil && r.current() {
		r.checked = now
		return r.open, nil
	}
	r.open = nil
	r.replaced()
	root, err := os.OpenRoot(r.path)
	if err != nil {
		return nil, protocol.Failf(503, "the site's root is not there: %w", err)
	}
	self, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, protocol.Failf(503, "the site's root can't be opened: %w", err)
	}
	r.open, r.checked = &folder{root, self, int(self.Fd())}, now
	if r.opened != nil {
		r.opened(r.open)
	}
	return r.open, nil
}

// close closes the folder; nobody may use it any more.
func (r *siteRoot) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		return nil
	}
	return errors.Join(r.open.self.Close(), r.open.Root.Close())
}

// current reports whether the open folder is still the one of that name.
func (r *siteRoot) current() bool {
	now, err := os.Stat(r.path)
	if err != nil {
		return false
	}
	open, err := r.open.self.Stat()
	return err == nil && os.SameFile(now, open)
}

// relative turns a canonical path into a name below the root: without the
// leading slash and without one at the end.
func relative(path string) string {
	for len(path) > 0 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	if path == "" {
		return "."
	}
	return path[1:]
}

// diskError turns an error of the file system into what the client gets.
func diskError(err error) error {
	status := 404
	_, ofRoot := errors.AsType[*fs.PathError](err)
	switch errno, isErrno := errors.AsType[syscall.Errno](err); {
	case errors.Is(err, fs.ErrPermission), errno == syscall.EROFS:
		status = 403
	case errors.Is(err, fs.ErrNotExist), !isErrno && ofRoot: // os.Root has no errno for a path that leaves the root
	case errno == syscall.ENOTDIR, errno == syscall.ELOOP, errno == syscall.ENAMETOOLONG, errno == syscall.EINVAL, errno == syscall.ENXIO:
	case errno == syscall.EMFILE, errno == syscall.ENFILE, errno == syscall.ENOMEM:
		return &protocol.Error{Status: 503, Header: protocol.Header{{Name: "Retry-After", Value: "1"}}, Err: err}
	case errno == syscall.ENOSPC, errno == syscall.EDQUOT, errno == syscall.EFBIG:
		status = 507
	default:
		status = 500
	}
	return protocol.Fail(status, err)
}

// openFile opens a file for reading without waiting: a FIFO is not waited for.
func openFile(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, diskError(err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, diskError(err)
	}
	if !info.Mode().IsRegular() && !info.IsDir() {
		f.Close()
		return nil, nil, protocol.Fail(404, fmt.Errorf("%s is neither a file nor a folder", name))
	}
	return f, info, nil
}
