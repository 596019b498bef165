package protocol

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	descriptorsEnv = "TEST_DESCRIPTORS" // spare or none: this process is the server
	descriptors    = 4                  // that it has for connections
)

// TestServerShortOfDescriptors is no test but the process that those below start:
// a server that has few descriptors. It tells its address, and then, for each line
// it is sent, its CPU time in microseconds and how many it has turned away.
func TestServerShortOfDescriptors(t *testing.T) {
	kind := os.Getenv(descriptorsEnv)
	if kind == "" {
		t.Skip("started by the other tests")
	}
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	svc := newService(echo)
	counted := &reasons{checker: newChecker(), by: map[string]int{}}
	svc.Observer = counted
	srv := NewServer(ln, svc, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if kind == "spare" {
		spare, err := NewSpare()
		if err != nil {
			t.Fatal(err)
		}
		defer spare.Close()
		srv.UseSpare(spare)
	}
	leave(t, descriptors)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	fmt.Println("address", ln.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		counted.mu.Lock()
		fmt.Println("usage", (u.Utime.Nano()+u.Stime.Nano())/1000, counted.by[RefusedNoDescriptors])
		counted.mu.Unlock()
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	counted.checker.ended(t)
	if n := len(srv.clients); n != 0 {
		t.Errorf("%d clients in the table", n)
	}
}

// leave takes all descriptors that the process may have but n.
func leave(t *testing.T, n int) {
	t.Helper()
	limit := unix.Rlimit{}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = 64
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var taken []int
	for {
		fd, err := openSpare()
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	if len(taken) < n {
		t.Fatalf("only %d descriptors are free", len(taken))
	}
	for _, fd := range taken[:n] {
		unix.Close(fd)
	}
}

// shortage is a server without descriptors, as its clients see it.
type shortage struct {
	site // for dial
	in   io.WriteCloser
	out  *bufio.Reader
	log  *record
	cmd  *exec.Cmd
}

func startShort(t *testing.T, kind string) *shortage {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServerShortOfDescriptors$", "-test.timeout=100s")
	cmd.Env = append(os.Environ(), descriptorsEnv+"="+kind)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &shortage{site: site{t: t}, in: in, out: bufio.NewReader(out), log: &record{}, cmd: cmd}
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() }) // of no effect after end
	p.addr = p.line("address")[0]
	return p
}

// line reads on to the line that begins so, and returns its other words.
func (p *shortage) line(word string) []string {
	p.t.Helper()
	for {
		text, err := p.out.ReadString('\n')
		if err != nil {
			p.t.Fatalf("the server: %v\n%s", err, p.log)
		}
		if words := strings.Fields(text); len(words) > 1 && words[0] == word {
			return words[1:]
		}
	}
}

// usage is the server's CPU time, and how many clients it has turned away for want
// of descriptors.
func (p *shortage) usage() (cpu time.Duration, refused int) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, "usage\n"); err != nil {
		p.t.Fatal(err)
	}
	words := p.line("usage")
	micros, err := strconv.Atoi(words[0])
	if err != nil {
		p.t.Fatal(err)
	}
	if refused, err = strconv.Atoi(words[1]); err != nil {
		p.t.Fatal(err)
	}
	return time.Duration(micros) * time.Microsecond, refused
}

// admitted is a client that is served, now or as soon as the server has noticed
// that others have left.
func (p *shortage) admitted() (c *client) {
	p.t.Helper()
	eventually(p.t, "a client is served", func() bool {
		c = p.dial()
		status, err := statusOf(c)
		switch {
		case status == 200:
			return true
		case status != 503 || err != nil:
			p.t.Fatalf("status %d, %v", status, err)
		}
		c.Close()
		return false
	})
	return c
}

// fill takes all descriptors of the server and waits until it has noticed.
func (p *shortage) fill() (held []*client) {
	p.t.Helper()
	for range descriptors {
		held = append(held, p.admitted())
	}
	eventually(p.t, "the server says that it has no descriptors", func() bool {
		return strings.Contains(p.log.String(), "no file descriptor is left")
	})
	return held
}

// end stops the server, which checks that all is well.
func (p *shortage) end() {
	p.t.Helper()
	p.in.Close()
	io.Copy(io.Discard, p.out)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the server: %v\n%s", err, p.log)
	}
	if n := strings.Count(p.log.String(), "no file descriptor is left"); n != 1 {
		p.t.Errorf("said %d times:\n%s", n, p.log)
	}
}

// quiet watches the server for a while, in which it must not be busy: one that
// spins takes all of the time.
func (p *shortage) quiet(watch func(until time.Time)) {
	p.t.Helper()
	const while = 600 * time.Millisecond
	before, _ := p.usage()
	watch(time.Now().Add(while))
	after, _ := p.usage()
	if took := after - before; took > while/2 {
		p.t.Errorf("%v of CPU time within %v of doing nothing", took, while)
	}
}

// silent checks that nothing comes from the server until the given time.
func (c *client) silent(until time.Time) {
	c.t.Helper()
	c.SetReadDeadline(until)
	if b, err := c.br.Peek(1); len(b) > 0 || !os.IsTimeout(err) {
		c.t.Errorf("got %q, %v; want silence", b, err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
}

// Without descriptors, clients are told 503 and the others are served on; with
// some again, so are new ones.
func TestShortOfDescriptors(t *testing.T) {
	t.Parallel()
	p := startShort(t, "spare")
	for round := range 3 {
		held := p.fill()
		_, before := p.usage()
		for i := range 10 {
			c := p.dial()
			if r := c.want(503, ""); r.header.Get("Retry-After") != "1" || !r.close {
				t.Errorf("client %d: %v", i, r.header)
			}
			c.closed()
			c.Close()
		}
		if _, after := p.usage(); after-before != 10 {
			t.Errorf("round %d: %d turned away", round, after-before)
		}
		for _, c := range held {
			c.open()
		}
		for i := range held { // one place after the other comes free and is taken
			held[i].Close()
			held[i] = p.admitted()
		}
		for _, c := range held {
			c.open()
			c.Close()
		}
	}
	p.end()
}

// Clients that are turned away and stay take the place of the next for a moment
// only, and cost nothing.
func TestShortOfDescriptorsWithClientsThatStay(t *testing.T) {
	t.Parallel()
	p := startShort(t, "spare")
	held := p.fill()
	var staying []*client
	for range 12 {
		staying = append(staying, p.dial())
	}
	p.quiet(func(until time.Time) { held[0].silent(until) })
	for _, c := range staying {
		c.want(503, "")
		c.Close()
	}
	for _, c := range held {
		c.open()
		c.Close()
	}
	p.end()
}

// Without a spare descriptor clients wait until others leave.
func TestShortOfDescriptorsWithoutSpare(t *testing.T) {
	t.Parallel()
	p := startShort(t, "none")
	held := p.fill()
	waiting := []*client{p.dial(), p.dial()}
	for _, c := range waiting {
		c.send(request("/open"))
	}
	p.quiet(waiting[0].silent)
	for i, c := range waiting {
		held[i].open()
		held[i].Close()
		c.want(200, "GET /open ")
	}
	for _, c := range append(held[2:], waiting...) {
		c.open()
		c.Close()
	}
	if _, refused := p.usage(); refused != 0 {
		t.Errorf("%d turned away", refused)
	}
	p.end()
}
