package cgi

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"sited/protocol"
)

func pattern(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + (i+i/251)%26)
	}
	return string(b)
}

func TestReadInput(t *testing.T) {
	const maxBody = 200_000
	sizes := []int{0, 1, memoryBody - 1, memoryBody, memoryBody + 1, 2 * memoryBody, maxBody}
	ways := map[string]func(io.Reader) io.Reader{
		"at once":          func(r io.Reader) io.Reader { return r },
		"halves":           iotest.HalfReader,
		"EOF with the end": iotest.DataErrReader,
	}
	for _, size := range sizes {
		for name, way := range ways {
			for _, length := range []int64{int64(size), -1} {
				dir := t.TempDir()
				want := pattern(size)
				in, err := readInput(&protocol.Request{Body: way(strings.NewReader(want)), Length: length}, maxBody, dir)
				if err != nil {
					t.Fatalf("%d bytes, length %d, %s: %v", size, length, name, err)
				}
				if in.length != int64(size) || (in.file != nil) != (size > memoryBody) {
					t.Errorf("%d bytes, length %d, %s: length %d, in a file: %v", size, length, name, in.length, in.file != nil)
				}
				if entries, _ := os.ReadDir(dir); len(entries) > 0 {
					t.Errorf("%d bytes: %v was left", size, entries)
				}
				stdin, err := in.stdin()
				if err != nil {
					t.Fatal(err)
				}
				if size == 0 {
					if stdin != nil {
						t.Errorf("no body, but a file for it")
					}
					continue
				}
				if got, err := io.ReadAll(stdin); string(got) != want || err != nil {
					t.Errorf("%d bytes, length %d, %s: stdin gives %d bytes, %v", size, length, name, len(got), err)
				}
				in.Close()
			}
		}
	}
}

func TestReadInputFails(t *testing.T) {
	slow := protocol.Fail(408, errors.New("too slow"))
	tests := []struct {
		name   string
		body   io.Reader
		length int64
		dir    string
		status int
		result string
	}{
		{"too long, small", strings.NewReader(pattern(1001)), -1, "", 413, ResultAborted},
		{"too long, large", strings.NewReader(pattern(memoryBody + 1)), -1, "", 413, ResultAborted},
		{"short, small", strings.NewReader("abc"), 4, "", 400, ResultAborted},
		{"short, large", strings.NewReader(pattern(memoryBody + 5)), memoryBody + 6, "", 400, ResultAborted},
		{"the body's own", io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(slow)), 4, "", 408, ResultAborted},
		{"the body's own, large", io.MultiReader(strings.NewReader(pattern(memoryBody+1)), iotest.ErrReader(slow)), 1 << 20, "", 408, ResultAborted},
		{"unexpected end is no end", iotest.ErrReader(io.ErrUnexpectedEOF), -1, "", 400, ResultAborted},
		{"no folder", strings.NewReader(pattern(memoryBody + 1)), memoryBody + 1, "/nowhere", 500, ResultUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, Config{SpoolDir: test.dir})
			before := descriptors(t)
			call := b.call(b.script("#!/bin/sh\n"), "POST", "")
			call.Request.Body, call.Request.Length, call.MaxBody = test.body, test.length, 1000
			err := b.fails(call, test.status, test.result)
			if test.status == 408 && err != slow {
				t.Errorf("error %v; want the body's own", err)
			}
			if test.status == 413 && !err.Close {
				t.Error("the connection would be used on, with the body unread")
			}
			if b.seen.started != 0 {
				t.Error("a process was started")
			}
			eventually(t, "no descriptor is left open", func() bool { return descriptors(t) <= before })
		})
	}
}

func TestSpoolErrors(t *testing.T) {
	for err, want := range map[error]int{unix.ENOSPC: 507, unix.EDQUOT: 507, unix.EMFILE: 503, unix.EIO: 500} {
		if got := protocol.StatusOf(spoolError(&os.PathError{Op: "write", Path: "x", Err: err})); got != want {
			t.Errorf("%v: %d; want %d", err, got, want)
		}
	}
}

// A disk that is full: 507.
func TestSpoolNoRoom(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("can't make a small file system: %v", err)
	}
	defer unix.Unmount(dir, 0)
	b := newBench(t, Config{SpoolDir: dir})
	b.fails(b.call(b.script("#!/bin/sh\n"), "POST", pattern(1<<20)), 507, ResultUnavailable)
}

// Too small a pipe does not make anybody wait: the body goes to a file.
func TestBodyLargerThanPipe(t *testing.T) {
	want := []byte(pattern(2 << 20))
	if r := fullPipe(want); r != nil {
		r.Close()
		t.Fatal("a pipe holds 2 MiB")
	}
	in := &input{length: int64(len(want)), memory: want, dir: t.TempDir()}
	defer in.Close()
	stdin, err := in.stdin()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(stdin); !bytes.Equal(got, want) || err != nil {
		t.Errorf("stdin gives %d bytes, %v", len(got), err)
	}
}

func TestBodyReachesScript(t *testing.T) {
	const script = "#!/bin/sh\nprintf 'Content-Type: a/b\\n\\n%s ' \"${CONTENT_LENGTH-unset}\"; cat"
	for _, test := range []struct {
		size    int
		chunked bool
		length  string
	}{{0, false, "unset"}, {0, true, "unset"}, {5, false, "5"}, {5, true, "5"}, {memoryBody, true, "65536"}, {1 << 20, false, "1048576"}, {1 << 20, true, "1048576"}} {
		b := newBench(t, Config{})
		want := pattern(test.size)
		call := b.call(b.script(script), "POST", want)
		if test.chunked {
			call.Request.Length = -1
		}
		if _, body := b.whole(call); body != test.length+" "+want {
			t.Errorf("%+v: got %d bytes beginning with %.20q", test, len(body), body)
		}
	}
}

func TestBodyUnread(t *testing.T) {
	for _, size := range []int{memoryBody, 1 << 20} {
		b := newBench(t, Config{})
		_, body := b.whole(b.call(b.script("#!/bin/sh\nprintf 'Content-Type: a/b\\n\\nhello'"), "POST", pattern(size)))
		if body != "hello" {
			t.Errorf("%d bytes unread: body %q", size, body)
		}
	}
}

// A slow upload takes no slot from anybody.
func TestSlowUpload(t *testing.T) {
	b := newBench(t, Config{Workers: 1})
	file := b.script("#!/bin/sh\nprintf 'Content-Type: a/b\\n\\n'; cat")
	r, w := io.Pipe()
	slow := b.call(file, "POST", "")
	slow.Request.Body, slow.Request.Length = r, -1
	ended := make(chan error, 1)
	go func() {
		answer, err := b.Run(t.Context(), slow)
		if err == nil {
			answer.Body.Close()
		}
		ended <- err
	}()
	b.runs++
	io.WriteString(w, "abc") // returns when it was read
	if _, body := b.whole(b.call(file, "POST", "quick")); body != "quick" {
		t.Errorf("body %q", body)
	}
	w.Close()
	if err := <-ended; err != nil {
		t.Errorf("the slow one: %v", err)
	}
}
