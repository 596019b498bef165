package main_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// Passwords that are set at the same time are all there afterwards; a link stays
// one, and permissions stay as they were.
func TestPasswdKeepsWhatIsThere(t *testing.T) {
	f := newFolder(t)
	file, link := f.path("users"), f.path("link")
	if err := os.WriteFile(file, []byte("# ours\n"), 0o604); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("users", link); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			if out := f.sited(fmt.Sprintf("secret%d\n", i), "passwd", link, fmt.Sprint("user", i)); out.status != 0 {
				t.Errorf("passwd: %d %s", out.status, out.stderr)
			}
		})
	}
	all.Wait()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if !strings.Contains(string(b), fmt.Sprintf("user%d:$2", i)) {
			t.Errorf("user%d is missing:\n%s", i, b)
		}
	}
	if !strings.HasPrefix(string(b), "# ours\n") || strings.Contains(string(b), "secret") {
		t.Errorf("file:\n%s", b)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o604 {
		t.Errorf("permissions: %v, %v", info, err)
	}
}
