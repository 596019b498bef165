package protocol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestStress: many connections do mixed requests while services are swapped and
// retired under them; then all is drained. Every answer is checked, and every
// service's Observer.
func TestStress(t *testing.T) {
	t.Run("plain", func(t *testing.T) { stress(t, func(*Service) {}) })
	t.Run("quick", func(t *testing.T) { stress(t, quick) })
}

func stress(t *testing.T, change func(*Service)) {
	const clients, requests = 200, 30
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, pattern(200_000), 0o600); err != nil {
		t.Fatal(err)
	}
	handler := func(x *Exchange) error {
		switch x.Req.Path {
		case "/file":
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			x.Res.Body = File(f, 100, 150_000)
			x.Res.Body.Resident = x.ID%2 == 0
			return nil
		}
		if x.Req.Method == MethodConnect {
			x.Res.Body = Tunnel(tunnelEcho, nil)
			return nil
		}
		return wireHandler(x)
	}
	s := serve(t, handler, change)
	descriptors := countDescriptors(t)
	var services []*Service
	var left sync.Map // clients that stay
	stop := make(chan struct{})
	var swapper, crowd sync.WaitGroup
	swapper.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
			}
			svc := newService(handler, change)
			services = append(services, svc)
			old := s.Swap(svc)
			swapper.Go(func() {
				if err := s.Retire(context.Background(), old); err != nil {
					t.Errorf("Retire: %v", err)
				}
			})
		}
	})
	for i := range clients {
		crowd.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			c := s.dial()
			for range requests {
				if !mixed(c, rnd) {
					c.Close()
					c = s.dial()
				}
			}
			if i%2 == 0 { // the others are left open for the drain
				c.Close()
			} else {
				left.Store(c, nil)
			}
		})
	}
	crowd.Wait()
	close(stop)
	swapper.Wait()
	s.stop()
	s.ended()
	left.Range(func(c, _ any) bool {
		c.(*client).Close()
		return true
	})
	eventually(t, "all descriptors are closed, the listener's as well", func() bool { return countDescriptors(t) < descriptors })
	total := len(s.obs.done)
	for _, svc := range services {
		k := svc.Observer.(*checker)
		k.ended(t)
		total += len(k.done)
	}
	if total != clients*requests {
		t.Errorf("%d exchanges were reported, want %d", total, clients*requests)
	}
	if len(services) == 0 {
		t.Error("no service was swapped in")
	}
}

// countDescriptors counts what is open but pipes: io.Copy between two sockets
// keeps some of these to use again.
func countDescriptors(t *testing.T) (n int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(to, "pipe:") {
			n++
		}
	}
	return n
}

// TestCutOffs: services are retired with no time left while requests begin and
// end. Each Retire returns, whatever a connection is just about to do.
func TestCutOffs(t *testing.T) {
	deaf := func(x *Exchange) error { // to Ctx: only closing the connection ends it
		_, err := io.ReadAll(x.Req.Body)
		return err
	}
	s := serve(t, deaf)
	s.answerTime = 0
	services := []*Service{s.current.Load()}
	stop := make(chan struct{})
	var crowd sync.WaitGroup
	for range 20 {
		crowd.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c := s.dial()
				c.send(post("half", "Content-Length: 8"))
				io.Copy(io.Discard, c)
				c.Close()
			}
		})
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	gone := make(chan struct{})
	for i := 0; ; i++ {
		if i == 300 {
			close(stop)
			go func() { crowd.Wait(); close(gone) }()
		}
		svc := newService(deaf)
		services = append(services, svc)
		old := s.Swap(svc)
		if err := s.Retire(ended, old); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if n := old.refs.Load(); n != retired {
			t.Fatalf("%d exchanges use a service after Retire", n-retired)
		}
		if i < 300 {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		select { // those that were late are cut off, too
		case <-gone:
		case <-time.After(time.Millisecond):
			continue
		}
		break
	}
	s.stop()
	s.ended()
	for _, svc := range services {
		svc.Observer.(*checker).ended(t)
	}
}

// mixed does one exchange, checks it, and reports whether the connection goes on.
func mixed(c *client, rnd *rand.Rand) bool {
	fail := func(what string, r reply) {
		c.t.Errorf("%s: %d, %d bytes, %v", what, r.status, len(r.body), r.err)
	}
	switch rnd.IntN(8) {
	case 0:
		c.send(request("/file"))
		if r := c.answer("GET"); len(r.body) != 150_000 || r.err != nil {
			fail("file", r)
		}
	case 1:
		body := strings.Repeat("x", rnd.IntN(1000))
		c.send(post(body, fmt.Sprint("Content-Length: ", len(body))))
		if r := c.answer("POST"); r.body != "POST /p "+body {
			fail("post", r)
		}
	case 2:
		c.send(chunkedPost("3\r\nab"))
		time.Sleep(time.Duration(rnd.IntN(1000)) * time.Microsecond)
		c.send("c\r\n0\r\n\r\n")
		if r := c.answer("POST"); r.body != "POST /p abc" {
			fail("chunked", r)
		}
	case 3:
		c.send(request("/stream"))
		if r := c.answer("GET"); r.body != "one two three" || r.err != nil {
			fail("stream", r)
		}
	case 4:
		c.send(request("/panic"))
		if r := c.answer("GET"); r.status != 500 {
			fail("panic", r)
		}
	case 5:
		c.send("GET / HTTP/3.7\r\n\r\n")
		if r := c.answer("GET"); r.status != 505 {
			fail("version", r)
		}
		return false
	case 6:
		c.send(crlf("CONNECT a:1 HTTP/1.1", "Host: a:1") + "early")
		c.head("CONNECT")
		c.CloseWrite()
		if b, err := io.ReadAll(c.br); string(b) != "early" || err != nil {
			c.t.Errorf("tunnel: %q, %v", b, err)
		}
		return false
	default:
		c.send(request("/unread", "Connection: close", "Content-Length: 5") + "hello")
		if r := c.answer("GET"); r.body != "unread" || !r.close {
			fail("close", r)
		}
		return false
	}
	return true
}
