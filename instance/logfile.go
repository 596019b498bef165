package instance

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	logDelay  = time.Second // a line is written at most that long after its exchange
	logBuffer = 64 << 10    // bytes: a buffer that is longer is written at once
	logBound  = 4 << 20     // bytes buffered at most, while a write takes its time

	logPatience = 10 * time.Second
)

// lostCounter counts lines.
type lostCounter interface {
	Inc()
	Add(float64)
}

// logFile is one file with its buffer. Who logs never waits for the disk: lines
// are put into the buffer, and the timer's goroutine writes it.
type logFile struct {
	path     string
	log      *slog.Logger
	counter  lostCounter   // of lost lines
	patience time.Duration // for one write, where the kernel knows such a thing: a FIFO whose reader has stopped

	mu      sync.Mutex  // held for moments, never while the file is touched
	buf     *[]byte     // whole lines; nil: none. While there are some, timer is set
	urgent  bool        // flush was called for at once
	dropped int         // lines that found buf full
	closed  bool        // no more lines are taken
	timer   *time.Timer // calls flush; nil before the first line

	disk     sync.Mutex // held while the file is touched; taken before mu
	file     *os.File   // nil: not open
	torn     bool       // the last write ended within a line
	fails    bool       // writing fails, which was said
	lost     int        // lines lost since then
	rotation rotation
	archive  *Archive // gets what was rotated
}

// logLines are for putting a line together, logBuffers for collecting lines. They
// hold nothing between uses, and an idle site holds none of them.
var (
	logLines   = sync.Pool{New: func() any { return new(logLine) }}
	logBuffers = sync.Pool{New: func() any { return new([]byte) }}
)

// logLine is a line being put together.
type logLine struct {
	text  []byte
	clock clockText
}

func newLogFile(path string, r rotation, log *slog.Logger, lost lostCounter, archive *Archive) *logFile {
	return &logFile{path: path, rotation: r, log: log, counter: lost, patience: logPatience, archive: archive}
}

// open opens the file for who holds f.disk.
func (f *logFile) open() (*os.File, error) {
	file, err := openLog(f.path)
	if err == nil && f.file == nil && f.rotation.on() { // a process that was killed may have left something
		f.archive.add(f.path, f.rotation.keeping, f.log)
	}
	return file, err
}

// use has lines written to file from now on. It is for who holds f.disk.
func (f *logFile) use(file *os.File) error {
	old := f.file
	f.torn = f.torn && sameFile(old, file)
	f.file, f.rotation.first = file, time.Time{}
	if old == nil {
		return nil
	}
	return old.Close()
}

// openNow opens the file, unless that was done, without waiting for the first
// line.
func (f *logFile) openNow() {
	f.disk.Lock()
	defer f.disk.Unlock()
	if f.file == nil && !f.isClosed() {
		file, err := f.open()
		f.file = file
		f.say(0, err)
	}
}

// openLog makes the folder and opens the file for appending. A FIFO that nobody
// reads is an error, it does not block.
func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o640)
}

// append takes over the bytes of line, which ends in a newline.
func (f *logFile) append(line []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		f.counter.Inc()
		return
	}
	if f.buf == nil {
		f.buf = logBuffers.Get().(*[]byte)
		f.flushIn(logDelay)
	} else if len(*f.buf)+len(line) > logBound {
		f.dropped++
		return
	}
	*f.buf = append(*f.buf, line...)
	if len(*f.buf) >= logBuffer && !f.urgent {
		f.urgent = true
		f.flushIn(0)
	}
}

// flushIn has flush called after d, and not when that was to be before. It is for
// who holds f.mu.
func (f *logFile) flushIn(d time.Duration) {
	if f.timer == nil {
		f.timer = time.AfterFunc(d, f.flush)
	} else {
		f.timer.Reset(d)
	}
}

// flush writes what is buffered.
func (f *logFile) flush() {
	f.disk.Lock()
	defer f.disk.Unlock()
	f.drain()
}

// drain is flush for who holds f.disk.
func (f *logFile) drain() {
	f.mu.Lock()
	buf, lost := f.buf, f.dropped
	f.buf, f.dropped, f.urgent = nil, 0, false
	f.mu.Unlock()
	if buf == nil {
		return
	}
	n, err := f.put(*buf)
	if err == nil && lost > 0 {
		err = errors.New("the disk takes too long")
	}
	f.say(lost+n, err)
	if cap(*buf) <= 4*logBuffer {
		*buf = (*buf)[:0]
		logBuffers.Put(buf)
	}
}

// put appends whole lines to the file, which it opens, opens anew or rotates if
// need be, and returns how many of them were lost.
func (f *logFile) put(lines []byte) (lost int, err error) {
	locked, err := f.ready(len(lines))
	if err != nil {
		return countLines(lines), err
	}
	if locked {
		defer unlock(f.file)
	}
	f.file.SetWriteDeadline(time.Now().Add(f.patience)) // an error for regular files
	if f.torn {
		if _, err := f.file.WriteString("\n"); err != nil {
			return countLines(lines), err
		}
		f.torn = false
	}
	n, err := f.file.Write(lines)
	if err == nil {
		return 0, nil
	}
	f.torn = n > 0 && lines[n-1] != '\n'
	return countLines(lines[n:]), err
}

func countLines(b []byte) int { return bytes.Count(b, []byte{'\n'}) }

// say counts the lost lines and tells the process's log when trouble begins and
// when it is over.
func (f *logFile) say(lost int, err error) {
	f.lost += lost
	f.counter.Add(float64(lost))
	switch {
	case err != nil && !f.fails:
		f.fails = true
		f.log.Error("access log can't be written; the site goes on and the lines are dropped", "path", f.path, "error", err,
			"remedy", "make room on the disk, or let sited write to the folder and the file; sited tries again by itself")
	case err == nil && f.fails:
		f.log.Info("access log is written again", "path", f.path, "lines_lost", f.lost)
		f.fails, f.lost = false, 0
	}
}

func (f *logFile) reopen() error {
	f.disk.Lock()
	defer f.disk.Unlock()
	if f.isClosed() {
		return nil
	}
	f.drain()
	file, err := f.open()
	if err != nil {
		return fmt.Errorf("log file can't be opened anew, the old one stays in use: %w", err)
	}
	if f.file == nil {
		f.say(0, nil)
	}
	return f.use(file)
}

func (f *logFile) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

func sameFile(a, b *os.File) bool {
	infoA, errA := a.Stat()
	infoB, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

func (f *logFile) close() error {
	f.mu.Lock()
	f.closed = true
	if f.timer != nil {
		f.timer.Stop()
	}
	f.mu.Unlock()
	f.disk.Lock()
	defer f.disk.Unlock()
	f.drain()
	var err error
	if f.lost > 0 {
		err = fmt.Errorf("log file %s: %d lines are lost", f.path, f.lost)
	}
	if f.file != nil {
		err = errors.Join(err, f.file.Close())
		f.file = nil
	}
	return err
}
