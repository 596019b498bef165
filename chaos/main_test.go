package chaos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// binary is sited as the tests run it: built once, with the race detector where
// there is a C compiler.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	flag.Parse()
	for *seed == 0 {
		*seed = rand.Uint64()
	}
	dir, err := os.MkdirTemp("", "sited-chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for _, dir := range []string{"cmd/sited", "supervisor", "supervisor/config", "instance", "protocol", "cgi", "metrics"} {
		if err := readSources(filepath.Join("..", dir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	binary = filepath.Join(dir, "sited")
	args := []string{"build", "-buildvcs=false", "-o", binary}
	if _, err := exec.LookPath("gcc"); err == nil {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "../cmd/sited")...).CombinedOutput(); err != nil {
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

// readSources reads the files of a package that the binary is made of: what a test
// has read its cached result depends on. To import the package would not do, as
// the linker leaves out what the tests themselves don't call.
func readSources(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no Go files in %s", dir)
	}
	for _, file := range files {
		if _, rerr := os.ReadFile(file); rerr != nil {
			err = rerr
		}
	}
	return err
}
