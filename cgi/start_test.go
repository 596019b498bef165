package cgi

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func killPid(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(n, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func TestCantStart(t *testing.T) {
	tests := []struct {
		name, text string
		mode       os.FileMode
		status     int
		result     string
		cause      string
	}{
		{"no x bit", "#!/bin/sh\n", 0o644, 502, ResultError, "chmod +x"},
		{"no #! line", "echo\n", 0o755, 502, ResultError, "#! line"},
		{"no such interpreter", "#!/nowhere/lisp -x\n", 0o755, 503, ResultUnavailable, `"/nowhere/lisp"`},
		{"CRLF", "#!/bin/sh\r\n", 0o755, 503, ResultUnavailable, `"/bin/sh\r"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, Config{})
			before := descriptors(t)
			file := writeScript(t, b.dir, "script", test.text, test.mode)
			err := b.fails(b.call(file, "POST", "body"), test.status, test.result)
			if !strings.Contains(err.Error(), test.cause) {
				t.Errorf("cause %q; want %q in it", err, test.cause)
			}
			eventually(t, "no descriptor is left open", func() bool { return descriptors(t) <= before })
		})
	}
	t.Run("gone", func(t *testing.T) {
		b := newBench(t, Config{})
		b.fails(b.call(b.dir+"/nothing", "GET", ""), 404, ResultError)
		b.fails(b.call(b.dir+"/no/thing", "GET", ""), 404, ResultError)
	})
	t.Run("environment too large", func(t *testing.T) {
		b := newBench(t, Config{})
		call := b.call(b.script("#!/bin/sh\n"), "GET", "")
		call.Request.Query = strings.Repeat("q", 1<<20)
		b.fails(call, 431, ResultAborted)
	})
}

// The interpreter is looked for at each request: installing it is enough.
func TestMissingInterpreter(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	b := newBench(t, Config{Name: ".my", Command: []string{"my-interpreter", "-q"}})
	call := b.call(writeScript(t, b.dir, "page.my", "page", 0o644), "GET", "")

	missing := b.Missing()
	if missing == nil {
		t.Fatal("Missing: nil")
	}
	for _, want := range []string{`".my"`, "my-interpreter", "install it"} {
		if !strings.Contains(missing.Error(), want) {
			t.Errorf("Missing: %q; want %q in it", missing, want)
		}
	}
	if err := b.fails(call, 503, ResultUnavailable); err.Error() != missing.Error() {
		t.Errorf("Run says %q, Missing %q", err, missing)
	}

	writeScript(t, bin, "my-interpreter", "#!/bin/sh\nprintf 'Content-Type: a/b\\n\\n%s|' \"$@\"", 0o644)
	if err := b.Missing(); err == nil || !strings.Contains(err.Error(), "chmod +x") {
		t.Errorf("Missing: %v; want chmod +x in it", err)
	}
	if err := os.Chmod(filepath.Join(bin, "my-interpreter"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := b.Missing(); err != nil {
		t.Errorf("Missing: %v", err)
	}
	call.Request.Query = "-s+--help" // never on the command line
	_, body := b.whole(call)
	if want := "-q|Content-Type: a/b\n\n" + b.dir + "/page.my|"; body != want {
		t.Errorf("arguments %q; want %q", body, want)
	}
}

func TestCommandByPath(t *testing.T) {
	b := newBench(t, Config{Command: []string{"/bin/sh"}})
	if err := b.Missing(); err != nil {
		t.Errorf("Missing: %v", err)
	}
	_, body := b.get(writeScript(t, b.dir, "page", "printf 'Content-Type: a/b\\n\\n'; pwd", 0o644))
	if strings.TrimSpace(body) != b.dir {
		t.Errorf("runs in %q; want %q", body, b.dir)
	}
	gone := newBench(t, Config{Command: []string{"/nowhere/sh"}})
	if err := gone.Missing(); err == nil || !strings.Contains(err.Error(), "/nowhere/sh") {
		t.Errorf("Missing: %v", err)
	}
}

// A process short of descriptors is busy, not broken, and leaks none.
func TestOutOfDescriptors(t *testing.T) {
	b := newBench(t, Config{})
	file := b.script("#!/bin/sh\nprintf 'Content-Type: a/b\\n\\nhello'")
	b.get(file)
	eventually(t, "reaped", func() bool { return b.Processes() == 0 })

	before := descriptors(t)
	for room := range 8 {
		fill := hoard(t, room)
		answer, err := b.run(t.Context(), b.call(file, "POST", "body"))
		fill()
		if err == nil {
			answer.Body.Close()
			eventually(t, "reaped", func() bool { return b.Processes() == 0 })
			continue
		}
		if !strings.Contains(err.Error(), "too many open files") || !strings.HasSuffix(b.seen.all(), ResultBusy) {
			t.Errorf("room for %d: %v, reported as %q", room, err, b.seen.all())
		}
		eventually(t, "no descriptor is left open", func() bool { return descriptors(t) <= before })
	}
	b.get(file)
}

// hoard takes all descriptors but room of them, under a lowered limit, until
// the function returned is called.
func hoard(t *testing.T, room int) (release func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 128
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var held []int
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		held = append(held, fd)
	}
	for _, fd := range held[len(held)-room:] {
		unix.Close(fd)
	}
	held = held[:len(held)-room]
	return func() {
		for _, fd := range held {
			unix.Close(fd)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNothingInherited(t *testing.T) {
	t.Setenv("SITED_SECRET", "hunter2")
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := newBench(t, Config{})
	_, body := b.get(b.script("#!/usr/bin/perl\nprint \"Content-Type: a/b\\n\\n\", join(' ', sort map { s,.*/,,r } grep { -e } glob '/proc/self/fd/*'), \"\\n\", join(' ', sort keys %ENV);"))
	fds, names, _ := strings.Cut(body, "\n")
	for _, name := range strings.Fields(fds) {
		fd, err := strconv.Atoi(name)
		if err != nil {
			t.Fatal(err)
		}
		// What the test itself was started with open stays so.
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if fd > 2 && (err != nil || flags&unix.FD_CLOEXEC != 0) {
			t.Errorf("the script has descriptor %d open", fd)
		}
	}
	want := "DOCUMENT_ROOT DOCUMENT_URI GATEWAY_INTERFACE HTTP_HOST PATH QUERY_STRING REDIRECT_STATUS REMOTE_ADDR REMOTE_HOST REMOTE_PORT " +
		"REQUEST_METHOD REQUEST_SCHEME REQUEST_URI SCRIPT_FILENAME SCRIPT_NAME SERVER_ADDR SERVER_NAME SERVER_PORT SERVER_PROTOCOL SERVER_SOFTWARE"
	if names != want {
		t.Errorf("environment %s;\nwant %s", names, want)
	}
}

func TestClosedRunner(t *testing.T) {
	b := newBench(t, Config{})
	if err := b.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.fails(b.call(b.script("#!/bin/sh\n"), "GET", ""), 503, ResultUnavailable)
}
