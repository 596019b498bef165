package instance

import (
	"os"
	"sync/atomic"
)

// sharedFile is an open file that answers are sent from, many at the same time. It
// is closed when the last who holds it has closed it. Its methods may be called
// concurrently.
type sharedFile struct {
	file *os.File
	was  identity
	held atomic.Int64
	residence
}

// share takes file over, for one who holds it; was is what it was when it was
// looked at.
func share(file *os.File, was identity) *sharedFile {
	s := &sharedFile{file: file, was: was}
	s.init(int(file.Fd()), was.size)
	s.held.Store(1)
	return s
}

// hold is for one more to hold the file. It reports false when the file is closed.
func (s *sharedFile) hold() bool {
	for {
		n := s.held.Load()
		if n == 0 {
			return false
		}
		if s.held.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// borrow is hold, for an answer: it reports false also when the file has another
// content by now, which the head of the answer would not fit.
func (s *sharedFile) borrow() bool {
	if !s.hold() {
		return false
	}
	if now, ok := s.look(); ok && now == s.was {
		return true
	}
	s.Close()
	return false
}

// Close implements io.Closer, for one who holds the file.
func (s *sharedFile) Close() error {
	if s.held.Add(-1) > 0 {
		return nil
	}
	return s.file.Close()
}
