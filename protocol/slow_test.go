package protocol

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// slowKind is a way to be slow. Those that send or read do it one byte a second.
type slowKind int

const (
	slowSilent slowKind = iota // says nothing
	slowHead                   // sends a head
	slowBody                   // sends a body of known length
	slowChunks                 // sends chunks
	slowReader                 // reads a large answer
	slowIdle                   // has had its answer
	slowKinds
)

// slowClient is a connection without a goroutine: what the race detector can
// bear is spent on the server's.
type slowClient struct {
	kind  slowKind
	fd    int
	begun bool
	left  string // to send, byte by byte
	got   []byte
	ended bool
	end   error // how: nil for an orderly close
}

// begins and trickles are what a client of each kind sends at once and then.
func (k slowKind) begins() string {
	switch k {
	case slowHead:
		return "G"
	case slowBody:
		return crlf("POST /slow HTTP/1.1", "Host: a", "Content-Length: 1000")
	case slowChunks:
		return crlf("POST /slow HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")
	case slowReader:
		return request("/large")
	case slowIdle:
		return request("/open")
	}
	return ""
}

func (k slowKind) trickles() string {
	switch k {
	case slowHead:
		return "ET /slow HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 100)
	case slowBody:
		return strings.Repeat("x", 100)
	case slowChunks:
		return strings.Repeat("1\r\nx\r\n", 20)
	}
	return ""
}

// dialSlow connects. A reader has small buffers and segments, so that the kernel
// doesn't take the answer off the server's hands.
func dialSlow(kind slowKind, to netip.AddrPort) (*slowClient, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if kind == slowReader {
		err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10),
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, 536))
	}
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &slowClient{kind: kind, fd: fd, left: kind.trickles()}, nil
}

// step is what the client does when a second is over.
func (c *slowClient) step() {
	if !c.begun {
		c.begun = true
		c.send(c.kind.begins())
		return
	}
	if c.left != "" {
		c.send(c.left[:1])
		c.left = c.left[1:]
	}
	if c.kind == slowReader {
		c.read(1)
	}
}

// send sends what always fits into the socket's buffer. That the server has gone
// is told by read.
func (c *slowClient) send(s string) {
	if s != "" {
		unix.SendmsgN(c.fd, []byte(s), nil, nil, unix.MSG_NOSIGNAL)
	}
}

// read reads at most n bytes of what is there and reports whether there may be more.
func (c *slowClient) read(n int) bool {
	p := make([]byte, n)
	got, err := unix.Read(c.fd, p)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return false
	case got > 0:
		c.got = append(c.got, p[:got]...)
		return true
	}
	c.ended, c.end = true, err
	unix.Close(c.fd)
	return false
}

// gone reports whether a connection has been reset: a reader would find out only
// when it has read all that came before.
func (c *slowClient) gone() bool {
	p := []unix.PollFd{{Fd: int32(c.fd)}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1
}

// look takes what has come. It is called more often than step.
func (c *slowClient) look() {
	if c.kind == slowReader {
		if !c.gone() {
			return
		}
	}
	for c.read(4 << 10) {
	}
}

// check checks how the connection ended.
func (c *slowClient) check(large int) error {
	if c.kind == slowSilent {
		if len(c.got) > 0 || c.end != nil {
			return fmt.Errorf("silent: got %.80q, %v; want an orderly close", c.got, c.end)
		}
		return nil
	}
	br := bufio.NewReader(bytes.NewReader(c.got))
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		return fmt.Errorf("kind %d: %.80q: %v, then %v", c.kind, c.got, err, c.end)
	}
	body, err := io.ReadAll(res.Body)
	rest, _ := io.ReadAll(br)
	switch {
	case c.kind == slowReader && res.StatusCode == 200 && len(body) < large && c.end == unix.ECONNRESET:
		return nil
	case err != nil || c.end != nil || len(rest) > 0:
	case c.kind == slowIdle && res.StatusCode == 200 && !res.Close:
		return nil
	case c.kind != slowReader && c.kind != slowIdle && res.StatusCode == 408 && res.Close:
		return nil
	}
	return fmt.Errorf("kind %d: got %d with %d bytes (%v), then %v and %.80q", c.kind, res.StatusCode, len(body), err, c.end, rest)
}

// roomFor raises the limit of descriptors for n, or says how many fit.
func roomFor(t *testing.T, n int) int {
	const others = 300
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	want := uint64(2*n + others)
	if limit.Cur < want {
		more := syscall.Rlimit{Cur: want, Max: max(want, limit.Max)}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more); err != nil {
			fit := (int(limit.Cur) - others) / 2
			t.Logf("%d slow clients instead of %d: at most %d descriptors, and %v", fit, n, limit.Cur, err)
			return fit
		}
		t.Cleanup(func() { syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) })
	}
	return n
}

// TestSlowClients: thousands of clients that are slow in every way there is cost
// the others nothing, and each is ended by the timeout that is for it.
func TestSlowClients(t *testing.T) {
	const large = 4 << 20
	clients, timeout := 5000, 4*time.Second
	if testing.Short() {
		clients, timeout = 300, 2*time.Second
	}
	clients = roomFor(t, clients)
	answer := pattern(large)
	s := serve(t, func(x *Exchange) error {
		if x.Req.Path == "/large" {
			x.Res.Body = Bytes(answer)
			return nil
		}
		return echo(x)
	}, func(v *Service) {
		v.Limits.MaxConnections = clients + 100
		v.Timeouts = Timeouts{Header: timeout, Body: timeout, Write: timeout, Idle: timeout, Drain: patience}
	})
	goroutines, descriptors := runtime.NumGoroutine(), countDescriptors(t)

	normal := startNormal(t, s.addr)
	crowd := slowCrowd(t, s.addr, clients)
	n, longest := normal.stop()
	t.Logf("%d requests beside %d slow clients, the longest took %v", n, len(crowd), longest)
	if n < 10 {
		t.Errorf("only %d requests were served", n)
	}
	var kinds [slowKinds]int
	for _, c := range crowd {
		kinds[c.kind]++
		if err := c.check(large); err != nil {
			t.Error(err)
		}
	}
	slowOutcomes(t, s, kinds)
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		g, d := runtime.NumGoroutine(), countDescriptors(t)
		if g <= goroutines && d == descriptors {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines and %d descriptors are left, %d and %d were before", g, d, goroutines, descriptors)
		}
	}
}

// slowCrowd connects that many clients, of all kinds in turn, and has them be
// slow until all are ended.
func slowCrowd(t *testing.T, addr string, n int) (crowd []*slowClient) {
	t.Helper()
	to := netip.MustParseAddrPort(addr)
	for i := range n {
		kind := slowKind(i) % slowKinds
		if kind == slowReader && i%4 == 0 { // fewer: each holds kernel memory
			kind = slowHead
		}
		c, err := dialSlow(kind, to)
		if err != nil {
			t.Errorf("connection %d: %v", i, err)
			break
		}
		crowd = append(crowd, c)
		c.step()
	}
	deadline := time.Now().Add(3 * patience)
	for tick := 1; ; tick++ {
		time.Sleep(time.Second / 5)
		open := 0
		for _, c := range crowd {
			if !c.ended && tick%5 == 0 {
				c.step()
			}
			if !c.ended {
				c.look()
			}
			if !c.ended {
				open++
			}
		}
		if open == 0 {
			return crowd
		}
		if time.Now().After(deadline) {
			t.Errorf("%d slow clients are still connected", open)
			for _, c := range crowd {
				if !c.ended {
					unix.Close(c.fd)
				}
			}
			return crowd
		}
	}
}

// slowOutcomes checks what the Observer was told of the slow ones.
func slowOutcomes(t *testing.T, s *site, kinds [slowKinds]int) {
	t.Helper()
	var timeouts, readers int
	s.obs.mu.Lock()
	for _, o := range s.obs.done {
		e, ok := errors.AsType[*Error](o.err)
		switch {
		case ok && e.Reason == BadTimeout && o.status == 408:
			timeouts++
		case errors.Is(o.err, errSlowReader):
			readers++
		case o.err != nil:
			t.Errorf("%s %s: %d, %v", o.method, o.target, o.status, o.err)
		}
	}
	s.obs.mu.Unlock()
	if want := kinds[slowHead] + kinds[slowBody] + kinds[slowChunks]; timeouts != want || readers != kinds[slowReader] {
		t.Errorf("%d times 408 and %d slow readers, want %d and %d", timeouts, readers, want, kinds[slowReader])
	}
}

// normalClients do requests, as fast as anybody would, until they are stopped.
type normalClients struct {
	stopped  atomic.Bool
	running  sync.WaitGroup
	client   http.Client
	requests atomic.Int64
	longest  atomic.Int64
}

func startNormal(t *testing.T, addr string) *normalClients {
	n := &normalClients{client: http.Client{Transport: &http.Transport{}, Timeout: patience}}
	for i := range 4 {
		n.running.Go(func() {
			for j := 0; !n.stopped.Load(); j++ {
				body := strings.Repeat("n", i*100+j%100)
				began := time.Now()
				if err := n.do("http://"+addr+"/normal", body); err != nil {
					t.Errorf("normal request %d: %v", j, err)
					return
				}
				n.requests.Add(1)
				for took := int64(time.Since(began)); ; {
					if before := n.longest.Load(); took <= before || n.longest.CompareAndSwap(before, took) {
						break
					}
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	return n
}

func (n *normalClients) do(url, body string) error {
	req, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Idempotency-Key", "x") // to be tried again when a kept connection was closed as idle
	res, err := n.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if want := "POST /normal " + body; err != nil || res.StatusCode != 200 || string(got) != want {
		return fmt.Errorf("got %d %.80q, %v", res.StatusCode, got, err)
	}
	return nil
}

func (n *normalClients) stop() (requests int64, longest time.Duration) {
	n.stopped.Store(true)
	n.running.Wait()
	n.client.CloseIdleConnections()
	return n.requests.Load(), time.Duration(n.longest.Load())
}
