package protocol

import (
	"context"
	"log/slog"
	"net"
)

// NOTE for readers during construction: bodies are being written.

// Service is what a Server serves: one generation of one site, as far as the
// wire is concerned. Fill in the fields, pass it to one Server, and don't change
// it any more.
type Service struct {
	Handler  Handler
	Observer Observer
	Limits   Limits
	Timeouts Timeouts
	Versions Versions
}

// Versions are the minor versions of HTTP/1 that are served.
type Versions struct{ HTTP10, HTTP11 bool }

// Server serves one listening socket. Its Service can be swapped at any time.
type Server struct{}

// NewServer returns a server for ln that begins with svc. The caller keeps ln
// and closes it after Run has returned.
func NewServer(ln *net.TCPListener, svc *Service, log *slog.Logger) *Server { panic("stub") }

// Run accepts and serves connections until ctx ends. It then takes what is in
// the listener's queue, closes idle connections, and waits for the exchanges in
// flight: at most for the drain time of the current service. It returns when
// all that it started has ended, with nil.
func (s *Server) Run(ctx context.Context) error { panic("stub") }

// Swap makes svc the current service: the next request on every connection,
// open ones included, is its. It returns the one before, whose exchanges in
// flight go on; see Retire.
func (s *Server) Swap(svc *Service) (old *Service) { panic("stub") }

// Retire waits until no exchange uses old, a service that was swapped out, any
// more. When ctx ends first, the exchanges that still use it are ended: their
// Ctx is cancelled and their connections are closed.
func (s *Server) Retire(ctx context.Context, old *Service) error { panic("stub") }

// Close ends Run at once: all connections are closed.
func (s *Server) Close() { panic("stub") }
