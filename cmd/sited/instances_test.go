package main_test

import (
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sited/rig"
)

func TestFullConnectionTable(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	f.Config(strings.Replace(threeSites, `root = "static"`, "root = \"static\"\n  limits { max_connections = 3 }", 1))
	p := f.run()
	var open []*wire
	for range 3 {
		w := dial(t, f.Addr("static"))
		w.get(t, "/")
		open = append(open, w)
	}
	w := dial(t, f.Addr("static"))
	if a := w.answer(t, "GET"); a.status != 503 || a.get("Retry-After") == "" || !a.closes() {
		t.Errorf("one too many: %+v", a)
	}
	for _, w := range open {
		if a := w.get(t, "/"); a.status != 200 {
			t.Errorf("a connection that was there before: %d", a.status)
		}
	}
	if a := ask(t, f.Addr("upload"), request("GET", "/public.txt")); a.status != 200 {
		t.Errorf("another site: %d", a.status)
	}
	m := p.scrape()
	if m[`sited_connections_rejected_total{reason="max_connections",site="static"}`] != 1 || m[`sited_connections_rejected_total{reason="max_connections",site="upload"}`] != 0 {
		t.Error("the rejection is not counted, or at the wrong site")
	}
	open[0].Close()
	rig.Eventually(t, "there is room again", func() bool {
		a, err := exchange(f.Addr("static"), request("GET", "/"))
		return err == nil && a.status == 200
	})
}

// A disk that is full makes logging fail, and nothing else.
func TestFailingDisk(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	f.Config(strings.Replace(threeSites, `root = "static"`, "root = \"static\"\n  logs {\n    passed = \"/dev/full\"\n    failed = \"/dev/full\"\n  }", 1))
	p := f.run()
	w := dial(t, f.Addr("static"))
	for range 50 {
		if a := w.get(t, "/hello.txt"); a.status != 200 {
			t.Fatalf("%+v", a)
		}
		ask(t, f.Addr("upload"), request("GET", "/public.txt"))
	}
	p.logged(`"site":"static"`, "access log can't be written", "no space left")
	if n := strings.Count(p.Stderr.String(), "access log can't be written"); n != 1 {
		t.Errorf("said %d times", n)
	}
	f.lines("logs/upload/passed.log", 50)
	if a := w.get(t, "/hello.txt"); a.status != 200 {
		t.Errorf("%+v", a)
	}
}

// A site that can't have its address does not keep the others from starting, and
// starts when it can.
func TestAddressTaken(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	ln, err := net.Listen("tcp", f.Addr("static"))
	rig.Must(t, err)
	defer ln.Close()
	p := f.run()
	if a := ask(t, f.Addr("upload"), request("GET", "/public.txt")); a.status != 200 {
		t.Errorf("another site: %d", a.status)
	}
	if s := p.site("static"); s.State != "backoff" || !strings.Contains(s.Reason, "the address is in use by another process") {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(p.Stdout.String(), "static: ") {
		t.Error("the table does not say why")
	}
	res, body, err := p.ask("GET", "/readyz")
	if err != nil || res.StatusCode != 503 || !strings.Contains(body, "static: ") {
		t.Errorf("readyz: %v, %q", err, body)
	}
	if res, _, err := p.ask("GET", "/healthz"); err != nil || res.StatusCode != 200 {
		t.Errorf("healthz: %v", err)
	}
	if r := f.sited("", "status"); r.status != 2 || !strings.Contains(r.stdout, "backoff") {
		t.Errorf("status: %+v", r)
	}
	if n := p.scrape()[`sited_site_up{site="static"}`]; n != 0 {
		t.Errorf("site_up %v", n)
	}
	ln.Close()
	rig.Eventually(t, "the site serves", func() bool { return p.site("static").State == "serving" })
	if a := ask(t, f.Addr("static"), request("GET", "/hello.txt")); a.status != 200 {
		t.Errorf("%d", a.status)
	}
	if n := p.scrape()[`sited_site_restarts_total{site="static"}`]; n < 1 {
		t.Errorf("site_restarts_total %v", n)
	}
}

// slowSite has a script that answers when a file is there.
func slowSite(t *testing.T) *folder {
	t.Helper()
	f := newSites(t)
	f.Write("app/slow.sh", "printf 'Content-Type: text/plain\\n\\n'; echo begun; until [ -e go ]; do sleep 0.02; done; echo done")
	return f
}

func TestDrain(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			f := slowSite(t)
			p := f.run()
			idle := dial(t, f.Addr("app"))
			idle.get(t, "/index.html")
			w := dial(t, f.Addr("app"))
			w.send(t, request("GET", "/slow.sh"))
			rig.Eventually(t, "the script runs", func() bool { return p.site("app").Processes == 1 })
			p.Signal(sig)
			f.refuses("static")
			f.refuses("app")
			idle.closed(t)
			if res, body, err := p.ask("GET", "/readyz"); err != nil || res.StatusCode != 503 || !strings.Contains(body, "draining") {
				t.Errorf("readyz while draining: %q, %v", body, err)
			}
			f.Write("app/go", "")
			if a := w.answer(t, "GET"); a.status != 200 || a.body != "begun\ndone\n" {
				t.Errorf("%+v", a)
			}
			if status := p.Wait(); status != 0 {
				t.Errorf("exit status %d", status)
			}
			if l := f.lines("logs/app/passed.log", 2); l[1].Target != "/slow.sh" {
				t.Errorf("the last request is not in the log: %+v", l)
			}
		})
	}
}

func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	f := slowSite(t)
	f.Config(strings.Replace(threeSites, `drain = "10s"`, `drain = "200ms"`, 1))
	p := f.run()
	w := dial(t, f.Addr("app"))
	w.send(t, request("GET", "/slow.sh"))
	rig.Eventually(t, "the script runs", func() bool { return p.site("app").Processes == 1 })
	p.Signal(syscall.SIGTERM)
	if a, err := w.readFinal("GET"); err == nil {
		t.Errorf("an answer that looks whole: %+v", a)
	}
	if status := p.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

func TestSecondSignal(t *testing.T) {
	t.Parallel()
	f := slowSite(t)
	f.Config(strings.Replace(threeSites, `drain = "10s"`, `drain = "1h"`, 1))
	p := f.run()
	w := dial(t, f.Addr("app"))
	w.send(t, request("GET", "/slow.sh"))
	rig.Eventually(t, "the script runs", func() bool { return p.site("app").Processes == 1 })
	script := p.Children()
	p.Signal(syscall.SIGTERM)
	f.refuses("app")
	if p.Ended() {
		t.Fatal("it did not wait for the script")
	}
	p.Signal(syscall.SIGTERM)
	if status := p.Wait(); status != 1 {
		t.Errorf("exit status %d, want 1: requests were cut short", status)
	}
	for _, pid := range script {
		rig.Eventually(t, "the script is gone", func() bool { return !alive(pid) })
	}
	if a, err := w.readFinal("GET"); err == nil {
		t.Errorf("an answer that looks whole: %+v", a)
	}
}

// notifySocket is where a service manager would listen, and its name.
func notifySocket(t *testing.T) (socket *net.UnixConn, name string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd") // a socket's name is short
	rig.Must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	name = dir + "/notify"
	socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	rig.Must(t, err)
	t.Cleanup(func() { socket.Close() })
	socket.SetReadDeadline(time.Now().Add(2 * rig.Patience))
	return socket, name
}

func TestNotify(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	socket, name := notifySocket(t)
	next := func() string {
		t.Helper()
		b := make([]byte, 4096)
		n, err := socket.Read(b)
		rig.Must(t, err)
		return string(b[:n])
	}
	f.Env = []string{"NOTIFY_SOCKET=" + name}
	p := f.run()
	const ready = "READY=1\nSTATUS=sited dev: 3 of 3 sites serving"
	if got := next(); got != ready {
		t.Errorf("started: %q", got)
	}
	p.reloads("unchanged")
	reloading, clock, _ := strings.Cut(next(), "\nMONOTONIC_USEC=")
	if n, err := strconv.ParseInt(clock, 10, 64); reloading != "RELOADING=1" || err != nil || n <= 0 {
		t.Errorf("reloading: %q, %q", reloading, clock)
	}
	if got := next(); got != ready {
		t.Errorf("reloaded: %q", got)
	}
	p.Signal(syscall.SIGTERM)
	if got := next(); got != "STOPPING=1" {
		t.Errorf("stopping: %q", got)
	}
	p.Wait()
}
