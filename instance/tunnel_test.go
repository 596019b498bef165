package instance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sited/protocol"
)

// noLeaks fails the test when goroutines started during it are left at its end.
func noLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// tcpPair returns both ends of a connection.
func tcpPair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	a, b = dialed.(*net.TCPConn), accepted.(*net.TCPConn)
	t.Cleanup(func() { a.Close(); b.Close() })
	for _, c := range []*net.TCPConn{a, b} {
		c.SetDeadline(time.Now().Add(20 * time.Second)) // a broken test fails instead of hanging
	}
	return a, b
}

// carried is a tunnel under test: what the client and the target hold in their
// hands, and what carry returned.
type carried struct {
	client, target     *net.TCPConn
	toTarget, toClient atomic.Int64 // as counted
	cancel             context.CancelCauseFunc
	over               chan struct{}
	sent, received     int64
	err                error
}

func startTunnel(t *testing.T, early string, idle time.Duration) *carried {
	t.Helper()
	noLeaks(t)
	var c carried
	var inner, outer *net.TCPConn
	c.client, inner = tcpPair(t)
	outer, c.target = tcpPair(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	c.cancel = cancel
	c.over = make(chan struct{})
	go func() {
		defer close(c.over)
		defer inner.Close() // as the engine does
		c.sent, c.received, c.err = carry(ctx, inner, outer, []byte(early), idle, func(toTarget, toClient int) {
			c.toTarget.Add(int64(toTarget))
			c.toClient.Add(int64(toClient))
		})
	}()
	t.Cleanup(func() { cancel(nil); <-c.over })
	return &c
}

// wait returns what carry returned, after checking its figures against count's.
func (c *carried) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-c.over:
	case <-time.After(20 * time.Second):
		t.Fatal("carry does not return")
	}
	if c.sent != c.toClient.Load() || c.received != c.toTarget.Load() {
		t.Errorf("carry returned %d sent and %d received, but counted %d and %d", c.sent, c.received, c.toClient.Load(), c.toTarget.Load())
	}
	return c.err
}

func mustWrite(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v, want %q", got, err, want)
	}
}

func mustEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("read %d bytes, %v, want the end", n, err)
	}
}

// mustBreak reads until the connection is over, whether by FIN or by RST.
func mustBreak(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, c)
	if err != nil && isTimeout(err) {
		t.Fatal("the connection is still open")
	}
}

func TestTunnelCarriesBothWays(t *testing.T) {
	c := startTunnel(t, "", time.Minute)
	mustWrite(t, c.client, "ping")
	mustRead(t, c.target, "ping")
	mustWrite(t, c.target, "pong!")
	mustRead(t, c.client, "pong!")
	c.client.CloseWrite()
	mustEnd(t, c.target)
	c.target.Close()
	mustEnd(t, c.client)
	if err := c.wait(t); err != nil {
		t.Error(err)
	}
	if c.sent != 5 || c.received != 4 {
		t.Errorf("sent %d, received %d", c.sent, c.received)
	}
}

func TestTunnelEarlyBytesComeFirst(t *testing.T) {
	c := startTunnel(t, "early ", time.Minute)
	mustWrite(t, c.client, "late")
	mustRead(t, c.target, "early late")
	c.client.CloseWrite()
	mustEnd(t, c.target)
	c.target.CloseWrite()
	if err := c.wait(t); err != nil {
		t.Error(err)
	}
	if c.received != 10 {
		t.Errorf("received %d, want the early bytes counted too", c.received)
	}
}

func TestTunnelHalfClose(t *testing.T) {
	t.Run("client ends first", func(t *testing.T) {
		c := startTunnel(t, "", time.Minute)
		mustWrite(t, c.client, "request")
		c.client.CloseWrite()
		mustRead(t, c.target, "request")
		mustEnd(t, c.target)
		mustWrite(t, c.target, "the rest")
		mustRead(t, c.client, "the rest")
		c.target.Close()
		mustEnd(t, c.client)
		if err := c.wait(t); err != nil {
			t.Error(err)
		}
	})
	t.Run("target ends first", func(t *testing.T) {
		c := startTunnel(t, "", time.Minute)
		mustWrite(t, c.target, "greeting")
		c.target.CloseWrite()
		mustRead(t, c.client, "greeting")
		mustEnd(t, c.client)
		mustWrite(t, c.client, "the rest")
		mustRead(t, c.target, "the rest")
		c.client.Close()
		mustEnd(t, c.target)
		if err := c.wait(t); err != nil {
			t.Error(err)
		}
	})
}

func TestTunnelBigTransfer(t *testing.T) {
	const size = 8 << 20
	c := startTunnel(t, "", time.Minute)
	up, down := make([]byte, size), make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(up)
	random.Read(down)
	send := func(to *net.TCPConn, b []byte) {
		to.Write(b)
		to.CloseWrite()
	}
	go send(c.client, up)
	go send(c.target, down)
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(c.target)
		got <- b
	}()
	atClient, err := io.ReadAll(c.client)
	if err != nil || !bytes.Equal(atClient, down) {
		t.Errorf("the client got %d bytes that differ: %v", len(atClient), err)
	}
	if atTarget := <-got; !bytes.Equal(atTarget, up) {
		t.Errorf("the target got %d bytes that differ", len(atTarget))
	}
	if err := c.wait(t); err != nil {
		t.Error(err)
	}
	if c.sent != size || c.received != size {
		t.Errorf("sent %d, received %d", c.sent, c.received)
	}
}

func TestTunnelIdle(t *testing.T) {
	t.Run("nothing moves", func(t *testing.T) {
		c := startTunnel(t, "", 50*time.Millisecond)
		if err := c.wait(t); !errors.Is(err, errTunnelIdle) {
			t.Errorf("carry returned %v", err)
		}
		mustBreak(t, c.client)
		mustBreak(t, c.target)
	})
	t.Run("one busy direction is enough", func(t *testing.T) {
		const idle = time.Second
		c := startTunnel(t, "", idle)
		for began := time.Now(); time.Since(began) < 3*idle/2; { // the client says nothing
			mustWrite(t, c.target, "tick")
			mustRead(t, c.client, "tick")
			time.Sleep(idle / 100)
		}
		c.client.Close()
		c.target.Close()
		if err := c.wait(t); errors.Is(err, errTunnelIdle) {
			t.Error(err)
		}
	})
	t.Run("a target that does not read", func(t *testing.T) {
		c := startTunnel(t, "", 100*time.Millisecond)
		go c.client.Write(make([]byte, 64<<20)) // more than the kernel holds
		if err := c.wait(t); !errors.Is(err, errTunnelIdle) {
			t.Errorf("carry returned %v", err)
		}
	})
}

func TestTunnelEndsWithContext(t *testing.T) {
	c := startTunnel(t, "", time.Minute)
	mustWrite(t, c.client, "ping")
	mustRead(t, c.target, "ping")
	cause := errors.New("drained")
	c.cancel(cause)
	if err := c.wait(t); !errors.Is(err, cause) {
		t.Errorf("carry returned %v", err)
	}
	mustBreak(t, c.client)
	mustBreak(t, c.target)
}

func TestTunnelReset(t *testing.T) {
	t.Run("by the target", func(t *testing.T) {
		c := startTunnel(t, "", time.Minute)
		mustWrite(t, c.target, "last words")
		mustRead(t, c.client, "last words")
		c.target.SetLinger(0)
		c.target.Close()
		mustBreak(t, c.client)
		if err := c.wait(t); err == nil {
			t.Error("carry returned no error")
		}
	})
	t.Run("by the client", func(t *testing.T) {
		c := startTunnel(t, "", time.Minute)
		mustWrite(t, c.client, "last words")
		mustRead(t, c.target, "last words")
		c.client.SetLinger(0)
		c.client.Close()
		mustBreak(t, c.target)
		if err := c.wait(t); err == nil {
			t.Error("carry returned no error")
		}
	})
	t.Run("after the client has finished", func(t *testing.T) {
		c := startTunnel(t, "", time.Minute)
		c.client.CloseWrite()
		mustEnd(t, c.target)
		c.target.SetLinger(0)
		c.target.Close()
		mustBreak(t, c.client)
		if err := c.wait(t); err == nil {
			t.Error("carry returned no error")
		}
	})
}

func TestReadWhenReadyGivesItsBufferBack(t *testing.T) {
	a, b := tcpPair(t)
	raw, err := a.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	buf, n, err := readWhenReady(raw)
	if buf == nil || n != 0 || err != nil {
		t.Errorf("at the end: %v, %d, %v", buf != nil, n, err)
	}
	a.SetReadDeadline(time.Unix(1, 0))
	if buf, _, err = readWhenReady(raw); buf != nil || !isTimeout(err) {
		t.Errorf("past the deadline: %v, %v", buf != nil, err)
	}
	a.Close()
	if buf, _, err = readWhenReady(raw); buf != nil || !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v, %v", buf != nil, err)
	}
}

// fakeNet is a resolver and a network; dials are recorded.
type fakeNet struct {
	names    map[string][]string
	resolved []string
	dialed   []string
	answer   func(addr netip.AddrPort) error
}

func (f *fakeNet) dialer() *dialer {
	return &dialer{
		resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			f.resolved = append(f.resolved, host)
			found, ok := f.names[host]
			if !ok {
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			}
			var addrs []netip.Addr
			for _, s := range found {
				addrs = append(addrs, netip.MustParseAddr(s))
			}
			return addrs, nil
		},
		dial: func(_ context.Context, addr netip.AddrPort) (*net.TCPConn, error) {
			f.dialed = append(f.dialed, addr.String())
			if f.answer != nil {
				return nil, f.answer(addr)
			}
			return &net.TCPConn{}, nil
		},
		timeout: 5 * time.Second,
	}
}

func TestOpenTunnel(t *testing.T) {
	names := map[string][]string{
		"public.example.org":  {"93.184.216.34"},
		"private.example.org": {"10.0.0.5"},
		"mixed.example.org":   {"10.0.0.5", "::1", "fe80::1%eth0", "93.184.216.34"},
		"mapped.example.org":  {"::ffff:127.0.0.1"},
		"empty.example.org":   {},
		"rebind.test":         {"127.0.0.1"},
	}
	for _, c := range []struct {
		name   string
		allow  []string
		target string
		dialed string // "" when it fails
		status int
		reason string
	}{
		{"name", []string{"*.example.org:443"}, "public.example.org:443", "93.184.216.34:443", 0, ""},
		{"name, other case", []string{"*.example.org:443"}, "PUBLIC.Example.Org.:443", "93.184.216.34:443", 0, ""},
		{"name, other port", []string{"*.example.org:443"}, "public.example.org:80", "", 403, RefusedNotAllowed},
		{"name not listed", []string{"other.example.org:443"}, "public.example.org:443", "", 403, RefusedNotAllowed},
		{"nothing listed", nil, "public.example.org:443", "", 403, RefusedNotAllowed},
		{"name, only its address listed", []string{"93.184.216.34:443", "10.0.0.0/8:443"}, "public.example.org:443", "", 403, RefusedNotAllowed},
		{"name with a private address", []string{"*.example.org:443"}, "private.example.org:443", "", 403, RefusedSpecialPurpose},
		{"name with a mapped loopback address", []string{"*:443"}, "mapped.example.org:443", "", 403, RefusedSpecialPurpose},
		{"name with a private address written out", []string{"*.example.org:443", "10.0.0.5:443"}, "private.example.org:443", "10.0.0.5:443", 0, ""},
		{"the same for another port", []string{"*.example.org:*", "10.0.0.5:443"}, "private.example.org:80", "", 403, RefusedSpecialPurpose},
		{"some addresses are special", []string{"*.example.org:443"}, "mixed.example.org:443", "93.184.216.34:443", 0, ""},
		{"any name, loopback", []string{"*:443"}, "rebind.test:443", "", 403, RefusedSpecialPurpose},
		{"no such name", []string{"*:443"}, "missing.test:443", "", 502, ""},
		{"no addresses", []string{"*:443"}, "empty.example.org:443", "", 502, ""},
		{"address", []string{"10.0.0.5:5432"}, "10.0.0.5:5432", "10.0.0.5:5432", 0, ""},
		{"address in a block", []string{"10.0.0.0/8:5432"}, "10.9.8.7:5432", "10.9.8.7:5432", 0, ""},
		{"address of IPv6", []string{"[fd00::/8]:443"}, "[fd00::1]:443", "[fd00::1]:443", 0, ""},
		{"mapped address", []string{"10.0.0.5:5432"}, "[::ffff:10.0.0.5]:5432", "10.0.0.5:5432", 0, ""},
		{"address not listed", []string{"10.0.0.5:5432", "*.example.org:5432"}, "10.0.0.6:5432", "", 403, RefusedNotAllowed},
		{"public address, any name", []string{"*:443"}, "93.184.216.34:443", "93.184.216.34:443", 0, ""},
		{"special address, any name", []string{"*:443"}, "127.0.0.1:443", "", 403, RefusedSpecialPurpose},
		{"special address, any name, another port", []string{"*:443"}, "127.0.0.1:80", "", 403, RefusedNotAllowed},
		{"metadata by NAT64", []string{"*:80"}, "[64:ff9b::a9fe:a9fe]:80", "", 403, RefusedSpecialPurpose},
		{"no port", []string{"*:*"}, "public.example.org", "", 400, ""},
		{"empty port", []string{"*:*"}, "public.example.org:", "", 400, ""},
		{"port 0", []string{"*:*"}, "public.example.org:0", "", 400, ""},
		{"any port", []string{"*:*"}, "public.example.org:*", "", 400, ""},
		{"no host", []string{"*:*"}, ":443", "", 400, ""},
		{"userinfo", []string{"*:*"}, "user@public.example.org:443", "", 400, ""},
		{"URI", []string{"*:*"}, "http://public.example.org:443/", "", 400, ""},
		{"pattern", []string{"*:*"}, "*.example.org:443", "", 400, ""},
		{"short address", []string{"*:*"}, "127.1:80", "", 400, ""},
		{"hexadecimal address", []string{"*:*"}, "0x7f000001:80", "", 502, ""},
		{"zone", []string{"*:*"}, "[fe80::1%25eth0]:80", "", 400, ""},
		{"no brackets", []string{"*:*"}, "fd00::1:443", "", 400, ""},
		{"block", []string{"*:*"}, "10.0.0.0/8:443", "", 400, ""},
		{"NUL", []string{"*:*"}, "public.example.org\x00:443", "", 400, ""},
		{"nothing", []string{"*:*"}, "", "", 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeNet{names: names}
			_, err := f.dialer().open(t.Context(), mustTargets(t, c.allow...), c.target)
			if c.dialed != "" {
				if err != nil || len(f.dialed) != 1 || f.dialed[0] != c.dialed {
					t.Fatalf("dialed %v, %v, want %s", f.dialed, err, c.dialed)
				}
				return
			}
			var e *protocol.Error
			if !errors.As(err, &e) || e.Status != c.status {
				t.Fatalf("error %v, want status %d", err, c.status)
			}
			if len(f.dialed) != 0 {
				t.Errorf("dialed %v", f.dialed)
			}
			var r *refusal
			if errors.As(err, &r) != (c.reason != "") || r != nil && r.reason != c.reason {
				t.Errorf("refused with %v, want reason %q", err, c.reason)
			}
			if c.reason == RefusedNotAllowed && len(f.resolved) != 0 {
				t.Errorf("resolved %v for a target that is not allowed", f.resolved)
			}
		})
	}
}

func TestOpenTunnelTriesAllAddressesAndResolvesOnce(t *testing.T) {
	f := &fakeNet{
		names:  map[string][]string{"a.test": {"1.1.1.1", "10.0.0.1", "2606:4700::1111", "9.9.9.9"}},
		answer: func(netip.AddrPort) error { return errors.New("connection refused") },
	}
	_, err := f.dialer().open(t.Context(), mustTargets(t, "a.test:443"), "a.test:443")
	if protocol.StatusOf(err) != 502 {
		t.Errorf("error %v, want 502", err)
	}
	if want := []string{"1.1.1.1:443", "[2606:4700::1111]:443", "9.9.9.9:443"}; !slices.Equal(f.dialed, want) {
		t.Errorf("dialed %v, want %v", f.dialed, want)
	}
	if len(f.resolved) != 1 {
		t.Errorf("resolved %v", f.resolved)
	}
}

func TestOpenTunnelTooSlow(t *testing.T) {
	block := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	d := newDialer()
	d.timeout = 20 * time.Millisecond
	d.resolve = func(ctx context.Context, _ string) ([]netip.Addr, error) { return nil, block(ctx) }
	if _, err := d.open(t.Context(), mustTargets(t, "*:443"), "a.test:443"); protocol.StatusOf(err) != 504 {
		t.Errorf("slow resolution: %v, want 504", err)
	}
	d.dial = func(ctx context.Context, _ netip.AddrPort) (*net.TCPConn, error) { return nil, block(ctx) }
	if _, err := d.open(t.Context(), mustTargets(t, "*:443"), "1.1.1.1:443"); protocol.StatusOf(err) != 504 {
		t.Errorf("slow connection: %v, want 504", err)
	}
}

func TestOpenTunnelForReal(t *testing.T) {
	noLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	port := netip.MustParseAddrPort(addr).Port()
	allow := Targets{{prefix: netip.MustParsePrefix("127.0.0.0/8"), port: port}}
	conn, err := newDialer().open(t.Context(), allow, addr)
	if err != nil {
		t.Fatal(err)
	}
	if conn.RemoteAddr().String() != addr {
		t.Errorf("connected to %s, want %s", conn.RemoteAddr(), addr)
	}
	conn.Close()
	l.Close()
	if _, err := newDialer().open(t.Context(), allow, addr); protocol.StatusOf(err) != 502 {
		t.Errorf("nobody listens: %v, want 502", err)
	}
	// localhost is in every hosts file, and is what a name may not lead to.
	local := append(Targets{{name: "localhost"}}, mustTargets(t, "*.example.org:443")...)
	_, err = newDialer().open(t.Context(), local, "localhost:443")
	var r *refusal
	if !errors.As(err, &r) || r.reason != RefusedSpecialPurpose {
		t.Errorf("localhost: %v, want a refusal", err)
	}
}

func TestTunnelRefusals(t *testing.T) {
	if got := TunnelRefusals(); !slices.Equal(got, []string{"not_allowed", "special_purpose"}) {
		t.Errorf("TunnelRefusals() = %v", got)
	}
}
