package cgi

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sited/protocol"
)

func TestAnswer(t *testing.T) {
	tests := []struct {
		name, script string
		status       int
		header       protocol.Header
		length       int64
		body         string
	}{
		{"plain", "printf 'Content-Type: text/plain\\n\\nhello'", 200,
			protocol.Header{{Name: "Content-Type", Value: "text/plain"}}, -1, "hello"},
		{"CRLF and length", "printf 'Content-Type: a/b\\r\\nContent-Length: 5\\r\\n\\r\\nhello'", 200,
			protocol.Header{{Name: "Content-Type", Value: "a/b"}}, 5, "hello"},
		{"status", "printf 'Status: 418 Teapot\\n\\n'", 418, nil, -1, ""},
		{"away", "printf 'Location: http://example.org/\\n\\n'", 302,
			protocol.Header{{Name: "Location", Value: "http://example.org/"}}, -1, ""},
		{"cookies", "printf 'Set-Cookie: a=1\\nSet-Cookie: b=2\\nStatus: 204 No Content\\n\\n'", 204,
			protocol.Header{{Name: "Set-Cookie", Value: "a=1"}, {Name: "Set-Cookie", Value: "b=2"}}, -1, ""},
		{"in pieces", "printf 'Conte'; sleep 0.02; printf 'nt-Type: a/b\\n'; sleep 0.02; printf '\\nx'; sleep 0.02; printf y", 200,
			protocol.Header{{Name: "Content-Type", Value: "a/b"}}, -1, "xy"},
		{"more than its length", "printf 'Content-Type: a/b\\nContent-Length: 2\\n\\nhello'", 200,
			protocol.Header{{Name: "Content-Type", Value: "a/b"}}, 2, "he"},
		{"its status does not matter after the head", "printf 'Content-Type: a/b\\n\\nx'; exit 7", 200,
			protocol.Header{{Name: "Content-Type", Value: "a/b"}}, -1, "x"},
		{"waits for its child", "printf 'Content-Type: a/b\\n\\n'; (sleep 0.05; printf late) & wait", 200,
			protocol.Header{{Name: "Content-Type", Value: "a/b"}}, -1, "late"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, Config{})
			answer, body := b.get(b.script("#!/bin/sh\n" + test.script))
			if answer.Status != test.status || body != test.body {
				t.Errorf("got %d %q; want %d %q", answer.Status, body, test.status, test.body)
			}
			if diff := cmp.Diff(test.header, answer.Header); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			eventually(t, "reported", func() bool { return b.seen.all() == ResultOK })
		})
	}
}

func TestAnswerLength(t *testing.T) {
	b := newBench(t, Config{})
	file := b.script("#!/bin/sh\nprintf 'Content-Type: a/b\\nContent-Length: 3\\n\\nabc'")
	answer, err := b.run(t.Context(), b.call(file, "GET", ""))
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Body.Len(); got != 3 {
		t.Errorf("length %d; want 3", got)
	}
	answer.Body.Close() // unread: the client is gone
	if got := b.seen.all(); got != ResultAborted {
		t.Errorf("reported as %q", got)
	}
}

func TestBroken(t *testing.T) {
	tests := []struct{ name, script, cause string }{
		{"silent", "exit 3", "exit status 3"},
		{"killed", "kill -9 $$", "signal: killed"},
		{"unfinished head", "printf 'Content-Type: a/b\\n'", "empty line"},
		{"no field", "printf 'hello\\n\\n'", "no colon"},
		{"endless head", "while :; do printf 'X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\n'; done", "longer than 32768"},
		{"endless line", "while :; do printf 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'; done", "longer than 32768"},
		{"closes its output", "exec >&-; exec sleep 60", "still running"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, Config{})
			err := b.fails(b.call(b.script("#!/bin/sh\n"+test.script), "GET", ""), 502, ResultError)
			if !strings.Contains(err.Error(), test.cause) || !strings.Contains(err.Error(), b.dir+"/script") {
				t.Errorf("cause %q; want the file and %q", err, test.cause)
			}
		})
	}
}

// A body that is not whole must not look whole.
func TestTruncated(t *testing.T) {
	tests := []struct{ name, script, cause string }{
		{"short", "printf 'Content-Type: a/b\\nContent-Length: 9\\n\\nabc'", "6 bytes short"},
		{"crash", "printf 'Content-Type: a/b\\n\\nabc'; kill -SEGV $$", "segmentation fault"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, Config{})
			answer, err := b.run(t.Context(), b.call(b.script("#!/bin/sh\n"+test.script), "GET", ""))
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(reader(t, answer))
			if string(body) != "abc" || err == nil || !strings.Contains(err.Error(), test.cause) {
				t.Errorf("got %q, %v; want abc and %q", body, err, test.cause)
			}
			if got := b.seen.all(); got != ResultError {
				t.Errorf("reported as %q", got)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	// Ignores SIGTERM and has a child: all of it must go.
	const stubborn = "#!/bin/sh\ntrap '' TERM INT HUP\necho $$ > leader\nsleep 300 &\necho $! > child\n"
	gone := func(t *testing.T, b *bench) {
		for _, name := range []string{"leader", "child"} {
			pid := pidIn(t, filepath.Join(b.dir, name))
			eventually(t, name+" killed", func() bool { return dead(pid) })
		}
	}
	t.Run("head", func(t *testing.T) {
		b := newBench(t, Config{Timeout: time.Second})
		file := b.script(stubborn + "printf 'Content-Type: a/b\\n'; while :; do sleep 300; done")
		b.fails(b.call(file, "GET", ""), 504, ResultTimeout)
		gone(t, b)
	})
	t.Run("head that drips", func(t *testing.T) {
		b := newBench(t, Config{Timeout: time.Second})
		file := b.script("#!/bin/sh\nwhile :; do echo 'X-A: a'; sleep 0.05; done")
		b.fails(b.call(file, "GET", ""), 504, ResultTimeout)
	})
	t.Run("body", func(t *testing.T) {
		b := newBench(t, Config{Timeout: time.Second})
		file := b.script(stubborn + "printf 'Content-Type: a/b\\n\\nabc'; while :; do sleep 300; done")
		answer, err := b.run(t.Context(), b.call(file, "GET", ""))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(reader(t, answer))
		if string(body) != "abc" || protocol.StatusOf(err) != 504 {
			t.Errorf("got %q, %v; want abc and an error for 504", body, err)
		}
		if got := b.seen.all(); got != ResultTimeout {
			t.Errorf("reported as %q", got)
		}
		gone(t, b)
	})
	t.Run("endless stderr", func(t *testing.T) {
		b := newBench(t, Config{Timeout: time.Second})
		file := b.script("#!/bin/sh\nwhile :; do echo noise >&2; done")
		b.fails(b.call(file, "GET", ""), 504, ResultTimeout)
		eventually(t, "the dropped lines told", func() bool { return strings.Contains(b.stderrText(), "further lines were dropped") })
	})
}

// The time a client takes to accept the output is not the script's.
func TestSlowClient(t *testing.T) {
	b := newBench(t, Config{Timeout: 2 * time.Second})
	// The script is blocked writing until the pipe is emptied.
	file := b.script("#!/bin/sh\nprintf 'Content-Type: a/b\\n\\n'; head -c 1000000 /dev/zero; echo done > done")
	answer, err := b.run(t.Context(), b.call(file, "GET", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	time.Sleep(2500 * time.Millisecond) // the subject: longer than the timeout
	n, err := io.Copy(io.Discard, reader(t, answer))
	if n != 1_000_000 || err != nil {
		t.Errorf("got %d bytes, %v", n, err)
	}
}

// What a script leaves behind neither holds up its answer nor lives on.
func TestBackgroundChild(t *testing.T) {
	const head = "printf 'Content-Type: a/b\\n\\nhello'\n"
	t.Run("in the group", func(t *testing.T) {
		b := newBench(t, Config{Timeout: time.Minute})
		_, body := b.get(b.script("#!/bin/sh\nsleep 300 &\necho $! > child\n" + head))
		if body != "hello" {
			t.Errorf("body %q", body)
		}
		pid := pidIn(t, filepath.Join(b.dir, "child"))
		eventually(t, "the child killed", func() bool { return dead(pid) })
	})
	t.Run("large output before it", func(t *testing.T) {
		b := newBench(t, Config{Timeout: time.Minute})
		_, body := b.get(b.script("#!/bin/sh\nsleep 300 &\n" + head + "head -c 60000 /dev/zero\n"))
		if len(body) != 60005 {
			t.Errorf("%d bytes", len(body))
		}
	})
	t.Run("in a session of its own", func(t *testing.T) {
		b := newBench(t, Config{Timeout: time.Minute})
		file := b.script("#!/bin/sh\nsetsid sh -c 'echo $$ > child; exec sleep 300' &\nwhile [ ! -s child ]; do sleep 0.01; done\n" + head)
		_, body := b.get(file)
		if body != "hello" {
			t.Errorf("body %q", body)
		}
		pid := pidIn(t, filepath.Join(b.dir, "child"))
		if dead(pid) {
			t.Error("the child is dead: the test shows nothing")
		}
		killPid(t, pid)
	})
}

// A script may close its output and go on, for a while.
func TestGoesOnAfterOutput(t *testing.T) {
	t.Run("within the timeout", func(t *testing.T) {
		b := newBench(t, Config{})
		file := b.script("#!/bin/sh\nprintf 'Content-Type: a/b\\n\\nhello'; exec >&-; while [ ! -e go ]; do sleep 0.01; done; echo yes > finished")
		_, body := b.get(file)
		if body != "hello" || b.seen.all() != ResultOK {
			t.Errorf("body %q, reported as %q", body, b.seen.all())
		}
		if b.Processes() != 1 {
			t.Errorf("%d processes; want the one that goes on", b.Processes())
		}
		writeScript(t, b.dir, "go", "", 0o644)
		eventually(t, "finished", func() bool { return exists(b.dir + "/finished") })
		eventually(t, "reaped", func() bool { return b.Processes() == 0 })
	})
	t.Run("too long", func(t *testing.T) {
		b := newBench(t, Config{Timeout: time.Second})
		_, body := b.get(b.script("#!/bin/sh\nprintf 'Content-Type: a/b\\n\\nhello'; exec >&-; exec sleep 300"))
		if body != "hello" {
			t.Errorf("body %q", body)
		}
		eventually(t, "killed and reaped", func() bool { return b.Processes() == 0 })
	})
}

func TestClientGone(t *testing.T) {
	b := newBench(t, Config{Timeout: time.Minute})
	file := b.script("#!/bin/sh\necho $$ > leader\nprintf 'Content-Type: a/b\\n\\n'; while :; do echo more; done")
	answer, err := b.run(t.Context(), b.call(file, "GET", ""))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if got := b.seen.all(); got != ResultAborted {
		t.Errorf("reported as %q", got)
	}
	pid := pidIn(t, filepath.Join(b.dir, "leader"))
	eventually(t, "killed", func() bool { return dead(pid) })
}

// An answer without content ends before its script does: that is no abort.
func TestNoContent(t *testing.T) {
	for _, test := range []struct{ method, head string }{
		{"HEAD", "Content-Type: a/b\\nContent-Length: 100000"}, {"POST", "Status: 204 No Content"}, {"GET", "Status: 304 Not Modified"},
	} {
		t.Run(test.method, func(t *testing.T) {
			b := newBench(t, Config{})
			file := b.script("#!/bin/sh\nprintf '" + test.head + "\\n\\n'; head -c 100000 /dev/zero; echo yes > finished")
			answer, err := b.run(t.Context(), b.call(file, test.method, ""))
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			eventually(t, "reported", func() bool { return b.seen.all() == ResultOK })
			eventually(t, "finished", func() bool { return exists(b.dir + "/finished") })
		})
	}
}

func TestContextEnds(t *testing.T) {
	for _, test := range []struct{ name, script string }{
		{"before the head", "echo $$ > leader; exec sleep 300"},
		{"within the body", "echo $$ > leader; printf 'Content-Type: a/b\\n\\n'; exec sleep 300"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, Config{Timeout: time.Minute})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() {
				answer, err := b.run(ctx, b.call(b.script("#!/bin/sh\n"+test.script), "GET", ""))
				if err == nil {
					_, err = io.ReadAll(reader(t, answer))
					answer.Body.Close()
				}
				ended <- err
			}()
			pid := pidIn(t, filepath.Join(b.dir, "leader"))
			cancel()
			if err := <-ended; err == nil || !strings.Contains(err.Error(), "canceled") {
				t.Errorf("error %v", err)
			}
			if got := b.seen.all(); got != ResultAborted {
				t.Errorf("reported as %q", got)
			}
			eventually(t, "killed", func() bool { return dead(pid) })
		})
	}
}

func TestLocalRedirect(t *testing.T) {
	b := newBench(t, Config{})
	file := b.script("#!/bin/sh\nprintf 'Location: /other?x=1\\n\\n'; head -c 100000 /dev/zero; echo yes > finished")
	answer, err := b.run(t.Context(), b.call(file, "GET", ""))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("/other?x=1", answer.Redirect); diff != "" || answer.Status != 0 || answer.Header != nil {
		t.Errorf("got %+v", answer)
	}
	if !exists(b.dir + "/finished") {
		t.Error("the script was not let finish")
	}
	if got := b.seen.all(); got != ResultOK {
		t.Errorf("reported as %q", got)
	}
}

func TestObserverTimes(t *testing.T) {
	b := newBench(t, Config{})
	// Spins until it has used 50 ms of CPU time by its own account.
	b.get(b.script("#!/usr/bin/perl\nmy $n; $n++ while (times)[0] < 0.05; print \"Content-Type: a/b\\n\\n$n\";"))
	eventually(t, "reaped", func() bool { return b.Processes() == 0 })
	b.seen.mu.Lock()
	defer b.seen.mu.Unlock()
	if b.seen.used.CPU < 40*time.Millisecond {
		t.Errorf("CPU time %v; want 50 ms or a bit more", b.seen.used.CPU)
	}
	if len(b.seen.took) != 1 || b.seen.took[0] < 40*time.Millisecond {
		t.Errorf("took %v; want one time above the CPU time", b.seen.took)
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// Output that nobody wants is not thrown away for ever.
func TestEndlessUnwantedOutput(t *testing.T) {
	const endless = "while :; do echo more; done"
	t.Run("HEAD", func(t *testing.T) {
		b := newBench(t, Config{Timeout: time.Second})
		answer, err := b.run(t.Context(), b.call(b.script("#!/bin/sh\nprintf 'Content-Type: a/b\\n\\n'; "+endless), "HEAD", ""))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		eventually(t, "killed and reaped", func() bool { return b.Processes() == 0 })
		eventually(t, "reported", func() bool { return b.seen.all() == ResultOK })
	})
	t.Run("redirect", func(t *testing.T) {
		b := newBench(t, Config{Timeout: time.Second})
		answer, err := b.run(t.Context(), b.call(b.script("#!/bin/sh\nprintf 'Location: /x\\n\\n'; "+endless), "GET", ""))
		if err != nil || answer.Redirect != "/x" {
			t.Errorf("got %+v, %v", answer, err)
		}
		eventually(t, "killed and reaped", func() bool { return b.Processes() == 0 })
	})
	t.Run("while the Runner is closed", func(t *testing.T) {
		b := newBench(t, Config{Timeout: time.Minute})
		before := descriptors(t)
		answer, err := b.run(t.Context(), b.call(b.script("#!/bin/sh\nprintf 'Content-Type: a/b\\n\\n'; "+endless), "HEAD", ""))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		b.Close(ctx)
		if got := b.seen.all(); got != ResultAborted {
			t.Errorf("reported as %q", got)
		}
		eventually(t, "no descriptor is left open", func() bool { return descriptors(t) <= before })
	})
}

func TestResultsAreAll(t *testing.T) {
	want := []string{ResultOK, ResultError, ResultTimeout, ResultBusy, ResultUnavailable, ResultAborted}
	if diff := cmp.Diff(want, Results()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
