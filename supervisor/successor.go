package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Program is what an upgrade starts: the binary at Path as it is then. The zero
// value is none.
type Program struct {
	Path string
	Args []string // of main: the first is the program's name
	Env  []string // without what only this process is to know of: see environment
}

// notInherited are the variables that are about one process.
var notInherited = []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", handoverVariable}

// environment is that of a process that takes n sockets over.
func (p *Program) environment(n int) []string {
	var env []string
next:
	for _, variable := range p.Env {
		for _, name := range notInherited {
			if strings.HasPrefix(variable, name+"=") {
				continue next
			}
		}
		env = append(env, variable)
	}
	return append(env, fmt.Sprintf("%s=%s:%d", handoverVariable, handoverVersion, n))
}

// successor is a process that is to take over.
type successor struct {
	process *os.Process
	stream  *os.File // on which it gives word and is told that it is alone
}

// startSuccessor starts p with copies of sockets, which stay the caller's.
func startSuccessor(p *Program, sockets []uintptr) (*successor, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("connecting to a new process: %w", err)
	}
	ours := os.NewFile(uintptr(pair[0]), "stream to the new process")
	defer closeAll([]uintptr{uintptr(pair[1])})
	// Not os/exec, nor (*net.TCPListener).File: what passes through Fd of an
	// os.File becomes blocking, and with it the socket, here and there.
	files := append([]uintptr{0, 1, 2}, sockets...)
	pid, _, err := syscall.StartProcess(p.Path, p.Args, &syscall.ProcAttr{
		Env: p.environment(len(sockets)), Files: append(files, uintptr(pair[1])),
	})
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("starting %s: %w", p.Path, err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		ours.Close()
		return nil, err
	}
	return &successor{process, ours}, nil
}

// maxWord bounds what a successor may say: a thousand sites need about 1 MB.
const maxWord = 64 << 20

// await waits for word that the successor serves, until ctx ends.
func (n *successor) await(ctx context.Context) (*Status, error) {
	defer context.AfterFunc(ctx, func() { _ = n.stream.SetReadDeadline(time.Unix(1, 0)) })() // a socket takes deadlines
	var w word
	err := json.NewDecoder(io.LimitReader(n.stream, maxWord)).Decode(&w)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return nil, errSilent
	case err != nil:
		return nil, fmt.Errorf("the new process does not speak as sited does: %w", err)
	case w.Error != "":
		return nil, errors.New(w.Error)
	case w.Status == nil || w.Status.PID != n.process.Pid:
		return nil, errors.New("the new process does not speak as sited does")
	}
	return w.Status, nil
}

// leave lets the successor go: it is alone now, and outlives this process.
func (n *successor) leave() error {
	_, err := n.stream.Write([]byte{1})
	return errors.Join(err, n.stream.Close(), n.process.Release())
}

// errSilent says that a successor has closed its stream, most likely by ending.
var errSilent = errors.New("the new process gave no word")

// reap takes the exit status of a successor, which is to end; it is sent when
// there is one.
func (n *successor) reap() chan string {
	ended := make(chan string, 1)
	go func() {
		state, err := n.process.Wait()
		if err != nil {
			ended <- err.Error()
			return
		}
		ended <- state.String()
	}()
	return ended
}

// dismiss ends a successor: it may drain for the time of patience, unless ctx
// ends, and is killed then.
func (n *successor) dismiss(ctx context.Context, ended <-chan string, patience time.Duration) {
	defer n.stream.Close()                // not sooner: it would think itself alone
	_ = n.process.Signal(syscall.SIGTERM) // fails when it has ended
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ended:
		return
	case <-timer.C:
	case <-ctx.Done():
	}
	_ = n.process.Kill()
	<-ended
}

// duplicate returns a descriptor of the same socket, which is closed on exec.
func duplicate(ln *net.TCPListener) (uintptr, error) {
	raw, err := ln.SyscallConn()
	if err != nil {
		return 0, err
	}
	var copied int
	if e := raw.Control(func(fd uintptr) { copied, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, firstDescriptor) }); e != nil {
		return 0, e
	}
	return uintptr(copied), err
}

func closeAll(descriptors []uintptr) {
	for _, fd := range descriptors {
		_ = unix.Close(int(fd)) // a copy
	}
}
