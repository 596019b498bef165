package protocol

import (
	"errors"
	"net"
	"runtime/debug"
	"time"
)

// Why a connection was turned away: the values of the reason label of
// connections_rejected_total. The set is closed.
const (
	RefusedMaxConnections       = "max_connections"        // Limits.MaxConnections was reached
	RefusedMaxClientConnections = "max_client_connections" // Limits.MaxClientConnections was reached
	RefusedNoDescriptors        = "no_descriptors"         // the process or the system has no file descriptor left
)

// RefusedReasons lists every reason there is for Observer.Refused.
func RefusedReasons() []string {
	return []string{RefusedMaxConnections, RefusedMaxClientConnections, RefusedNoDescriptors}
}

// refused is the answer to a connection that is turned away.
func refused(reason string) *Error {
	switch reason {
	case RefusedMaxConnections:
		return unavailable("too many connections (limits.max_connections)")
	case RefusedMaxClientConnections:
		return unavailable("too many connections of this client (limits.max_client_connections)")
	case RefusedNoDescriptors:
		return unavailable("no file descriptor is left (ulimit -n, LimitNOFILE)")
	}
	return unavailable(reason)
}

// errTooManyInFlight refuses a request; the connection goes on.
var errTooManyInFlight = unavailable("too many requests in flight (limits.max_in_flight)")

func unavailable(cause string) *Error {
	return &Error{Status: 503, Header: Header{{"Retry-After", "1"}}, Err: errors.New(cause)}
}

// maxRefusing bounds the connections that are turned away with an answer at the
// same time; any further is closed without.
const maxRefusing = 64

// noDescriptorsTime is how long a connection that was turned away for want of
// descriptors may keep the one it has: others wait for it.
const noDescriptorsTime = 250 * time.Millisecond

// take runs a connection, or turns it away.
func (s *Server) take(tcp *net.TCPConn) {
	spared := s.spare.regain()
	c, err := newConn(s, tcp)
	if err != nil {
		s.drop(tcp)
		return
	}
	svc := s.current.Load()
	s.mu.Lock()
	if s.ctx.Err() != nil { // looked at under mu: Close closes what is in the table by then
		s.mu.Unlock()
		s.drop(tcp)
		return
	}
	reason := RefusedNoDescriptors
	if spared {
		reason = s.refusal(&svc.Limits, c)
	}
	dropped := reason != "" && s.refusing == maxRefusing
	if !dropped {
		s.enlist(c, reason != "")
	}
	s.mu.Unlock()
	if reason == "" {
		s.start(c, c.serve, false)
		return
	}
	svc.Observer.Conn(ConnNone, ConnIdle, false)
	svc.Observer.Conn(ConnIdle, ConnNone, false)
	svc.Observer.Refused(reason)
	if dropped {
		s.drop(tcp)
		return
	}
	s.start(c, func() (parked bool) {
		if !spared {
			defer time.AfterFunc(noDescriptorsTime, func() { tcp.Close() }).Stop()
		}
		c.turnAway(reason)
		return false
	}, true)
}

// refusal is why c, which is not in the table, is to be turned away; "" lets it
// in. mu is held.
func (s *Server) refusal(l *Limits, c *conn) (reason string) {
	switch {
	case len(s.table)-s.refusing >= l.MaxConnections:
		return RefusedMaxConnections
	case l.MaxClientConnections > 0 && s.clients[clientOf(c.remote.Addr())] >= l.MaxClientConnections:
		return RefusedMaxClientConnections
	}
	return ""
}

// enlist puts c into the table. Connections that are turned away count for no
// limit but maxRefusing. mu is held.
func (s *Server) enlist(c *conn, refused bool) {
	if s.table == nil { // most sites of many have no connection yet
		s.table, s.clients = map[*conn]struct{}{}, clientTable{}
	}
	s.table[c] = struct{}{}
	if refused {
		s.refusing++
	} else {
		s.clients.add(clientOf(c.remote.Addr()))
	}
}

// strike takes c, which has ended, out of the table.
func (s *Server) strike(c *conn, refused bool) {
	s.mu.Lock()
	delete(s.table, c)
	if refused {
		s.refusing--
	} else {
		s.clients.remove(clientOf(c.remote.Addr()))
	}
	s.mu.Unlock()
	s.spare.released()
}

// drop closes a connection that has not been run.
func (s *Server) drop(tcp *net.TCPConn) {
	tcp.Close()
	s.spare.released()
}

// start runs a connection that is in the table. What panics here is not a handler
// but the engine or an Observer: that must not end the other connections either.
func (s *Server) start(c *conn, run func() (parked bool), refused bool) {
	s.conns.Add(1)
	go s.run(c, run, refused)
}

// run is the goroutine of a connection that is in the table, until it is parked
// or has ended.
func (s *Server) run(c *conn, run func() (parked bool), refused bool) {
	parked := false
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("panic outside a handler, connection closed",
				"addr", s.ln.Addr().String(), "remote", c.remote.String(), "panic", v, "stack", string(debug.Stack()))
		}
		if !parked {
			c.leave()
			s.strike(c, refused)
			s.conns.Done()
		}
	}()
	parked = run()
}

// enter counts the request that was read as one in flight, unless as many as svc
// allows are.
func (c *conn) enter(svc *Service) error {
	n := &c.srv.inFlight
	limit := int64(svc.Limits.MaxInFlight)
	for {
		now := n.Load()
		if limit > 0 && now >= limit {
			return errTooManyInFlight
		}
		if n.CompareAndSwap(now, now+1) {
			c.inFlight = true
			return nil
		}
	}
}

// join counts an answer at hand whose client has to be waited for. It is under way
// and can't be refused any more.
func (c *conn) join() {
	c.srv.inFlight.Add(1)
	c.inFlight = true
}

// leave counts the request out, if it was counted.
func (c *conn) leave() {
	if c.inFlight {
		c.inFlight = false
		c.srv.inFlight.Add(-1)
	}
}
