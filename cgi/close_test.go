package cgi

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const longScript = "#!/bin/sh\necho $$ > leader\nprintf 'Content-Type: a/b\\n\\nhello'\nwhile [ ! -e go ]; do sleep 0.01; done\nprintf done\n"

func TestCloseWaits(t *testing.T) {
	b := newBench(t, Config{})
	answer, err := b.run(t.Context(), b.call(b.script(longScript), "GET", ""))
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- b.Close(context.Background()) }()
	eventually(t, "closing", func() bool { b.Runner.mu.Lock(); defer b.Runner.mu.Unlock(); return b.closed })
	writeScript(t, b.dir, "go", "", 0o644)
	body, err := io.ReadAll(reader(t, answer))
	if string(body) != "hellodone" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
	answer.Body.Close()
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestCloseKills(t *testing.T) {
	b := newBench(t, Config{Workers: 1})
	before := descriptors(t)
	answer, err := b.run(t.Context(), b.call(b.script(longScript), "GET", ""))
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := b.Run(t.Context(), b.call(b.dir+"/script", "GET", ""))
		waiting <- err
	}()
	b.runs++
	eventually(t, "one waits", func() bool { b.slots.mu.Lock(); defer b.slots.mu.Unlock(); return b.slots.line.Len() == 1 })

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	if !dead(pidIn(t, filepath.Join(b.dir, "leader"))) || b.Processes() != 0 {
		t.Error("the process lives on")
	}
	eventually(t, "no descriptor is left open", func() bool { return descriptors(t) <= before })
	if err := <-waiting; err == nil || !strings.Contains(err.Error(), errClosed.Error()) {
		t.Errorf("the one that waited: %v", err)
	}
	if _, err := io.ReadAll(reader(t, answer)); err == nil || !strings.Contains(err.Error(), errClosed.Error()) {
		t.Errorf("read on: %v", err)
	}
	answer.Body.Close()
}

// A process that has exited, and whose answer nobody fetches, is given up too.
func TestCloseGivesUpAnswers(t *testing.T) {
	b := newBench(t, Config{})
	before := descriptors(t)
	answer, err := b.run(t.Context(), b.call(b.script("#!/bin/sh\nprintf 'Content-Type: a/b\\n\\nhello'"), "GET", ""))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "reaped", func() bool { return b.Processes() == 0 })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	eventually(t, "no descriptor is left open", func() bool { return descriptors(t) <= before })
	if got := b.seen.all(); got != ResultAborted {
		t.Errorf("reported as %q", got)
	}
	answer.Body.Close()
}

// Many at once, ended in every way there is, while the Runner is closed.
func TestCloseUnderLoad(t *testing.T) {
	b := newBench(t, Config{Workers: 4, Timeout: time.Minute})
	before := descriptors(t)
	file := b.script("#!/bin/sh\ncat\nprintf 'Content-Type: a/b\\n\\n'; head -c 70000 /dev/zero; [ \"$REQUEST_METHOD\" != PUT ] || exec sleep 300")
	b.runs = 16
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			method, body := "POST", "X-Long: "+strings.Repeat("a", i*1000)+"\n"
			if i%4 == 0 {
				method = "PUT"
			}
			answer, err := b.Run(ctx, b.call(file, method, body))
			if err != nil {
				return
			}
			switch i % 3 {
			case 0:
				cancel()
			case 1:
				io.Copy(io.Discard, reader(t, answer))
			}
			answer.Body.Close()
		})
	}
	eventually(t, "some done", func() bool { return strings.Count(b.seen.all(), " ") >= 2 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	b.Close(ctx)
	all.Wait()
	eventually(t, "no descriptor is left open", func() bool { return descriptors(t) <= before })
	if b.Processes() != 0 {
		t.Errorf("%d processes", b.Processes())
	}
}
