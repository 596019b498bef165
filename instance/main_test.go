package instance

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sited/metrics"
	"sited/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is an instance that a server serves, with what a test needs around it.
type site struct {
	*Instance
	t    *testing.T
	addr string
	dir  string // holds root, outside, and the logs
	root string
	reg  *metrics.Registry
	log  *syncBuffer // of the process
	spec Spec
}

// testSpec is a site that allows everything, in a folder of its own.
func testSpec(t testing.TB) (spec Spec, dir string) {
	t.Helper()
	dir = t.TempDir()
	spec = Defaults()
	spec.Name = "test"
	spec.Root = filepath.Join(dir, "root")
	spec.Methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT"}
	spec.Logs.Passed = filepath.Join(dir, "passed.log")
	spec.Logs.Failed = filepath.Join(dir, "failed.log")
	if err := os.Mkdir(spec.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	return spec, dir
}

// open serves a site until the test is over. change may alter its spec.
func open(t *testing.T, change func(*Spec)) *site {
	t.Helper()
	s := prepare(t, change)
	s.serve()
	return s
}

func prepare(t *testing.T, change func(*Spec)) *site {
	t.Helper()
	s := &site{t: t, log: &syncBuffer{}, reg: metrics.New("test")}
	s.spec, s.dir = testSpec(t)
	s.root = s.spec.Root
	if change != nil {
		change(&s.spec)
	}
	var err error
	s.Instance, err = New(s.spec, Shared{Metrics: s.reg, Files: NewBudget(DefaultBudget), Log: slog.New(slog.NewTextHandler(s.log, nil))})
	must(t, err)
	s.OpenLogs()
	return s
}

func (s *site) serve() {
	t := s.t
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	s.addr = ln.Addr().String()
	server := protocol.NewServer(ln, s.Service(), slog.New(slog.NewTextHandler(s.log, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			t.Errorf("Run: %v", err)
		}
		ln.Close()
		closing, done := context.WithTimeout(context.Background(), 20*time.Second)
		defer done()
		if err := s.Close(closing); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// withScripts has .sh run by the shell, .cgi by itself.
func withScripts(spec *Spec) {
	spec.Scripts = []Script{
		{Ext: ".sh", Command: []string{"/bin/sh"}, Timeout: 20 * time.Second},
		{Ext: ".cgi", Timeout: 20 * time.Second},
	}
	spec.Index = []string{"index.sh", "index.html"}
}

// protecting guards what the blocks say with a file of two users, alice ("a") and
// bob ("b").
func protecting(t testing.TB, blocks ...Protect) func(*Spec) {
	return func(spec *Spec) {
		spec.Protect = blocks
		spec.Passwords = filepath.Join(filepath.Dir(spec.Root), "users.htpasswd")
		must(t, os.WriteFile(spec.Passwords, []byte(users), 0o600))
	}
}

// users are "alice:a" and "bob:b", at the least cost.
const users = "alice:$2a$04$yrlr5R8MvCSNsaelqC3ys.YW1SeOs/5IaSA3R4hSZ3mSeZpAIlc.G\n" +
	"bob:$2a$04$P3Tg1kBqjuuemP5b2DBpxefksiuMK/5xpDz/PDzxItA6b9qaYesiK\n"

// file writes a file below the root, with the folders it needs.
func (s *site) file(name, content string) {
	s.t.Helper()
	writeFile(s.t, filepath.Join(s.root, name), content)
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o755))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// answer is what the client got.
type answer struct {
	status int
	header http.Header
	body   string
	length int64 // Content-Length; -1 when there is none
	err    error // the body was not complete
}

func (s *site) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	must(s.t, err)
	c.SetDeadline(time.Now().Add(20 * time.Second)) // a broken test fails instead of hanging
	return c
}

// raw sends a request as it stands and reads one answer.
func (s *site) raw(request string) answer {
	s.t.Helper()
	c := s.dial()
	defer c.Close()
	go io.WriteString(c, request)
	method, _, _ := strings.Cut(request, " ")
	return readAnswer(s.t, bufio.NewReader(c), method)
}

func readAnswer(t testing.TB, r *bufio.Reader, method string) answer {
	t.Helper()
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	if method == "CONNECT" && res.StatusCode == 200 {
		return answer{status: 200, header: res.Header} // what follows is the tunnel's
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b), res.ContentLength, err}
}

// do sends a request with the body as it is, on a connection of its own. fields
// are whole lines.
func (s *site) do(method, target, body string, fields ...string) answer {
	s.t.Helper()
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n", method, target)
	for _, f := range fields {
		head += f + "\r\n"
	}
	if body != "" || method == "PUT" || method == "POST" {
		head += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return s.raw(head + "\r\n" + body)
}

func (s *site) get(target string, fields ...string) answer {
	s.t.Helper()
	return s.do("GET", target, "", fields...)
}

// want checks the status, and the body where it is that of a success.
func (a answer) want(t testing.TB, what string, status int, body string) {
	t.Helper()
	switch {
	case a.status != status:
		t.Errorf("%s: status %d, want %d (%q)", what, a.status, status, a.body)
	case a.err != nil:
		t.Errorf("%s: body: %v", what, a.err)
	case status < 300 && a.body != body:
		t.Errorf("%s: body %q, want %q", what, a.body, body)
	}
}

func (a answer) wantField(t testing.TB, what, name, want string) {
	t.Helper()
	if got := a.header.Get(name); got != want {
		t.Errorf("%s: %s is %q, want %q", what, name, got, want)
	}
}

// logged is what is in both logs, flushed.
func (s *site) logged() (passed, failed string) {
	s.t.Helper()
	for _, f := range s.Instance.log.files() {
		f.flush()
	}
	return readLog(s.t, s.spec.Logs.Passed), readLog(s.t, s.spec.Logs.Failed)
}

// metric is the value of a series.
func (s *site) metric(name string, labels ...string) float64 {
	s.t.Helper()
	families, err := s.reg.Gatherer().Gather()
	must(s.t, err)
	for _, family := range families {
		if family.GetName() != "sited_"+name {
			continue
		}
	series:
		for _, m := range family.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(labels); i += 2 {
				if have[labels[i]] != labels[i+1] {
					continue series
				}
			}
			switch {
			case m.Counter != nil:
				return m.GetCounter().GetValue()
			case m.Gauge != nil:
				return m.GetGauge().GetValue()
			}
			return float64(m.GetHistogram().GetSampleCount())
		}
	}
	s.t.Errorf("no series %s%q", name, labels)
	return -1
}

func (s *site) wantMetric(want float64, name string, labels ...string) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s%q is %v", name, labels, want), func() bool {
		return s.metric(name, labels...) == want
	})
}

// leftovers are the names in the root's folders of uploads under way.
func (s *site) leftovers() (names []string) {
	s.t.Helper()
	must(s.t, filepath.WalkDir(s.root, func(path string, d os.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(path), tempPrefix) {
			names = append(names, path)
		}
		return err
	}))
	return names
}

// descriptors is how many descriptors the process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(names)
}

func newRegistry() *metrics.Registry { return metrics.New("test") }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
