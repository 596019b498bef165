package rig

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
	"testing"
)

// Ports are n ports that are free at every IPv4 address and stay so until the test
// is over: no other test gets them, in whichever process it runs, and no client
// does, as the kernel gives clients those from 32768 on.
func Ports(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		if tries > 50*n+1000 {
			t.Fatalf("%d of %d ports are free", len(ports), n)
		}
		port := 16_384 + rand.IntN(16_384)
		if !reserve(t, strconv.Itoa(port)) {
			continue
		}
		if ln, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port)); err == nil {
			ln.Close()
			ports = append(ports, port)
		}
	}
	return ports
}

// reserve takes a port or an address until the test is over, unless another test
// has it, in whichever process that runs.
func reserve(t testing.TB, what string) bool {
	t.Helper()
	lock, err := net.Listen("unix", "@sited-test-"+what) // an abstract name is a lock that ends with its process
	if errors.Is(err, syscall.EADDRINUSE) {
		return false
	}
	Must(t, err)
	t.Cleanup(func() { lock.Close() })
	return true
}
