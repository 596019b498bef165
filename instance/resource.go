package instance

import (
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
	"syscall"
	"time"

	"sited/protocol"
)

// resource is a file as an answer to GET and HEAD.
type resource struct {
	path        string // canonical, of the file itself
	rep         representation
	size        int64
	modified    string // Last-Modified
	contentType string

	body []byte   // the content, when it is in memory
	file *os.File // else the file, open
}

func newResource(path string, file *os.File, info fs.FileInfo) resource {
	return resource{
		path: path, rep: represent(info), size: info.Size(), file: file,
		modified: lastModified(info.ModTime()), contentType: contentType(path),
	}
}

// lastModified is the time of the last modification, but never later than now:
// the field must not be ahead of Date (RFC 9110, section 8.8.2.1).
func lastModified(t time.Time) string {
	if now := time.Now(); t.After(now) {
		t = now
	}
	return t.UTC().Format(protocol.TimeFormat)
}

// content is the part of the resource that is to be sent. Once it was called the
// file belongs to the content.
func (r *resource) content(part byteRange) protocol.Content {
	if r.file == nil {
		return protocol.Bytes(r.body[part.start : part.start+part.length])
	}
	return protocol.File(r.file, part.start, part.length)
}

// close closes the file of a resource whose content is not sent.
func (r *resource) close() {
	if r.file != nil {
		r.file.Close()
	}
}

// cached returns the file that answers a request for path if it is in memory.
func (i *Instance) cached(root *folder, path string) *cachedFile {
	f := i.files.get(path, int(root.self.Fd()))
	runtime.KeepAlive(root)
	return f
}

// settledTime is how long ago a file must have been changed last to be kept:
// within a tick of the file system's clock a further change would not show.
const settledTime = 100 * time.Millisecond

// keep reads a small file into memory, for this request and the next ones. state
// is that of the cache before the file was looked up. A file that is not to be
// kept, or was changed meanwhile, stays as it is.
func (i *Instance) keep(key string, r *resource, info fs.FileInfo, state uint64) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || r.size > maxCached {
		return
	}
	now := time.Now()
	same := identify(st)
	if now.UnixNano()-max(same.modified, same.changed) < int64(settledTime) {
		return
	}
	body := make([]byte, r.size)
	if n, err := r.file.ReadAt(body, 0); int64(n) < r.size && err != nil {
		return
	}
	after, err := r.file.Stat()
	if err != nil || identify(after.Sys().(*syscall.Stat_t)) != same {
		return
	}
	r.file.Close()
	r.file, r.body = nil, body
	f := &cachedFile{resource: *r, key: key, name: relative(r.path), same: same}
	if strings.HasSuffix(key, "/") {
		for _, index := range i.spec.Index {
			if key+index == r.path {
				break
			}
			f.absent = append(f.absent, path.Join(relative(key), index))
		}
	}
	i.files.put(f, state)
}
