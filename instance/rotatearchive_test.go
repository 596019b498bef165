package instance

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestRotatedNames(t *testing.T) {
	at := time.Date(2026, 11, 23, 9, 15, 4, 123_999_999, time.FixedZone("", 3600))
	for path, want := range map[string]string{
		"/l/passed.log": "/l/passed-2026-11-23T08-15-04.123.log",
		"/l.d/access":   "/l.d/access-2026-11-23T08-15-04.123",
		"a.b.log":       "a.b-2026-11-23T08-15-04.123.log",
		"/l/.log":       "/l/-2026-11-23T08-15-04.123.log",
	} {
		got := rotatedName(path, at)
		if got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		for suffix, f := range map[string]rotatedFile{
			"": {}, ".gz": {coding: ".gz"}, ".zst": {coding: ".zst"}, ".gz.tmp": {coding: ".gz", partial: true},
		} {
			f.log, f.stamp = filepath.Base(path), "2026-11-23T08-15-04.123"
			if possible := parseRotated(filepath.Base(got) + suffix); !slices.Contains(possible, f) {
				t.Errorf("%s%s: %+v has no %+v", got, suffix, possible, f)
			}
		}
	}
	for _, name := range []string{"passed.log", "passed-2026-11-23.log", "passed.log.1.gz", "passed-2026-11-23T08-15-04.log", ""} {
		if possible := parseRotated(name); possible != nil {
			t.Errorf("%q: %+v", name, possible)
		}
	}
}

func FuzzParseRotated(f *testing.F) {
	f.Add("passed.log", ".gz")
	f.Add("x-2026-11-23T08-15-04.123.log", ".zst.tmp")
	f.Fuzz(func(t *testing.T, log, suffix string) {
		parseRotated(log + suffix)
		if log == "" || strings.ContainsAny(log, "/\x00") || log == "." || log == ".." || stampPattern.MatchString(filepath.Ext(log)) {
			return
		}
		possible := parseRotated(rotatedName(log, time.Now()))
		if !slices.ContainsFunc(possible, func(r rotatedFile) bool { return r.log == log && r.coding == "" && !r.partial }) {
			t.Errorf("%q is not among %+v", log, possible)
		}
	})
}

// However many are rotated in one millisecond, none takes another's place.
func TestMoveAsideOverwritesNothing(t *testing.T) {
	dir := t.TempDir()
	path, now := filepath.Join(dir, "passed.log"), time.Now()
	writeFile(t, rotatedName(path, now)+".gz", "compressed")
	writeFile(t, rotatedName(path, now.Add(time.Millisecond)), "plain")
	for i := range 3 {
		writeFile(t, path, fmt.Sprint(i))
		aside, err := moveAside(path, now)
		must(t, err)
		if want := rotatedName(path, now.Add(time.Duration(i+2)*time.Millisecond)); aside != want || readLog(t, aside) != fmt.Sprint(i) {
			t.Errorf("%s, want %s", aside, want)
		}
	}
	if all := names(t, dir); len(all) != 5 {
		t.Errorf("there are %q", all)
	}
	if err := renameNew(rotatedName(path, now)+".gz", rotatedName(path, now.Add(time.Millisecond))); !errors.Is(err, os.ErrExist) {
		t.Errorf("renameNew: %v", err)
	}
}

func TestKeep(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "passed.log")
	strangers := []string{"failed-2000-01-01T00-00-00.000.log", "passed-2000-01-01.log", "passed.log.1", "passed-2000-01-01T00-00-00.000.txt"}
	for _, name := range strangers {
		writeFile(t, filepath.Join(dir, name), "")
	}
	archive := new(Archive)
	l := openRotating(t, rotating(path, func(l *Logs) { l.MaxSize, l.Keep = 1<<10, 3 }), archive)
	for i := range 8 {
		l.put(fmt.Sprint("/", i, strings.Repeat("x", 900)))
		archive.settle(t)
	}
	must(t, l.close())
	files := logFiles(t, path)
	files = slices.DeleteFunc(files, func(name string) bool { return slices.Contains(strangers, filepath.Base(name)) })
	var kept []string
	for _, name := range files {
		for _, target := range targets(t, logContent(t, name)) {
			kept = append(kept, target[:2])
		}
	}
	wantTargets(t, "kept", kept, "/4", "/5", "/6", "/7")
	for _, name := range strangers {
		if !slices.Contains(names(t, dir), name) {
			t.Errorf("%s was deleted", name)
		}
	}
	if n := len(names(t, dir)); n != 4+len(strangers) {
		t.Errorf("there are %q", names(t, dir))
	}
}

// What a process has left that was killed is completed or removed when the log is
// opened.
func TestLeftovers(t *testing.T) {
	const stamp = "passed-2026-11-23T08-15-04.123.log"
	gz := func(s string) string {
		var b bytes.Buffer
		w, err := newPacker(&b, fakeInfo{}, "gzip")
		must(t, err)
		_, err = w.Write([]byte(s))
		must(t, errors.Join(err, w.Close()))
		return b.String()
	}
	for _, c := range []struct {
		name, coding string
		before       map[string]string
		after        map[string]string // decompressed
	}{
		{"renamed, no new log", "gzip", map[string]string{stamp: "a\n"}, map[string]string{stamp + ".gz": "a\n"}},
		{"in the middle of compressing", "gzip", map[string]string{stamp: "a\n", stamp + ".gz.tmp": gz("a\n")[:7]}, map[string]string{stamp + ".gz": "a\n"}},
		{"compressed, not deleted", "gzip", map[string]string{stamp: "a\n", stamp + ".gz": gz("a\n")}, map[string]string{stamp + ".gz": "a\n"}},
		{"a half one of nothing", "gzip", map[string]string{stamp + ".gz.tmp": gz("a\n")[:7]}, map[string]string{}},
		{"beside a whole one", "gzip", map[string]string{stamp + ".gz.tmp": "x", stamp + ".gz": gz("a\n")}, map[string]string{stamp + ".gz": "a\n"}},
		{"another coding since", "zstd", map[string]string{stamp: "a\n", stamp + ".gz.tmp": "x"}, map[string]string{stamp + ".zst": "a\n"}},
		{"no compression since", "none", map[string]string{stamp: "a\n", stamp + ".gz.tmp": "x"}, map[string]string{stamp: "a\n"}},
		{"empty", "gzip", map[string]string{stamp: ""}, map[string]string{stamp + ".gz": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			dir := t.TempDir()
			for name, content := range c.before {
				writeFile(t, filepath.Join(dir, name), content)
			}
			archive := new(Archive)
			l := openRotating(t, rotating(filepath.Join(dir, "passed.log"), func(l *Logs) { l.Compress = c.coding }), archive)
			archive.settle(t)
			must(t, l.close())
			for name, want := range c.after {
				if got := logContent(t, filepath.Join(dir, name)); got != want {
					t.Errorf("%s has %q, want %q", name, got, want)
				}
			}
			if n := len(names(t, dir)); n != len(c.after)+1 {
				t.Errorf("there are %q", names(t, dir))
			}
		})
	}
}

type fakeInfo struct{ os.FileInfo }

func (fakeInfo) ModTime() time.Time { return time.Time{} }

// What may still be written, or another process compresses, is left alone.
func TestCompressLeavesAlone(t *testing.T) {
	dir := t.TempDir()
	path, plain := filepath.Join(dir, "passed.log"), filepath.Join(dir, "passed-2026-11-23T08-15-04.123.log")
	writeFile(t, plain, "a\n")
	try := func(what string, want ...string) {
		t.Helper()
		if err := compress(t.Context(), path, plain, "gzip"); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := names(t, dir); !slices.Equal(got, want) {
			t.Errorf("%s: there are %q, want %q", what, got, want)
		}
	}
	base := filepath.Base(plain)
	try("no other log is there", base)
	writeFile(t, path, "")
	must(t, os.Link(plain, plain+".link"))
	try("the file has another name", base, base+".link", "passed.log")
	must(t, os.Remove(plain+".link"))

	writer, err := os.OpenFile(plain, os.O_WRONLY, 0)
	must(t, err)
	must(t, tryLock(writer))
	try("it is being written", base, "passed.log")
	writer.Close()

	other, err := openPartial(plain + ".gz" + partial)
	must(t, err)
	try("another is at it", base, base+".gz.tmp", "passed.log")
	removePartial([]string{other.Name()})
	other.Close()
	try("all is well", base+".gz", "passed.log")
	try("it is done", base+".gz", "passed.log")
}

// close does not wait for the end of what is being compressed, which stays whole.
func TestCloseWhileCompressing(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	path, plain := filepath.Join(dir, "passed.log"), filepath.Join(dir, "passed-2026-11-23T08-15-04.123.log")
	content := noise(64 << 20)
	writeFile(t, plain, content)
	archive := new(Archive)
	spec := rotating(path, nil)
	l := openRotating(t, spec, archive)
	eventually(t, "it is being compressed", func() bool {
		info, err := os.Stat(plain + ".gz" + partial)
		return err == nil && info.Size() > 0
	})
	second := openRotating(t, spec, archive) // the next generation
	must(t, l.close())
	if _, err := os.Stat(plain + ".gz" + partial); err != nil {
		t.Errorf("another generation is there, and yet: %v", err)
	}
	must(t, second.close())
	if got := names(t, dir); !slices.Equal(got, []string{filepath.Base(plain), "passed.log"}) {
		t.Errorf("there are %q", got)
	}
	if readLog(t, plain) != content {
		t.Error("what was being compressed has changed")
	}
}

func noise(n int) string {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b) // which never fails
	return string(b)
}

// A process is killed while it compresses, again and again: one of the two files
// is always there and whole, and in the end the compressed one.
func TestKillWhileCompressing(t *testing.T) {
	if dir := os.Getenv("COMPRESS_IN"); dir != "" { // the process
		archive := new(Archive)
		l := openRotating(t, rotating(filepath.Join(dir, "passed.log"), nil), archive)
		archive.settle(t)
		must(t, l.close())
		return
	}
	dir := t.TempDir()
	plain := filepath.Join(dir, "passed-2026-11-23T08-15-04.123.log")
	content := noise(1 << 20)
	kills := 0
	for i := range 10 {
		writeFile(t, plain, content)
		must(t, os.RemoveAll(plain+".gz"))
		cmd := exec.Command(os.Args[0], "-test.run=^TestKillWhileCompressing$")
		cmd.Env = append(os.Environ(), "COMPRESS_IN="+dir)
		must(t, cmd.Start())
		eventually(t, "it has begun", func() bool {
			_, err1 := os.Stat(plain + ".gz" + partial)
			_, err2 := os.Stat(plain + ".gz")
			return err1 == nil || err2 == nil
		})
		time.Sleep(time.Duration(i) * time.Millisecond)
		must(t, cmd.Process.Kill())
		if cmd.Wait() != nil {
			kills++
		}
		found := false
		for _, name := range []string{plain, plain + ".gz"} {
			if _, err := os.Stat(name); err == nil {
				found = true
				if logContent(t, name) != content {
					t.Fatalf("%s is not whole after %d kills", name, i+1)
				}
			}
		}
		if !found {
			t.Fatalf("nothing is left after %d kills", i+1)
		}
	}
	if kills == 0 {
		t.Error("no process was killed")
	}
	archive := new(Archive)
	l := openRotating(t, rotating(filepath.Join(dir, "passed.log"), nil), archive)
	archive.settle(t)
	must(t, l.close())
	if got := names(t, dir); !slices.Equal(got, []string{filepath.Base(plain) + ".gz", "passed.log"}) || logContent(t, plain+".gz") != content {
		t.Errorf("there are %q", got)
	}
}

// smallDisk is a folder with a file system of its own, until the test is over.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		if os.Getenv("CI") == "true" && os.Geteuid() == 0 {
			t.Fatalf("mount: %v: as root it must work where CI=true (CAP_SYS_ADMIN)", err)
		}
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// On a full disk rotated files stay as they are, which is said once, and they are
// compressed when there is room again.
func TestCompressOnAFullDisk(t *testing.T) {
	dir := smallDisk(t, "size=1m")
	path := filepath.Join(dir, "passed.log")
	plain, filler := rotatedName(path, time.Now().Add(-time.Hour)), filepath.Join(dir, "filler")
	writeFile(t, plain, noise(300<<10))
	writeFile(t, filler, noise(600<<10))
	var said syncBuffer
	archive := new(Archive)
	l := openAccessLog(rotating(path, func(l *Logs) { l.MaxSize = 1 << 10 }), "app", slog.New(slog.NewTextHandler(&said, nil)), newLost(), archive)
	for i := range 3 {
		l.put(fmt.Sprint("/", i, strings.Repeat("x", 900)))
		archive.settle(t)
	}
	if got := readLog(t, plain); got != noise(300<<10) {
		t.Error("what could not be compressed has changed")
	}
	if s := said.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "no space left on device") || !strings.Contains(s, "remedy=") {
		t.Errorf("said:\n%s", s)
	}
	must(t, os.Remove(filler))
	l.put("/3" + strings.Repeat("x", 900))
	archive.settle(t)
	must(t, l.close())
	if logContent(t, plain+".gz") != noise(300<<10) {
		t.Error("what is compressed is something else")
	}
	for _, name := range names(t, dir) {
		if name != "passed.log" && !strings.HasSuffix(name, ".gz") {
			t.Errorf("%s is left", name)
		}
	}
	if s := said.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, "again") {
		t.Errorf("said:\n%s", s)
	}
}

// When no new file can be made, the old one gets its name back and is written on.
func TestRotateWithoutANewFile(t *testing.T) {
	dir := smallDisk(t, "nr_inodes=3")
	path := filepath.Join(dir, "passed.log")
	var said syncBuffer
	lost := newLost()
	l := openAccessLog(rotating(path, func(l *Logs) { l.MaxSize = 1 << 10 }), "app", slog.New(slog.NewTextHandler(&said, nil)), lost, new(Archive))
	writeFile(t, filepath.Join(dir, "filler"), "")
	for range 3 {
		l.put("/" + strings.Repeat("x", 900))
	}
	wantLost(t, lost, 0)
	if got := names(t, dir); !slices.Equal(got, []string{"filler", "passed.log"}) || len(targets(t, readLog(t, path))) != 3 {
		t.Errorf("there are %q", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if s := said.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "can't be rotated") {
		t.Errorf("said:\n%s", s)
	}
	must(t, os.Remove(filepath.Join(dir, "filler")))
	l.passed.rotation.pause = time.Time{}
	l.put("/after")
	must(t, l.close())
	wantTargets(t, "the new file", targets(t, readLog(t, path)), "/after")
	if s := said.String(); strings.Count(s, "access log is rotated again") != 1 {
		t.Errorf("said:\n%s", s)
	}
}

// Logs without traffic cost no goroutine.
func TestArchiveIsIdle(t *testing.T) {
	noLeaks(t)
	archive := new(Archive)
	var logs []*accessLog
	dir := t.TempDir()
	before := runtime.NumGoroutine()
	for i := range 100 {
		logs = append(logs, openRotating(t, rotating(filepath.Join(dir, fmt.Sprint(i, ".log")), nil), archive))
	}
	archive.settle(t)
	eventually(t, "no goroutine is there for them", func() bool { return runtime.NumGoroutine() <= before })
	for _, l := range logs {
		must(t, l.close())
	}
}
