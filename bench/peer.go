package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// peer is a server to be measured.
type peer struct {
	name    string
	binary  string // looked up in PATH and the usual folders for daemons
	install string // how to get it
	// command writes what configuration it needs into dir and returns the
	// command line that serves site at 127.0.0.1:port in the foreground, with
	// an access log in dir.
	command func(binary, dir, site string, port int) ([]string, error)
}

// server is a peer that runs.
type server struct {
	peer
	port int
	cmd  *exec.Cmd
}

func (s *server) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path) }

// find returns the binary's path, or "" when it is not installed.
func (p *peer) find() string {
	for _, name := range []string{p.binary, "/usr/sbin/" + p.binary, "/usr/local/sbin/" + p.binary} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// start starts p on a free port, on the CPU core given, and waits until it
// accepts connections. The caller stops it.
func (p *peer) start(dir, site string, core int) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, p.name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	args, err := p.command(p.find(), dir, site, port)
	if err != nil {
		return nil, err
	}
	said, err := os.Create(filepath.Join(dir, "output.log"))
	if err != nil {
		return nil, err
	}
	defer said.Close()
	cmd := exec.Command("taskset", append([]string{"-c", strconv.Itoa(core)}, args...)...)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{peer: *p, port: port, cmd: cmd}
	if err := s.await(); err != nil {
		s.stop()
		text, _ := os.ReadFile(said.Name())
		return nil, fmt.Errorf("%s: %w\n%s", p.name, err, text)
	}
	return s, nil
}

func (s *server) await() error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			return c.Close()
		}
	}
	return errors.New("does not accept connections")
}

func (s *server) stop() {
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		s.cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
	}
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-done
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}
