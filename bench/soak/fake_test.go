package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fake is a simple server of files, which can be made to do wrong.
type fake struct {
	root, incoming string
	keep           time.Duration // how long what was read is kept
	sticky         bool          // what is kept outlives PUT and DELETE
	bend           func(n int64, path string, f fakeFile, before *fakeFile) fakeFile
	rewrite        func(n int64, w http.ResponseWriter, r *http.Request, f *fakeFile) (done bool)

	answers atomic.Int64
	mu      sync.Mutex
	kept    map[string]fakeFile
}

// fakeFile is what a path leads to.
type fakeFile struct {
	status   int
	content  []byte
	tag      string
	modified time.Time
	read     time.Time
}

func (s *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case "PUT", "DELETE":
		s.change(w, r)
	default:
		s.serve(w, r)
	}
}

func (s *fake) serve(w http.ResponseWriter, r *http.Request) {
	n := s.answers.Add(1)
	f := s.look(r.URL.Path, n)
	switch f.status {
	case 404:
		http.NotFound(w, r)
		return
	case 301:
		w.Header().Set("Location", r.URL.Path+"/")
		w.WriteHeader(301)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", f.tag)
	if s.rewrite != nil && s.rewrite(n, w, r, &f) {
		return
	}
	if len(f.content) == 0 { // ServeContent sends "bytes 0--1/0" for a suffix of nothing
		r.Header.Del("Range")
	}
	http.ServeContent(w, r, "", f.modified, bytes.NewReader(f.content))
}

// look reads what path leads to, or takes what is kept of it.
func (s *fake) look(path string, n int64) fakeFile {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	before, ok := s.kept[path]
	if ok && now.Sub(before.read) < s.keep {
		return before
	}
	f := s.open(path)
	f.read = now
	s.kept[path] = f
	if s.bend != nil {
		var old *fakeFile
		if ok {
			old = &before
		}
		return s.bend(n, path, f, old)
	}
	return f
}

func (s *fake) open(path string) fakeFile {
	name := filepath.Join(s.root, path)
	if !strings.HasSuffix(path, "/") {
		return readFake(name, false)
	}
	for _, index := range []string{"index.html", "index.htm"} {
		if f := readFake(filepath.Join(name, index), true); f.status == 200 {
			return f
		}
	}
	return fakeFile{status: 404}
}

func readFake(name string, index bool) fakeFile {
	f, err := os.Open(name)
	if err != nil {
		return fakeFile{status: 404}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fakeFile{status: 500}
	}
	if info.IsDir() {
		if index {
			return fakeFile{status: 404}
		}
		return fakeFile{status: 301}
	}
	content := make([]byte, info.Size())
	if _, err := io.ReadFull(f, content); err != nil {
		return fakeFile{status: 200, content: nil, tag: fakeTag(info)} // emptied meanwhile
	}
	return fakeFile{status: 200, content: content, tag: fakeTag(info), modified: info.ModTime()}
}

func fakeTag(info os.FileInfo) string {
	return fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size())
}

func (s *fake) change(w http.ResponseWriter, r *http.Request) {
	name := filepath.Join(s.root, r.URL.Path)
	info, err := os.Stat(name)
	if want := r.Header.Get("If-Match"); want != "" && (err != nil || want != fakeTag(info)) {
		w.WriteHeader(412)
		return
	}
	existed := err == nil
	if r.Method == "DELETE" {
		err = os.Remove(name)
	} else {
		temp := filepath.Join(s.incoming, fmt.Sprintf("put-%d", s.answers.Add(1)))
		content, rerr := io.ReadAll(r.Body)
		err = errors.Join(rerr, os.WriteFile(temp, content, 0o644), os.Rename(temp, name))
		if info, serr := os.Stat(name); serr == nil {
			w.Header().Set("ETag", fakeTag(info))
		}
	}
	if !s.sticky {
		s.mu.Lock()
		delete(s.kept, r.URL.Path)
		s.mu.Unlock()
	}
	switch {
	case err != nil:
		w.WriteHeader(500)
	case r.Method == "PUT" && !existed:
		w.WriteHeader(201)
	default:
		w.WriteHeader(204)
	}
}

// soakFake runs the load on two fakes made by setUp until something is wrong or
// enough says so, for 20 s at most.
func soakFake(t *testing.T, setUp func(*fake), enough func(*load) bool) *load {
	t.Helper()
	dir := t.TempDir()
	l := &load{incoming: filepath.Join(dir, "incoming"), clients: 8, subjects: 42}
	for _, p := range []struct {
		name string
		site *site
	}{{"files", &l.files}, {"upload", &l.upload}, {"incoming", &site{}}} {
		p.site.root = filepath.Join(dir, p.name)
		if err := os.Mkdir(p.site.root, 0o755); err != nil {
			t.Fatal(err)
		}
		s := &fake{root: p.site.root, incoming: l.incoming, kept: map[string]fakeFile{}}
		setUp(s)
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		p.site.addr = server.Listener.Addr().String()
	}
	if err := l.prepare(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer cancel()
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && l.report.count() == 0 && !enough(l); {
			select {
			case <-ctx.Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	if err := l.run(ctx, time.Minute); err != nil && l.report.count() == 0 {
		t.Error(err)
	}
	cancel()
	<-watched
	return l
}

func never(*load) bool { return false }

// TestRightFake: servers that do right, with and without the staleness that is
// allowed, are not accused.
func TestRightFake(t *testing.T) {
	for name, keep := range map[string]time.Duration{"reads at once": 0, "keeps for 190 ms": 190 * ms} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := soakFake(t, func(s *fake) { s.keep = keep }, func(l *load) bool {
				return l.clock.now() > 3*time.Second && len(l.missing()) == 0 && (keep == 0) == (l.report.stale() == 0)
			})
			if l.report.count() > 0 {
				t.Errorf("%d wrong answers:\n%s", l.report.wrongs, strings.Join(l.report.details, "\n"))
			}
			if none := l.missing(); len(none) > 0 {
				t.Errorf("no answer of the kind %q", none)
			}
			if (keep > 0) != (l.report.stale() > 0) {
				t.Errorf("%d answers were of replaced content", l.report.stale())
			}
		})
	}
}

// TestWrongFake: each way of doing wrong is found.
func TestWrongFake(t *testing.T) {
	large := func(f *fakeFile) bool { return f.status == 200 && len(f.content) > recordSize }
	for name, c := range map[string]struct {
		setUp func(*fake)
		want  string // of what is said
	}{
		"stale for 500 ms":     {func(s *fake) { s.keep = 500 * ms }, "not what was on disk"},
		"stale after PUT":      {func(s *fake) { s.keep, s.sticky = 150*ms, true }, "not what was on disk"},
		"torn":                 {tear, "not what was on disk"},
		"a size that was not":  {func(s *fake) { s.bend = shorten }, "not what was on disk"},
		"another file's bytes": {confuse(), "not what was on disk"},
		"now and then a 404": {func(s *fake) {
			s.bend = func(n int64, path string, f fakeFile, _ *fakeFile) fakeFile {
				if n%10 == 9 && strings.HasSuffix(path, ".txt") {
					return fakeFile{status: 404}
				}
				return f
			}
		}, "not what was on disk"},
		"one ETag for all": {func(s *fake) {
			s.bend = func(_ int64, _ string, f fakeFile, _ *fakeFile) fakeFile {
				f.tag = `"same"`
				return f
			}
		}, `ETag "same"`},
		"Content-Length beyond the body": {func(s *fake) {
			s.rewrite = func(n int64, w http.ResponseWriter, r *http.Request, f *fakeFile) bool {
				if n%20 != 19 || !large(f) {
					return false
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(f.content)+1))
				_, _ = w.Write(f.content) // the client may be gone
				return true
			}
		}, "unexpected EOF"},
		"a part that is shifted": {func(s *fake) {
			s.rewrite = func(_ int64, _ http.ResponseWriter, r *http.Request, f *fakeFile) bool {
				if r.Header.Get("Range") != "" && large(f) {
					f.content = append(bytes.Clone(f.content[1:]), f.content[0])
				}
				return false
			}
		}, "not what was on disk"},
		"304 for everything": {func(s *fake) {
			s.rewrite = func(_ int64, w http.ResponseWriter, r *http.Request, f *fakeFile) bool {
				tag := r.Header.Get("If-None-Match")
				if tag == "" {
					return false
				}
				w.Header().Set("ETag", tag)
				w.WriteHeader(304)
				return true
			}
		}, "304"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := soakFake(t, c.setUp, never)
			if l.report.count() == 0 {
				t.Fatal("nothing wrong was found")
			}
			if all := strings.Join(l.report.details, "\n"); !strings.Contains(all, c.want) {
				t.Errorf("what was found says nothing of %q:\n%s", c.want, all)
			}
		})
	}
}

// tear makes the answer half of the old version, and half of the new one.
func tear(s *fake) {
	s.bend = func(_ int64, path string, f fakeFile, before *fakeFile) fakeFile {
		if before == nil || f.tag == before.tag || len(f.content) != len(before.content) || len(f.content) < 1000 || !strings.HasSuffix(path, ".txt") {
			return f
		}
		half := len(f.content) / 2
		f.content = append(bytes.Clone(before.content[:half]), f.content[half:]...)
		return f
	}
}

func shorten(n int64, _ string, f fakeFile, _ *fakeFile) fakeFile {
	if n%20 == 19 && f.status == 200 && len(f.content) > 2*recordSize {
		f.content = f.content[:len(f.content)-recordSize+1]
	}
	return f
}

// confuse gives now and then what was read last, whatever that was of.
func confuse() func(*fake) {
	return func(s *fake) {
		var last fakeFile
		s.bend = func(n int64, _ string, f fakeFile, _ *fakeFile) fakeFile {
			if n%20 == 19 && last.status == 200 && len(last.content) > headSize {
				return last
			}
			last = f
			return f
		}
	}
}
