package instance

import (
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
)

// rotating is a log that is rotated, with all lines in one file.
func rotating(path string, change func(*Logs)) Logs {
	l := Defaults().Logs
	l.Passed, l.Failed, l.Keep = path, path, 0
	if change != nil {
		change(&l)
	}
	return l
}

func openRotating(t *testing.T, spec Logs, archive *Archive) *accessLog {
	t.Helper()
	return openAccessLog(spec, "app", slog.New(slog.DiscardHandler), newLost(), archive)
}

// put logs a line and has it written.
func (l *accessLog) put(target string) {
	x := exchangeFor(target, 200)
	x.Start = time.Now()
	l.write(x)
	l.passed.flush()
}

// settle waits until the archive has nothing to do.
func (a *Archive) settle(t *testing.T) {
	t.Helper()
	eventually(t, "the archive has nothing to do", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.stop == nil
	})
}

// logContent is what is in a log file, compressed or not.
func logContent(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	var r io.Reader = f
	switch filepath.Ext(path) {
	case ".gz":
		r, err = gzip.NewReader(f)
		must(t, err)
	case ".zst":
		z, err := zstd.NewReader(f)
		must(t, err)
		defer z.Close()
		r = z
	case partial:
		t.Fatalf("%s is left", path)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(b)
}

// logFiles are the names of a log and what was rotated from it, oldest first and
// the log itself last.
func logFiles(t *testing.T, path string) []string {
	t.Helper()
	ext := filepath.Ext(path)
	names, err := filepath.Glob(strings.TrimSuffix(path, ext) + "-*")
	must(t, err)
	slices.Sort(names)
	return append(names, path)
}

// logged are the targets in a log and in all that was rotated from it.
func loggedTargets(t *testing.T, path string) (all []string) {
	t.Helper()
	for _, name := range logFiles(t, path) {
		all = append(all, targets(t, logContent(t, name))...)
	}
	return all
}

func wantTargets(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// Sites, generations and processes that share a file write and rotate it at once,
// while it is opened anew by signal, renamed and deleted by others: every line is
// there exactly once. A process of its own has locks of its own as each open file
// has.
func TestRotateBySizeConcurrently(t *testing.T) {
	for _, coding := range []string{"gzip", "zstd", "none"} {
		t.Run(coding, func(t *testing.T) {
			noLeaks(t)
			const writers, each, size = 6, 400, 16 << 10
			path := filepath.Join(t.TempDir(), "passed.log")
			spec := rotating(path, func(l *Logs) { l.MaxSize, l.Compress = size, coding })
			shared, alone := new(Archive), new(Archive)
			var logs []*accessLog
			for i := range 3 {
				archive := shared
				if i == 2 {
					archive = alone
				}
				logs = append(logs, openRotating(t, spec, archive))
			}
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					l := logs[w%len(logs)]
					for i := range each {
						l.write(exchangeFor(fmt.Sprintf("/%d/%d", w, i), 200+200*(i%2)))
						if i%10 == 0 {
							l.passed.flush()
						}
					}
				})
			}
			for i := range 10 {
				for _, l := range logs {
					must(t, l.reopen())
				}
				if i == 5 { // as logrotate does, which makes a new file
					eventually(t, "it is renamed", func() bool { return os.Rename(path, rotatedName(path, time.Now().Add(time.Hour))) == nil })
					file, err := openLog(path) // which a writer may have made by now
					must(t, err)
					must(t, file.Close())
				}
			}
			wg.Wait()
			for _, l := range logs {
				must(t, l.close())
			}
			seen := map[string]int{}
			for _, target := range loggedTargets(t, path) {
				seen[target]++
			}
			for w := range writers {
				for i := range each {
					if n := seen[fmt.Sprintf("/%d/%d", w, i)]; n != 1 {
						t.Fatalf("line /%d/%d is there %d times", w, i, n)
					}
				}
			}
			files := logFiles(t, path)
			if len(files) < 20 {
				t.Errorf("only %d files", len(files))
			}
		})
	}
}

func TestRotateByAge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passed.log")
	spec := rotating(path, func(l *Logs) { l.MaxAge, l.Compress = time.Hour, "none" })
	synctest.Test(t, func(t *testing.T) {
		l := openRotating(t, spec, new(Archive))
		begin := time.Now()
		l.put("/first")
		time.Sleep(time.Hour - time.Second)
		l.put("/second")
		time.Sleep(time.Second)
		l.put("/third") // an hour after the first
		synctest.Wait()
		want := rotatedName(path, begin.Add(time.Hour))
		wantTargets(t, "the old file", targets(t, readLog(t, want)), "/first", "/second")
		must(t, l.close())

		// What was there before is as old as its first line says.
		time.Sleep(30 * time.Minute)
		l = openRotating(t, spec, new(Archive))
		l.put("/fourth")
		wantTargets(t, "the new file", targets(t, readLog(t, path)), "/third", "/fourth")
		time.Sleep(30 * time.Minute)
		l.put("/fifth")
		synctest.Wait()
		wantTargets(t, "the newest file", targets(t, readLog(t, path)), "/fifth")

		// What is truncated is as old as what is written then.
		time.Sleep(50 * time.Minute)
		l.put("/sixth")
		x := exchangeFor("/seventh", 200) // another's, which is there before we look
		x.Start = time.Now()
		writeFile(t, path, string(appendJSON(nil, &clockText{}, "app", x)))
		time.Sleep(50 * time.Minute)
		l.put("/eighth")
		synctest.Wait()
		wantTargets(t, "the truncated file", targets(t, readLog(t, path)), "/seventh", "/eighth")
		must(t, l.close())
		if n := len(logFiles(t, path)); n != 3 {
			t.Errorf("%d files", n)
		}
	})
}

func TestLineTime(t *testing.T) {
	for line, want := range map[string]string{
		string(appendJSON(nil, &clockText{}, "app", sample())):     "2000-10-10T20:55:36.042Z",
		string(appendCombined(nil, &clockText{}, sample(), false)): "2000-10-10T20:55:36Z",
		"[10/Oct/2000:13:55:36 -0700] script \".php\" x":           "2000-10-10T20:55:36Z",
		"":                     "",
		`{"time":"yesterday"}`: "",
		`{"time":"`:            "",
		"x [10/Oct/2000":       "",
	} {
		at, ok := lineTime([]byte(line))
		if got := at.UTC().Format(time.RFC3339Nano); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %s, %t", line, got, ok)
		}
	}
}

// A file without times is as old as its last write.
func TestRotateByAgeOfAStrangeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passed.log")
	spec := rotating(path, func(l *Logs) { l.MaxAge, l.Compress = time.Hour, "none" })
	for _, age := range []time.Duration{30 * time.Minute, 90 * time.Minute} {
		writeFile(t, path, "{}\n")
		must(t, os.Chtimes(path, time.Time{}, time.Now().Add(-age)))
		l := openRotating(t, spec, new(Archive))
		l.put("/a")
		must(t, l.close())
		if rotated := len(logFiles(t, path)) > 1; rotated != (age > time.Hour) {
			t.Errorf("of age %v: rotated is %t", age, rotated)
		}
	}
}

func TestRotateBySizeCountsWhatIsInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passed.log")
	spec := rotating(path, func(l *Logs) { l.MaxSize, l.Compress = 4<<10, "none" })
	l := openRotating(t, spec, new(Archive))
	other, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer other.Close()
	l.put("/first")
	_, err = fmt.Fprintf(other, "{\"x\":%q}\n", strings.Repeat("x", 4<<10)) // not ours, but in the way
	must(t, err)
	l.put("/second")
	wantTargets(t, "after another wrote", targets(t, readLog(t, path)), "/second")
	for range 20 { // copytruncate: more than fits, but never at once
		must(t, os.Truncate(path, 0))
		l.put("/" + strings.Repeat("y", 1<<10))
	}
	must(t, l.close())
	if files := logFiles(t, path); len(files) != 2 {
		t.Errorf("files %q", files)
	}
}

// After one generation has rotated, the other notices, however late, and what it
// had open is written no more.
func TestRotateIsNoticedByOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passed.log")
	spec := rotating(path, func(l *Logs) { l.MaxSize, l.Compress = 1<<10, "none" })
	off := rotating(path, func(l *Logs) { l.MaxSize = 0 })
	old, current := openRotating(t, off, new(Archive)), openRotating(t, spec, new(Archive))
	old.put("/a")
	current.put("/" + strings.Repeat("b", 1000)) // does not fit
	old.put("/c")
	files := logFiles(t, path)
	if len(files) != 2 {
		t.Fatalf("files %q", files)
	}
	wantTargets(t, "rotated", targets(t, readLog(t, files[0])), "/a")
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm()&writable != 0 {
		t.Errorf("what was rotated may be written: %v, %v", info.Mode(), err)
	}
	current.put("/" + strings.Repeat("d", 1000))
	must(t, os.Remove(path)) // before old has noticed
	old.put("/e")
	wantTargets(t, "the new file", targets(t, readLog(t, path)), "/e")
	must(t, os.Remove(path))
	old.put("/f")
	current.put("/g")
	wantTargets(t, "after it was deleted", targets(t, readLog(t, path)), "/f", "/g")
	must(t, old.close())
	must(t, current.close())
}

// The new file is like the old one, and of two names for one file both go on.
func TestRotateKeepsModeAndLinks(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "real/passed.log"), filepath.Join(dir, "link.log")
	writeFile(t, path, "")
	must(t, os.Chmod(path, 0o664))
	must(t, os.Symlink("real/passed.log", link))
	archive := new(Archive)
	l := openRotating(t, rotating(link, func(l *Logs) { l.MaxSize = 1 << 10 }), archive)
	for i := range 5 {
		l.put(fmt.Sprint("/", i, strings.Repeat("x", 900)))
	}
	archive.settle(t)
	must(t, l.close())
	files := logFiles(t, path)
	if len(files) != 5 || len(loggedTargets(t, path)) != 5 {
		t.Errorf("files %q", files)
	}
	for i, name := range files {
		want := os.FileMode(0o444)
		if i == len(files)-1 {
			want = 0o664
		} else if filepath.Ext(name) != ".gz" {
			t.Errorf("%s is not compressed", name)
		}
		if info, err := os.Lstat(name); err != nil || info.Mode() != want {
			t.Errorf("%s has mode %v, want %v (%v)", name, info.Mode(), want, err)
		}
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link: %v, %v", info.Mode(), err)
	}
}

func TestRotateNever(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo.log")
	must(t, syscall.Mkfifo(fifo, 0o600))
	reader, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	must(t, err)
	defer reader.Close()
	stdout, err := os.Create(filepath.Join(dir, "stdout.log"))
	must(t, err)
	defer stdout.Close()
	before := os.Stdout
	os.Stdout = stdout
	defer func() { os.Stdout = before }()
	for _, path := range []string{"/dev/null", fifo, stdout.Name()} {
		l := openRotating(t, rotating(path, func(l *Logs) { l.MaxSize, l.MaxAge = 1<<10, time.Nanosecond }), new(Archive))
		for range 5 {
			l.put("/" + strings.Repeat("x", 1000))
		}
		must(t, l.close())
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("there are %v", entries)
	}
	if n := len(targets(t, readLog(t, stdout.Name()))); n != 5 {
		t.Errorf("%d lines", n)
	}
}

// A file that can't be renamed is written on, which is said once.
func TestRotateFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("n", 240)+".log") // no room for a time
	synctest.Test(t, func(t *testing.T) {
		var said syncBuffer
		lost := newLost()
		l := openAccessLog(rotating(path, func(l *Logs) { l.MaxSize = 1 << 10 }), "app", slog.New(slog.NewTextHandler(&said, nil)), lost, new(Archive))
		for range 5 {
			l.put("/" + strings.Repeat("x", 1000))
			time.Sleep(2 * rotatePause)
		}
		must(t, l.close())
		wantLost(t, lost, 0)
		if n := len(targets(t, readLog(t, path))); n != 5 {
			t.Errorf("%d lines", n)
		}
		if s := said.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "access log can't be rotated") || !strings.Contains(s, "remedy=") {
			t.Errorf("said:\n%s", s)
		}
	})
}

// Who holds the lock of a log file does not keep lines from being written.
func TestRotateLockHeldByAStranger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passed.log")
	writeFile(t, path, "")
	stranger, err := os.Open(path)
	must(t, err)
	defer stranger.Close()
	must(t, tryLock(stranger))
	l := openRotating(t, rotating(path, func(l *Logs) { l.MaxSize = 1 << 10 }), new(Archive))
	l.put("/" + strings.Repeat("x", 2000))
	must(t, l.close())
	if n := len(targets(t, readLog(t, path))); n != 1 {
		t.Errorf("%d lines", n)
	}
}
