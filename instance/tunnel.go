package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sited/protocol"
)

// Why a CONNECT was refused: the values of the reason label of
// tunnel_refused_total. The set is closed.
const (
	RefusedNotAllowed     = "not_allowed"     // no entry of the list covers the target
	RefusedSpecialPurpose = "special_purpose" // its name is allowed, its addresses are special-purpose and none is written out
)

// TunnelRefusals lists every reason there is.
func TunnelRefusals() []string { return []string{RefusedNotAllowed, RefusedSpecialPurpose} }

// refusal is the cause of a 403 for CONNECT.
type refusal struct {
	reason string // one of TunnelRefusals
	target string // host:port
}

func (r *refusal) Error() string {
	if r.reason == RefusedSpecialPurpose {
		return fmt.Sprintf("tunnel to %s refused: its addresses are special-purpose and none of them is written out in connect.allow", r.target)
	}
	return fmt.Sprintf("tunnel to %s refused: connect.allow does not name it", r.target)
}

func refuse(reason, target string) error {
	return protocol.Fail(403, &refusal{reason, target})
}

// dialer opens the far ends of tunnels. Its functions are the edge to the
// operating system; all may be called concurrently.
type dialer struct {
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	dial    func(ctx context.Context, addr netip.AddrPort) (*net.TCPConn, error)
	timeout time.Duration // for resolution and all attempts together
}

const (
	tunnelTimeout   = 10 * time.Second
	tunnelKeepAlive = 30 * time.Second
	minDialShare    = 2 * time.Second // an attempt gets at least that, if it is left
)

func newDialer() *dialer {
	var resolver net.Resolver
	d := net.Dialer{KeepAlive: tunnelKeepAlive}
	return &dialer{
		resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return resolver.LookupNetIP(ctx, "ip", host)
		},
		dial: func(ctx context.Context, addr netip.AddrPort) (*net.TCPConn, error) {
			return d.DialTCP(ctx, "tcp", netip.AddrPort{}, addr)
		},
		timeout: tunnelTimeout,
	}
}

// open connects to hostport, the authority-form target of a CONNECT (RFC 9110,
// section 9.3.6), if allow covers it. An address must be written out in allow,
// or be covered by "*" and not be special-purpose. A name must be covered by a
// name entry; it is resolved once, its special-purpose addresses are dropped
// unless they are written out, and the connection goes to one of the addresses
// that were checked. The caller closes the connection.
//
// The error is a *protocol.Error: 400 for a malformed target, 403 with a
// *refusal as its cause, 502 when there is no such name or no way to connect,
// 504 when that took too long.
func (d *dialer) open(ctx context.Context, allow Targets, hostport string) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	host, port, err := allow.judge(hostport)
	if err != nil {
		return nil, err
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return d.dialAny(ctx, []netip.Addr{addr}, port)
	}
	found, err := d.resolve(ctx, host)
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	if len(found) == 0 {
		return nil, protocol.Failf(502, "%s has no addresses", host)
	}
	checked := make([]netip.Addr, 0, len(found))
	for _, addr := range found {
		if !SpecialPurpose(addr) || allow.AllowsAddr(addr, port) {
			checked = append(checked, addr)
		}
	}
	if len(checked) == 0 {
		return nil, refuse(RefusedSpecialPurpose, hostport)
	}
	return d.dialAny(ctx, checked, port)
}

// judge says whether a tunnel to hostport is allowed as far as that can be told
// without looking the name up: the addresses it has are still to be checked.
func (t Targets) judge(hostport string) (host string, port uint16, err error) {
	if host, port, err = splitAuthority(hostport); err != nil {
		return "", 0, err
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if reason := refusedAddr(t, addr, port); reason != "" {
			return "", 0, refuse(reason, hostport)
		}
	} else if !t.AllowsName(host, port) {
		return "", 0, refuse(RefusedNotAllowed, hostport)
	}
	return host, port, nil
}

// splitAuthority takes an authority-form target apart: the host, an address
// without brackets or a name in canonical form, and the port. What the client
// sent is not repeated in the error, as it may hold a password.
func splitAuthority(s string) (host string, port uint16, err error) {
	malformed := protocol.Failf(400, "the target of CONNECT must be host:port (RFC 9110, section 9.3.6)")
	host, digits, bracketed, err := splitTarget(s)
	if err != nil {
		return "", 0, malformed
	}
	if port, err = parsePort(digits); err != nil {
		return "", 0, malformed
	}
	if addr, err := netip.ParseAddr(host); bracketed || err == nil {
		if err != nil || addr.Is6() != bracketed || addr.Zone() != "" {
			return "", 0, malformed
		}
		return host, port, nil
	}
	host = canonicalName(host)
	if checkName(host) != nil {
		return "", 0, malformed
	}
	return host, port, nil
}

// refusedAddr is the reason to refuse an address that the client wrote itself,
// or "".
func refusedAddr(allow Targets, addr netip.Addr, port uint16) string {
	switch {
	case allow.AllowsAddr(addr, port):
		return ""
	case !allow.allowsAnyName(port):
		return RefusedNotAllowed
	case SpecialPurpose(addr):
		return RefusedSpecialPurpose
	}
	return ""
}

// dialAny connects to the first of addrs, at least one, that answers. Each
// attempt gets its share of the time left until ctx ends, so that one address
// that swallows packets does not use up the time of those after it.
func (d *dialer) dialAny(ctx context.Context, addrs []netip.Addr, port uint16) (*net.TCPConn, error) {
	var failure error
	for i, addr := range addrs {
		conn, err := d.dialShare(ctx, netip.AddrPortFrom(addr.Unmap(), port), len(addrs)-i)
		if err == nil {
			return conn, nil
		}
		if failure == nil || isTimeout(err) {
			failure = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, unreachable(ctx, failure)
}

func (d *dialer) dialShare(ctx context.Context, addr netip.AddrPort, shares int) (*net.TCPConn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		share := time.Until(deadline) / time.Duration(shares)
		ctx, cancel = context.WithTimeout(ctx, max(share, minDialShare))
		defer cancel()
	}
	return d.dial(ctx, addr)
}

// unreachable turns an error of the resolver or of a dial into the client's.
func unreachable(ctx context.Context, err error) error {
	if isTimeout(err) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return protocol.Fail(504, fmt.Errorf("tunnel: too slow: %w", err))
	}
	return protocol.Fail(502, fmt.Errorf("tunnel: %w", err))
}

func isTimeout(err error) bool {
	if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() {
		return true
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// errTunnelIdle ends a tunnel through which nothing moved.
var errTunnelIdle = errors.New("tunnel: nothing moved in either direction for too long")

// carry copies between client and target, both ways at once, beginning with
// early for the target, until both ends have finished sending. An end that
// shuts its sending half down still gets what the other sends (RFC 9293,
// section 3.6). The tunnel also ends, and err says why, when reading or writing
// fails at one end, when nothing has moved in either direction for idle (above
// zero), and when ctx ends. What was read by then has been handed to the kernel
// for the other end (RFC 9110, section 9.3.6).
//
// count is told the bytes as they are passed on, from two goroutines. carry
// returns the same bytes summed up. It closes target, whatever happens; the
// caller closes client, whose deadlines may then lie in the past. No goroutine
// is left when it returns.
func carry(ctx context.Context, client, target *net.TCPConn, early []byte, idle time.Duration, count func(toTarget, toClient int)) (sentToClient, receivedFromClient int64, err error) {
	defer target.Close()
	if err := client.SetDeadline(time.Time{}); err != nil {
		return 0, 0, fmt.Errorf("tunnel: %w", err)
	}
	began := time.Now()
	var moved atomic.Int64 // when bytes moved last, in nanoseconds from began
	up := direction{from: client, to: target, fromName: "client", toName: "target"}
	down := direction{from: target, to: client, fromName: "target", toName: "client"}
	up.moved = func(n int) { moved.Store(int64(time.Since(began))); count(n, 0) }
	down.moved = func(n int) { moved.Store(int64(time.Since(began))); count(0, n) }

	ended := make(chan error, 2)
	go func() { ended <- up.run(early) }()
	go func() { ended <- down.run(nil) }()

	timer := time.NewTimer(idle)
	defer timer.Stop()
	stop := func(cause error) {
		if err == nil {
			err = cause
			past := time.Unix(1, 0)
			client.SetDeadline(past)
			target.SetDeadline(past)
		}
	}
	done := ctx.Done()
	for open := 2; open > 0; {
		select {
		case e := <-ended:
			open--
			if e != nil && ctx.Err() != nil { // the engine closed client, because of ctx
				e = fmt.Errorf("tunnel: %w", context.Cause(ctx))
			}
			if e != nil {
				stop(e)
			}
		case <-done:
			done = nil
			stop(fmt.Errorf("tunnel: %w", context.Cause(ctx)))
		case <-timer.C:
			quiet := time.Since(began) - time.Duration(moved.Load())
			if quiet >= idle {
				stop(errTunnelIdle)
			} else {
				timer.Reset(idle - quiet)
			}
		}
	}
	return down.total, up.total, err
}

// direction is one way through a tunnel.
type direction struct {
	from, to         *net.TCPConn
	fromName, toName string
	moved            func(n int) // called for every piece passed on
	total            int64       // bytes passed on; to be read after run returned
}

// run copies until from has no more to send, and then says so to to.
func (d *direction) run(early []byte) error {
	raw, err := d.from.SyscallConn()
	if err != nil {
		return fmt.Errorf("tunnel: %w", err)
	}
	if len(early) > 0 {
		if err := d.pass(early); err != nil {
			return err
		}
	}
	for {
		buf, n, err := readWhenReady(raw)
		if err != nil {
			return fmt.Errorf("tunnel: reading from the %s: %w", d.fromName, err)
		}
		if n > 0 {
			err = d.pass(buf[:n])
		}
		tunnelBuffers.Put(buf)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	if err := d.to.CloseWrite(); err != nil {
		return fmt.Errorf("tunnel: ending what goes to the %s: %w", d.toName, err)
	}
	return nil
}

func (d *direction) pass(b []byte) error {
	n, err := d.to.Write(b)
	if n > 0 {
		d.total += int64(n)
		d.moved(n)
	}
	if err != nil {
		return fmt.Errorf("tunnel: writing to the %s: %w", d.toName, err)
	}
	return nil
}

type tunnelBuffer = [32 << 10]byte

// tunnelBuffers are shared by all tunnels; they hold nothing between uses.
var tunnelBuffers = sync.Pool{New: func() any { return new(tunnelBuffer) }}

// readWhenReady waits until there is something to read and only then takes a
// buffer, so that a quiet tunnel holds none. n is 0 at the end of the data. The
// caller gives the buffer back when err is nil.
func readWhenReady(raw syscall.RawConn) (buf *tunnelBuffer, n int, err error) {
	waitErr := raw.Read(func(fd uintptr) bool {
		b := tunnelBuffers.Get().(*tunnelBuffer)
		for {
			n, err = syscall.Read(int(fd), b[:])
			if err != syscall.EINTR {
				break
			}
		}
		if err == nil {
			buf = b
			return true
		}
		tunnelBuffers.Put(b)
		return err != syscall.EAGAIN
	})
	switch {
	case buf != nil:
		return buf, n, nil
	case waitErr != nil:
		return nil, 0, waitErr
	}
	return nil, 0, os.NewSyscallError("read", err)
}
