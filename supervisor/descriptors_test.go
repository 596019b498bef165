package supervisor

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMakeRoom(t *testing.T) {
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if limit.Cur < roomFor {
		t.Skipf("no more than %d descriptors may be open", limit.Cur)
	}
	before := openFiles(t)
	makeRoom()
	if after := openFiles(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	text, err := os.ReadFile("/proc/self/status")
	must(t, err)
	_, size, _ := strings.Cut(string(text), "FDSize:")
	var n int
	if _, err := fmt.Sscan(size, &n); err != nil || n < roomFor {
		t.Errorf("there is room for %d (%v)", n, err)
	}
}
