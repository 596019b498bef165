package instance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stored is the content of a file below the root, or "" with ok false.
func (s *site) stored(name string) (content string, ok bool) {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.root, name))
	return string(b), err == nil
}

func (s *site) wantStored(what, name, want string) {
	s.t.Helper()
	if got, ok := s.stored(name); !ok || got != want {
		s.t.Errorf("%s: %s holds %q (there: %v), want %q", what, name, got, ok, want)
	}
}

// bothWays runs a test of uploads twice: as the file system has it, with files
// that have no name while they are written, and with ones that have.
func bothWays(t *testing.T, change func(*Spec), test func(t *testing.T, s *site)) {
	for _, named := range []bool{false, true} {
		t.Run(map[bool]string{false: "no name", true: "named"}[named], func(t *testing.T) {
			s := prepare(t, change)
			s.namedTemps = named
			s.serve()
			test(t, s)
		})
	}
}

// uploading waits until n uploads have a file open, and makes sure that it has a
// name only where it must.
func (s *site) uploading(n int) {
	s.t.Helper()
	var open []string
	eventually(s.t, fmt.Sprint(n, " uploads are under way"), func() bool {
		open = s.openFiles()
		return len(open) == n && (n > 0 || len(s.leftovers()) == 0)
	})
	if names := s.leftovers(); s.namedTemps != (len(names) > 0) && n > 0 {
		s.t.Errorf("names %q of files %q", names, open)
	}
}

// openFiles are the files below the root that the process has open for uploads.
func (s *site) openFiles() (open []string) {
	s.t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	must(s.t, err)
	for _, fd := range fds {
		file, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if err == nil && strings.HasPrefix(file, s.root+"/") && (strings.Contains(file, tempPrefix) || strings.HasSuffix(file, "(deleted)")) {
			open = append(open, file)
		}
	}
	return open
}

func TestPut(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, s *site) {
		s.file("dir/x", "x")
		for _, body := range []string{"first", "", "second, which is longer", strings.Repeat("large", 100_000)} {
			for _, name := range []string{"/a.txt", "/dir/b.bin", "/odd%20%0a%3fname.html"} {
				before := s.get(name).status
				a := s.do("PUT", name, body)
				want := map[int]int{404: 201, 200: 204}[before]
				a.want(t, "PUT "+name, want, map[int]string{201: "", 204: ""}[want])
				get := s.get(name)
				get.want(t, "GET "+name, 200, body)
				if a.header.Get("ETag") == "" || a.header.Get("ETag") != get.header.Get("ETag") {
					t.Errorf("%s: PUT says ETag %q, GET says %q", name, a.header.Get("ETag"), get.header.Get("ETag"))
				}
			}
		}
		a := s.raw("PUT /chunked HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nX: y\r\n\r\n")
		a.want(t, "chunked", 201, "")
		s.wantStored("chunked", "chunked", "hello, world")
		if left := s.leftovers(); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

func TestPutRefused(t *testing.T) {
	bothWays(t, func(spec *Spec) {
		withScripts(spec)
		spec.Limits.MaxBody = 100
	}, func(t *testing.T, s *site) {
		s.file("a.txt", "old")
		s.file("dir/x", "x")
		s.file("x.sh", "echo")
		must(t, syscall.Mkfifo(filepath.Join(s.root, "fifo"), 0o644))
		must(t, os.Symlink("/etc/passwd", filepath.Join(s.root, "out")))
		must(t, os.Symlink("/tmp", filepath.Join(s.root, "outdir")))
		long := strings.Repeat("x", 101)
		for _, c := range []struct {
			target, body, field string
			want                int
		}{
			{"/no/a.txt", "new", "", 409},
			{"/a.txt/b", "new", "", 409},
			{"/dir", "new", "", 409},
			{"/dir/", "new", "", 409},
			{"/", "new", "", 409},
			{"/fifo", "new", "", 409},
			{"/new/", "new", "", 409},
			{"/out", "new", "", 404},
			{"/outdir/x", "new", "", 404},
			{"/x.sh", "new", "", 403},
			{"/y.sh", "new", "", 403},
			{"/y.SH", "new", "", 403},
			{"/y%2esh", "new", "", 403},
			{"/y.php", "new", "", 403},
			{"/y.PhTml", "new", "", 403},
			{"/.htaccess", "new", "", 404},
			{"/dir/.user.ini", "new", "", 404},
			{"/" + tempPrefix + "X", "new", "", 404},
			{"/../x", "new", "", 400},
			{"/a.txt", "new", "Content-Range: bytes 0-2/3", 400},
			{"/a.txt", "new", `If-Match: "other"`, 412},
			{"/a.txt", "new", "If-None-Match: *", 412},
			{"/a.txt", "new", "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT", 412},
			{"/new.txt", "new", "If-Match: *", 412},
			{"/a.txt", long, "", 413},
		} {
			field := c.field
			if field == "" {
				field = "X: y"
			}
			s.do("PUT", c.target, c.body, field).want(t, "PUT "+c.target+" "+field, c.want, "")
		}
		chunks := "33\r\n" + strings.Repeat("x", 0x33) + "\r\n33\r\n" + strings.Repeat("x", 0x33) + "\r\n0\r\n\r\n"
		for _, target := range []string{"/a.txt", "/new.txt"} {
			s.raw("PUT "+target+" HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks).want(t, "chunked, too large", 413, "")
			s.raw("PUT "+target+" HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n").want(t, "chunked, broken", 400, "")
		}
		s.wantStored("after all of it", "a.txt", "old")
		s.wantStored("after all of it", "x.sh", "echo")
		names, err := os.ReadDir(s.root)
		must(t, err)
		if len(names) != 6 {
			t.Errorf("in the root is %v", names)
		}
	})
}

// An upload that is refused is refused before the client has sent its body.
func TestPutIsRefusedBeforeItsBody(t *testing.T) {
	s := open(t, protecting(t, Protect{Glob: "/private/**"}))
	for target, want := range map[string]int{"/no/a": 409, "/x.php": 403, "/private/a": 401} {
		a := s.raw("PUT " + target + " HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
		a.want(t, target, want, "")
	}
	c := s.dial()
	defer c.Close()
	io.WriteString(c, "PUT /a HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
	mustRead(t, c, "HTTP/1.1 100 Continue\r\n\r\n")
	mustWrite(t, c, "abc")
	readAnswer(t, bufio.NewReader(c), "PUT").want(t, "PUT after 100", 201, "")
	s.wantStored("after 100", "a", "abc")
}

func TestPutPreconditions(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, s *site) {
		tag := s.do("PUT", "/a", "1", "If-None-Match: *").header.Get("ETag")
		a := s.do("PUT", "/a", "2", "If-Match: "+tag)
		a.want(t, "If-Match", 204, "")
		if a.header.Get("ETag") == tag {
			t.Errorf("another version has the same ETag %s", tag)
		}
		s.do("PUT", "/a", "3", "If-Match: "+tag).want(t, "stale If-Match", 412, "")
		s.wantStored("in the end", "a", "2")
	})
}

// Of writers that all saw the same version, exactly one gets through: a lost
// update is what If-Match is there to prevent.
func TestPutConcurrently(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, s *site) {
		for round := range 20 {
			name := fmt.Sprint("/f", round)
			tag := s.do("PUT", name, "00").header.Get("ETag")
			fields := []string{"If-Match: " + tag}
			if round%2 == 1 {
				name += ".new"
				fields[0] = "If-None-Match: *"
			}
			var writers sync.WaitGroup
			statuses := make([]int, 4)
			for i := range statuses {
				writers.Go(func() { statuses[i] = s.do("PUT", name, fmt.Sprintf("%02d", i+1), fields...).status })
			}
			writers.Wait()
			won := -1
			for i, status := range statuses {
				switch {
				case status/100 == 2 && won < 0:
					won = i
				case status != 412:
					t.Fatalf("round %d: %v", round, statuses)
				}
			}
			if won < 0 {
				t.Fatalf("round %d: %v", round, statuses)
			}
			s.wantStored(fmt.Sprint("round ", round), name, fmt.Sprintf("%02d", won+1))
		}
		if left := s.leftovers(); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

// Two versions of one size that the file system stamps with the same time are
// told apart.
func TestPutMakesANewTag(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, s *site) {
		s.file("a", "1")
		soon := time.Now().Add(500 * time.Millisecond) // as if the clock had not ticked
		must(t, os.Chtimes(filepath.Join(s.root, "a"), soon, soon))
		seen := map[string]bool{s.get("/a").header.Get("ETag"): true}
		last := soon
		for i := range 5 {
			tag := s.do("PUT", "/a", fmt.Sprint(i)).header.Get("ETag")
			if tag == "" || seen[tag] {
				t.Errorf("version %d has the ETag %q of an older one", i, tag)
			}
			seen[tag] = true
			info, err := os.Stat(filepath.Join(s.root, "a"))
			must(t, err)
			if !info.ModTime().After(last) {
				t.Errorf("version %d is of %v, the one before of %v", i, info.ModTime(), last)
			}
			last = info.ModTime()
		}
		future := time.Now().Add(24 * time.Hour)
		must(t, os.Chtimes(filepath.Join(s.root, "a"), future, future))
		s.do("PUT", "/a", "x").want(t, "over a file from the future", 204, "")
		if info, err := os.Stat(filepath.Join(s.root, "a")); err != nil || info.ModTime().After(time.Now().Add(time.Minute)) {
			t.Errorf("the file is still from the future: %v, %v", info.ModTime(), err)
		}
	})
}

func TestPutKeepsPermissions(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, s *site) {
		s.file("a", "1")
		for _, mode := range []os.FileMode{0o600, 0o640, 0o664, 0o755} {
			must(t, os.Chmod(filepath.Join(s.root, "a"), mode))
			s.do("PUT", "/a", "2").want(t, "PUT", 204, "")
			if info, err := os.Stat(filepath.Join(s.root, "a")); err != nil || info.Mode() != mode {
				t.Errorf("mode %v, %v, want %v", info.Mode(), err, mode)
			}
		}
		s.do("PUT", "/b", "1").want(t, "PUT", 201, "")
		if info, err := os.Stat(filepath.Join(s.root, "b")); err != nil || info.Mode()&0o133 != 0 || info.Mode()&0o600 != 0o600 {
			t.Errorf("a new file has mode %v, %v", info.Mode(), err)
		}
	})
}

func TestPutReplacesALink(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, s *site) {
		s.file("a", "1")
		must(t, os.Symlink("a", filepath.Join(s.root, "link")))
		must(t, os.Symlink("nowhere", filepath.Join(s.root, "dangling")))
		s.do("PUT", "/link", "2").want(t, "PUT of a link", 204, "")
		s.wantStored("a link", "link", "2")
		s.wantStored("what it led to", "a", "1")
		s.do("PUT", "/dangling", "3").want(t, "PUT of a dangling link", 201, "")
		s.wantStored("a dangling link", "dangling", "3")
		if _, ok := s.stored("nowhere"); ok {
			t.Error("the upload went through the link")
		}
	})
}

// A client that goes away, or sends rubbish, half way through leaves nothing
// behind and the old file as it was.
func TestPutHalf(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, s *site) {
		s.file("old", "old")
		for _, name := range []string{"/old", "/new"} {
			for _, head := range []string{
				"PUT " + name + " HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 50_000),
				"PUT " + name + " HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" + strings.Repeat("x", 50_000),
			} {
				for _, hard := range []bool{false, true} {
					c := s.dial()
					mustWrite(t, c, head)
					s.uploading(1)
					if got, ok := s.stored(name); ok && got != "old" {
						t.Errorf("half of %s can be seen: %q", name, got)
					}
					if hard {
						c.(*net.TCPConn).SetLinger(0) // a reset
					}
					c.Close()
					s.uploading(0)
				}
			}
		}
		s.wantStored("in the end", "old", "old")
		if got, ok := s.stored("new"); ok {
			t.Errorf("half a file: %q", got)
		}
		s.wantMetric(8, "http_requests_total", "method", "PUT", "code", "400")
	})
}

func TestPutTooSlow(t *testing.T) {
	bothWays(t, func(spec *Spec) { spec.Timeouts.Body = 50 * time.Millisecond }, func(t *testing.T, s *site) {
		a := s.raw("PUT /a HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nabc")
		a.want(t, "slow PUT", 408, "")
		if _, ok := s.stored("a"); ok || len(s.leftovers()) > 0 {
			t.Errorf("left behind: %v %q", ok, s.leftovers())
		}
	})
}

func TestDelete(t *testing.T) {
	s := open(t, withScripts)
	s.file("a.txt", "a")
	s.file("b.txt", "b")
	s.file("dir/x", "x")
	s.file("empty/x", "x")
	must(t, os.Remove(filepath.Join(s.root, "empty/x")))
	must(t, os.Symlink("b.txt", filepath.Join(s.root, "link")))
	must(t, os.Symlink("dir", filepath.Join(s.root, "linkdir")))
	must(t, os.Symlink("/etc/passwd", filepath.Join(s.root, "out")))
	must(t, syscall.Mkfifo(filepath.Join(s.root, "fifo"), 0o644))
	s.file(".hidden", "h")
	tag := s.get("/a.txt").header.Get("ETag")
	for _, c := range []struct {
		target, field string
		want          int
	}{
		{"/nothing", "X: y", 404},
		{"/dir/nothing", "X: y", 404},
		{"/a.txt/x", "X: y", 404},
		{"/a.txt/", "X: y", 404},
		{"/.hidden", "X: y", 404},
		{"/fifo", "X: y", 404},
		{"/out", "X: y", 404},
		{"/", "X: y", 409},
		{"/dir", "X: y", 409},
		{"/dir/", "X: y", 409},
		{"/empty", "X: y", 409},
		{"/linkdir", "X: y", 409},
		{"/a.txt", `If-Match: "other"`, 412},
		{"/a.txt", "If-None-Match: " + tag, 412},
		{"/a.txt", "If-Match: " + tag, 204},
		{"/a.txt", "X: y", 404},
		{"/link", "X: y", 204},
	} {
		s.do("DELETE", c.target, "", c.field).want(t, "DELETE "+c.target+" "+c.field, c.want, "")
	}
	s.wantStored("what a deleted link led to", "b.txt", "b")
	s.wantStored("a dotfile", ".hidden", "h")
	for _, name := range []string{"dir", "empty", "linkdir", "out", "fifo"} {
		if _, err := os.Lstat(filepath.Join(s.root, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestDeleteConcurrently(t *testing.T) {
	s := open(t, nil)
	s.file("a", "a")
	var clients sync.WaitGroup
	statuses := make([]int, 4)
	for i := range statuses {
		clients.Go(func() { statuses[i] = s.do("DELETE", "/a", "").status })
	}
	clients.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	if count[204] != 1 || count[404] != 3 {
		t.Errorf("%v, want 204 once and 404", statuses)
	}
}
