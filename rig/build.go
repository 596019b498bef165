// Package rig runs the real sited for tests: it builds the binary, makes a folder
// with a configuration and free addresses, and starts and stops the process. It is
// imported by tests alone.
package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// packages are what the binary is made of.
var packages = []string{"cmd/sited", "supervisor", "supervisor/config", "supervisor/page", "instance", "protocol", "cgi", "metrics"}

// Build builds sited into a folder and returns the path of the binary: with the
// race detector where there is a C compiler, and with more flags for go build. The
// working directory is to be somewhere inside the module, as that of a test is.
func Build(dir string, flags ...string) (binary string, err error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "sited")
	args := []string{"build", "-buildvcs=false", "-o", binary}
	if _, err := exec.LookPath("gcc"); err == nil {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(append(args, flags...), "./cmd/sited")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// Root is the folder of the module: the nearest one above the working directory
// that has a go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = above
	}
}

// ReadSources reads the files that the binary is made of: what a test has read its
// cached result depends on, but not what TestMain reads before it runs the tests. To
// import the packages would not do, as the linker leaves out what the tests
// themselves don't call. root is the module's folder.
func ReadSources(root string) error {
	for _, name := range []string{"go.mod", "go.sum"} {
		if _, err := os.ReadFile(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	for _, p := range packages {
		entries, err := os.ReadDir(filepath.Join(root, p))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.IsDir() || strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			if _, err := os.ReadFile(filepath.Join(root, p, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// readSources is ReadSources, done once.
var readSources = sync.OnceValue(func() error {
	root, err := Root()
	if err != nil {
		return err
	}
	return ReadSources(root)
})
