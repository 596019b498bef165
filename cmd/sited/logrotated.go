package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// stampLayout is the time in the name of a rotated file, which is in UTC:
// passed-2026-11-23T08-15-04.123.log, and .gz or .zst behind it. Names of a log's
// files sort by it. It is package instance that rotates (rotatename.go), and knows
// more of the names than who reads them needs.
const stampLayout = "2006-01-02T15-04-05.000"

// codings are the extensions that a rotated file may have got meanwhile, in the
// order in which it has them.
var codings = []string{"", ".gz", ".zst"}

// rotatedFile is a file that was rotated from a log.
type rotatedFile struct {
	path  string // without the extension of a compressed one
	stamp string
}

// rotatedFiles are the files that were rotated from the log at path, oldest first.
func rotatedFiles(path string) ([]rotatedFile, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	ext := filepath.Ext(path)
	begin := strings.TrimSuffix(filepath.Base(path), ext) + "-"
	var found []rotatedFile
	for _, entry := range entries {
		rest, ok := strings.CutPrefix(entry.Name(), begin)
		if !ok || len(rest) < len(stampLayout) {
			continue
		}
		stamp, rest := rest[:len(stampLayout)], rest[len(stampLayout):]
		rest, ok = strings.CutPrefix(rest, ext)
		if _, err := time.Parse(stampLayout, stamp); !ok || err != nil || !slices.Contains(codings, rest) {
			continue
		}
		found = append(found, rotatedFile{filepath.Join(filepath.Dir(path), begin+stamp+ext), stamp})
	}
	slices.SortFunc(found, func(a, b rotatedFile) int { return strings.Compare(a.stamp, b.stamp) })
	return slices.Compact(found), nil // one may be there compressed and not
}

// was reports whether the file is the one that info tells of. A compressed one has
// the time of its last change.
func (f rotatedFile) was(info fs.FileInfo) bool {
	for _, coding := range codings {
		there, err := os.Stat(f.path + coding)
		switch {
		case err != nil:
		case coding == "":
			return os.SameFile(there, info)
		default:
			return there.ModTime().Equal(info.ModTime())
		}
	}
	return false
}

// missedError says which lines may not have been shown.
type missedError struct {
	log  string
	what string
}

func (e *missedError) Error() string {
	return fmt.Sprintf("lines of %s may be missing: %s", e.log, e.what)
}

// later are those of the files that were rotated from the log after the part
// that was read until now, nil for none. An error is about what may be missing.
func (t *logTail) later(part *logPart, files []rotatedFile) ([]rotatedFile, error) {
	for len(files) > 0 && files[0].stamp <= t.seen {
		files = files[1:]
	}
	if part == nil {
		return files, nil
	}
	info, err := part.file.Stat()
	if err != nil {
		return files, err
	}
	if i := slices.IndexFunc(files, func(f rotatedFile) bool { return f.was(info) }); i >= 0 {
		return files[i+1:], nil
	}
	// What sited rotates can't be written. Others rename files as they please.
	if info.Mode().Perm()&0o222 == 0 {
		return files, &missedError{t.path, "files that it was rotated to are deleted"}
	}
	return files, nil
}

// readWaiting reads from the files that were rotated meanwhile until it has
// roundBound bytes.
func (t *logTail) readWaiting() (lines [][]byte, err error) {
	for left := roundBound; left > 0 && (t.reading != nil || len(t.waiting) > 0); {
		if t.reading == nil {
			next := t.waiting[0]
			t.waiting = t.waiting[1:]
			opened, openErr := next.open()
			if openErr != nil {
				err = errors.Join(err, &missedError{t.path, openErr.Error()})
				continue
			}
			t.reading = opened
		}
		more, n, done, readErr := t.reading.read(left)
		lines, left = append(lines, more...), left-n
		if readErr != nil {
			err = errors.Join(err, &missedError{t.path, readErr.Error()})
		}
		if done || readErr != nil {
			t.reading.close()
			t.reading = nil
		}
	}
	return lines, err
}

// rotatedLog is an open file that was rotated. It does not grow any more.
type rotatedLog struct {
	file *os.File
	zstd *zstd.Decoder // nil unless it is what unpacks the file
	text io.Reader
	rest []byte
}

// open opens the file, compressed or not.
func (f rotatedFile) open() (*rotatedLog, error) {
	for _, coding := range codings {
		file, err := os.OpenFile(f.path+coding, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		l := &rotatedLog{file: file, text: file}
		switch coding {
		case ".gz":
			l.text, err = gzip.NewReader(file)
		case ".zst":
			l.zstd, err = zstd.NewReader(file, zstd.WithDecoderConcurrency(1))
			l.text = l.zstd
		}
		if err != nil {
			file.Close()
			return nil, fmt.Errorf("unpack %s: %w", file.Name(), err)
		}
		return l, nil
	}
	return nil, fmt.Errorf("%s is deleted", f.path)
}

// read reads most bytes, or what is left: then it is done.
func (l *rotatedLog) read(most int) (lines [][]byte, n int, done bool, err error) {
	text, err := io.ReadAll(io.LimitReader(l.text, int64(most)))
	if err != nil {
		err = fmt.Errorf("read %s: %w", l.file.Name(), err)
	}
	lines, l.rest = cutLines(append(l.rest, text...))
	done = len(text) < most
	if len(l.rest) > lineBound || done && len(l.rest) > 0 {
		lines, l.rest = append(lines, l.rest), nil
	}
	return lines, len(text), done, err
}

func (l *rotatedLog) close() {
	if l.zstd != nil {
		l.zstd.Close()
	}
	l.file.Close()
}
