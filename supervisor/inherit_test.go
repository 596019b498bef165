package supervisor

import (
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// inherit gives a rig listening sockets, as Inherit would.
func inherit(t *testing.T, o *Options, addrs ...string) {
	t.Helper()
	o.Inherited = new(Inherited)
	for _, addr := range addrs {
		ln, err := net.Listen("tcp4", addr)
		must(t, err)
		o.Inherited.listeners = append(o.Inherited.listeners, ln.(*net.TCPListener))
	}
}

// What connected before the process was there is served: the socket is the one
// that was inherited, and not another on its address.
func TestInheritedSockets(t *testing.T) {
	r := newRig(t)
	a, unwanted := r.port(), r.port()
	inherit(t, &r.opts, r.addr(a), r.addr(r.admin), r.addr(unwanted))
	r.keepSpare(r.opts.Inherited)
	early := dial(t, r.addr(a))
	early.send("GET /f.txt HTTP/1.1\r\nHost: x\r\n\r\n")
	r.config(r.site("a", a, "A"), r.site("b", r.port(), "B"))
	r.start()
	<-r.ready
	if status, body := early.answer(); status != 200 || body != "A" {
		t.Errorf("got %d %q", status, body)
	}
	if status, _ := r.ask("GET", "/healthz"); status != 200 {
		t.Errorf("healthz: %d", status)
	}
	r.wait("unwanted socket closed", func() bool { return r.refused(unwanted) })
	if !strings.Contains(r.log.String(), "inherited socket closed") {
		t.Error("that is not logged")
	}
	r.reload("applied", r.site("b", r.port(), "B"))
	r.wait("a's socket closed with its site", func() bool { return r.refused(a) })
}

// While a block is wrong nobody knows which address it has: the sockets are kept
// until the configuration is right, whatever is planned or refused meanwhile.
func TestInheritedSocketsWaitForTheirSite(t *testing.T) {
	r := newRig(t)
	a, b, never := r.port(), r.port(), r.port()
	inherit(t, &r.opts, r.addr(b), r.addr(never))
	r.keepSpare(r.opts.Inherited)
	r.config(r.site("a", a, "A"), r.site("b", b, "B", "nonsense = 1"))
	r.start()
	<-r.ready
	early := dial(t, r.addr(b))
	early.send("GET /f.txt HTTP/1.1\r\nHost: x\r\n\r\n")
	r.config(r.site("a", a, "A"), r.site("b", b, "B"))
	if _, err := r.Preview(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.config(r.site("a", a, "A"), r.site("b", b, "B"), r.site("c", r.port(), "C", `passwords = "none"`))
	r.reloadAs(Request{Trigger: "test", AllOrNothing: true}, "refused")
	if r.refused(never) {
		t.Error("the other socket was closed before the configuration was right")
	}
	r.reload("applied", r.site("a", a, "A"), r.site("b", b, "B"))
	if status, body := early.answer(); status != 200 || body != "B" {
		t.Errorf("got %d %q", status, body)
	}
	r.wait("the other socket closed", func() bool { return r.refused(never) })
}

// A site may take a wildcard over from an inherited socket on one address.
func TestInheritedBesideWildcard(t *testing.T) {
	r := newRig(t)
	a := r.port()
	inherit(t, &r.opts, r.addr(a))
	r.keepSpare(r.opts.Inherited)
	r.config(strings.Replace(r.site("a", a, "A"), r.ip, "0.0.0.0", 1))
	r.start()
	<-r.ready
	if s, _ := r.siteStatus("a"); s.State != Serving {
		t.Fatalf("%+v", s)
	}
	if got := r.get(a); got != "A" {
		t.Errorf("got %q", got)
	}
}

func TestInheritTakesListenersOnly(t *testing.T) {
	file := func(c interface{ File() (*os.File, error) }, err error) *os.File {
		t.Helper()
		must(t, err)
		defer c.(io.Closer).Close()
		f, err := c.File()
		must(t, err)
		return f
	}
	listen := func(network, addr string) *os.File {
		ln, err := net.Listen(network, addr)
		must(t, err)
		return file(ln.(interface{ File() (*os.File, error) }), nil)
	}
	plain, err := os.Open("/dev/null")
	must(t, err)
	for _, tt := range []struct {
		name string
		f    *os.File
		want string // "" for a listener
	}{
		{"IPv4", listen("tcp4", "127.0.0.1:0"), ""},
		{"IPv6", listen("tcp6", "[::1]:0"), ""},
		{"IPv6 wildcard", listen("tcp6", "[::]:0"), ""},
		{"both", listen("tcp", "[::]:0"), "BindIPv6Only=ipv6-only"},
		{"UNIX", listen("unix", "@sited-"+t.Name()), "not a TCP socket"},
		{"UDP", file(net.ListenUDP("udp4", nil)), "not a listening socket"},
		{"no socket", plain, "not a listening socket"},
	} {
		var log syncBuffer
		in := new(Inherited)
		in.take(tt.f, slog.New(slog.NewTextHandler(&log, nil)))
		switch {
		case tt.want == "" && len(in.listeners) == 1:
			in.listeners[0].Close()
		case tt.want == "" || len(in.listeners) != 0 || !strings.Contains(log.String(), tt.want):
			t.Errorf("%s: %d listeners, logged %q", tt.name, len(in.listeners), log.String())
		}
		if err := tt.f.Close(); err == nil {
			t.Errorf("%s: the descriptor was left open", tt.name)
		}
	}
}

func TestParseHandover(t *testing.T) {
	for value, want := range map[string]int{
		"1:0": 0, "1:12": 12, "": -1, "1": -1, "1:": -1, "1:x": -1, "1:-1": -1, "2:3": -1, "1:70000": -1, ":3": -1,
	} {
		if n, err := parseHandover(value); want >= 0 && (err != nil || n != want) || want < 0 && err == nil {
			t.Errorf("%q: %d, %v", value, n, err)
		}
	}
}

func FuzzParseHandover(f *testing.F) {
	f.Add("1:3")
	f.Add("2:-3:")
	f.Fuzz(func(t *testing.T, value string) {
		if n, err := parseHandover(value); err == nil && (n < 0 || n > maxSockets || !strings.HasPrefix(value, "1:")) {
			t.Errorf("%q: %d", value, n)
		}
	})
}

// A variable that came from somewhere else changes nothing.
func TestInheritStaleVariable(t *testing.T) {
	t.Setenv(handoverVariable, "1:9999")
	var log syncBuffer
	in := Inherit(slog.New(slog.NewTextHandler(&log, nil)))
	if in.predecessor != nil || in.listeners != nil || !strings.Contains(log.String(), "nothing taken over") {
		t.Errorf("%+v, logged %q", in, log.String())
	}
	if _, ok := os.LookupEnv(handoverVariable); ok {
		t.Error("the variable is still there")
	}
}

func TestProgramEnvironment(t *testing.T) {
	p := Program{Env: []string{"A=1", "LISTEN_PID=1", "LISTEN_FDS=2", "WATCHDOG_PID=3", "WATCHDOG_USEC=4", "SITED_HANDOVER=1:7", "LISTEN_FDNAMES=x", "B="}}
	want := []string{"A=1", "WATCHDOG_USEC=4", "B=", "SITED_HANDOVER=1:2"}
	if diff := cmp.Diff(want, p.environment(2)); diff != "" {
		t.Error(diff)
	}
}

func TestWorse(t *testing.T) {
	site := func(name string, state State, problem string) SiteStatus {
		return SiteStatus{Name: name, State: state, Problem: problem, Reason: "reason"}
	}
	status := func(admin string, sites ...SiteStatus) *Status {
		return &Status{Admin: AdminStatus{Addr: admin, Reason: "taken"}, Sites: sites}
	}
	for _, tt := range []struct {
		name          string
		before, after *Status
		want          []string
	}{
		{"same", status("x", site("a", Serving, "")), status("x", site("a", Serving, "")), nil},
		{"one more, failed", status("x"), status("x", site("a", Failed, "")), nil},
		{"no longer named", status("x", site("a", Serving, "")), status("x"), nil},
		{"failed before", status("x", site("a", Backoff, "")), status("x", site("a", Failed, "")), nil},
		{"problem before", status("x", site("a", Serving, "p")), status("x", site("a", Serving, "p")), nil},
		{"refused", status("x", site("a", Serving, "")), status("x", site("a", Failed, "")), []string{"a: failed: reason"}},
		{"problem now", status("x", site("a", Serving, "")), status("x", site("a", Serving, "p")), []string{"a: p"}},
		{"admin", status("x"), status(""), []string{"admin: taken"}},
		{"no admin before", status(""), status(""), nil},
	} {
		if got := worse(tt.before, tt.after); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
