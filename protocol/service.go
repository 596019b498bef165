package protocol

import "time"

// Limits bound what one client, and all of them together, may take. All are
// above zero but MaxBody, where zero means that no request may have a body,
// MaxClientConnections and MaxInFlight, where it means that there is no bound,
// and KeepBody.
//
// Connections are counted for each Server, whatever Service they came under, and
// the limits that are current when a connection is accepted or a request was read
// hold: lower ones of a new Service end nothing that is there.
type Limits struct {
	MaxBody        int64 // bytes of a request's body: 413
	MaxHeader      int   // bytes of the header section, field lines with their line ends: 431
	MaxURI         int   // bytes of the request-target: 414
	MaxConnections int   // open connections: a further one gets 503

	// MaxClientConnections bounds the open connections of one client: a further
	// one gets 503. A client is an IPv4 address, or an IPv6 network of 64 bits.
	MaxClientConnections int

	// MaxInFlight bounds the requests that are being answered, from the end of
	// the head to the end of the answer, tunnels included: a further one gets 503,
	// and its connection goes on. What a QuickHandler has at hand is answered all
	// the same, and counts only while its client has to be waited for.
	MaxInFlight int

	KeepBody int // bytes of a request's body to keep in Exchange.Kept
}

// Timeouts bound how long a client may keep us waiting. All are above zero.
type Timeouts struct {
	Header time.Duration // from a request's first byte (or accept) to the end of its head: 408
	Body   time.Duration // for each 16 KiB of a request's body, or what is left of it: 408
	Write  time.Duration // for each 16 KiB of an answer, or what is left of it: the connection is closed
	Idle   time.Duration // between two requests: the connection is closed
	Drain  time.Duration // for what is in flight once the service was replaced or stopped
}
