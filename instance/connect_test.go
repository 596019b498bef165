package instance

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// echo is a server on loopback that sends back what it gets, in upper case, until
// the test is over.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(20 * time.Second))
			b, _ := io.ReadAll(c)
			io.WriteString(c, strings.ToUpper(string(b)))
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-over })
	return l.Addr().String()
}

func TestConnect(t *testing.T) {
	target := echo(t)
	s := open(t, func(spec *Spec) { spec.Connect = []string{target} })
	c := s.dial()
	defer c.Close()
	mustWrite(t, c, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\nearly, ")
	r := bufio.NewReader(c)
	readAnswer(t, r, "CONNECT").want(t, "CONNECT", 200, "")
	eventually(t, "the tunnel is counted", func() bool { return s.Stats().Tunnels == 1 && s.metric("tunnels", "site", "test") == 1 })
	mustWrite(t, c, "late")
	must(t, c.(*net.TCPConn).CloseWrite())
	if b, err := io.ReadAll(r); err != nil || string(b) != "EARLY, LATE" {
		t.Errorf("through the tunnel: %q, %v", b, err)
	}
	s.wantMetric(11, "tunnel_bytes_total", "direction", "to_target")
	s.wantMetric(11, "tunnel_bytes_total", "direction", "to_client")
	s.wantMetric(0, "tunnels", "site", "test")
	s.wantMetric(1, "http_requests_total", "method", "CONNECT", "code", "200")
	s.wantMetric(11, "http_response_bytes_total", "site", "test")
	if n := s.Stats(); n.Tunnels != 0 {
		t.Errorf("%d tunnels are counted still", n.Tunnels)
	}
	if passed, _ := s.logged(); !strings.Contains(passed, `"method":"CONNECT","target":"`+target+`"`) {
		t.Errorf("not logged: %s", passed)
	}
}

func TestConnectRefused(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	closed.Close()
	s := open(t, func(spec *Spec) {
		protecting(t, Protect{Glob: "/**", Methods: []string{"CONNECT"}})(spec)
		spec.Connect = []string{closed.Addr().String(), "*:443", "localhost:80"}
	})
	alice := "Proxy-Authorization: " + basic("alice", "a")
	connect := func(target, field string) answer { return s.do("CONNECT", target, "", field) }
	a := connect(closed.Addr().String(), "X: y")
	a.want(t, "without credentials", 401, "")
	a.wantField(t, "without credentials", "WWW-Authenticate", `Basic realm="test", charset="UTF-8"`)
	connect(closed.Addr().String(), alice).want(t, "nobody listens", 502, "")
	connect("192.0.2.1:22", alice).want(t, "not in the list", 403, "")
	connect("127.0.0.1:443", alice).want(t, "special-purpose", 403, "")
	connect("localhost:80", alice).want(t, "a name that is special-purpose", 403, "")
	connect("localhost:81", alice).want(t, "name not in the list", 403, "")
	for _, target := range []string{"localhost", "/", "http://localhost:80/", "localhost:0", "localhost:99999", "user@localhost:80"} {
		if a := connect(target, alice); a.status != 400 {
			t.Errorf("CONNECT %s: %d, want 400", target, a.status)
		}
	}
	s.wantMetric(2, "tunnel_refused_total", "reason", "not_allowed")
	s.wantMetric(2, "tunnel_refused_total", "reason", "special_purpose")
	s.wantMetric(0, "auth_failures_total", "site", "test")
	s.wantMetric(0, "tunnels", "site", "test")

	none := open(t, nil)
	none.do("CONNECT", "127.0.0.1:80", "").want(t, "no connect block", 403, "")
}
