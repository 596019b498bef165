package rig

import (
	"fmt"
	"math/rand/v2"
	"net"
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
		// A socket with an abstract name is a lock that ends with its process.
		lock, err := net.Listen("unix", fmt.Sprintf("@sited-test-port-%d", port))
		if err != nil {
			continue
		}
		ln, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port))
		if err != nil {
			lock.Close()
			continue
		}
		ln.Close()
		t.Cleanup(func() { lock.Close() })
		ports = append(ports, port)
	}
	return ports
}
