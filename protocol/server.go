package protocol

import (
	"context"
	"log/slog"
	"net"
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
	unused chan struct{} // closed when it is retired and refs has come down
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
	table    map[*conn]struct{} // all that have a goroutine, or are parked
	refusing int                // of these: being turned away with an answer
	clients  clientTable        // of the others
	parking  parking
}

// NewServer returns a server for ln that begins with svc; log is to name the
// address. ln belongs to Run from
// its call on.
func NewServer(ln *net.TCPListener, svc *Service, log *slog.Logger) *Server {
	s := &Server{
		ln: ln, log: log, acceptTCP: ln.AcceptTCP, answerTime: 500 * time.Millisecond,
		spare: &Spare{}, table: map[*conn]struct{}{}, clients: clientTable{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.current.Store(s.adopt(svc))
	return s
}

// UseSpare has the server share spare with others of the process: see there what
// happens when the process runs out of file descriptors. It is to be called
// before Run.
func (s *Server) UseSpare(spare *Spare) { s.spare = spare }

func (s *Server) adopt(svc *Service) *Service {
	svc.ctx, svc.cancel = context.WithCancel(s.ctx)
	svc.unused = make(chan struct{})
	svc.quick, _ = svc.Handler.(QuickHandler)
	return svc
}

// Run accepts and serves connections until ctx ends or the listener is closed.
// It then takes what is in the listener's queue and closes the listener, closes
// idle connections, and waits for the exchanges in flight: at most for the drain
// time of the current service. It returns nil, and only when all that it started
// has ended. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		s.drain()
	})
	defer func() {
		if !stop() {
			<-drained
		}
	}()
	s.accept()
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
	return nil
}

// backlogTime is how long a draining server still takes connections that had
// been established before.
const backlogTime = 10 * time.Millisecond

// lastCallTime is how long a draining server waits for requests on connections
// that have none under way: one may be on its way. It is answered, with the word
// that the connection ends.
const lastCallTime = 250 * time.Millisecond

// drain makes accept return soon, wakes idle connections, and has the others
// close after the exchange under way.
func (s *Server) drain() {
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
	defer old.cancel()
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
	s.unparkAll()
	for c := range s.table {
		c.tcp.Close()
	}
}
