package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sited/instance"
	"sited/protocol"
)

// generation is one instance of one site and what is needed to end it.
type generation struct {
	number int            // counts from 1 for each site
	since  time.Time      // when it began to serve
	spec   *instance.Spec // inst's
	inst   *instance.Instance
	svc    *protocol.Service

	problem string // why it can't do its work, as far as is known; "" for none
}

// endpoint is a listening socket. It belongs to the supervisor and not to a
// site: generations and sites come and go on it. All fields but the channels
// are the owner's.
type endpoint struct {
	addr netip.AddrPort
	ln   *net.TCPListener
	srv  *protocol.Server // nil until the first generation
	gen  *generation      // whose service is current
	done chan struct{}    // closed once srv.Run has returned and ln is closed
}

func newEndpoint(addr netip.AddrPort, ln *net.TCPListener) *endpoint {
	return &endpoint{addr: addr, ln: ln, done: make(chan struct{})}
}

// bindUnknown binds the addresses that were none of the supervisor's sockets, several
// at once, beside what runs. Where that fails, place says why, or finds a way.
func bindUnknown(changes []*change) {
	var next atomic.Int64
	var work sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(changes)) {
		work.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(changes)); i = next.Add(1) - 1 {
				c := changes[i]
				if !c.unknown || c.err != nil {
					continue
				}
				if ln, err := bind(c.Wanted.Addr, false); err == nil {
					c.bound = newEndpoint(c.Wanted.Addr, ln)
				}
			}
		})
	}
	work.Wait()
}

// closeSocket closes the listening socket, which may be closed already: no
// other error can be had from it.
func (ep *endpoint) closeSocket() { _ = ep.ln.Close() }

// overlaps reports whether a socket on a would keep another on b from being
// bound although they are different addresses: one is a wildcard.
func overlaps(a, b netip.AddrPort) bool {
	return a != b && a.Port() == b.Port() && a.Addr().Is4() == b.Addr().Is4() &&
		(a.Addr().IsUnspecified() || b.Addr().IsUnspecified())
}

// listen binds addr. An IPv6 address, the wildcard included, is IPv6 only.
// ours are sockets of this process that go on while addr is being taken: when
// one of them is, or covers, the wildcard of the same port, both share the port
// until the old one closes, so that no connection is refused in between.
func listen(addr netip.AddrPort, ours func() []*net.TCPListener) (*net.TCPListener, error) {
	ln, err := bind(addr, false)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return ln, explainBind(addr, err)
	}
	var beside []*net.TCPListener
	for _, other := range ours() {
		if overlaps(addr, other.Addr().(*net.TCPAddr).AddrPort()) {
			beside = append(beside, other)
		}
	}
	if len(beside) == 0 {
		return nil, explainBind(addr, err)
	}
	// Linux asks both sockets for SO_REUSEPORT at the moment of bind(2) and
	// never again: it is taken off at once, lest another process of the same
	// user share the port unnoticed.
	for _, other := range beside {
		if err := setReusePort(other, 1); err != nil {
			return nil, explainBind(addr, err)
		}
		defer func() { _ = setReusePort(other, 0) }()
	}
	if ln, err = bind(addr, true); err != nil {
		return nil, explainBind(addr, err)
	}
	if err := setReusePort(ln, 0); err != nil {
		return nil, explainBind(addr, errors.Join(err, ln.Close()))
	}
	return ln, nil
}

func bind(addr netip.AddrPort, shared bool) (*net.TCPListener, error) {
	network := "tcp4"
	if addr.Addr().Is6() {
		network = "tcp6"
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	if shared {
		lc.Control = func(_, _ string, c syscall.RawConn) error { return reusePort(c, 1) }
	}
	ln, err := lc.Listen(context.Background(), network, addr.String())
	if err != nil {
		return nil, err
	}
	return ln.(*net.TCPListener), nil
}

func setReusePort(ln *net.TCPListener, value int) error {
	c, err := ln.SyscallConn()
	if err != nil {
		return err
	}
	return reusePort(c, value)
}

func reusePort(c syscall.RawConn, value int) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, value)
	}); e != nil {
		return e
	}
	return err
}

// explainBind says what a person can do about err; nil stays nil.
func explainBind(addr netip.AddrPort, err error) error {
	var remedy string
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "the address is in use by another process: stop it or choose another port"
	case errors.Is(err, syscall.EACCES):
		remedy = "no permission: ports below 1024 need CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "no interface of this machine has that address"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		remedy = "no file descriptor is left: raise the limit (ulimit -n, LimitNOFILE)"
	default:
		return fmt.Errorf("listening on %s: %w", addr, err)
	}
	return &bindError{addr: addr, remedy: remedy, cause: err}
}

// bindError says what a person can do; the cause adds nothing to it.
type bindError struct {
	addr   netip.AddrPort
	remedy string
	cause  error
}

func (e *bindError) Error() string { return fmt.Sprintf("listening on %s: %s", e.addr, e.remedy) }
func (e *bindError) Unwrap() error { return e.cause }
