package cgi

import (
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sited/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is an Observer that remembers.
type recorder struct {
	mu              sync.Mutex
	started, exited int
	used            Usage // CPU: of all; PeakMemory: of the largest
	waiting         int
	results         []string
	took            []time.Duration
}

func (r *recorder) Started() { r.mu.Lock(); r.started++; r.mu.Unlock() }

func (r *recorder) Waiting(more int) { r.mu.Lock(); r.waiting += more; r.mu.Unlock() }

func (r *recorder) Exited(used Usage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exited++
	r.used.CPU += used.CPU
	r.used.PeakMemory = max(r.used.PeakMemory, used.PeakMemory)
}

func (r *recorder) Done(result string, took time.Duration, _ protocol.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, result)
	r.took = append(r.took, took)
}

func (r *recorder) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.results, " ")
}

// bench is a Runner with what a test needs around it. When the test is over it
// is closed, and everything started must have been reaped and reported.
type bench struct {
	*Runner
	seen *recorder
	dir  string
	t    *testing.T
	runs int // calls of run

	told   sync.Mutex
	stderr []string
}

func newBench(t *testing.T, cfg Config) *bench {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = 20 * time.Second
	}
	if cfg.Name == "" {
		cfg.Name = ".test"
	}
	b := &bench{seen: &recorder{}, dir: t.TempDir(), t: t}
	b.Runner = New(cfg, b.seen)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if b.seen.started != b.seen.exited || b.Processes() != 0 {
			t.Errorf("started %d, exited %d, still counted %d", b.seen.started, b.seen.exited, b.Processes())
		}
		if b.seen.waiting != 0 {
			t.Errorf("%d still wait", b.seen.waiting)
		}
		if len(b.seen.results) != b.runs {
			t.Errorf("%d runs were reported as %q", b.runs, b.seen.results)
		}
	})
	return b
}

// script writes an executable file.
func (b *bench) script(text string) string { return writeScript(b.t, b.dir, "script", text, 0o755) }

func writeScript(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(dir, name)
	// No process may be forked while the file is open for writing: it would
	// keep it open until its exec, and the file could not be executed (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func (b *bench) line(s string) {
	b.told.Lock()
	defer b.told.Unlock()
	b.stderr = append(b.stderr, s)
}

func (b *bench) stderrText() string {
	b.told.Lock()
	defer b.told.Unlock()
	return strings.Join(b.stderr, "\n")
}

// call is a call of file with a request that has that method and body.
func (b *bench) call(file, method, body string) *Call {
	req := &protocol.Request{
		Method: method, Target: "/script?a=b", Path: "/script", Query: "a=b", Host: "example.org:8080", Minor: 1,
		Body: strings.NewReader(body), Length: int64(len(body)),
		Remote: netip.MustParseAddrPort("192.0.2.7:4711"),
		Local:  netip.MustParseAddrPort("127.0.0.1:8080"),
	}
	return &Call{
		Request: req, MaxBody: 1 << 20, Filename: file, ScriptName: "/script", Root: b.dir, Stderr: b.line,
	}
}

func (b *bench) run(ctx context.Context, call *Call) (*Answer, error) {
	b.runs++
	return b.Run(ctx, call)
}

// get runs file for GET and returns the answer with its whole body.
func (b *bench) get(file string) (*Answer, string) {
	b.t.Helper()
	return b.whole(b.call(file, "GET", ""))
}

func (b *bench) whole(call *Call) (*Answer, string) {
	b.t.Helper()
	answer, err := b.run(b.t.Context(), call)
	if err != nil {
		b.t.Fatalf("Run: %v", err)
	}
	body, err := io.ReadAll(reader(b.t, answer))
	if err != nil {
		b.t.Fatalf("read the body: %v", err)
	}
	if err := answer.Body.Close(); err != nil {
		b.t.Errorf("close the body: %v", err)
	}
	return answer, string(body)
}

// fails runs call and checks status and result of the failure.
func (b *bench) fails(call *Call, status int, result string) *protocol.Error {
	b.t.Helper()
	answer, err := b.run(b.t.Context(), call)
	if err == nil {
		answer.Body.Close()
		b.t.Fatalf("Run succeeded with %d; want %d", answer.Status, status)
	}
	e, ok := err.(*protocol.Error)
	if !ok {
		b.t.Fatalf("error is %T (%v); want *protocol.Error", err, err)
	}
	if e.Status != status {
		b.t.Errorf("status %d (%v); want %d", e.Status, err, status)
	}
	if got := b.seen.all(); !strings.HasSuffix(got, result) {
		b.t.Errorf("reported as %q; want %q", got, result)
	}
	return e
}

// reader is the stream of an answer. Only the engine reads a protocol.Content,
// so it has to be fetched out of it.
func reader(t *testing.T, answer *Answer) io.Reader {
	t.Helper()
	stream := reflect.ValueOf(answer.Body).FieldByName("stream")
	if stream.IsNil() {
		t.Fatal("the answer has no stream")
	}
	return (*execution)(stream.Elem().UnsafePointer())
}

// eventually polls until ok, for at most ten seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("after ten seconds: not %s", what)
}

// dead reports whether there is no process with that id but perhaps a zombie.
func dead(pid string) bool {
	b, err := os.ReadFile("/proc/" + strings.TrimSpace(pid) + "/stat")
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}

// pidIn waits until file holds the id of a process, and returns it.
func pidIn(t *testing.T, file string) string {
	t.Helper()
	var pid string
	eventually(t, "a process id in "+file, func() bool {
		b, _ := os.ReadFile(file)
		pid = strings.TrimSpace(string(b))
		_, err := strconv.Atoi(pid)
		return err == nil && strings.HasSuffix(string(b), "\n")
	})
	return pid
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
