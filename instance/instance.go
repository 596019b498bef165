// Package instance is one generation of one site.
package instance

import (
	"context"
	"log/slog"

	"sited/metrics"
	"sited/protocol"
)

// Instance is one generation of one site.
type Instance struct{}

// New prepares an instance beside whatever is running: it opens the root and
// the logs and reads the password file, but takes no address.
func New(spec Spec, reg *metrics.Registry, log *slog.Logger) (*Instance, error) { panic("stub") }

// Spec is what the instance was made from.
func (i *Instance) Spec() Spec { panic("stub") }

// Service is what a protocol.Server serves for this instance.
func (i *Instance) Service() *protocol.Service { panic("stub") }

// Stats are live figures of the site for status and plan.
type Stats struct {
	Connections int // open, idle ones included
	InFlight    int // requests being answered
	Tunnels     int
	Processes   int // script processes
}

// Stats tells what the site is doing right now.
func (i *Instance) Stats() Stats { panic("stub") }

// Reopen opens the log files anew, for logrotate.
func (i *Instance) Reopen() error { panic("stub") }

// Close ends what the instance started: scripts are waited for until ctx ends,
// then killed; logs are flushed and closed. It is called after the instance's
// service was retired.
func (i *Instance) Close(ctx context.Context) error { panic("stub") }
