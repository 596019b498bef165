package main_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// A signal at the prompt ends it, changes nothing, and leaves the terminal as it was.
func TestPasswdInterrupted(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	terminal, end := openTerminal(t)
	defer end.Close()
	echo := func() bool {
		modes, err := unix.IoctlGetTermios(int(end.Fd()), unix.TCGETS)
		rig.Must(t, err)
		return modes.Lflag&unix.ECHO != 0
	}
	cmd := f.Command("passwd", f.Path("users"), "alice")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = end, end, end
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	rig.Must(t, cmd.Start())
	rig.Eventually(t, "it asks", func() bool { return !echo() })
	_, err := terminal.WriteString("half a pass\x03")
	rig.Must(t, err)
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 1 || !echo() || f.exists("users") {
		t.Errorf("%v; the terminal shows what is typed: %t", cmd.ProcessState, echo())
	}
}

// Whoever waits for an answer may leave.
func TestInterruptedWhileAsking(t *testing.T) {
	t.Parallel()
	f := newFolder(t, "site")
	silent, err := net.Listen("tcp", f.Addr("admin"))
	rig.Must(t, err)
	defer silent.Close()
	f.Config("admin {\n  @admin\n}\nsite \"site\" {\n  @site\n  root = \".\"\n}\n")
	cmd := f.Command("status", f.Path("sites.hcl"), "--timeout", rig.Patience.String())
	rig.Must(t, cmd.Start())
	asked, err := silent.Accept()
	rig.Must(t, err)
	defer asked.Close()
	rig.Must(t, cmd.Process.Signal(os.Interrupt))
	began := time.Now()
	if cmd.Wait(); time.Since(began) > rig.Patience/2 {
		t.Errorf("it took %v to end", time.Since(began))
	}
}
