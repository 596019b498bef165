package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// replaceFile puts what change makes of a file in its place, as a whole or not at
// all. before is nil when there is no file; when change returns nil nothing is
// written. Permissions and owner stay as they are; a link stays a link, and what
// it leads to is replaced. Two that do this to files of one folder at the same
// time come one after the other.
func replaceFile(name string, mode fs.FileMode, change func(before []byte) (after []byte, err error)) error {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	folder, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer folder.Close() // unlocks
	for unix.Flock(int(folder.Fd()), unix.LOCK_EX) == unix.EINTR {
	}
	before, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if os.IsNotExist(err) {
		before = nil
	} else if before == nil {
		before = []byte{}
	}
	after, err := change(before)
	if err != nil || after == nil {
		return err
	}
	file, err := renameio.NewPendingFile(name, renameio.WithPermissions(mode), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer file.Cleanup() // does nothing once it is in place
	if info, err := os.Stat(name); err == nil {
		owner := info.Sys().(*syscall.Stat_t)
		if err := keepOwner(file.File, owner); err != nil {
			return err
		}
	}
	if _, err := file.Write(after); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

// keepOwner gives f an owner, unless it has it: only root may.
func keepOwner(f *os.File, owner *syscall.Stat_t) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if now := info.Sys().(*syscall.Stat_t); now.Uid == owner.Uid && now.Gid == owner.Gid {
		return nil
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}
