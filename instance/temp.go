package instance

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sited/protocol"
)

// tempPrefix begins the names that the files of uploads have while they are not
// in place. They are dotfiles, which are never served. Behind it comes what
// rand.Text returns.
const tempPrefix = ".sited-upload-"

func isTempName(name string) bool {
	random, ok := strings.CutPrefix(name, tempPrefix)
	return ok && len(random) == 26 && strings.Trim(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// tempFile is what an upload is written to. It belongs to the target's folder, so
// that it has the group, the access rules and the quota of what is made there, and
// has no name: when the process is killed nothing is left of it. A target that is
// new is linked to it. One that is replaced has to be renamed over, for which the
// file has a name in the root's own folder for a moment; that folder is swept when
// a root is opened. Where files without a name can't be had (O_TMPFILE of open(2):
// not on NFS, say) it has one in the target's folder from the start.
//
// As long as it has a name the file is locked by flock(2). The lock ends with the
// process, so that a sweep knows what is still in use.
type tempFile struct {
	*os.File
	root *folder
	dir  string // the target's folder, below the root
	name string // below the root; "" for none
}

// newTemp makes the file for an upload into the folder dir. The caller discards
// it. The error is an *protocol.Error.
func (i *Instance) newTemp(root *folder, dir string) (*tempFile, error) {
	t := &tempFile{root: root, dir: dir}
	if !i.namedTemps {
		f, err := root.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o644)
		if err == nil && unix.Access(byDescriptor(f), unix.F_OK) == nil {
			t.File = f
			return t, nil
		}
		if err == nil { // no /proc
			f.Close()
		}
	}
	for { // again when a sweep came between creating and locking it
		t.name = path.Join(dir, tempPrefix+rand.Text())
		f, err := root.OpenFile(t.name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return nil, diskError(err)
		}
		flock(f, unix.LOCK_EX)
		if _, err := root.Lstat(t.name); !errors.Is(err, fs.ErrNotExist) {
			t.File = f
			i.sweeper.visit(root.Root, dir)
			return t, nil
		}
		f.Close()
	}
}

// discard closes the file and removes it if it is not in place.
func (t *tempFile) discard() error {
	var err error
	if t.name != "" {
		if err = t.root.Remove(t.name); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return errors.Join(err, t.Close())
}

// receive writes body to the file and has it on disk before it returns. An
// existing target's permissions are kept.
func (t *tempFile) receive(body io.Reader, before fs.FileInfo) error {
	if _, err := io.Copy(t.File, body); err != nil {
		if _, ok := errors.AsType[*protocol.Error](err); ok {
			return err // the client's
		}
		return diskError(err)
	}
	if before != nil {
		if err := t.Chmod(before.Mode().Perm()); err != nil {
			return diskError(err)
		}
	}
	if err := t.Sync(); err != nil {
		return diskError(err)
	}
	return nil
}

// putInPlace makes the file what name leads to, instead of before if that is not
// nil. The caller holds the lock on its folder.
func (i *Instance) putInPlace(t *tempFile, name string, folder *lockedFolder, before fs.FileInfo) (after fs.FileInfo, err error) {
	if t.name == "" && before == nil {
		err := t.link(folder.self, path.Base(name))
		if err == nil {
			return t.Stat()
		}
		if !errors.Is(err, fs.ErrExist) { // a link that leads nowhere, or somebody else's file
			return nil, err
		}
	}
	if t.name == "" {
		if err := i.giveName(t, folder.self); err != nil {
			return nil, err
		}
	}
	if after, err = t.newerThan(before); err != nil {
		return nil, err
	}
	if err = t.root.Rename(t.name, name); err == nil {
		t.name = ""
	}
	return after, err
}

// giveName names a file that has no name: in the root's own folder, or, where
// that is on another file system or may not be written to, in the target's.
func (i *Instance) giveName(t *tempFile, folder *os.File) error {
	flock(t.File, unix.LOCK_EX)
	name := tempPrefix + rand.Text()
	if t.link(t.root.self, name) == nil {
		t.name = name
		return nil
	}
	if err := t.link(folder, name); err != nil {
		return err
	}
	t.name = path.Join(t.dir, name)
	i.sweeper.visit(t.root.Root, t.dir)
	return nil
}

// link gives a file without a name one in an open folder. What is there already
// is left alone: fs.ErrExist.
func (t *tempFile) link(folder *os.File, base string) error {
	old := byDescriptor(t.File)
	if err := unix.Linkat(unix.AT_FDCWD, old, int(folder.Fd()), base, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "link", Old: old, New: base, Err: err}
	}
	return nil
}

// newerThan returns what is to be known of the file, which has a name, and sees to
// it that its time of modification is after that of before: file systems stamp
// files with a clock that ticks every few milliseconds, and two versions of one
// size within a tick would have the same ETag.
func (t *tempFile) newerThan(before fs.FileInfo) (fs.FileInfo, error) {
	after, err := t.Stat()
	if err != nil || before == nil {
		return after, err
	}
	ahead := before.ModTime().Sub(after.ModTime())
	if ahead < 0 || ahead > time.Second { // more than a second: not a tick, but a file from the future
		return after, nil
	}
	if err := t.root.Chtimes(t.name, time.Time{}, before.ModTime().Add(1)); err != nil {
		return nil, err
	}
	return t.Stat()
}

// byDescriptor is the path of an open file that may have no other.
func byDescriptor(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
