package instance

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"sited/protocol"
)

// tempPrefix begins the names of uploads under way. They are dotfiles, which are
// never served.
const tempPrefix = ".sited-upload-"

// upload stores the body of a PUT: in a file of its own beside the target, which
// takes the target's place when all of it is on disk. Whatever the client does,
// nobody ever sees half a file. RFC 9110, section 9.3.4.
func (i *Instance) upload(x *protocol.Exchange) error {
	opened, err := i.root.get(x.Start)
	if err != nil {
		return err
	}
	root, name := opened.Root, relative(x.Req.Path)
	before, err := uploadTarget(root, name)
	if err != nil {
		return err
	}
	if precondition(&x.Req, represent(before)) != 0 {
		return protocol.Failf(412, "a precondition does not hold")
	}
	temp := path.Join(path.Dir(name), tempPrefix+rand.Text())
	if err := receive(root, temp, x.Req.Body, before); err != nil {
		if rerr := root.Remove(temp); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
		return err
	}
	after, created, err := i.replace(root, temp, name, x)
	if err != nil {
		root.Remove(temp)
		return err
	}
	i.files.drop(name)
	x.Res.Status = 204
	if created {
		x.Res.Status = 201
	}
	x.Res.Header.Add("ETag", etag(after))
	return nil
}

// uploadTarget looks at what is to be replaced: nil when there is nothing yet.
// A folder, anything else that is no file, and a name in a folder that isn't
// there are conflicts.
func uploadTarget(root *os.Root, name string) (fs.FileInfo, error) {
	info, err := root.Stat(name)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return nil, protocol.Failf(409, "not a file")
	case err == nil:
		return info, nil
	case errors.Is(err, syscall.ENAMETOOLONG):
		return nil, protocol.Failf(414, "the file system takes no name as long: %w", err)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
		return nil, diskError(err)
	}
	folder, err := root.Stat(path.Dir(name))
	if err != nil || !folder.IsDir() {
		return nil, protocol.Failf(409, "the folder it belongs in is not there")
	}
	return nil, nil
}

// receive writes body to a new file and has it on disk before it returns. An
// existing target's permissions are kept.
func receive(root *os.Root, name string, body io.Reader, before fs.FileInfo) (err error) {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return diskError(err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = diskError(cerr)
		}
	}()
	if _, err := io.Copy(f, body); err != nil {
		if _, ok := errors.AsType[*protocol.Error](err); ok {
			return err // the client's
		}
		return diskError(err)
	}
	if before != nil {
		if err := f.Chmod(before.Mode().Perm()); err != nil {
			return diskError(err)
		}
	}
	if err := f.Sync(); err != nil {
		return diskError(err)
	}
	return nil
}

// replace puts the file named temp in the place of name, unless the preconditions
// stopped holding meanwhile: of two clients that saw the same version only one
// gets through. created is false when there was a file before.
func (i *Instance) replace(root *os.Root, temp, name string, x *protocol.Exchange) (after fs.FileInfo, created bool, err error) {
	folder, err := i.lockFolder(root, path.Dir(name))
	if err != nil {
		return nil, false, err
	}
	defer folder.unlock()
	before, err := uploadTarget(root, name)
	if err != nil {
		return nil, false, err
	}
	if precondition(&x.Req, represent(before)) != 0 {
		return nil, false, protocol.Failf(412, "the file was changed meanwhile")
	}
	if after, err = newer(root, temp, before); err != nil {
		return nil, false, diskError(err)
	}
	if err := root.Rename(temp, name); err != nil {
		return nil, false, diskError(err)
	}
	return after, before == nil, folder.sync()
}

// newer returns what is to be known of the file named temp, and sees to it that
// its time of modification is after that of before: file systems stamp files
// with a clock that ticks every few milliseconds, and two versions of one size
// within a tick would have the same ETag.
func newer(root *os.Root, temp string, before fs.FileInfo) (fs.FileInfo, error) {
	after, err := root.Stat(temp)
	if err != nil || before == nil {
		return after, err
	}
	ahead := before.ModTime().Sub(after.ModTime())
	if ahead < 0 || ahead > time.Second { // more than a second: not a tick, but a file from the future
		return after, nil
	}
	if err := root.Chtimes(temp, time.Time{}, before.ModTime().Add(1)); err != nil {
		return nil, err
	}
	return root.Stat(temp)
}
