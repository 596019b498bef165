package protocol

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The two calls that every request needs. The socket never blocks, so the
// scheduler need not be told of them: on a busy core it would take the processor
// away, and a thread switch costs more than the call. len(p) is above zero. A
// failed call returns 0 bytes.

func quickRead(fd uintptr, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	return result(n, errno)
}

func quickSend(fd uintptr, p []byte, flags int) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), uintptr(flags), 0, 0)
	return result(n, errno)
}

func result(n uintptr, errno unix.Errno) (int, error) {
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN: // without making an interface of it
		return 0, errAgain
	}
	return 0, errno
}

var errAgain error = unix.EAGAIN
