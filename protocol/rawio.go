package protocol

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls that every request takes. Sockets of ours never block, so the scheduler
// need not know: telling it costs as much as all that is decided about a small file,
// and has its monitor wake up again and again to see whether the call is over. Calls
// that may wait for a disk are not made so: sendfile only where Content.Resident says
// that it does not.

// rawReceive is recv(2) on a socket that does not block.
func rawReceive(fd uintptr, p []byte) (int, unix.Errno) {
	return rawCall(unix.SYS_RECVFROM, fd, p, 0)
}

// rawSend is send(2) on a socket that does not block. It raises no SIGPIPE.
func rawSend(fd uintptr, p []byte, flags int) (int, unix.Errno) {
	return rawCall(unix.SYS_SENDTO, fd, p, flags|unix.MSG_NOSIGNAL)
}

func rawCall(call, fd uintptr, p []byte, flags int) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// rawSendfile is sendfile(2) of a file that is Content.Resident.
func rawSendfile(to, from int, offset *int64, n int) (int, error) {
	sent, _, errno := unix.RawSyscall6(unix.SYS_SENDFILE, uintptr(to), uintptr(from), uintptr(unsafe.Pointer(offset)), uintptr(n), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(sent), nil
}
