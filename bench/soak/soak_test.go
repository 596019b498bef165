package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	_ "sited/supervisor" // so that go test knows that its cached result depends on the server's sources
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSoak is the soak itself, for a few seconds, on a sited with the race
// detector where there is a C compiler.
func TestSoak(t *testing.T) {
	sources, err := filepath.Glob("../../cmd/sited/*.go")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources of the binary: %v", err)
	}
	for _, name := range sources { // the result depends on these, too
		if _, err := os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	var flags []string
	if _, err := exec.LookPath("gcc"); err == nil {
		flags = append(flags, "-race")
	}
	binary, err := build(t.Context(), dir, flags...)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	// So short a run tells nothing of memory, least of all with the race detector.
	o := &options{length: 5 * time.Second, sited: binary, dir: dir, clients: 8, files: 48, memorySlack: 256 << 20}
	err = soak(t.Context(), o, &out)
	t.Logf("\n%s", &out)
	if err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "wrong answers: 0\n") {
		t.Error("the summary does not tell of wrong answers")
	}
}
