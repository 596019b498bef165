package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sited/rig"
)

// lineage is a sited that is upgraded: one process after the other, all in one
// process group, which write to one file.
type lineage struct {
	*process // the first one
	f        *folder
}

// replaceProgram puts a file in the place of the folder's copy of the binary, as
// package managers do: under another name first.
func (f *folder) replaceProgram(from string) {
	f.T.Helper()
	b, err := os.ReadFile(from)
	rig.Must(f.T, err)
	f.Write("bin/new.cgi", string(b)) // .cgi: with the x bit
	rig.Must(f.T, os.Rename(f.Path("bin/new.cgi"), f.Path("bin/sited")))
}

// lineage starts the folder's copy, by way of a shell that may set variables
// with $$ in them, the id the process is going to have.
func (f *folder) lineage(variables string, files ...*os.File) *lineage {
	f.T.Helper()
	f.replaceProgram(binary)
	out, err := os.OpenFile(f.Path("output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	rig.Must(f.T, err)
	defer out.Close()
	cmd := exec.Command("/bin/sh", "-c", variables+` exec "$0" "$@"`, f.Path("bin/sited"), "run", "--log-format=text", f.Path("sites.hcl"))
	cmd.Dir, cmd.Env, cmd.ExtraFiles = f.Dir, rig.Environment(), files
	cmd.Stdout, cmd.Stderr = out, out // files: nothing waits for their end
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	l := &lineage{&process{f.LaunchCommand(cmd)}, f}
	f.T.Cleanup(l.end)
	l.up()
	return l
}

// up waits until a process runs, and returns its id.
func (l *lineage) up() int {
	l.f.T.Helper()
	var s *status
	rig.Eventually(l.f.T, "sited runs", func() (ok bool) {
		var err error
		s, err = l.sites()
		return err == nil && s.Phase == "running"
	})
	return s.PID
}

// end ends all processes, and checks what they wrote.
func (l *lineage) end() {
	group := l.Cmd.Process.Pid
	syscall.Kill(-group, syscall.SIGTERM)
	deadline := time.Now().Add(rig.Patience)
	for !l.isGone(group) {
		if time.Now().After(deadline) {
			syscall.Kill(-group, syscall.SIGKILL)
			l.f.T.Error("not all processes ended")
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	<-l.Done
	if s := l.log(); strings.Contains(s, "DATA RACE") || strings.Contains(s, "panic") {
		l.f.T.Error("a data race or a panic: see the output")
	}
	if l.f.T.Failed() {
		l.f.T.Logf("output:\n%s", l.log())
	}
}

// isGone reports whether a process group has no process but zombies.
func (l *lineage) isGone(group int) bool {
	if errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) {
		return true
	}
	entries, err := os.ReadDir("/proc")
	rig.Must(l.f.T, err)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if of, err := syscall.Getpgid(pid); err == nil && of == group && alive(e.Name()) {
			return false
		}
	}
	return true
}

func (l *lineage) log() string { return l.f.Read("output") }

// upgraded is what the tests read of `sited upgrade -json`.
type upgraded struct {
	FormatVersion int `json:"format_version"`
	Result, Error string
	OldPID        int    `json:"old_pid"`
	NewPID        int    `json:"new_pid"`
	OldVersion    string `json:"old_version"`
	NewVersion    string `json:"new_version"`
}

func (l *lineage) upgrade(want string) upgraded {
	l.f.T.Helper()
	r := l.f.sited("", "upgrade", "-json")
	var u upgraded
	if err := json.Unmarshal([]byte(r.stdout), &u); err != nil || u.FormatVersion != 1 || u.Result != want || (r.status == 0) != (want == "upgraded") {
		l.f.T.Fatalf("sited upgrade: %+v, %v; want %s", r, err, want)
	}
	return u
}

// load asks for a file on new and on kept connections until it is stopped.
type load struct {
	asked, failed atomic.Int64
	stop          context.CancelFunc
	group         sync.WaitGroup
}

// A new connection must never fail. One that was kept may be closed while it is
// idle: then net/http asks again on another, as RFC 9112, section 9.3.1, says.
func startLoad(t *testing.T, addr, want string) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop}
	count := func(err error) {
		l.asked.Add(1)
		if err != nil && l.failed.Add(1) < 5 {
			t.Errorf("request %d: %v", l.asked.Load(), err)
		}
	}
	for range 2 {
		l.group.Go(func() {
			for ctx.Err() == nil {
				a, err := exchange(addr, request("GET", "/", "Connection: close"))
				if err == nil && (a.status != 200 || a.body != want) {
					err = fmt.Errorf("%+v", a)
				}
				count(err)
			}
		})
		l.group.Go(func() {
			transport := &http.Transport{MaxIdleConnsPerHost: 1}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: rig.Patience}
			for ctx.Err() == nil {
				res, err := client.Get("http://" + addr + "/")
				if err == nil {
					var body []byte
					body, err = io.ReadAll(res.Body)
					res.Body.Close()
					if err == nil && (res.StatusCode != 200 || string(body) != want) {
						err = fmt.Errorf("%d %q", res.StatusCode, body)
					}
				}
				count(err)
			}
		})
	}
	t.Cleanup(func() {
		stop()
		l.group.Wait()
	})
	return l
}

// end stops the load and returns how much was asked for.
func (l *load) end() int64 {
	l.stop()
	l.group.Wait()
	return l.asked.Load()
}

// next waits until the load has gone on for a while.
func (l *load) next(t *testing.T) {
	t.Helper()
	until := l.asked.Load() + 50
	rig.Eventually(t, "the load goes on", func() bool { return l.asked.Load() > until })
}

func TestUpgradeUnderLoad(t *testing.T) {
	t.Parallel()
	f := slowSite(t)
	f.echo()
	f.Write("static/big", strings.Repeat("0123456789abcdef", 2<<20)) // more than sockets buffer
	first := f.lineage("")
	old := first.up()
	if old != first.Cmd.Process.Pid {
		t.Fatalf("pid %d is not that of the process, %d", old, first.Cmd.Process.Pid)
	}
	l := startLoad(t, f.Addr("static"), "<!doctype html><title>static</title>")
	l.next(t)

	script, download, tunnel := dial(t, f.Addr("app")), dial(t, f.Addr("static")), dial(t, f.Addr("app"))
	script.send(t, request("GET", "/slow.sh"))
	rig.Eventually(t, "the script runs", func() bool { return first.site("app").Processes == 1 })
	download.send(t, request("GET", "/big"))
	if line, err := download.r.ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Fatalf("download: %q, %v", line, err)
	}
	tunnel.send(t, "CONNECT "+f.Addr("echo")+" HTTP/1.1\r\nHost: x\r\n\r\n")
	if a := tunnel.answer(t, "CONNECT"); a.status != 200 {
		t.Fatalf("tunnel: %+v", a)
	}

	pids := map[int]bool{old: true}
	for range 2 {
		u := first.upgrade("upgraded")
		if u.OldPID != old || pids[u.NewPID] || first.up() != u.NewPID {
			t.Errorf("%+v after pid %d; now pid %d serves", u, old, first.up())
		}
		old = u.NewPID
		pids[old] = true
		l.next(t)
		if a := ask(t, f.Addr("app"), request("GET", "/index.html")); a.status != 200 || a.body != "<p>app" {
			t.Errorf("%+v", a)
		}
	}
	if first.Ended() {
		t.Error("the first process did not wait for what is in flight")
	}
	tunnel.send(t, "ping")
	if b := make([]byte, 4); true {
		if _, err := io.ReadFull(tunnel.r, b); err != nil || string(b) != "ping" {
			t.Errorf("tunnel: %q, %v", b, err)
		}
	}
	tunnel.Close()
	if n, err := io.Copy(io.Discard, download.r); err != nil || n < 32<<20 {
		t.Errorf("download: %d bytes, %v", n, err)
	}
	f.Write("app/go", "")
	if a := script.answer(t, "GET"); a.status != 200 || a.body != "begun\ndone\n" {
		t.Errorf("script: %+v", a)
	}
	if status := first.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if n, failed := l.end(), l.failed.Load(); failed != 0 {
		t.Errorf("%d of %d requests failed", failed, n)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(f.Read("logs/app/passed.log")) {
		for _, target := range []string{"/slow.sh", "/index.html", f.Addr("echo")} {
			seen[target] = seen[target] || strings.Contains(line, `"`+target+`"`)
		}
	}
	if len(seen) != 3 || !seen["/slow.sh"] || !seen["/index.html"] || !seen[f.Addr("echo")] {
		t.Errorf("the log of both processes has %v", seen)
	}
}

func TestUpgradeVersion(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	l := f.lineage("")
	next, err := rig.Build(t.TempDir(), "-ldflags=-X main.release=2.0")
	rig.Must(t, err)
	f.replaceProgram(next)
	old := l.up()
	r := f.sited("", "upgrade")
	pid := l.up()
	if want := fmt.Sprintf("Upgraded: pid %d -> %d, version dev -> 2.0.\n", old, pid); r.status != 0 || r.stdout != want || old == pid {
		t.Errorf("%+v; want %q", r, want)
	}
	if r := f.sited("", "status"); !strings.HasPrefix(r.stdout, fmt.Sprintf("sited 2.0, pid %d, running", pid)) {
		t.Errorf("%+v", r)
	}
	if status := l.Wait(); status != 0 {
		t.Errorf("the old process: exit status %d", status)
	}
}

// SIGUSR2 does the same, also to a process that was upgraded itself; and a signal
// to the new one is as it was.
func TestUpgradeSignal(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	l := f.lineage("")
	pid := l.up()
	for range 2 {
		rig.Must(t, syscall.Kill(pid, syscall.SIGUSR2))
		before := pid
		rig.Eventually(t, "another process serves", func() bool { pid = l.up(); return pid != before })
		if a := ask(t, f.Addr("static"), request("GET", "/hello.txt")); a.status != 200 {
			t.Errorf("%+v", a)
		}
	}
	f.Config(strings.ReplaceAll(threeSites, `root = "static"`, `root = "upload"`))
	rig.Must(t, syscall.Kill(pid, syscall.SIGHUP))
	f.answers("static", "/public.txt", "for all")
	rig.Must(t, syscall.Kill(pid, syscall.SIGTERM))
	f.refuses("static")
}

// answers waits until a site answers with that body.
func (f *folder) answers(site, path, want string) {
	f.T.Helper()
	rig.Eventually(f.T, site+path+" shows "+want, func() bool {
		a, err := exchange(f.Addr(site), request("GET", path))
		return err == nil && a.body == want
	})
}

// Whatever is wrong with the new process, the old one goes on and says why; once
// it is mended, the upgrade works.
func TestUpgradeFails(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	p := f.lineage("")
	kept := dial(t, f.Addr("static"))
	kept.get(t, "/hello.txt")
	f.logsOpen("app", "static", "upload")
	pid, before := p.up(), p.Descriptors()
	script := func(text string) func() {
		return func() {
			f.Write("script.cgi", text)
			f.replaceProgram(f.Path("script.cgi"))
		}
	}
	for _, tt := range []struct {
		name   string
		change func()
		want   string
	}{
		{"the binary ends", script("#!/bin/sh\necho not today >&2; exit 7\n"), "ended at once (exit status 7)"},
		{"no binary", func() { os.Remove(f.Path("bin/sited")) }, "no such file or directory"},
		{"no program", script("neither ELF nor a script"), "exec format error"},
		{"broken file", func() { f.replaceProgram(binary); f.Write("sites.hcl", f.Fill(threeSites)+"site {{{") }, "sites.hcl can't be used"},
		{"broken block", func() {
			f.Write("sites.hcl", f.Fill(strings.Replace(threeSites, `root = "static"`, `rot = "static"`, 1)))
		}, "static: failed: sites.hcl:"},
		{"no site of the old process's address", func() {
			f.Write("sites.hcl", f.Fill(strings.Replace(threeSites, "@static", "ip = \"192.0.2.1\"\n  port = 1", 1)))
		}, "static: backoff: listening on 192.0.2.1:1"},
	} {
		tt.change()
		u := p.upgrade("failed")
		if !strings.Contains(u.Error, tt.want) || u.OldPID != pid || u.OldVersion != "dev" || u.NewVersion != "" {
			t.Errorf("%s: %+v; want %q", tt.name, u, tt.want)
		}
		if a := kept.get(t, "/hello.txt"); a.status != 200 || p.up() != pid {
			t.Errorf("%s: afterwards %+v from pid %d", tt.name, a, p.up())
		}
		rig.Eventually(t, tt.name+": the new process is gone", func() bool {
			return u.NewPID == 0 || !alive(strconv.Itoa(u.NewPID))
		})
		rig.Eventually(t, tt.name+": nothing is left open", func() bool { return p.Descriptors() <= before })
		if n := strings.Count(p.log(), "not upgraded"); n != 1 {
			t.Errorf("%s: it is logged %d times", tt.name, n)
		}
		f.Write("output", "") // what is appended comes behind
	}
	f.replaceProgram(binary)
	f.Config(threeSites)
	if u := p.upgrade("upgraded"); u.NewPID == pid || p.up() != u.NewPID {
		t.Errorf("in the end: %+v", u)
	}
	if a := ask(t, f.Addr("static"), request("GET", "/hello.txt")); a.status != 200 {
		t.Errorf("%+v", a)
	}
}

// listening is a file of a listening socket, as a service manager has it.
func listening(t *testing.T, addr string) *os.File {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	rig.Must(t, err)
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	rig.Must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// Sockets of a service manager are found by address. What is in their queues
// before anybody serves is answered; scripts get none of them, before and after
// an upgrade.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	f := newSites(t, "nobody")
	f.Write("app/fds.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; ls -l /proc/$$/fd | grep -c socket; env | grep -E 'LISTEN_|SITED_HANDOVER|NOTIFY'; echo end")
	files := []*os.File{listening(t, f.Addr("nobody")), listening(t, f.Addr("app")), listening(t, f.Addr("admin"))}
	early := dial(t, f.Addr("app"))
	early.send(t, request("GET", "/index.html"))
	l := f.lineage("export LISTEN_PID=$$ LISTEN_FDS=3;", files...)
	if a := early.answer(t, "GET"); a.status != 200 || a.body != "<p>app" {
		t.Errorf("%+v", a)
	}
	if rig.Lines(l.log(), "inherited socket closed", f.Addr("nobody")) == 0 {
		t.Error("the socket that nobody wants is not in the log")
	}
	for range 2 {
		for _, site := range []string{"static", "app", "upload"} {
			if s := l.site(site); s.State != "serving" || s.Addr != f.Addr(site) {
				t.Errorf("%+v", s)
			}
		}
		if a := ask(t, f.Addr("app"), request("GET", "/fds.cgi")); a.status != 200 || a.body != "0\nend\n" {
			t.Errorf("a script has %q", a.body)
		}
		l.upgrade("upgraded")
	}
	if status := l.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// systemd hears of a new main process, then of that one's signs of life, and
// never that the service ends.
func TestUpgradeTellsSystemd(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	socket, name := notifySocket(t)
	until := func(prefix string) string {
		t.Helper()
		b := make([]byte, 4096)
		for {
			n, err := socket.Read(b)
			if err != nil {
				t.Fatalf("never told %q: %v", prefix, err)
			}
			got := string(b[:n])
			if strings.HasPrefix(got, "STOPPING=1") {
				t.Fatal("told that the service ends")
			}
			if strings.HasPrefix(got, prefix) {
				return got
			}
		}
	}
	l := f.lineage("export WATCHDOG_PID=$$ WATCHDOG_USEC=150000 NOTIFY_SOCKET=" + name + ";")
	until("READY=1\nSTATUS=sited dev: 3 of 3 sites serving")
	until("WATCHDOG=1")
	until("WATCHDOG=1")
	results := make(chan result, 1)
	go func() { results <- f.sited("", "upgrade") }()
	until("RELOADING=1\nMONOTONIC_USEC=")
	got := until("MAINPID=")
	until("READY=1\n") // the new process's own
	if r := <-results; r.status != 0 {
		t.Fatalf("%+v", r)
	}
	if want := fmt.Sprintf("MAINPID=%d\nREADY=1\nSTATUS=sited dev: 3 of 3 sites serving", l.up()); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if status := l.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	for range 10 { // more than the old process may have sent
		until("WATCHDOG=1")
	}
}
