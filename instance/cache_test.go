package instance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func (s *site) fetch(path string) (status int, body string) {
	s.t.Helper()
	res, err := http.Get("http://" + s.addr + path)
	must(s.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(s.t, err)
	return res.StatusCode, string(b)
}

// warm asks for path until the answer is kept in memory.
func (s *site) warm(path, want string) {
	s.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if status, body := s.fetch(path); status == 200 && body != want {
			s.t.Fatalf("%s: %q, want %q", path, body, want)
		}
		s.files.mu.RLock()
		kept := s.files.files[path] != nil
		s.files.mu.RUnlock()
		if kept {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s is never kept", path)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *site) wants(path string, status int, body string) {
	s.t.Helper()
	if gotStatus, got := s.fetch(path); gotStatus != status || status == 200 && got != body {
		s.t.Errorf("%s: %d %q, want %d %q", path, gotStatus, got, status, body)
	}
}

// soon waits until path is answered so: what was kept may be given for lookTime.
func (s *site) soon(path string, status int, body string) {
	s.t.Helper()
	eventually(s.t, path+" is up to date", func() bool {
		got, text := s.fetch(path)
		return got == status && (status != 200 || text == body)
	})
}

// Whatever happens to a file that is kept in memory shows soon.
func TestCacheSeesChanges(t *testing.T) {
	s := open(t, func(spec *Spec) { spec.Index = []string{"index.htm", "index.html"} })
	http.DefaultClient.CloseIdleConnections()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	s.file("a.txt", "first")
	s.file("d/index.html", "index")
	at := func(name string) string { return filepath.Join(s.root, name) }

	s.warm("/a.txt", "first")
	must(t, os.WriteFile(at("a.txt"), []byte("other"), 0o644)) // in place, of the same size
	s.soon("/a.txt", 200, "other")

	s.warm("/a.txt", "other")
	s.file("new", "moved")
	must(t, os.Rename(at("new"), at("a.txt")))
	s.soon("/a.txt", 200, "moved")

	s.warm("/a.txt", "moved")
	must(t, os.Remove(at("a.txt")))
	s.soon("/a.txt", 404, "")

	s.file("a.txt", "inside")
	s.warm("/a.txt", "inside")
	must(t, os.Remove(at("a.txt")))
	writeFile(t, filepath.Join(s.dir, "secret"), "secret")
	must(t, os.Symlink(filepath.Join(s.dir, "secret"), at("a.txt")))
	s.soon("/a.txt", 404, "")

	s.warm("/d/", "index")
	s.file("d/index.htm", "before")
	s.soon("/d/", 200, "before")

	s.warm("/d/index.html", "index")
	must(t, os.Rename(at("d"), at("e")))
	s.soon("/d/index.html", 404, "")
}

// The answers from memory are those from disk: conditions, ranges, HEAD.
func TestCacheAnswersAlike(t *testing.T) {
	s := open(t, nil)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	s.file("a.txt", "0123456789")
	ask := func(method string, header ...string) string {
		req, err := http.NewRequest(method, "http://"+s.addr+"/a.txt", nil)
		must(t, err)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		must(t, err)
		res.Header.Del("Date")
		return fmt.Sprintf("%d %v %q", res.StatusCode, res.Header, b)
	}
	info, err := os.Stat(filepath.Join(s.root, "a.txt"))
	must(t, err)
	requests := [][]string{
		{"GET"}, {"HEAD"}, {"GET", "Range", "bytes=2-4"}, {"GET", "Range", "bytes=-3"}, {"GET", "Range", "bytes=10-"},
		{"GET", "If-None-Match", etag(info)}, {"HEAD", "If-None-Match", "*"}, {"GET", "If-Match", `"x"`},
		{"GET", "If-Range", etag(info), "Range", "bytes=0-0"},
	}
	var cold []string
	for _, r := range requests {
		s.files.clear()
		cold = append(cold, ask(r[0], r[1:]...))
	}
	s.warm("/a.txt", "0123456789")
	for i, r := range requests {
		if warm := ask(r[0], r[1:]...); warm != cold[i] {
			t.Errorf("%v:\nfrom memory %s\nfrom disk   %s", r, warm, cold[i])
		}
	}
}

// entry is what a path leads to, without anything on disk.
func entry(key, name string, size int, absent ...string) *cachedFile {
	return &cachedFile{
		variants: variants{plain: resource{body: make([]byte, size)}},
		key:      key, names: []namedFile{{name: name}}, absent: absent,
	}
}

// An upload and a deletion through the site leave nothing behind in memory, also
// when the file is being read at that moment.
func TestCacheDrop(t *testing.T) {
	budget := NewBudget(1 << 20)
	c := newFileCache(budget)
	put := func(key, name string, absent ...string) {
		c.insert(entry(key, name, 100, absent...), c.state())
	}
	put("/a", "a")
	put("/d/", "d/index.html", "d/index.php")
	put("/b", "b")
	state := c.state()
	c.drop("a")
	c.drop("d/index.php")
	c.insert(entry("/late", "late", 1), state)
	if len(c.files) != 1 || c.files["/b"] == nil || len(c.ring) != 1 {
		t.Errorf("left: %v", c.files)
	}
	c.close()
	put("/c", "c")
	if used := budget.used.Load(); used != 0 || len(c.files) != 0 || len(budget.members) != 0 {
		t.Errorf("after close %d bytes are in use", used)
	}
}

// Sites share the budget: it holds, one site may have all of it, and gives way to
// another down to an equal share.
func TestBudget(t *testing.T) {
	const size = 10_000
	budget := NewBudget(100 * (size + entryCost))
	first, second := newFileCache(budget), newFileCache(budget)
	fill := func(c *fileCache, n int) {
		for i := range n {
			key := fmt.Sprint("/", i)
			c.insert(entry(key, key[1:], size), c.state())
			if used := budget.used.Load(); used > budget.total {
				t.Fatalf("%d of %d bytes are in use", used, budget.total)
			}
		}
	}
	fill(first, 1000)
	if first.used < budget.total*9/10 {
		t.Errorf("alone, a site uses %d of %d bytes", first.used, budget.total)
	}
	fill(second, 1000)
	for name, c := range map[string]*fileCache{"first": first, "second": second} {
		if c.used < budget.total*4/10 || c.used > budget.total*6/10 {
			t.Errorf("%s has %d of %d bytes", name, c.used, budget.total)
		}
		if len(c.files) != len(c.ring) {
			t.Errorf("%s: %d files, %d in the ring", name, len(c.files), len(c.ring))
		}
	}
	if first.used+second.used != budget.used.Load() {
		t.Errorf("%d + %d is not %d", first.used, second.used, budget.used.Load())
	}
	first.close()
	second.close()
}

// A file that is asked for again outlives those that are not.
func TestCacheKeepsWhatIsWanted(t *testing.T) {
	budget := NewBudget(20 * (1000 + entryCost))
	c := newFileCache(budget)
	defer c.close()
	for i := range 200 {
		key := fmt.Sprint("/", i)
		c.insert(entry(key, key[1:], 900), c.state())
		if hot := c.files["/0"]; hot == nil {
			t.Fatalf("the file that is wanted was given up after %d", i)
		} else {
			hot.wanted.Store(true)
		}
	}
}

// history is the versions of a file with the times when they were there.
type history struct {
	mu       sync.Mutex
	versions []int64
	since    []time.Time
}

func (h *history) add(v int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.versions, h.since = append(h.versions, v), append(h.since, time.Now())
}

// at is the latest version that was there at some time.
func (h *history) at(t time.Time) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := len(h.since) - 1; i >= 0; i-- {
		if h.since[i].Before(t) {
			return h.versions[i]
		}
	}
	return 0
}

// Files are replaced, and written to in place, under readers: every answer is
// whole, and never older than what was on disk lookTime before its request began.
func TestCacheUnderChange(t *testing.T) {
	s := open(t, nil)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	const files, readers = 4, 8
	var versions [files]history
	content := func(v int64) string { return strings.Repeat(fmt.Sprintf("%08d\n", v), 100) }
	name := func(i int) string { return fmt.Sprintf("f%d.txt", i) }
	for i := range files {
		s.file(name(i), content(0))
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for v := int64(1); ; v++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			i := int(v) % files
			temp := filepath.Join(s.root, ".temp")
			if err := os.WriteFile(temp, []byte(content(v)), 0o644); err != nil {
				t.Error(err)
			}
			if v%200 > 100 { // let files grow old enough to be kept now and then
				time.Sleep(settledTime / 10)
			}
			if err := os.Rename(temp, filepath.Join(s.root, name(i))); err != nil {
				t.Error(err)
			}
			versions[i].add(v)
		}
	})
	var answers atomic.Int64
	for r := range readers {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				i := r % files
				before := versions[i].at(time.Now().Add(-lookTime))
				_, body := s.fetch("/" + name(i))
				var got int64
				if _, err := fmt.Sscanf(body, "%08d", &got); err != nil || body != content(got) || got < before {
					t.Errorf("version %d or later was there, %.20q came", before, body)
					return
				}
				answers.Add(1)
			}
		})
	}
	time.Sleep(2 * time.Second)
	close(stop)
	all.Wait()
	if answers.Load() < 100 {
		t.Errorf("only %d answers", answers.Load())
	}
}

// That there is nothing of a name is known of its folder, which is looked at for
// all names together: the times of the two looks don't add up.
func TestCacheAbsenceIsFresh(t *testing.T) {
	dir := t.TempDir()
	root, err := os.Open(dir)
	must(t, err)
	defer root.Close()
	c := newFileCache(NewBudget(1 << 20))
	defer c.close()
	fd, begin := int(root.Fd()), time.Now().Add(time.Minute)
	at := func(ms int) int64 { return begin.Add(time.Duration(ms) * time.Millisecond).UnixNano() }
	gone := errors.New("gone")
	c.put(&cachedFile{key: "/a", missing: gone, absent: []string{"a"}}, fd, at(0), c.state())
	c.put(&cachedFile{key: "/b", missing: gone, absent: []string{"b"}}, fd, at(185), c.state())
	if c.get("/a", fd, at(202)) == nil || c.get("/b", fd, at(202)) == nil {
		t.Fatal("what is missing is not kept")
	}
	time.Sleep(10 * time.Millisecond) // over a tick of the file system's clock
	writeFile(t, filepath.Join(dir, "b"), "b")
	if c.get("/b", fd, at(384)) == nil {
		t.Error("the disk was looked at before its time")
	}
	c.get("/b", fd, at(392))
	if c.get("/b", fd, at(406)) != nil {
		t.Error("what came up is still missing after more than lookTime")
	}
}

// What is kept of a request that leads to nothing is its path, not the head that
// it came in.
func TestCacheKeepsNoHeads(t *testing.T) {
	s := open(t, nil)
	s.file("a.txt", "a")
	c := s.dial()
	defer c.Close()
	in := bufio.NewReader(c)
	filling := strings.Repeat("x", 15<<10)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	const requests = 2000
	for i := range requests {
		fmt.Fprintf(c, "GET /nothing%d HTTP/1.1\r\nHost: test\r\nX-Filling: %s\r\n\r\n", i, filling)
		if a := readAnswer(t, in, "GET"); a.status != 404 {
			t.Fatal(a.status)
		}
	}
	s.files.mu.RLock()
	kept := len(s.files.ring)
	s.files.mu.RUnlock()
	if kept < requests/2 {
		t.Errorf("%d answers are kept", kept)
	}
	if grown := int64(heap()) - int64(before); grown > requests*4<<10 {
		t.Errorf("%d requests hold %d KiB", requests, grown>>10)
	}
}
