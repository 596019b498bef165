package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// successorScript makes a shell script the program of an upgrade. The rig has
// one site and the admin endpoint: descriptor 5 is the stream.
func successorScript(script string) func(*Options) {
	return func(o *Options) {
		o.Program = Program{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")}}
	}
}

func upgradeRig(t *testing.T, script string, edit ...func(*Options)) (*rig, int) {
	t.Helper()
	var a int
	return run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "A", `timeouts { drain = "1s" }`)}
	}, append(edit, successorScript(script))...), a
}

// openFiles counts descriptors, but those that watch idle connections, which come
// and go with these, and logs, which are opened a moment after a site serves.
func openFiles(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && to != "anon_inode:[eventpoll]" && !strings.HasSuffix(to, ".log") {
			n++
		}
	}
	return n
}

func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// Whatever becomes of the new process, the old one goes on, says why, and has
// nothing left of it.
func TestUpgradeFails(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		edit         func(*Options)
		want         string
	}{
		{"ends", "exit 3", nil, "ended at once (exit status 3)"},
		{"hangs", "exec sleep 1000", func(o *Options) { o.UpgradeTimeout = 50 * time.Millisecond }, "did not come up within 50ms"},
		{"hangs and won't end", "trap '' TERM; echo '{\"error\":\"no good\"}' >&5; while :; do sleep 0.05; done", nil, "no good"},
		{"says why", `echo '{"error":"no good"}' >&5`, nil, "no good"},
		{"is something else", "echo hello >&5; exec sleep 1000", nil, "does not speak as sited does"},
		{"has another pid", `echo '{"status":{"pid":1}}' >&5; exec sleep 1000`, nil, "does not speak as sited does"},
		{"says nothing", "exec 5>&-; exec sleep 1000", nil, "gave no word"},
		{"has not all sites", `echo '{"status":{"pid":'$$',"version":"2","admin":{"addr":"x"},"sites":[{"name":"a","state":"failed","reason":"bad block"}]}}' >&5; exec sleep 1000`, nil, "a: failed: bad block"},
		{"has no admin endpoint", `echo '{"status":{"pid":'$$',"version":"2","admin":{"addr":"","reason":"why not"}}}' >&5; exec sleep 1000`, nil, "admin: why not"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			edit := tt.edit
			if edit == nil {
				edit = func(*Options) {}
			}
			r, a := upgradeRig(t, tt.script, edit)
			if got := r.get(a); got != "A" {
				t.Fatalf("got %q", got)
			}
			before := openFiles(t)
			u, err := r.Upgrade(t.Context())
			must(t, err)
			if u.Result != UpgradeFailed || !strings.Contains(u.Error, tt.want) || u.NewPID == 0 || u.OldPID != os.Getpid() || !strings.Contains(u.Text(), "goes on") {
				t.Errorf("%+v; want %q", u, tt.want)
			}
			if n := strings.Count(r.log.String(), "not upgraded"); n != 1 {
				t.Errorf("it is logged %d times", n)
			}
			r.wait("the new process is gone", func() bool { return gone(u.NewPID) })
			r.wait("no descriptor is left", func() bool { return openFiles(t) <= before })
			if got := r.get(a); got != "A" {
				t.Errorf("afterwards: %q", got)
			}
			r.reload("applied", r.site("a", a, "two"))
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.notified) != 5 || !strings.HasPrefix(r.notified[1], "RELOADING=1\n") || !strings.HasPrefix(r.notified[2], "READY=1\n") {
				t.Errorf("systemd was told %q", r.notified)
			}
		})
	}
}

func TestUpgradeOfNothing(t *testing.T) {
	for path, want := range map[string]string{"": "not known", "/nowhere/sited": "starting /nowhere/sited: no such file"} {
		r, a := upgradeRig(t, "", func(*Options) {})
		r.opts.Program.Path = path
		u, err := r.Upgrade(t.Context())
		if err != nil || u.Result != UpgradeFailed || !strings.Contains(u.Error, want) || u.NewPID != 0 {
			t.Errorf("%q: %+v, %v", path, u, err)
		}
		if got := r.get(a); got != "A" {
			t.Errorf("got %q", got)
		}
	}
}

// goodSuccessor says that all is well and then waits to be left alone, on a stream
// that does not block; it does not accept.
const goodSuccessor = `echo '{"status":{"pid":'$$',"version":"2","admin":{"addr":"x"},"sites":[{"name":"a","state":"serving"}]}}' >&5; until head -c 1 <&5 >left && test -s left; do sleep 0.02; done 2>/dev/null; exec sleep 1000`

func TestUpgrade(t *testing.T) {
	t.Chdir(t.TempDir())
	r, a := upgradeRig(t, goodSuccessor)
	conn := dial(t, r.addr(a))
	conn.get()
	u, err := Client{r.adminAddr()}.Upgrade(t.Context())
	must(t, err)
	defer syscall.Kill(u.NewPID, syscall.SIGKILL)
	if u.Result != Upgraded || u.OldPID != os.Getpid() || u.OldVersion != "test" || u.NewVersion != "2" || u.Error != "" {
		t.Errorf("%+v", u)
	}
	<-r.done
	if r.err != nil {
		t.Errorf("Run: %v", r.err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the idle connection was not closed")
	}
	if r.refused(a) || r.refused(r.admin) {
		t.Error("the sockets are not the new process's")
	}
	r.wait("the new process is left alone", func() bool { b, _ := os.ReadFile("left"); return len(b) == 1 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.notified) != 3 || !strings.HasPrefix(r.notified[1], "RELOADING=1\n") ||
		!strings.HasPrefix(r.notified[2], "MAINPID=") || !strings.Contains(r.notified[2], "\nREADY=1\nSTATUS=sited 2: 1 of 1 sites serving") {
		t.Errorf("systemd was told %q", r.notified)
	}
	if _, err := r.Upgrade(t.Context()); !errors.Is(err, ErrStopped) {
		t.Errorf("another: %v", err)
	}
}

// While an upgrade is under way another is refused, and a reload waits: it is
// told that it came too late, or done.
func TestUpgradeOneAtATime(t *testing.T) {
	for _, good := range []bool{true, false} {
		dir := t.TempDir()
		script := "until [ -e " + dir + "/go ]; do sleep 0.02; done; "
		if good {
			script += strings.Replace(goodSuccessor, ">left", ">/dev/null", 1)
		}
		r, a := upgradeRig(t, script)
		upgrades := make(chan *Upgrade, 1)
		go func() {
			u, err := r.Upgrade(context.Background())
			if err != nil {
				t.Error(err)
			}
			upgrades <- u
		}()
		r.wait("begun", func() bool { return strings.Contains(r.log.String(), "msg=upgrading") })
		if u, err := r.Upgrade(t.Context()); err != nil || u.Result != UpgradeFailed || !strings.Contains(u.Error, "under way already") {
			t.Errorf("another: %+v, %v", u, err)
		}
		r.config(r.site("a", a, "two"))
		reloads := make(chan error, 1)
		go func() {
			_, err := r.Reload(context.Background(), Request{Trigger: "test"})
			reloads <- err
		}()
		if got := r.get(a); got != "A" {
			t.Errorf("meanwhile: %q", got)
		}
		write(t, dir+"/go", "")
		u, err := <-upgrades, <-reloads
		if good {
			defer syscall.Kill(u.NewPID, syscall.SIGKILL)
			if next, ok := errors.AsType[*HandedOverError](err); !ok || next.PID != u.NewPID || !errors.Is(err, ErrStopped) {
				t.Errorf("the reload: %v, after %+v", err, u)
			}
			<-r.done
			continue
		}
		if err != nil || u.Result != UpgradeFailed {
			t.Errorf("the reload: %v, after %+v", err, u)
		}
		if got := r.get(a); got != "two" {
			t.Errorf("after the reload: %q", got)
		}
	}
}

// A process that is told to end takes the one that it has started with it.
func TestEndWhileUpgrading(t *testing.T) {
	r, _ := upgradeRig(t, "exec sleep 1000")
	upgrades := make(chan *Upgrade, 1)
	go func() {
		u, _ := r.Upgrade(context.Background())
		upgrades <- u
	}()
	r.wait("begun", func() bool { return strings.Contains(r.log.String(), "msg=upgrading") })
	r.end()
	u := <-upgrades
	<-r.done
	if r.err != nil || u == nil || u.Result != UpgradeFailed || u.Error != ErrStopped.Error() || !gone(u.NewPID) {
		t.Errorf("%v, %+v", r.err, u)
	}
}

// A word that can't be given is no reason not to serve.
func TestPredecessorIsGone(t *testing.T) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	must(t, err, syscall.Close(pair[1]))
	r := newRig(t, func(o *Options) { o.Inherited = &Inherited{predecessor: os.NewFile(uintptr(pair[0]), "stream")} })
	a := r.port()
	r.config(r.site("a", a, "A"))
	r.start()
	<-r.ready
	if got := r.get(a); got != "A" {
		t.Errorf("got %q", got)
	}
	r.wait("systemd is told", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.ContainsFunc(r.notified, func(s string) bool { return strings.HasPrefix(s, "READY=1\n") })
	})
}

// A successor says how it is, tells systemd nothing until it is left alone, and
// says why it can't serve.
func TestWordToPredecessor(t *testing.T) {
	for _, tt := range []struct{ name, extra string }{{"good", ""}, {"dismissed", ""}, {"fatal", "\nsite {"}} {
		t.Run(tt.name, func(t *testing.T) {
			pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
			must(t, err)
			stream := os.NewFile(uintptr(pair[1]), "stream")
			defer stream.Close()
			r := newRig(t, func(o *Options) { o.Inherited = &Inherited{predecessor: os.NewFile(uintptr(pair[0]), "stream")} })
			r.config(r.site("a", r.port(), "A") + tt.extra)
			r.start()
			var w word
			must(t, json.NewDecoder(stream).Decode(&w))
			if tt.name == "fatal" {
				if w.Status != nil || !strings.Contains(w.Error, "sites.hcl can't be used") {
					t.Errorf("%+v", w)
				}
				<-r.done
				return
			}
			if w.Error != "" || w.Status == nil || w.Status.PID != os.Getpid() || w.Status.Sites[0].State != Serving {
				t.Errorf("%+v", w)
			}
			told := func() int {
				r.mu.Lock()
				defer r.mu.Unlock()
				return len(r.notified)
			}
			if n := told(); n != 0 {
				t.Errorf("systemd was told %d things", n)
			}
			if tt.name == "dismissed" {
				r.end()
				<-r.done
				if n := told(); n != 0 {
					t.Errorf("systemd was told %q", r.notified)
				}
				return
			}
			_, err = stream.Write([]byte{1})
			must(t, err)
			r.wait("systemd is told", func() bool { return told() == 1 })
		})
	}
}

// Systemd hears of the process as long as its owner answers, and no longer.
func TestWatchdog(t *testing.T) {
	r, _ := upgradeRig(t, "", func(o *Options) { o.Watchdog = 30 * time.Millisecond })
	signs := func() (n int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, s := range r.notified {
			if s == "WATCHDOG=1" {
				n++
			}
		}
		return n
	}
	r.wait("signs of life", func() bool { return signs() > 3 })
	stuck, release := make(chan struct{}), make(chan struct{})
	go r.do(context.Background(), func() {
		close(stuck)
		<-release
	})
	<-stuck
	before := signs()
	time.Sleep(10 * r.opts.Watchdog)
	if n := signs(); n > before+1 { // one may have been on its way
		t.Errorf("%d signs of life of a process that is stuck", n-before)
	}
	close(release)
	r.wait("signs of life again", func() bool { return signs() > before+3 })
}
