package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// compress compresses the file at plain, which was rotated from the log at path,
// and deletes it when the compressed one is complete and on disk. Whatever
// happens in the middle, one of the two is there, whole. One that another process
// compresses, or that may still be written, is left alone.
func compress(ctx context.Context, path, plain, coding string) error {
	source, err := os.Open(plain)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil || !finished(source, info, path) {
		return err
	}
	final := plain + compressions[coding]
	target, err := openPartial(final + partial)
	if err != nil || target == nil {
		return err
	}
	defer target.Close() // and with it goes the lock
	if _, err := os.Lstat(final); err == nil {
		return errors.Join(os.Remove(target.Name()), remove(plain)) // someone else has just done it
	}
	if err := writeCompressed(ctx, target, source, info, coding); err != nil {
		return errors.Join(fmt.Errorf("compress %s: %w", plain, err), os.Remove(target.Name()))
	}
	if err := renameNew(target.Name(), final); err != nil {
		return errors.Join(err, os.Remove(target.Name()))
	}
	mark(target, info)
	return remove(plain)
}

// finished sees to it that nobody writes into a rotated file any more: there is
// another of the log's name, and whoever was writing it meanwhile has given its
// lock back. Who gets the lock later sees that.
func finished(file *os.File, info fs.FileInfo, path string) bool {
	if stat, ok := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || ok && stat.Nlink > 1 {
		return false // not what rotate has left
	}
	if there, err := os.Stat(path); err != nil || os.SameFile(there, info) {
		return false
	}
	for until := time.Now().Add(lockPatience); ; time.Sleep(lockInterval) {
		// To read is enough for a shared lock, and the file may be read only.
		err := flock(file, syscall.LOCK_SH|syscall.LOCK_NB)
		if err == nil {
			mark(file, info)
			unlock(file)
			return true
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(until) {
			return false
		}
	}
}

// openPartial opens a file that is to be filled, and locks it; nil when another
// process is filling it.
func openPartial(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if !ours(file) {
		file.Close()
		return nil, nil
	}
	if err := file.Truncate(0); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// ours reports whether file is locked for us and still what its name stands for.
func ours(file *os.File) bool {
	if tryLock(file) != nil {
		return false
	}
	info, err := file.Stat()
	there, err2 := os.Lstat(file.Name())
	return err == nil && err2 == nil && os.SameFile(info, there)
}

// removePartial deletes what was left half compressed, unless someone is at it.
func removePartial(paths []string) {
	for _, path := range paths {
		file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		if ours(file) {
			_ = os.Remove(path) // it is in nobody's way
		}
		file.Close()
	}
}

// writeCompressed fills target with what is in source, and has it written to disk.
func writeCompressed(ctx context.Context, target, source *os.File, info fs.FileInfo, coding string) error {
	packer, err := newPacker(target, info, coding)
	if err != nil {
		return err
	}
	_, err = io.Copy(packer, untilDone{ctx, source})
	if err := errors.Join(err, packer.Close()); err != nil {
		return err
	}
	if err := target.Sync(); err != nil {
		return err
	}
	copyOwner(target, info, 0o200)                             // a partial file that is left can be opened again
	_ = os.Chtimes(target.Name(), time.Time{}, info.ModTime()) // for who looks at the folder
	return nil
}

func newPacker(target io.Writer, info fs.FileInfo, coding string) (io.WriteCloser, error) {
	if coding == "zstd" {
		return zstd.NewWriter(target, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	}
	packer := gzip.NewWriter(target)
	packer.ModTime = info.ModTime()
	return packer, nil
}

// untilDone reads until ctx ends.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (r untilDone) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
