package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Inherited is what the process was given by the one that started it: listening
// sockets, by a service manager (sd_listen_fds(3)) or by the sited that it is to
// take over from, and then a connection to that one. It belongs to the Supervisor
// that it is given to.
type Inherited struct {
	listeners   []*net.TCPListener
	predecessor *os.File // nil: nobody is to be taken over from
}

// handoverVariable tells a process that it is to take over: its value is
// handoverVersion, a colon and the number n of sockets. They are the descriptors
// 3 to 3+n-1, and 3+n is a stream to the process before. On it goes one word,
// and back, once that process has left the sockets, one byte.
const (
	handoverVariable = "SITED_HANDOVER"
	handoverVersion  = "1"
	firstDescriptor  = 3
	maxSockets       = 1 << 16
)

// Inherit takes over what this process was started with, and removes the
// environment variables that say so. Call it once, when the process starts. A
// descriptor that is of no use is closed and logged.
func Inherit(log *slog.Logger) *Inherited {
	in := new(Inherited)
	for _, f := range activation.Files(true) {
		in.take(f, log)
	}
	value, ok := os.LookupEnv(handoverVariable)
	if !ok {
		return in
	}
	_ = os.Unsetenv(handoverVariable) // can't fail for a name like this
	n, err := parseHandover(value)
	if err == nil {
		in.predecessor, err = predecessorStream(firstDescriptor + n)
	}
	if err != nil {
		log.Warn("nothing taken over", "variable", handoverVariable, "error", err)
		return in
	}
	for fd := firstDescriptor; fd < firstDescriptor+n; fd++ {
		in.take(os.NewFile(uintptr(fd), "descriptor "+strconv.Itoa(fd)), log)
	}
	return in
}

// parseHandover is the number of sockets that the variable's value speaks of.
func parseHandover(value string) (n int, err error) {
	version, count, ok := strings.Cut(value, ":")
	if n, err = strconv.Atoi(count); !ok || err != nil || n < 0 || n > maxSockets {
		return 0, fmt.Errorf("value %q is not understood", value)
	}
	if version != handoverVersion {
		return 0, fmt.Errorf("the process before speaks version %s, this one %s", version, handoverVersion)
	}
	return n, nil
}

func predecessorStream(fd int) (*os.File, error) {
	if family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil || family != unix.AF_UNIX {
		return nil, errors.New("there is no stream to the process before: the variable is not meant for this one")
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil { // so that Close ends a Read
		return nil, err
	}
	return os.NewFile(uintptr(fd), "stream to the process before"), nil
}

// take makes a listener of f, which is closed.
func (in *Inherited) take(f *os.File, log *slog.Logger) {
	defer f.Close()
	ln, err := inheritedListener(f)
	if err != nil {
		log.Warn("inherited descriptor closed", "name", f.Name(), "error", err)
		return
	}
	in.listeners = append(in.listeners, ln)
}

func inheritedListener(f *os.File) (*net.TCPListener, error) {
	fd := int(f.Fd())
	if accepts, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || accepts == 0 {
		return nil, errors.New("not a listening socket (in a systemd.socket: ListenStream=, and Accept=no)")
	}
	general, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	ln, ok := general.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%s: not a TCP socket", general.Addr()), general.Close())
	}
	if only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY); err == nil && only == 0 && addressOf(ln).Addr().IsUnspecified() {
		return nil, errors.Join(fmt.Errorf("%s: takes IPv4 connections as well (in a systemd.socket: BindIPv6Only=ipv6-only)", ln.Addr()), ln.Close())
	}
	return ln, nil
}

func addressOf(ln *net.TCPListener) netip.AddrPort { return ln.Addr().(*net.TCPAddr).AddrPort() }

// word is what a process tells the one that it is to take over from, as JSON:
// how it is once it has tried everything, or why it can't serve at all.
type word struct {
	Error  string  `json:"error,omitempty"`
	Status *Status `json:"status,omitempty"`
}

// keepSpare notes the inherited sockets, by address.
func (s *Supervisor) keepSpare(in *Inherited) {
	for _, ln := range in.listeners {
		addr := addressOf(ln)
		if s.spare[addr] != nil {
			s.log.Warn("inherited socket closed: there is another for its address", "addr", addr)
			_ = ln.Close() // not used so far
			continue
		}
		s.spare[addr] = ln
	}
}

// listen is the inherited socket for addr, or a new one. A socket that was
// inherited stays among the spare ones until it is served. Owner only.
func (s *Supervisor) listen(addr netip.AddrPort, changes []*change) (*net.TCPListener, error) {
	if ln := s.spare[addr]; ln != nil {
		return ln, nil
	}
	return listen(addr, s.sockets(changes))
}

// unbind gives up a socket that listen returned and that was not served: a spare
// one is kept. Owner only.
func (s *Supervisor) unbind(ln *net.TCPListener) {
	if addr := addressOf(ln); s.spare[addr] != ln {
		_ = ln.Close() // never served
	}
}

// dropSpare closes the inherited sockets that nothing is going to use: after
// the first configuration that has no errors, and so names all that are wanted.
func (s *Supervisor) dropSpare(hasErrors bool) {
	if hasErrors {
		return
	}
	wanted := map[netip.AddrPort]bool{s.admin.wanted: true}
	for _, st := range s.sites {
		if st.pending != nil {
			wanted[st.pending.Addr] = true
		}
	}
	for addr, ln := range s.spare {
		if !wanted[addr] {
			s.log.Warn("inherited socket closed: no site has its address", "addr", addr)
			_ = ln.Close() // what waits in its queue is for nobody
			delete(s.spare, addr)
		}
	}
}

func (s *Supervisor) closeSpare() {
	for addr, ln := range s.spare {
		_ = ln.Close() // nothing was read or written
		delete(s.spare, addr)
	}
}

// predecessor is the stream to the process that this one is to take over from;
// nil when there is none.
func (s *Supervisor) predecessor() *os.File {
	if s.opts.Inherited == nil {
		return nil
	}
	return s.opts.Inherited.predecessor
}

// succeed tells the process before how this one came up, and waits until that
// has left the sockets, or is gone, or this one ends. Until then systemd is told
// nothing: it is about the process before.
func (s *Supervisor) succeed(stream *os.File, w word) {
	defer stream.Close()
	if err := json.NewEncoder(stream).Encode(w); err != nil {
		s.log.Warn("the process before is gone", "error", err)
	}
	if w.Error != "" {
		return
	}
	defer context.AfterFunc(s.life, func() { _ = stream.Close() })() // ends the Read
	_, err := stream.Read(make([]byte, 1))
	if s.life.Err() != nil {
		return
	}
	if err != nil {
		s.log.Warn("the process before is gone", "error", err)
	}
	s.alone.Store(true)
	s.ready()
}

// worse lists, a line each, what is served before and not after an upgrade,
// although the configuration names it.
func worse(before, after *Status) []string {
	then := map[string]*SiteStatus{}
	for i := range after.Sites {
		then[after.Sites[i].Name] = &after.Sites[i]
	}
	var lines []string
	for _, was := range before.Sites {
		is := then[was.Name]
		switch {
		case was.State != Serving || is == nil:
		case is.State != Serving:
			lines = append(lines, fmt.Sprintf("%s: %s: %s", is.Name, is.State, is.Reason))
		case is.Problem != "" && was.Problem == "":
			lines = append(lines, fmt.Sprintf("%s: %s", is.Name, is.Problem))
		}
	}
	if before.Admin.Addr != "" && after.Admin.Addr == "" {
		lines = append(lines, "admin: "+after.Admin.Reason)
	}
	return lines
}
