package cgi

import (
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a script that runs, the leader of a process group of its own.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	done           chan struct{} // closed when it was reaped; cmd.ProcessState may be read then
	floor          int64         // bytes: it takes over our own peak of memory, see peak
	seen           atomic.Int64  // bytes: the peak of its memory when it was looked at

	mu     sync.Mutex
	exited bool        // its id may stand for another process soon
	cause  error       // why it was aborted; then nobody wants its output
	last   *time.Timer // kills it when it goes on after its output has ended
}

// start starts cmd, whose Stdin is set. On success the caller runs reap in a
// goroutine and reads stdout and stderr; the descriptors of both belong to it.
func start(cmd *exec.Cmd) (*process, error) {
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer outW.Close()
	errR, errW, err := os.Pipe()
	if err != nil {
		outR.Close()
		return nil, err
	}
	defer errW.Close()
	cmd.Stdout, cmd.Stderr = outW, errW
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		outR.Close()
		errR.Close()
		return nil, err
	}
	return &process{
		cmd:    cmd,
		floor:  ownPeak(),
		stdout: &output{file: outR},
		stderr: &output{file: errR},
		done:   make(chan struct{}),
	}, nil
}

// reap waits until the process has exited, kills what it left behind in its
// group, and takes its status. The group is killed while the leader is a
// zombie: its id can't have been given to anybody else.
func (p *process) reap() (used Usage) {
	pid := p.cmd.Process.Pid
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	p.mu.Lock()
	p.exited = true
	unix.Kill(-pid, unix.SIGKILL)
	if p.last != nil {
		p.last.Stop()
	}
	p.mu.Unlock()

	p.cmd.Wait() // the status is in ProcessState; a failure of the script's is no error of ours
	if state := p.cmd.ProcessState; state != nil {
		used = Usage{CPU: state.UserTime() + state.SystemTime(), PeakMemory: p.peak()}
	}
	close(p.done)
	p.stdout.exited()
	p.stderr.exited()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cause != nil {
		p.stdout.close()
	}
	return used
}

// abort kills the process with its group and gives its output up: reading ends.
// The first cause stays.
func (p *process) abort(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cause == nil {
		p.cause = cause
	}
	if p.exited {
		p.stdout.close()
		return
	}
	unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
}

// aborted is the cause given to abort, or nil.
func (p *process) aborted() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cause
}

// linger lets the process go on, its output being over, for at most d.
func (p *process) linger(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exited || p.last != nil {
		return
	}
	p.last = time.AfterFunc(d, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.exited {
			unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
		}
	})
}

// wait waits for at most d until the process was reaped.
func (p *process) wait(d time.Duration) (reaped bool) {
	select {
	case <-p.done:
		return true
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}

// signal is the signal that ended a reaped process, if one did.
func (p *process) signal() (syscall.Signal, bool) {
	if p.cmd.ProcessState == nil {
		return 0, false
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return status.Signal(), ok && status.Signaled()
}
