package instance

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"

	"sited/protocol"
)

// upload stores the body of a PUT: in a file of its own, which takes the target's
// place when all of it is on disk. Whatever the client does, and whenever the
// process ends, nobody ever sees half a file. RFC 9110, section 9.3.4.
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
	temp, err := i.newTemp(opened, path.Dir(name))
	if err != nil {
		return err
	}
	if err := temp.receive(x.Req.Body, before); err != nil {
		return errors.Join(err, temp.discard())
	}
	after, created, err := i.replace(temp, name, x)
	if err != nil {
		return errors.Join(err, temp.discard())
	}
	temp.Close()
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

// replace puts temp in the place of name, unless the preconditions stopped
// holding meanwhile: of two clients that saw the same version only one gets
// through. created is false when there was a file before.
func (i *Instance) replace(temp *tempFile, name string, x *protocol.Exchange) (after fs.FileInfo, created bool, err error) {
	root := temp.root.Root
	folder, err := i.lockFolder(root, temp.dir)
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
	if after, err = i.putInPlace(temp, name, folder, before); err != nil {
		return nil, false, diskError(err)
	}
	return after, before == nil, folder.sync()
}
