package chaos

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// content is the text of a version of a file: it says whose it is, and is like no
// other from the beginning on.
func content(file string, number, size int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s, %d bytes\n", number, file, size)
	random := rand.NewChaCha8(sha256.Sum256([]byte(b.String())))
	io.CopyN(&b, random, int64(max(size-b.Len(), 0)))
	return b.String()[:size]
}

// digest identifies a content; the zero digest stands for no file.
type digest [sha256.Size]byte

func digestOf(content string) digest { return sha256.Sum256([]byte(content)) }

// version is one write to a file: what was sent, and when the answer came.
type version struct {
	digest   digest
	sent     time.Time
	answered time.Time // zero: no answer
}

// history is what clients have written to files, and so what may be seen of them:
// a write takes effect as a whole at some moment from its sending to its answer,
// and one that got no answer at any moment from its sending on, or never.
type history struct {
	mu     sync.Mutex
	files  map[string][]*version
	number int // of contents
}

// newHistory begins with files that are not there.
func newHistory(files []string) *history {
	h := &history{files: map[string][]*version{}}
	for _, f := range files {
		h.settle(f, digest{})
	}
	return h
}

// settle says that a file is as it was found, and that nobody is writing to it.
func (h *history) settle(file string, found digest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files[file] = []*version{{digest: found, sent: time.Now(), answered: time.Now()}}
}

// put is the beginning of a write of that many bytes.
func (h *history) put(file string, size int) (string, *version) {
	h.mu.Lock()
	h.number++
	text := content(file, h.number, size)
	h.mu.Unlock()
	return text, h.begin(file, digestOf(text))
}

// remove is the beginning of a deletion.
func (h *history) remove(file string) *version { return h.begin(file, digest{}) }

func (h *history) begin(file string, d digest) *version {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &version{digest: d, sent: time.Now()}
	h.files[file] = append(h.files[file], v)
	return v
}

func (h *history) answer(v *version) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v.answered = time.Now()
}

// refused says that a write had no effect.
func (h *history) refused(file string, v *version) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files[file] = slices.DeleteFunc(h.files[file], func(w *version) bool { return w == v })
}

// possible reports whether a file may be seen with that content by who looked
// between from and to: it was sent, and no other version has replaced it for
// certain.
func (h *history) possible(file string, d digest, from, to time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range h.files[file] {
		if v.digest == d && v.sent.Before(to) && !h.replaced(file, v, from) {
			return true
		}
	}
	return false
}

func (h *history) replaced(file string, v *version, before time.Time) bool {
	if v.answered.IsZero() {
		return false
	}
	for _, w := range h.files[file] {
		if w.sent.After(v.answered) && !w.answered.IsZero() && w.answered.Before(before) {
			return true
		}
	}
	return false
}

// unanswered is how many writes got no answer.
func (h *history) unanswered() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, versions := range h.files {
		for _, v := range versions {
			if v.answered.IsZero() {
				n++
			}
		}
	}
	return n
}
