package instance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How several writers share a log file, in one process or in two: whoever writes
// or renames it holds the file's lock (flock) for that moment, and sees after it
// has the lock that the file is still the one of that name. So nobody writes into
// a file that was rotated, and what was rotated can be compressed and removed.

const (
	lockPatience = time.Second // a lock that is held longer is not a writer's: lines are written all the same
	lockInterval = time.Millisecond

	rotatePause = time.Minute // until the next attempt, when the file could not be renamed

	firstLine = 4 << 10 // bytes of a file in which the time of its first line is looked for
)

// rotation is when a log file is rotated and what becomes of it, with what is
// known of the file.
type rotation struct {
	keeping
	size int64         // bytes: the file is not written beyond; 0: no bound
	age  time.Duration // of the first line; 0: no bound

	first time.Time // when the first line was written; zero: not known
	seen  int64     // bytes that the file ought to have at least, unless it was truncated
	pause time.Time // no attempt before: the last one failed
	fails bool      // which was said
}

func (l *Logs) rotation() rotation {
	return rotation{size: l.MaxSize, age: l.MaxAge, keeping: keeping{most: l.Keep, coding: l.Compress}}
}

func (r *rotation) on() bool { return r.size > 0 || r.age > 0 }

// ready sees to it that f.file is what lines belong into: the file of that name,
// and with room for more bytes. It holds the file's lock then, unless the file is
// none that can be renamed, or someone else keeps the lock. It is for who holds
// f.disk.
func (f *logFile) ready(more int) (locked bool, err error) {
	stay := false // there is no other file to be had
	for until := time.Now().Add(lockPatience); ; {
		info, err := f.current(&stay)
		if err != nil || !info.Mode().IsRegular() {
			return false, err
		}
		switch err := tryLock(f.file); {
		case err == nil:
		case errors.Is(err, syscall.EWOULDBLOCK) && time.Now().Before(until):
			time.Sleep(lockInterval)
			continue
		default: // held by a stranger, or a file system without locks
			if f.due(info, more) {
				f.notRotated(fmt.Errorf("lock %s: %w", f.path, err))
			}
			return false, nil
		}
		if info, err = f.file.Stat(); err != nil {
			unlock(f.file)
			return false, err
		}
		if !stay && f.moved(info) {
			unlock(f.file)
			continue
		}
		if stay || !f.due(info, more) {
			return true, nil
		}
		switch err := f.rotate(info); {
		case errors.Is(err, fs.ErrNotExist): // somebody else has just renamed it, see moved
			return true, nil
		case err != nil:
			f.notRotated(err)
			return true, nil
		}
		f.rotated() // and f.file is the new one, which is not locked
	}
}

// current opens the file if it is not open, and opens it anew if it is no longer
// the one of that name.
func (f *logFile) current(stay *bool) (fs.FileInfo, error) {
	if f.file == nil {
		file, err := f.open()
		if err != nil {
			return nil, err
		}
		_ = f.use(file)
	}
	info, err := f.file.Stat()
	if err != nil || *stay || !info.Mode().IsRegular() || !f.moved(info) {
		return info, err
	}
	file, err := f.open()
	if err != nil {
		if retired(info) { // nothing that is written there is kept
			return nil, err
		}
		*stay = true
		return info, nil
	}
	if err := f.use(file); err != nil {
		return nil, err
	}
	return f.file.Stat()
}

// moved reports whether what is logged belongs into another file than the one
// that is open: there is another of that name, or the open one was rotated or
// deleted. One that somebody else has renamed, and has not replaced, is written
// until it is to be opened anew, as logrotate expects.
func (f *logFile) moved(info fs.FileInfo) bool {
	there, err := os.Stat(f.path)
	if err == nil {
		return !os.SameFile(there, info)
	}
	return retired(info)
}

// retired reports whether a file was rotated, which it is marked with by having
// no write permission, or was deleted.
func retired(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return info.Mode().Perm()&writable == 0 || ok && stat.Nlink == 0
}

const writable = 0o222

// due reports whether the file has to be rotated before more bytes are written.
func (f *logFile) due(info fs.FileInfo, more int) bool {
	r := &f.rotation
	now, size := time.Now(), info.Size()
	if size == 0 {
		r.first, r.seen = now, int64(more)
		return false
	}
	due := r.size > 0 && size+int64(more) > r.size
	if !due && r.age > 0 {
		if r.first.IsZero() || size < r.seen {
			r.first = f.began(info)
		}
		r.seen = size + int64(more)
		due = now.Sub(r.first) >= r.age
	}
	return due && now.After(r.pause) && !standardStream(info)
}

// began is the time of the first line of the file, or, when it has none, the time
// of the last write.
func (f *logFile) began(info fs.FileInfo) time.Time {
	file, err := os.Open(f.path)
	if err != nil {
		return info.ModTime()
	}
	defer file.Close()
	head, err := io.ReadAll(io.LimitReader(file, firstLine))
	if err != nil {
		return info.ModTime()
	}
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	if at, ok := lineTime(line); ok {
		return at
	}
	return info.ModTime()
}

// lineTime is the time in a line of either format.
func lineTime(line []byte) (time.Time, bool) {
	text, layout := []byte(nil), time.RFC3339
	if after, json := bytes.CutPrefix(line, []byte(`{"time":"`)); json {
		text, _, _ = bytes.Cut(after, []byte{'"'})
	} else if _, after, ok := bytes.Cut(line, []byte{'['}); ok {
		text, _, _ = bytes.Cut(after, []byte{']'})
		layout = "02/Jan/2006:15:04:05 -0700"
	}
	at, err := time.Parse(layout, string(text))
	return at, err == nil
}

// standardStream reports whether a file is where the process's own output goes,
// which whoever started the process has opened: /dev/stdout may be one.
func standardStream(info fs.FileInfo) bool {
	for _, stream := range []*os.File{os.Stdout, os.Stderr} {
		if its, err := stream.Stat(); err == nil && os.SameFile(its, info) {
			return true
		}
	}
	return false
}

// rotate renames the file, which is locked, and makes a new one in its place. On
// an error the file is what it was, under its own name.
func (f *logFile) rotate(info fs.FileInfo) error {
	path, err := realLog(f.path)
	if err != nil {
		return err
	}
	aside, err := moveAside(path, time.Now())
	if err != nil {
		return err
	}
	mark(f.file, info)
	file, err := openLog(path)
	if err != nil {
		_ = f.file.Chmod(info.Mode().Perm()) // as far as it may be marked
		return errors.Join(err, renameNew(aside, path))
	}
	copyOwner(file, info, 0)
	unlock(f.file)  // closing it is not enough while a child of ours has a copy
	_ = f.use(file) // what was written was looked at
	f.archive.add(f.path, f.rotation.keeping, f.log)
	return nil
}

// mark marks a file as rotated. One that belongs to another user can't be; that
// only matters while there is no other of its old name.
func mark(file *os.File, info fs.FileInfo) { _ = file.Chmod(info.Mode().Perm() &^ writable) }

// copyOwner gives file the permissions, with more, and the owner that info tells
// of, as far as the process may.
func copyOwner(file *os.File, info fs.FileInfo, more fs.FileMode) {
	_ = file.Chmod(info.Mode().Perm() | more)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && (int(stat.Uid) != os.Geteuid() || int(stat.Gid) != os.Getegid()) {
		_ = file.Chown(int(stat.Uid), int(stat.Gid))
	}
}

// notRotated tells the process's log once, and lets some time pass until the next
// attempt.
func (f *logFile) notRotated(err error) {
	f.rotation.pause = time.Now().Add(rotatePause)
	if f.rotation.fails {
		return
	}
	f.rotation.fails = true
	f.log.Error("access log can't be rotated; it is written on", "path", f.path, "error", err,
		"remedy", "let sited write to the folder, or have another program rotate it (max_size = \"0B\" and max_age = \"0s\"); sited tries again by itself")
}

func (f *logFile) rotated() {
	if f.rotation.fails {
		f.log.Info("access log is rotated again", "path", f.path)
	}
	f.rotation.fails = false
}

// realLog is the path of a log file without a link at its end.
func realLog(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return path, err
	}
	return filepath.EvalSymlinks(path)
}

// tryLock takes the lock of a file for writing it or for renaming it, unless
// someone has it (EWOULDBLOCK).
func tryLock(file *os.File) error { return flock(file, unix.LOCK_EX|unix.LOCK_NB) }

func unlock(file *os.File) { _ = flock(file, unix.LOCK_UN) } // closing would do it too
