package supervisor

import "golang.org/x/sys/unix"

// roomFor is for how many descriptors makeRoom makes room: a thousand sites take
// three each, a socket, a root and a log, and some more.
const roomFor = 4096

// makeRoom has the kernel grow the process's table of descriptors in one step. By
// itself the table doubles whenever it is full, and in a process with threads whoever
// needs the next descriptor waits each time until every CPU has let go of the old
// table: some milliseconds, half a dozen times over while a thousand sites start.
// Where the limit is lower, or no descriptor is left, all goes on as it would.
func makeRoom() {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if last, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, roomFor-1); err == nil {
		unix.Close(last)
	}
}
