package instance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sited/protocol"
)

// newLost counts lost lines.
func newLost() prometheus.Counter { return prometheus.NewCounter(prometheus.CounterOpts{Name: "lost"}) }

func wantLost(t *testing.T, lost prometheus.Counter, want int) {
	t.Helper()
	if got := testutil.ToFloat64(lost); got != float64(want) {
		t.Errorf("%v lost lines are counted, want %d", got, want)
	}
}

func readLog(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// targets are the targets in a JSON log, each of whose lines must be whole.
func targets(t *testing.T, content string) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(content) {
		var entry struct{ Target string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, entry.Target)
	}
	return all
}

func exchangeFor(target string, status int) *protocol.Exchange {
	x := sample()
	x.Req.Target, x.Res.Status = target, status
	return x
}

// eventually polls until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never happened that " + what)
		}
	}
}

// openAccessLog is an accessLog whose files are open.
func openAccessLog(spec Logs, site string, log *slog.Logger, lost lostCounter, archive *Archive) *accessLog {
	l := newAccessLog(spec, site, log, lost, archive)
	l.open()
	return l
}

func TestAccessLogSortsByStatus(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	passed, failed := filepath.Join(dir, "a/b/passed.log"), filepath.Join(dir, "c/failed.log")
	var said syncBuffer
	l := openAccessLog(Logs{Passed: passed, Failed: failed, Format: "json"}, "app", slog.New(slog.NewTextHandler(&said, nil)), newLost(), new(Archive))
	for _, status := range []int{0, 200, 399, 400, 404, 599} {
		l.write(exchangeFor(fmt.Sprint("/", status), status))
	}
	l.stderr(7, ".php", "PHP Warning:  oh")
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(targets(t, readLog(t, passed)), " "); got != "/0 /200 /399" {
		t.Errorf("passed: %s", got)
	}
	content := readLog(t, failed)
	if got := strings.Join(targets(t, content), " "); got != "/400 /404 /599 " {
		t.Errorf("failed: %q", got)
	}
	if !strings.Contains(content, `"site":"app","script":".php","stderr":"PHP Warning:  oh"}`) {
		t.Errorf("the script's line is not in:\n%s", content)
	}
	for path, want := range map[string]os.FileMode{passed: 0o640, filepath.Dir(passed): 0o755 | os.ModeDir} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); got&^want != 0 { // umask may take something away
			t.Errorf("%s has mode %v, want at most %v", path, got, want)
		}
	}
	if s := said.String(); s != "" {
		t.Errorf("said: %s", s)
	}
}

func TestAccessLogCombined(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l := openAccessLog(Logs{Passed: path, Failed: filepath.Dir(path) + "/./access.log", Format: "combined"}, "app", slog.New(slog.DiscardHandler), newLost(), new(Archive))
	l.write(exchangeFor("/ok", 200))
	l.write(exchangeFor("/missing", 404))
	l.stderr(7, ".php", "oh")
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(readLog(t, path), "\n")
	if len(lines) != 4 || !strings.Contains(lines[0], `"GET /ok HTTP/1.1" 200 `) ||
		!strings.Contains(lines[1], `"GET /missing HTTP/1.1" 404 `) || !strings.HasSuffix(lines[2], `script ".php" id 0000000000000007 stderr "oh"`) {
		t.Errorf("got %q", lines)
	}
}

func TestAccessLogTurnedOff(t *testing.T) {
	var said syncBuffer
	l := openAccessLog(Logs{Format: "json"}, "app", slog.New(slog.NewJSONHandler(&said, nil)), newLost(), new(Archive))
	l.write(exchangeFor("/", 200))
	l.write(exchangeFor("/", 500))
	l.stderr(7, ".php", "oh")
	if s := said.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, `"id":"0000000000000007","script":".php","stderr":"oh"`) {
		t.Errorf("said %q", s)
	}
	if err := errors.Join(l.reopen(), l.close()); err != nil {
		t.Error(err)
	}
}

func TestAccessLogDelay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	synctest.Test(t, func(t *testing.T) {
		l := openAccessLog(Logs{Passed: path, Format: "json"}, "app", slog.New(slog.DiscardHandler), newLost(), new(Archive))
		defer l.close()
		for round := 1; round <= 3; round++ { // the timer is armed again each time
			l.write(exchangeFor("/a", 200))
			time.Sleep(logDelay / 2)
			l.write(exchangeFor("/b", 200))
			time.Sleep(logDelay/2 - time.Nanosecond)
			synctest.Wait()
			if n := len(targets(t, readLog(t, path))); n != 2*round-2 {
				t.Errorf("round %d: %d lines before the delay is over", round, n)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if n := len(targets(t, readLog(t, path))); n != 2*round {
				t.Errorf("round %d: %d lines after the delay", round, n)
			}
			time.Sleep(5 * logDelay)
		}
	})
}

func TestAccessLogBigBufferIsWrittenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	synctest.Test(t, func(t *testing.T) {
		l := openAccessLog(Logs{Passed: path, Format: "json"}, "app", slog.New(slog.DiscardHandler), newLost(), new(Archive))
		defer l.close()
		x := exchangeFor("/", 200)
		for size := 0; size < logBuffer; size += len(appendJSON(nil, &clockText{}, "app", x)) {
			l.write(x)
		}
		synctest.Wait() // no time passes
		if n := len(readLog(t, path)); n < logBuffer {
			t.Errorf("%d bytes are written", n)
		}
	})
}

// Many write at once, the file is rotated all the time, and not a line is lost,
// doubled or torn.
func TestAccessLogConcurrentlyAndReopened(t *testing.T) {
	noLeaks(t)
	const writers, each = 8, 500
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	lost := newLost()
	l := openAccessLog(Logs{Passed: path, Failed: path, Format: "json"}, "app", slog.New(slog.DiscardHandler), lost, new(Archive))
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				l.write(exchangeFor(fmt.Sprintf("/%d/%d", w, i), 200+200*(i%2)))
			}
		})
	}
	for i := range 20 {
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, i)); err != nil {
			t.Fatal(err)
		}
		if err := l.reopen(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	wantLost(t, lost, 0)
	l.write(exchangeFor("/late", 200)) // dropped, and no harm
	wantLost(t, lost, 1)
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != 21 {
		t.Fatalf("files %v, %v", files, err)
	}
	seen := map[string]int{}
	for _, file := range files {
		for _, target := range targets(t, readLog(t, file)) {
			seen[target]++
		}
	}
	for w := range writers {
		for i := range each {
			if n := seen[fmt.Sprintf("/%d/%d", w, i)]; n != 1 {
				t.Fatalf("line /%d/%d is there %d times", w, i, n)
			}
		}
	}
	if len(seen) != writers*each {
		t.Errorf("%d different lines, want %d", len(seen), writers*each)
	}
}

func TestAccessLogReopenAfterRename(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l := openAccessLog(Logs{Passed: path, Format: "json"}, "app", slog.New(slog.DiscardHandler), newLost(), new(Archive))
	l.write(exchangeFor("/before", 200)) // still buffered
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.write(exchangeFor("/between", 200))
	if err := l.reopen(); err != nil {
		t.Fatal(err)
	}
	l.write(exchangeFor("/after", 200))
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	if got := targets(t, readLog(t, path+".1")); strings.Join(got, " ") != "/before /between" {
		t.Errorf("old file: %v", got)
	}
	if got := targets(t, readLog(t, path)); strings.Join(got, " ") != "/after" {
		t.Errorf("new file: %v", got)
	}
}

func TestAccessLogReopenFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	path := filepath.Join(dir, "access.log")
	l := openAccessLog(Logs{Passed: path, Format: "json"}, "app", slog.New(slog.DiscardHandler), newLost(), new(Archive))
	defer l.close()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil { // in the way
		t.Fatal(err)
	}
	if err := l.reopen(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("reopen: %v", err)
	}
	l.write(exchangeFor("/a", 200))
	l.passed.flush()
	if got := targets(t, readLog(t, path+".1")); len(got) != 1 {
		t.Errorf("the old file is no longer written: %v", got)
	}
}

func TestAccessLogCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	blocker := filepath.Join(dir, "logs")
	if err := os.WriteFile(blocker, nil, 0o600); err != nil { // a file where a folder has to be
		t.Fatal(err)
	}
	path := filepath.Join(blocker, "access.log")
	var said syncBuffer
	lost := newLost()
	l := openAccessLog(Logs{Passed: path, Format: "json"}, "app", slog.New(slog.NewTextHandler(&said, nil)), lost, new(Archive))
	for range 3 {
		l.write(exchangeFor("/lost", 200))
		l.passed.flush()
	}
	if s := said.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "level=ERROR") || !strings.Contains(s, path) || !strings.Contains(s, "remedy=") {
		t.Errorf("want one error with path and remedy, not:\n%s", s)
	}
	wantLost(t, lost, 3)
	if err := os.Remove(blocker); err != nil {
		t.Fatal(err)
	}
	l.write(exchangeFor("/kept", 200))
	l.passed.flush()
	if s := said.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, "level=INFO") || !strings.Contains(s, "lines_lost=3") {
		t.Errorf("want the number of lost lines, not:\n%s", s)
	}
	if err := l.close(); err != nil {
		t.Error(err)
	}
	if got := targets(t, readLog(t, path)); strings.Join(got, " ") != "/kept" {
		t.Errorf("got %v", got)
	}
}

func TestAccessLogDiskFull(t *testing.T) {
	full := filepath.Join(t.TempDir(), "access.log")
	if err := os.Symlink("/dev/full", full); err != nil {
		t.Fatal(err)
	}
	var said syncBuffer
	lost := newLost()
	l := openAccessLog(Logs{Passed: full, Format: "json"}, "app", slog.New(slog.NewTextHandler(&said, nil)), lost, new(Archive))
	for range 3 {
		l.write(exchangeFor("/lost", 200))
		l.write(exchangeFor("/lost", 200))
		l.passed.flush()
	}
	if s := said.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "no space left on device") || !strings.Contains(s, full) {
		t.Errorf("want one error, not:\n%s", s)
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	l.write(exchangeFor("/lost", 200))
	if err := l.reopen(); err != nil {
		t.Fatal(err)
	}
	if s := said.String(); strings.Count(s, "\n") != 1 {
		t.Errorf("opening it anew is not writing it:\n%s", s)
	}
	l.write(exchangeFor("/kept", 200))
	if err := l.close(); err != nil {
		t.Error(err)
	}
	wantLost(t, lost, 7)
	if s := said.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, "lines_lost=7") {
		t.Errorf("want 7 lost lines, not:\n%s", s)
	}
	if got := targets(t, readLog(t, full)); strings.Join(got, " ") != "/kept" {
		t.Errorf("got %v", got)
	}
}

func TestAccessLogCloseTellsOfLostLines(t *testing.T) {
	l := openAccessLog(Logs{Passed: "/dev/full", Format: "json"}, "app", slog.New(slog.DiscardHandler), newLost(), new(Archive))
	l.write(exchangeFor("/lost", 200))
	if err := l.close(); err == nil || !strings.Contains(err.Error(), "/dev/full: 1 lines are lost") {
		t.Errorf("close: %v", err)
	}
}

// A write that ended within a line does not spoil the line after it. A pipe
// that is full plays the full disk.
func TestAccessLogTornLine(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := &logFile{path: "pipe", log: slog.New(slog.DiscardHandler), patience: 50 * time.Millisecond, file: w, counter: newLost()}
	f.timer = time.AfterFunc(time.Hour, f.flush)
	defer f.close()
	line := append(bytes.Repeat([]byte("x"), 1000), '\n')
	many := bytes.Repeat(line, 100) // 64 KiB fit
	f.disk.Lock()
	lost, err := f.put(many)
	f.disk.Unlock()
	if lost != 100-(64<<10)/len(line) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("put: %d lines lost, %v", lost, err)
	}
	if !f.torn {
		t.Fatal("the write did not end within a line")
	}
	got := make([]byte, 64<<10)
	if _, err := r.Read(got); err != nil {
		t.Fatal(err)
	}
	f.append([]byte("whole\n"))
	f.flush()
	n, err := r.Read(got)
	if err != nil || string(got[:n]) != "\nwhole\n" {
		t.Errorf("after the torn line came %q, %v", got[:n], err)
	}
}

func TestAccessLogFIFOWithoutReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	var said syncBuffer
	l := openAccessLog(Logs{Passed: path, Format: "json"}, "app", slog.New(slog.NewTextHandler(&said, nil)), newLost(), new(Archive))
	defer l.close()
	if s := said.String(); !strings.Contains(s, path) {
		t.Errorf("said %q", s)
	}
}

// While a write takes its time, lines are held up to a bound and no one waits.
func TestAccessLogSlowDisk(t *testing.T) {
	noLeaks(t)
	path := filepath.Join(t.TempDir(), "access.log")
	var said syncBuffer
	lost := newLost()
	l := openAccessLog(Logs{Passed: path, Format: "json"}, "app", slog.New(slog.NewTextHandler(&said, nil)), lost, new(Archive))
	l.passed.disk.Lock() // a write that takes its time
	x := exchangeFor("/", 200)
	written := 2 * logBound / len(appendJSON(nil, &clockText{}, "app", x))
	for range written {
		l.write(x)
	}
	l.passed.disk.Unlock()
	eventually(t, "the buffer was written", func() bool { return strings.Contains(said.String(), "the disk takes too long") })
	l.write(x)
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	kept := len(targets(t, readLog(t, path)))
	wantLost(t, lost, written+1-kept)
	if !strings.Contains(said.String(), fmt.Sprintf("lines_lost=%d\n", written+1-kept)) {
		t.Errorf("%d of %d lines are there, but it was said:\n%s", kept, written+1, said.String())
	}
}

func BenchmarkAccessLog(b *testing.B) {
	l := openAccessLog(Logs{Passed: filepath.Join(b.TempDir(), "access.log"), Format: "json"}, "app", slog.New(slog.DiscardHandler), newLost(), new(Archive))
	defer l.close()
	x := sample()
	b.ReportAllocs()
	for b.Loop() {
		l.write(x)
	}
}
