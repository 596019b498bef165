package protocol

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test. It is never reached when all is well.
const patience = 20 * time.Second

var both = Versions{HTTP10: true, HTTP11: true}

func testLimits() Limits {
	return Limits{MaxBody: 1000, MaxHeader: 400, MaxURI: 100, MaxConnections: 1000, KeepBody: 16}
}

func testTimeouts() Timeouts {
	return Timeouts{Header: patience, Body: patience, Write: patience, Idle: patience, Drain: patience}
}

type handlerFunc func(x *Exchange) error

func (f handlerFunc) Serve(x *Exchange) error { return f(x) }

// outcome is what Done told of an exchange.
type outcome struct {
	method, target string
	status         int
	err            error
	sent, received int64
	kept           string
	begun          bool
}

// checker is an Observer that checks what the engine promises to one: states
// that follow from each other, each Begin with one Done, nothing left at the end.
type checker struct {
	mu           sync.Mutex
	idle, active int
	accepted     int
	refused      int
	begun        map[*Exchange]bool
	done         []outcome
	quick        bool // there may be exchanges without Begin
	wrong        []string
	changed      chan struct{} // closed and replaced at each call
}

func newChecker() *checker {
	return &checker{begun: map[*Exchange]bool{}, changed: make(chan struct{})}
}

func (k *checker) event() func() {
	k.mu.Lock()
	return func() {
		close(k.changed)
		k.changed = make(chan struct{})
		k.mu.Unlock()
	}
}

func (k *checker) complain(format string, args ...any) {
	k.wrong = append(k.wrong, fmt.Sprintf(format, args...))
}

func (k *checker) Conn(from, to ConnState, taken bool) {
	defer k.event()()
	switch {
	case from == to:
		k.complain("state %d to itself", from)
	case taken && from != ConnNone && to != ConnNone:
		k.complain("taken from %d to %d", from, to)
	case from == ConnNone && !taken:
		k.accepted++
		if to != ConnIdle {
			k.complain("accepted into state %d", to)
		}
	}
	gauge := [...]*int{ConnNone: new(int), ConnIdle: &k.idle, ConnActive: &k.active}
	*gauge[from]--
	*gauge[to]++
	if k.idle < 0 || k.active < 0 {
		k.complain("%d idle, %d active", k.idle, k.active)
	}
}

func (k *checker) Refused(reason string) {
	defer k.event()()
	k.refused++
	if reason != RefusedMaxConnections {
		k.complain("refused for %q", reason)
	}
}

func (k *checker) Begin(x *Exchange) {
	defer k.event()()
	if k.begun[x] || !x.Begun {
		k.complain("Begin twice, or without Begun")
	}
	k.begun[x] = true
}

func (k *checker) Done(x *Exchange) {
	defer k.event()()
	if k.begun[x] != x.Begun {
		k.complain("Done with Begun %t after %t", x.Begun, k.begun[x])
	}
	if _, ok := errors.AsType[*Error](x.Err); !x.Begun && !ok && !k.quick {
		k.complain("Done without Begin and without an *Error: %v", x.Err)
	}
	if x.Took < 0 || x.Start.IsZero() || x.Res.Status == 0 {
		k.complain("Done with took %v, start %v, status %d", x.Took, x.Start, x.Res.Status)
	}
	if x.HeadTook > x.Took || x.Handled > x.Took || x.FirstByte > x.Took || x.Sent > 0 && x.FirstByte == 0 || x.Handled > 0 && !x.Begun {
		k.complain("Done with head %v, handled %v, first byte %v, took %v", x.HeadTook, x.Handled, x.FirstByte, x.Took)
	}
	delete(k.begun, x)
	k.done = append(k.done, outcome{
		x.Req.Method, x.Req.Target, x.Res.Status, x.Err, x.Sent, x.Received, string(x.Kept), x.Begun,
	})
}

// until waits for what cond, called under mu, wants to see.
func (k *checker) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		k.mu.Lock()
		ok, changed := cond(), k.changed
		k.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			k.mu.Lock()
			defer k.mu.Unlock()
			t.Fatalf("waited in vain for %s: %d idle, %d active, %d begun, %d done", what, k.idle, k.active, len(k.begun), len(k.done))
		}
	}
}

// outcomes waits for n exchanges to be over and returns all there are.
func (k *checker) outcomes(t *testing.T, n int) []outcome {
	t.Helper()
	k.until(t, fmt.Sprintf("%d exchanges", n), func() bool { return len(k.done) >= n })
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]outcome(nil), k.done...)
}

// ended checks that all is over and nothing was wrong.
func (k *checker) ended(t testing.TB) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.wrong {
		t.Error("observer: " + w)
	}
	if k.idle != 0 || k.active != 0 || len(k.begun) != 0 {
		t.Errorf("observer at the end: %d idle, %d active, %d exchanges begun", k.idle, k.active, len(k.begun))
	}
}

// Connections is the number of open connections, without those being refused.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.table) - s.refusing
}

// site is a server under test.
type site struct {
	*Server
	t    testing.TB
	addr string
	obs  *checker
	stop context.CancelFunc // begins to drain
	done chan struct{}      // closed when Run has returned
}

func newService(h handlerFunc, change ...func(*Service)) *Service {
	svc := &Service{Handler: h, Observer: newChecker(), Limits: testLimits(), Timeouts: testTimeouts(), Versions: both}
	for _, f := range change {
		f(svc)
	}
	return svc
}

func serve(t testing.TB, h handlerFunc, change ...func(*Service)) *site {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	svc := newService(h, change...)
	ctx, stop := context.WithCancel(context.Background())
	s := &site{
		Server: NewServer(ln, svc, slog.New(slog.DiscardHandler)), t: t,
		addr: ln.Addr().String(), stop: stop, done: make(chan struct{}),
	}
	s.obs, _ = svc.Observer.(*checker) // a benchmark brings another
	go func() {
		defer close(s.done)
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() {
		stop()
		s.Close()
		s.ended()
		ln.Close()
		if n := s.Connections(); n != 0 {
			t.Errorf("%d connections in the table after Run", n)
		}
		if s.obs != nil {
			s.obs.ended(t)
		}
	})
	return s
}

// ended waits for Run to return.
func (s *site) ended() {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatal("Run does not return")
	}
}

// client is the other end: it reads answers with net/http, which shares no code
// with the engine.
type client struct {
	t testing.TB
	*net.TCPConn
	br *bufio.Reader
}

func (s *site) dial() *client {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &client{s.t, c.(*net.TCPConn), bufio.NewReader(c)}
}

func (c *client) send(raw string) {
	c.t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// reply is an answer as a client sees it.
type reply struct {
	status int
	header http.Header
	body   string
	length int64
	close  bool
	coding []string
	err    error // of reading the body
}

// head reads the head of an answer to a request with that method.
func (c *client) head(method string) *http.Response {
	c.t.Helper()
	res, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no answer to %s: %v", method, err)
	}
	return res
}

func (c *client) answer(method string) reply {
	c.t.Helper()
	res := c.head(method)
	r := reply{status: res.StatusCode, header: res.Header, length: res.ContentLength, close: res.Close, coding: res.TransferEncoding}
	if r.status >= 200 {
		b, err := io.ReadAll(res.Body)
		r.body, r.err = string(b), err
	}
	return r
}

// want reads the answer to a GET, whole, with that status and body.
func (c *client) want(status int, body string) reply {
	c.t.Helper()
	r := c.answer("GET")
	if r.status != status || r.err != nil || status < 400 && r.body != body {
		c.t.Fatalf("got %d %.80q (%v), want %d %.80q", r.status, r.body, r.err, status, body)
	}
	return r
}

// closed checks that the server closes the connection in an orderly way, with
// nothing more to read.
func (c *client) closed() {
	c.t.Helper()
	rest, err := io.ReadAll(c.br)
	if err != nil || len(rest) > 0 {
		c.t.Fatalf("connection ends with %.80q, %v; want nothing and EOF", rest, err)
	}
}

// open checks that the connection still serves.
func (c *client) open() {
	c.t.Helper()
	c.send("GET /open HTTP/1.1\r\nHost: a\r\n\r\n")
	c.want(200, "GET /open ")
}

// echo answers with the method, the path and the body of a request.
func echo(x *Exchange) error {
	body, err := io.ReadAll(x.Req.Body)
	if err != nil {
		return err
	}
	x.Res.Body = Bytes(fmt.Appendf(nil, "%s %s %s", x.Req.Method, x.Req.Path, body))
	return nil
}

// stream is an io.ReadCloser that counts its closes.
type stream struct {
	io.Reader
	mu     sync.Mutex
	closed int
	close  func() error
}

func (s *stream) Close() error {
	s.mu.Lock()
	s.closed++
	s.mu.Unlock()
	if s.close != nil {
		return s.close()
	}
	return nil
}

func (s *stream) closes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// pieces reads as the given pieces, one each time, and then as end.
func pieces(end error, list ...string) io.Reader {
	return readFunc(func(p []byte) (int, error) {
		if len(list) == 0 {
			return 0, end
		}
		n := copy(p, list[0])
		list[0] = list[0][n:]
		if list[0] == "" {
			list = list[1:]
		}
		return n, nil
	})
}

func crlf(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }
