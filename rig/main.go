package rig

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests of a package with a binary of sited that is built for them,
// and wants no goroutine of theirs to be left. It returns the exit status.
func Main(m *testing.M, binary *string) int {
	dir, err := os.MkdirTemp("", "sited-rig-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if *binary, err = Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := m.Run()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, "goroutines of the tests are left:", err)
		return 1
	}
	return status
}
