package protocol

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The two calls that every request takes. Sockets of ours never block, so the
// scheduler need not know: telling it costs as much as all that is decided about a
// small file, and has its monitor wake up again and again to see whether the call
// is over. Calls that may wait for a disk, as sendfile does, are not made so.

// rawRead is read(2) on a socket that does not block.
func rawRead(fd uintptr, p []byte) (int, unix.Errno) {
	return rawCall(unix.SYS_RECVFROM, fd, p, 0)
}

// rawWrite is write(2) on a socket that does not block.
func rawWrite(fd uintptr, p []byte) (int, unix.Errno) {
	return rawCall(unix.SYS_SENDTO, fd, p, unix.MSG_NOSIGNAL)
}

func rawCall(call, fd uintptr, p []byte, flags uintptr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
