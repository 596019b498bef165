package instance

import (
	"path"
	"strings"

	"sited/protocol"
)

// remove deletes a file (RFC 9110, section 9.3.5). Folders are not deleted.
func (i *Instance) remove(x *protocol.Exchange) error {
	root, err := i.root.get()
	if err != nil {
		return err
	}
	i.writes.Lock()
	defer i.writes.Unlock()
	name := relative(x.Req.Path)
	info, err := root.Stat(name)
	switch {
	case err != nil:
		return diskError(err)
	case info.IsDir():
		return protocol.Failf(409, "a folder is not deleted")
	case !info.Mode().IsRegular() || strings.HasSuffix(x.Req.Path, "/"):
		return protocol.Failf(404, "not a file")
	case precondition(&x.Req, represent(info)) != 0:
		return protocol.Failf(412, "a precondition does not hold")
	}
	if err := root.Remove(name); err != nil {
		return diskError(err)
	}
	x.Res.Status = 204
	return syncFolder(root, path.Dir(name))
}
