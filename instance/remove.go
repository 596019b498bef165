package instance

import (
	"io/fs"
	"os"
	"path"
	"strings"

	"sited/protocol"
)

// remove deletes a file (RFC 9110, section 9.3.5). Folders are not deleted.
func (i *Instance) remove(x *protocol.Exchange) error {
	opened, err := i.root.get(x.Start)
	if err != nil {
		return err
	}
	root, name := opened.Root, relative(x.Req.Path)
	folder, err := i.lockFolder(root, path.Dir(name))
	if err != nil {
		return err
	}
	defer folder.unlock()
	info, err := removeTarget(root, x.Req.Path)
	if err != nil {
		return err
	}
	if precondition(&x.Req, represent(info)) != 0 {
		return protocol.Failf(412, "a precondition does not hold")
	}
	if err := root.Remove(name); err != nil {
		return diskError(err)
	}
	i.files.drop(name)
	x.Res.Status = 204
	return folder.sync()
}

// removeTarget looks at what is to be deleted: a file, or a symbolic link to one,
// which is then deleted itself.
func removeTarget(root *os.Root, path string) (fs.FileInfo, error) {
	info, err := root.Stat(relative(path))
	switch {
	case err != nil:
		return nil, diskError(err)
	case info.IsDir():
		return nil, protocol.Failf(409, "a folder is not deleted")
	case !info.Mode().IsRegular() || strings.HasSuffix(path, "/"):
		return nil, protocol.Failf(404, "not a file")
	}
	return info, nil
}
