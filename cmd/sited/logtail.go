package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

const (
	tailPiece = 64 << 10 // bytes read at first to find the last lines
	tailBound = 64 << 20 // bytes searched for them at most

	roundBound = 4 << 20  // bytes taken from a file at a time, so that none keeps the others waiting
	lineBound  = 16 << 20 // bytes of a line; a longer one is shown in pieces

	farewell = 8 // times that a file is still looked at after another has taken its place
)

// logTail reads a log file that is written, rotated and truncated meanwhile.
type logTail struct {
	path   string
	site   string   // whose lines there are that don't say it; "" for several sites
	now    *logPart // nil: there is no file
	before *logPart // the file that was there before, to which a line may still come
	rounds int      // before that one is closed

	seen    string        // the last rotation before now
	waiting []rotatedFile // rotated between before and now, to be read before now is
	reading *rotatedLog   // the first of them

	at   time.Time // of the last line
	from time.Time // lines before are not shown
	gone time.Time // since when there was nothing, as no site logs there any more; zero: one does
}

// logPart is an open file, and how far it was read.
type logPart struct {
	file   *os.File
	offset int64
	rest   []byte // of a line whose end is not there yet
	behind bool   // there is more to be read
}

// last are the last lines that are wanted; next goes on behind them.
func (t *logTail) last(most int, wanted func([]byte) bool) ([][]byte, error) {
	if files, err := rotatedFiles(t.path); err == nil { // else it is an error when the log is rotated
		t.see(files)
	}
	part, err := openPart(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t.now = part
	info, err := part.file.Stat()
	if err != nil {
		return nil, err
	}
	part.offset = info.Size()
	for piece := int64(tailPiece); ; piece *= 2 {
		start := max(0, info.Size()-piece)
		text := make([]byte, info.Size()-start)
		n, err := part.file.ReadAt(text, start)
		if err != nil && err != io.EOF {
			return nil, err
		}
		lines, rest := cutLines(text[:n])
		if start > 0 && len(lines) > 0 {
			lines = lines[1:] // begins somewhere
		}
		kept := lines[:0]
		for _, line := range lines {
			if wanted(line) {
				kept = append(kept, line)
			}
		}
		if len(kept) >= most || start == 0 || piece >= tailBound {
			part.offset, part.rest = start+int64(n), bytes.Clone(rest)
			return kept[max(0, len(kept)-most):], nil
		}
	}
}

// next are the whole lines that have come since. An error is about what could not
// be read; there may be lines as well.
func (t *logTail) next() (lines [][]byte, err error) {
	add := func(more [][]byte, moreErr error) {
		lines, err = append(lines, more...), errors.Join(err, moreErr)
	}
	for {
		add(t.nextBefore())
		if t.before != nil && t.before.behind {
			return lines, err
		}
		add(t.readWaiting())
		if t.reading != nil || len(t.waiting) > 0 {
			return lines, err
		}
		if t.now != nil {
			more, nowErr := t.now.read()
			if add(more, nowErr); nowErr != nil || t.now.behind {
				return lines, err
			}
		}
		replaced, openErr := t.replace()
		if add(nil, openErr); !replaced {
			return lines, err
		}
	}
}

// nextBefore reads what came late to the file that was there before.
func (t *logTail) nextBefore() ([][]byte, error) {
	if t.before == nil {
		return nil, nil
	}
	late, err := t.before.read()
	if t.rounds--; t.rounds <= 0 && !t.before.behind || err != nil {
		t.before.file.Close()
		t.before = nil
	}
	return late, err
}

// replace notices that the log is another file now. What was rotated in between is
// to be read before it.
func (t *logTail) replace() (bool, error) {
	if t.now != nil {
		if same, err := t.now.named(t.path); same || err != nil {
			return false, err
		}
	}
	part, files, err := t.open()
	if part == nil {
		return false, err
	}
	later, lostErr := t.later(t.now, files)
	if t.before != nil {
		t.before.file.Close()
	}
	t.before, t.rounds, t.now, t.waiting = t.now, farewell, part, later
	t.see(files)
	return true, errors.Join(err, lostErr)
}

// see takes note of the rotations before now.
func (t *logTail) see(files []rotatedFile) {
	if len(files) > 0 {
		t.seen = files[len(files)-1].stamp
	}
}

// open opens the log, and lists the files that were rotated before it. There is
// none when the log is not there, or is another with every look. A folder that
// can't be listed is an error that keeps nobody from reading the log.
func (t *logTail) open() (*logPart, []rotatedFile, error) {
	const attempts = 5
	for range attempts {
		part, err := openPart(t.path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, nil
		}
		if err != nil {
			return nil, nil, err
		}
		files, listErr := rotatedFiles(t.path)
		if listErr != nil {
			return part, nil, &missedError{t.path, listErr.Error()}
		}
		if same, err := part.named(t.path); same || err != nil {
			return part, files, err
		}
		part.file.Close()
	}
	return nil, nil, nil
}

func (t *logTail) close() {
	for _, part := range []*logPart{t.now, t.before} {
		if part != nil {
			part.file.Close()
		}
	}
	if t.reading != nil {
		t.reading.close()
	}
}

// openPart opens a log from its beginning. Who reads from a FIFO takes the lines
// from its reader, so that only files are read.
func openPart(path string) (*logPart, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file, and can't be shown", path)
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return &logPart{file: file}, nil
}

// named reports whether the path still leads to the file, or to nothing.
func (p *logPart) named(path string) (bool, error) {
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	info, err := p.file.Stat()
	return err == nil && os.SameFile(there, info), err
}

// read are the whole lines that have come since; from the beginning, if the file
// was truncated.
func (p *logPart) read() ([][]byte, error) {
	info, err := p.file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < p.offset {
		p.offset, p.rest = 0, nil
	}
	text := make([]byte, min(roundBound, info.Size()-p.offset))
	n, err := p.file.ReadAt(text, p.offset)
	if err != nil && err != io.EOF {
		return nil, err
	}
	p.offset += int64(n)
	p.behind = n == roundBound
	lines, rest := cutLines(append(p.rest, text[:n]...))
	if len(rest) > lineBound {
		lines, rest = append(lines, rest), nil
	}
	p.rest = bytes.Clone(rest)
	return lines, nil
}

// cutLines takes text apart into lines without their ends, and what is behind
// the last end.
func cutLines(text []byte) (lines [][]byte, rest []byte) {
	for {
		line, after, ok := bytes.Cut(text, []byte{'\n'})
		if !ok {
			return lines, text
		}
		lines, text = append(lines, line), after
	}
}
