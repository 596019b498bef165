package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// server is a sited process.
type server struct {
	cmd    *exec.Cmd
	dir    string
	admin  string // host:port
	files  site
	upload site
	ask    *http.Client
	ended  chan struct{} // closed when the process has ended
}

// build builds sited from this tree.
func build(ctx context.Context, dir string, flags ...string) (string, error) {
	binary := filepath.Join(dir, "sited")
	args := append(append([]string{"build", "-buildvcs=false", "-o", binary}, flags...), "sited/cmd/sited")
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// startServer starts binary on a configuration in dir and waits until both sites
// serve. Ports are taken anew when somebody else was quicker. The caller stops it.
func startServer(ctx context.Context, binary, dir string) (*server, error) {
	for _, sub := range []string{"files", "upload", "incoming"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	var failed error
	for range 3 {
		s, err := tryServer(ctx, binary, dir)
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		failed = err
	}
	return nil, failed
}

func tryServer(ctx context.Context, binary, dir string) (*server, error) {
	addrs, err := freeAddrs(3)
	if err != nil {
		return nil, err
	}
	s := &server{
		dir: dir, admin: addrs[0], ended: make(chan struct{}),
		files:  site{addrs[1], filepath.Join(dir, "files")},
		upload: site{addrs[2], filepath.Join(dir, "upload")},
		ask:    &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConns: 1}},
	}
	if err := s.configure(ctx, binary); err != nil {
		return nil, err
	}
	said, err := os.Create(s.path("output.log"))
	if err != nil {
		return nil, err
	}
	defer said.Close()
	s.cmd = exec.Command(binary, "run", "--watch=false", s.path("sites.hcl"))
	s.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	s.cmd.Stdout, s.cmd.Stderr = said, said
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.cmd.Wait() // the status is looked at in stop
		close(s.ended)
	}()
	if err := s.await(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

// configure writes sites.hcl. The site of files has a small cache, so that files
// are put out of it as well, where this sited knows how to bound one.
func (s *server) configure(ctx context.Context, binary string) error {
	var said []byte
	for _, cache := range []string{"cache = \"1MiB\"", ""} {
		if err := os.WriteFile(s.path("sites.hcl"), s.configuration(cache), 0o644); err != nil {
			return err
		}
		var err error
		said, err = exec.CommandContext(ctx, binary, "validate", s.path("sites.hcl")).CombinedOutput()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("sited refuses the configuration:\n%s", said)
}

func (s *server) configuration(cache string) []byte {
	var b bytes.Buffer
	listen := func(addr string) {
		host, port, _ := net.SplitHostPort(addr) // made by freeAddrs
		fmt.Fprintf(&b, "  ip = %q\n  port = %s\n", host, port)
	}
	b.WriteString("admin {\n")
	listen(s.admin)
	b.WriteString("}\nsite \"files\" {\n")
	listen(s.files.addr)
	fmt.Fprintf(&b, "  root = %q\n  index = [\"index.html\", \"index.htm\"]\n  limits {\n    %s\n  }\n}\n", s.files.root, cache)
	b.WriteString("site \"upload\" {\n")
	listen(s.upload.addr)
	fmt.Fprintf(&b, "  root = %q\n  methods = [\"GET\", \"HEAD\", \"PUT\", \"DELETE\"]\n  limits {\n    max_body = \"4MiB\"\n  }\n}\n", s.upload.root)
	return b.Bytes()
}

// freeAddrs are addresses that were free a moment ago: on a loopback address from
// which no client connects.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close() // when all were taken, so that no two are the same
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs, nil
}

// await waits until all sites serve.
func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		if _, err := s.get("/readyz"); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("sited does not serve: %w\n%s", ctx.Err(), s.output())
		case <-s.ended:
			return fmt.Errorf("sited has ended\n%s", s.output())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// get asks the admin endpoint.
func (s *server) get(path string) (string, error) {
	res, err := s.ask.Get("http://" + s.admin + path)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != 200 {
		err = fmt.Errorf("%s: %s", path, res.Status)
	}
	return string(b), err
}

// output is the end of what the process has said.
func (s *server) output() string {
	b, err := os.ReadFile(s.path("output.log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-16<<10):])
}

// rotate does to the logs of passed requests what logrotate does.
func (s *server) rotate() error {
	for _, name := range []string{"files", "upload"} {
		log := s.path("logs/" + name + "/passed.log")
		if err := os.Rename(log, log+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return s.cmd.Process.Signal(syscall.SIGUSR1)
}

// stop ends the process as a service manager does, and says what was wrong with
// its end or its output.
func (s *server) stop() error {
	s.ask.CloseIdleConnections()
	var wrong []error
	select {
	case <-s.ended:
		wrong = append(wrong, errors.New("sited ended before it was told to"))
	default:
		wrong = append(wrong, s.cmd.Process.Signal(syscall.SIGTERM))
	}
	select {
	case <-s.ended:
	case <-time.After(40 * time.Second): // longer than the time to drain
		wrong = append(wrong, errors.New("sited did not end"), s.cmd.Process.Kill())
		<-s.ended
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		wrong = append(wrong, fmt.Errorf("exit status %d", code))
	}
	for _, sign := range []string{"DATA RACE", "panic", "fatal error"} {
		if strings.Contains(s.output(), sign) {
			wrong = append(wrong, fmt.Errorf("%q in what sited said", sign))
		}
	}
	err := errors.Join(wrong...)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, s.output())
	}
	return err
}
