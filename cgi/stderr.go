package cgi

import (
	"bytes"
	"fmt"
	"time"
)

const (
	maxLine  = 4 << 10 // bytes of a line that are told
	maxLines = 1000    // lines of one process that are told
)

// lines cuts what a script writes to standard error into lines and tells them.
type lines struct {
	tell    func(string)
	line    []byte // what there is of the current line, at most maxLine bytes
	begun   bool   // the current line has bytes, told or not
	told    int
	dropped int
}

func (l *lines) write(b []byte) {
	for len(b) > 0 {
		piece, rest, whole := bytes.Cut(b, []byte{'\n'})
		l.line = append(l.line, piece[:min(len(piece), maxLine-len(l.line))]...)
		l.begun = true
		if whole {
			l.end()
		}
		b = rest
	}
}

func (l *lines) end() {
	line := bytes.TrimSuffix(l.line, []byte{'\r'})
	switch {
	case l.told == maxLines:
		l.dropped++
	case len(line) > 0:
		l.told++
		l.tell(string(line))
	}
	l.line, l.begun = l.line[:0], false
}

// close tells the last line, should it have no end, and how many were dropped.
func (l *lines) close() {
	if l.begun {
		l.end()
	}
	if l.dropped > 0 {
		l.tell(fmt.Sprintf("(%d further lines were dropped)", l.dropped))
	}
}

// pump tells all that comes from out, until it ends, and closes it.
func (l *lines) pump(out *output) {
	defer out.close()
	buf := make([]byte, maxLine)
	for {
		n, err := out.read(buf, time.Time{})
		l.write(buf[:n])
		if err != nil {
			l.close()
			return
		}
	}
}
