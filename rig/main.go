package rig

import (
	"fmt"
	"os"
	"os/exec"
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

// Need returns the path of a program, without which the test is skipped, or fails
// where CI=true.
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: run it by `make test`, which installs what the tests need", err)
		}
		t.Skipf("%v: `make test` installs what the tests need", err)
	}
	return path
}
