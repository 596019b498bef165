package prometheus_test

import (
	"os"
	"os/exec"
	"testing"

	"sited/rig"
)

// binary is sited as the tests run it.
var binary string

func TestMain(m *testing.M) { os.Exit(rig.Main(m, &binary)) }

// need returns the path of a program, without which the test is skipped, or fails
// where CI=true.
func need(t *testing.T, program string) string {
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
