package main_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"sited/rig"
)

// Passwords that are set at the same time are all there afterwards; a link stays
// one, and permissions stay as they were.
func TestPasswdKeepsWhatIsThere(t *testing.T) {
	f := newFolder(t)
	file, link := f.Path("users"), f.Path("link")
	rig.Must(t, os.WriteFile(file, []byte("# ours\n"), 0o604))
	rig.Must(t, os.Symlink("users", link))
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			if out := f.sited(fmt.Sprintf("secret%d\n", i), "passwd", link, fmt.Sprint("user", i)); out.status != 0 {
				t.Errorf("passwd: %d %s", out.status, out.stderr)
			}
		})
	}
	all.Wait()
	text := f.Read("users")
	for i := range 6 {
		if !strings.Contains(text, fmt.Sprintf("user%d:$2", i)) {
			t.Errorf("user%d is missing:\n%s", i, text)
		}
	}
	if !strings.HasPrefix(text, "# ours\n") || strings.Contains(text, "secret") {
		t.Errorf("file:\n%s", text)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o604 {
		t.Errorf("permissions: %v, %v", info, err)
	}
}
