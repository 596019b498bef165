package cgi

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// peak is the most resident memory that a reaped process has had, in bytes; 0
// when that is not known.
//
// A process that is started is a clone of ours until it executes its program, and
// Linux carries the peak of the memory it had until then, which is ours, over to
// what getrusage tells of it (exec_mmap in fs/exec.c). So that figure says
// something only where it is above our own peak. Below it the process was looked
// at, while it was alive, for its own account.
func (p *process) peak() int64 {
	usage, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if ok && int64(usage.Maxrss)<<10 > p.floor {
		return int64(usage.Maxrss) << 10 // in KiB, see getrusage(2)
	}
	return p.seen.Load()
}

// look takes the peak of the process's own memory so far, if it is alive. Its
// first output is a good time: most scripts send all of it when they are done.
func (p *process) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exited {
		return
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return // there is no /proc, or not for us
	}
	if peak, ok := highWater(b); ok {
		p.seen.Store(peak)
	}
}

// highWater finds VmHWM in what /proc/PID/status holds, in bytes: see proc(5). A
// process that has ended has none.
func highWater(status []byte) (peak int64, ok bool) {
	_, line, found := bytes.Cut(status, []byte("\nVmHWM:"))
	if !found {
		return 0, false
	}
	line, _, _ = bytes.Cut(line, []byte(" kB\n"))
	n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	return n << 10, err == nil
}

// ownPeak is the most resident memory that we have had so far, in bytes.
func ownPeak() int64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return int64(usage.Maxrss) << 10
}
