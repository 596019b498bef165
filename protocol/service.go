package protocol

import "time"

// Limits bound what one client, and all of them together, may take. All are
// above zero but MaxBody, where zero means that no request may have a body, and
// KeepBody.
type Limits struct {
	MaxBody        int64 // bytes of a request's body: 413
	MaxHeader      int   // bytes of the header section, field lines with their line ends: 431
	MaxURI         int   // bytes of the request-target: 414
	MaxConnections int   // open connections: a further one gets 503
	KeepBody       int   // bytes of a request's body to keep in Exchange.Kept
}

// Timeouts bound how long a client may keep us waiting. All are above zero.
type Timeouts struct {
	Header time.Duration // from a request's first byte (or accept) to the end of its head: 408
	Body   time.Duration // for each 16 KiB of a request's body, or what is left of it: 408
	Write  time.Duration // for each 16 KiB of an answer, or what is left of it: the connection is closed
	Idle   time.Duration // between two requests: the connection is closed
	Drain  time.Duration // for what is in flight once the service was replaced or stopped
}
