//go:build amd64 || arm64

package instance

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// callsAtOnce tells that there are calls which the scheduler does not learn of.
const callsAtOnce = true

// fstatAtOnce is fstat(2) of a file that residence.local holds for: the scheduler
// need not know, see protocol/rawio.go.
func fstatAtOnce(fd int, st *unix.Stat_t) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_FSTAT, uintptr(fd), uintptr(unsafe.Pointer(st)), 0); errno != 0 {
		return errno
	}
	return nil
}
