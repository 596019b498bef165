package protocol

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// record is what a server logs.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// failingSite serves from a listener whose accept fails as fail says; nil lets it
// go on.
func failingSite(t *testing.T, spare *Spare, fail func(attempt int64) error) (s *site, log *record) {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	log = &record{}
	svc := newService(echo)
	svc.Observer = &reasons{checker: newChecker(), by: map[string]int{}}
	ctx, stop := context.WithCancel(context.Background())
	s = &site{
		Server: NewServer(ln, svc, slog.New(slog.NewTextHandler(log, nil))), t: t,
		addr: ln.Addr().String(), stop: stop, done: make(chan struct{}),
		obs: svc.Observer.(*reasons).checker,
	}
	if spare != nil {
		s.UseSpare(spare)
	}
	var attempts atomic.Int64
	s.acceptTCP = func() (*net.TCPConn, error) {
		if err := fail(attempts.Add(1)); err != nil {
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: ln.Addr(), Err: os.NewSyscallError("accept4", err)}
		}
		return ln.AcceptTCP()
	}
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
		s.obs.ended(t)
	})
	return s, log
}

// Whatever accept fails with, the listener lives: attempts are spaced out, one
// line is logged, and clients are served as soon as it goes again.
func TestAcceptErrors(t *testing.T) {
	const times = 5
	for _, errno := range []unix.Errno{unix.ENOBUFS, unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.ECONNABORTED, unix.EPROTO, unix.EPERM} {
		t.Run(unix.ErrnoName(errno), func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			s, log := failingSite(t, nil, func(attempt int64) error {
				if attempt <= times {
					return errno
				}
				return nil
			})
			s.dial().open()
			if took := time.Since(began); took < (5+10+20+40+80)*time.Millisecond {
				t.Errorf("%d attempts in %v", times, took)
			}
			said := log.String()
			if strings.Count(said, "level=") != 1 || !strings.Contains(said, errno.Error()) || !strings.Contains(said, s.addr) {
				t.Errorf("logged: %s", said)
			}
			if short := errno == unix.EMFILE || errno == unix.ENFILE; strings.Contains(said, "ulimit -n") != short {
				t.Errorf("logged: %s", said)
			}
		})
	}
}

// A listener that waits for a descriptor is woken by each connection that ends, of
// any server that shares the spare one. Without that it would try once a second.
func TestAcceptWakes(t *testing.T) {
	t.Parallel()
	const connections = int(patience/time.Second) + 10
	spare := &Spare{} // none: waiting is all there is
	other, _ := failingSite(t, spare, func(int64) error { return nil })
	var short atomic.Bool
	var attempts atomic.Int64
	s, _ := failingSite(t, spare, func(int64) error {
		attempts.Add(1)
		if short.Load() {
			return unix.EMFILE
		}
		return nil
	})
	var held []*client
	for range connections {
		c := other.dial()
		c.open()
		held = append(held, c)
	}
	short.Store(true)
	s.dial().open() // accept was on its way
	eventually(t, "the pause is long", func() bool { return attempts.Load() > 9 })
	began := time.Now()
	for _, c := range held {
		before := attempts.Load()
		c.Close()
		eventually(t, "accept is tried again", func() bool { return attempts.Load() > before })
	}
	if took := time.Since(began); took > patience {
		t.Errorf("%d connections ended and accept was tried again in %v", connections, took)
	}
	short.Store(false)
	s.dial().open()
}

// The spare descriptor is given up at once, and regained with the next connection.
func TestSpareIsRegained(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EMFILE, unix.ENFILE} {
		spare, err := NewSpare()
		if err != nil {
			t.Fatal(err)
		}
		began := make(chan bool, 1)
		s, log := failingSite(t, spare, func(attempt int64) error {
			if attempt == 1 {
				return errno
			}
			if attempt == 2 {
				began <- spare.out.Load()
			}
			return nil
		})
		if !<-began {
			t.Error("the spare descriptor is kept while there is none")
		}
		s.dial().open()
		if spare.out.Load() || !spare.held {
			t.Error("the spare descriptor was not regained")
		}
		if strings.Count(log.String(), "level=") != 1 {
			t.Errorf("logged: %s", log)
		}
		spare.Close()
		spare.Close()
		if spare.giveUp() || !spare.regain() {
			t.Error("a closed one comes back")
		}
		s.dial().open()
	}
}

// A server that is out of descriptors ends as soon as any other.
func TestDrainWithoutDescriptors(t *testing.T) {
	t.Parallel()
	for _, queue := range []bool{false, true} {
		var attempts atomic.Int64
		s, _ := failingSite(t, nil, func(attempt int64) error {
			attempts.Store(attempt)
			return unix.EMFILE
		})
		eventually(t, "the pause is long", func() bool { return attempts.Load() > 7 })
		if queue {
			s.dial()
		}
		began := time.Now()
		s.stop()
		s.ended()
		if took := time.Since(began); took > patience/2 {
			t.Errorf("took %v", took)
		}
	}
}

// What is in the queue when a server drains waits for a descriptor, too.
func TestDrainServesQueueWithoutDescriptors(t *testing.T) {
	var attempts, draining atomic.Int64
	var s *site
	ready := make(chan struct{})
	made, _ := failingSite(t, nil, func(attempt int64) error {
		<-ready
		attempts.Store(attempt)
		if !s.draining.Load() || draining.Add(1) <= 3 {
			return unix.EMFILE
		}
		return nil
	})
	s = made
	close(ready)
	eventually(t, "accept fails", func() bool { return attempts.Load() > 3 })
	c := s.dial()
	c.send(request("/queued"))
	s.stop()
	if r := c.want(200, "GET /queued "); !r.close {
		t.Error("the connection stays open")
	}
	c.Close()
	s.ended()
}

// What can be done without takes no descriptor while there are none to spare.
func TestNoParkingWithoutDescriptors(t *testing.T) {
	open := func(s *site) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.openParking()
	}
	spare, err := NewSpare()
	if err != nil {
		t.Fatal(err)
	}
	defer spare.Close()
	s, _ := failingSite(t, spare, func(int64) error { return nil })
	if !spare.giveUp() || open(s) {
		t.Error("the spare descriptor that was given up is taken")
	}
	if !spare.regain() {
		t.Fatal("no descriptors")
	}
	freed := spare.watch()
	if open(s) {
		t.Error("a descriptor is taken that a server waits for")
	}
	spare.released()
	<-freed
	if !open(s) {
		t.Error("no descriptor is taken although there are some")
	}
}
