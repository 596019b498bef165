package protocol

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// reasons is a checker that counts why connections are turned away.
type reasons struct {
	*checker
	mu sync.Mutex
	by map[string]int
}

func (r *reasons) Refused(reason string) {
	r.mu.Lock()
	r.by[reason]++
	r.mu.Unlock()
	r.checker.Refused(RefusedMaxConnections) // the one that checker knows
}

func (r *reasons) want(t *testing.T, want map[string]int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !maps.Equal(r.by, want) {
		t.Errorf("turned away: %v, want %v", r.by, want)
	}
}

// serveCounted is serve with a count of the reasons.
func serveCounted(t *testing.T, h handlerFunc, change ...func(*Service)) (*site, *reasons) {
	t.Helper()
	r := &reasons{checker: newChecker(), by: map[string]int{}}
	s := serve(t, h, append(change, func(v *Service) { v.Observer = r })...)
	s.obs = r.checker
	return s, r
}

// dialFrom is dial with that address of this machine, which need not be configured
// for any interface: all of 127.0.0.0/8 is.
func (s *site) dialFrom(ip string) *client {
	s.t.Helper()
	c, err := dialFrom(ip, s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return &client{s.t, c, bufio.NewReader(c)}
}

func dialFrom(ip, addr string) (*net.TCPConn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), c.SetDeadline(time.Now().Add(patience))
}

// statusOf asks for /open and returns the answer's status.
func statusOf(c net.Conn) (int, error) {
	if _, err := io.WriteString(c, request("/open")); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// eventually waits for what no event tells of.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// noClients checks that nothing is kept of clients that have gone.
func (s *site) noClients() {
	s.t.Helper()
	eventually(s.t, "no client is in the table", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.clients) == 0 && len(s.table) == 0
	})
}

func TestMaxClientConnections(t *testing.T) {
	s, counted := serveCounted(t, echo, func(v *Service) { v.Limits.MaxClientConnections = 2 })
	a, b := s.dialFrom("127.0.0.1"), s.dialFrom("127.0.0.1")
	a.open()
	b.open()
	c := s.dialFrom("127.0.0.1")
	if r := c.want(503, ""); r.header.Get("Retry-After") != "1" || !r.close {
		t.Errorf("%v", r.header)
	}
	c.closed()
	for range 2 {
		s.dialFrom("127.0.0.2").open()
	}
	s.dialFrom("127.0.0.2").want(503, "")
	a.open()
	b.open()
	counted.want(t, map[string]int{RefusedMaxClientConnections: 2})
	refusal := ""
	for _, o := range s.obs.outcomes(t, 8) {
		if o.status == 503 && !o.begun {
			refusal = o.err.Error()
		}
	}
	if !strings.Contains(refusal, "limits.max_client_connections") {
		t.Errorf("the log says %q", refusal)
	}
	a.Close()
	s.obs.until(t, "the end of one", func() bool { return s.obs.idle == 3 })
	eventually(t, "a place is free", func() bool { return s.Connections() == 3 })
	s.dialFrom("127.0.0.1").open()
	s.Close()
	s.ended()
	s.noClients()
}

// Many clients connect at the same time, each more often than it may: each gets
// as many connections as it may have, whatever the others do.
func TestMaxClientConnectionsConcurrently(t *testing.T) {
	const clients, each, most = 6, 9, 3
	s, counted := serveCounted(t, echo, func(v *Service) { v.Limits.MaxClientConnections = most })
	for range 3 {
		var all sync.WaitGroup
		var mu sync.Mutex
		served, refused := map[string]int{}, map[string]int{}
		var held []net.Conn
		for i := range clients * each {
			ip := net.IPv4(127, 0, 0, byte(1+i%clients)).String()
			all.Go(func() {
				c, err := dialFrom(ip, s.addr)
				if err != nil {
					t.Error(err)
					return
				}
				status, err := statusOf(c)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				held = append(held, c)
				switch status {
				case 200:
					served[ip]++
				case 503:
					refused[ip]++
				default:
					t.Errorf("status %d", status)
				}
			})
		}
		all.Wait()
		for i := range clients {
			ip := net.IPv4(127, 0, 0, byte(1+i)).String()
			if served[ip] != most || refused[ip] != each-most {
				t.Errorf("%s: %d served, %d refused", ip, served[ip], refused[ip])
			}
		}
		for _, c := range held {
			c.Close()
		}
		s.noClients()
	}
	counted.want(t, map[string]int{RefusedMaxClientConnections: 3 * clients * (each - most)})
	if s.obs.accepted != 3*clients*each {
		t.Errorf("%d accepted", s.obs.accepted)
	}
}

// A new service counts what came under the old one, and cuts nothing.
func TestLowerLimitsCutNothing(t *testing.T) {
	s, before := serveCounted(t, echo)
	a, b := s.dial(), s.dial()
	a.open()
	b.open()
	after := &reasons{checker: newChecker(), by: map[string]int{}}
	s.Swap(newService(echo, func(v *Service) { v.Limits.MaxClientConnections = 1; v.Observer = after }))
	a.open()
	b.open()
	s.dial().want(503, "")
	s.dialFrom("127.0.0.2").open()
	a.open()
	b.open()
	s.Swap(newService(echo, func(v *Service) { v.Limits.MaxConnections = 1; v.Observer = after }))
	s.dialFrom("127.0.0.3").want(503, "")
	a.open()
	b.open()
	before.want(t, map[string]int{})
	after.want(t, map[string]int{RefusedMaxClientConnections: 1, RefusedMaxConnections: 1})
	s.Close()
	s.ended()
	after.ended(t)
}

// More connections of one client are turned away than are answered at a time:
// others are served meanwhile.
func TestManyRefusedOfOneClient(t *testing.T) {
	s, counted := serveCounted(t, echo, func(v *Service) { v.Limits.MaxClientConnections = 1 })
	s.dialFrom("127.0.0.1").open()
	for range maxRefusing + 10 { // they don't hang up
		s.dialFrom("127.0.0.1")
	}
	s.obs.until(t, "refusals", func() bool { return s.obs.refused == maxRefusing+10 })
	s.dialFrom("127.0.0.2").open()
	counted.want(t, map[string]int{RefusedMaxClientConnections: maxRefusing + 10})
	s.Close()
	s.ended()
	s.noClients()
}

func TestRefusedReasons(t *testing.T) {
	for _, reason := range RefusedReasons() {
		e := refused(reason)
		if e.Status != 503 || e.Header.Get("Retry-After") != "1" || e.Error() == reason || e.Error() == "" {
			t.Errorf("%s: %+v", reason, e)
		}
	}
}
