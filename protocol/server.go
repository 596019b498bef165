package protocol

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Service is what a Server serves: one generation of one site, as far as the
// wire is concerned. Fill in the exported fields, pass it to one Server, and
// don't change it any more.
type Service struct {
	Handler  Handler
	Observer Observer
	Limits   Limits
	Timeouts Timeouts
	Versions Versions

	// ErrorResponse, unless it is nil, may change the answer to a request that
	// failed: x.Res is the engine's small page for x.Err. It is called before
	// anything was sent, for requests that no Handler has seen as well, and must
	// not read the request's body.
	ErrorResponse func(x *Exchange)

	quick  QuickHandler    // Handler, if it is one
	ctx    context.Context // Exchange.Ctx of its exchanges
	cancel context.CancelFunc
	refs   atomic.Int64  // exchanges that use it; less retired once it is retired
	unused chan struct{} // made by Retire; closed when refs has come down after it
	once   sync.Once
}

// Versions are the versions of HTTP that are served.
type Versions struct{ HTTP10, HTTP11 bool }

const retired = -1 << 62

// acquire counts one more exchange, unless the service was retired.
func (v *Service) acquire() bool {
	if v.refs.Add(1) > 0 {
		return true
	}
	v.release()
	return false
}

func (v *Service) release() {
	if v.refs.Add(-1) == retired {
		v.once.Do(func() { close(v.unused) })
	}
}

// Server serves one listening socket. Its Service can be swapped at any time.
type Server struct {
	ln      *net.TCPListener
	log     *slog.Logger
	current atomic.Pointer[Service]
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc

	answerTime time.Duration // that an exchange has whose Ctx was cancelled

	draining  atomic.Bool
	drainOnce sync.Once
	lastCall  time.Time // when a draining server ends connections that wait for a request; set before draining
	conns     sync.WaitGroup
	date      dateClock
	acceptTCP func() (*net.TCPConn, error) // ln's
	spare     *Spare
	inFlight  atomic.Int64 // requests, of all services

	mu       sync.Mutex
	services []*Service         // that are current or not yet retired
	table    map[*conn]struct{} // all that have a goroutine, or are parked
	refusing int                // of these: being turned away with an answer
	clients  clientTable        // of the others
	parking  parking
}

// NewServer returns a server for ln that begins with svc. What it says in log names
// the address. ln belongs to Run from its call on.
func NewServer(ln *net.TCPListener, svc *Service, log *slog.Logger) *Server {
	s := &Server{
		ln: ln, log: log, acceptTCP: ln.AcceptTCP, answerTime: 500 * time.Millisecond,
		spare: &Spare{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.current.Store(s.adopt(svc))
	return s
}

// UseSpare has the server share spare with others of the process: see there what
// happens when the process runs out of file descriptors. It is to be called
// before Run.
func (s *Server) UseSpare(spare *Spare) { s.spare = spare }

// adopt makes svc ready to be served. Its context ends with Close.
func (s *Server) adopt(svc *Service) *Service {
	svc.ctx, svc.cancel = context.WithCancel(context.Background()) // of s.ctx it would take three times the memory
	svc.quick, _ = svc.Handler.(QuickHandler)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services = append(s.services, svc)
	if s.ctx.Err() != nil {
		svc.cancel()
	}
	return svc
}

// disown ends the context of a service that nothing uses any more.
func (s *Server) disown(svc *Service) {
	svc.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services = slices.DeleteFunc(s.services, func(other *Service) bool { return other == svc })
}

// Run accepts and serves connections until ctx ends, Drain is called, or the
// listener is closed. It then takes what is in the listener's queue and closes the
// listener, closes idle connections, and waits for the exchanges in flight: at most
// for the drain time of the current service. It returns nil, and only when all that
// it started has ended. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	if ctx.Done() != nil {
		defer s.drainAfter(ctx)()
	}
	s.accept()
	s.finish()
	return nil
}

// drainAfter drains when ctx ends. The function that it returns takes that back, or
// waits until it was done.
func (s *Server) drainAfter(ctx context.Context) (enough func()) {
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		s.Drain()
	})
	return func() {
		if !stop() {
			<-drained
		}
	}
}

// finish closes the listener and waits for the exchanges in flight.
func (s *Server) finish() {
	s.ln.Close() // a client that comes now is refused at once, and waits in no queue
	ended := make(chan struct{})
	go func() {
		s.conns.Wait()
		close(ended)
	}()
	svc := s.current.Load()
	if !endsWithin(ended, svc.Timeouts.Drain) {
		svc.cancel()
		endsWithin(ended, s.answerTime)
	}
	s.Close()
	<-ended
}

// backlogTime is how long a draining server still takes connections that had
// been established before.
const backlogTime = 10 * time.Millisecond

// lastCallTime is how long a draining server waits for requests on connections
// that have none under way: one may be on its way. It is answered, with the word
// that the connection ends.
const lastCallTime = 250 * time.Millisecond

// Drain has Run end, as its ctx does: accept returns soon, idle connections are
// woken, and the others close after the exchange under way. It waits for nothing,
// and may be called at any time, more than once.
func (s *Server) Drain() {
	s.drainOnce.Do(func() {
		s.lastCall = time.Now().Add(lastCallTime)
		s.draining.Store(true)
	})
	s.ln.SetDeadline(time.Now().Add(backlogTime))
	s.spare.released() // accept may be waiting for that
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.table {
		if c.idle.Load() {
			c.tcp.SetReadDeadline(s.lastCall)
		}
	}
	s.unparkAll()
}

// acquire returns the current service with one more exchange counted.
func (s *Server) acquire() *Service {
	for {
		if svc := s.current.Load(); svc.acquire() {
			return svc
		}
	}
}

// Swap makes svc the current service: the next request on every connection,
// open ones included, is its. It returns the one before, whose exchanges in
// flight go on; pass it to Retire.
func (s *Server) Swap(svc *Service) (old *Service) {
	return s.current.Swap(s.adopt(svc))
}

// Retire waits until no exchange uses old, a service that was swapped out, any
// more. When ctx ends first, the exchanges that still use it are ended: their
// Ctx is cancelled, so that handlers may still answer, a moment later their
// connections are closed, and Retire returns ctx's error after they have ended.
// It may be called once for each service.
func (s *Server) Retire(ctx context.Context, old *Service) error {
	defer s.disown(old)
	old.unused = make(chan struct{})
	if old.refs.Add(retired) == retired {
		return nil
	}
	select {
	case <-old.unused:
		return nil
	case <-ctx.Done():
	}
	old.cancel()
	if !endsWithin(old.unused, s.answerTime) {
		s.mu.Lock()
		for c := range s.table {
			if c.using.Load() == old {
				c.tcp.Close()
			}
		}
		s.mu.Unlock()
		<-old.unused
	}
	return ctx.Err()
}

func endsWithin(ended <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}

// Close ends Run at once: no more connections are accepted and all are closed.
func (s *Server) Close() {
	s.cancel()
	s.ln.SetDeadline(longAgo)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, svc := range s.services {
		svc.cancel()
	}
	s.unparkAll()
	for c := range s.table {
		c.tcp.Close()
	}
}
