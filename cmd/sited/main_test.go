// Package main_test uses sited as people do: the real binary on real sockets,
// files and processes, with curl, php-cgi and promtool beside it.
package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	_ "sited/cmd/sited" // so that go test knows that its cached result depends on the binary's sources
)

// binary is sited as the tests run it: built once, with the race detector where
// there is a C compiler.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sited-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "sited")
	args := []string{"build", "-buildvcs=false", "-o", binary}
	if _, err := exec.LookPath("gcc"); err == nil {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	status := m.Run()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, "goroutines of the tests are left:", err)
		return 1
	}
	return status
}

// need skips the test when a program is missing; where CI=true it fails.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: run it by `make test`, which installs what the tests need", err)
		}
		t.Skipf("%v: `make test` installs what the tests need", err)
	}
}
