//go:build !amd64 && !arm64

package instance

import "golang.org/x/sys/unix"

const callsAtOnce = false

func fstatAtOnce(fd int, st *unix.Stat_t) error { return unix.Fstat(fd, st) }
