package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"sited/protocol"
)

// place finds every change the address it asks for: an open socket that is
// free to be taken over, or a new one. A change for which there is none fails,
// and with it every change that was to take the address it would have left.
// Nothing that runs is touched. Owner only.
func (s *Supervisor) place(changes []*change) {
	moving := make(map[string]*change, len(changes))
	for _, c := range changes {
		moving[c.Site] = c
		if c.err != nil || !c.needsGeneration() || c.bound != nil || s.endpoints[c.Wanted.Addr] != nil {
			continue
		}
		if ep := s.closing[c.Wanted.Addr]; ep != nil {
			ep.closeSocket()
		}
		var ln *net.TCPListener
		if ln, c.err = s.listen(c.Wanted.Addr, changes); c.err == nil {
			c.bound = newEndpoint(c.Wanted.Addr, ln)
		}
	}
	for again := true; again; {
		again = false
		for _, c := range changes {
			if c.err != nil || !c.needsGeneration() {
				continue
			}
			holder := s.holder(c.Wanted.Addr)
			if holder == "" || holder == c.Site {
				continue
			}
			other := moving[holder]
			if other != nil && other.err == nil && (other.Op == Rebind || other.Op == Stop) {
				continue
			}
			c.waits, again = holder, true
			c.err = fmt.Errorf("%s is still held by site %q, which could not give it up", c.Wanted.Addr, holder)
		}
	}
}

// holder is the site whose generation is served at addr, or "".
func (s *Supervisor) holder(addr netip.AddrPort) string {
	if ep := s.endpoints[addr]; ep != nil {
		return ep.gen.spec.Name
	}
	return ""
}

// sockets lists all that the supervisor has open, the ones bound for changes
// and the spare ones included.
func (s *Supervisor) sockets(changes []*change) func() []*net.TCPListener {
	return func() []*net.TCPListener {
		var open []*net.TCPListener
		for _, ep := range s.endpoints {
			open = append(open, ep.ln)
		}
		for _, c := range changes {
			if c.bound != nil {
				open = append(open, c.bound.ln)
			}
		}
		for _, ln := range s.spare {
			open = append(open, ln)
		}
		return append(open, s.admin.sockets()...)
	}
}

// abandon releases what was prepared for changes that are not to be. Sockets
// close at once; generations, which may have to flush, in the background.
func (s *Supervisor) abandon(changes []*change) {
	for _, c := range changes {
		if c.bound != nil {
			s.unbind(c.bound.ln)
			c.bound = nil
		}
		if gen := c.gen; gen != nil {
			c.gen = nil
			s.background(func() {
				if err := release(gen); err != nil {
					s.log.Warn("unused generation not released cleanly", "site", gen.spec.Name, "error", err)
				}
			})
		}
	}
}

// swap puts every change that can be made in force: first all sockets get
// their new services, then whatever lost its socket drains. Logs are opened while
// the sites serve already, by openLogs. Owner only.
func (s *Supervisor) swap(changes []*change) {
	for _, c := range changes {
		st := s.sites[c.Site]
		switch {
		case c.err != nil || c.Op == Keep || c.Op == Refused:
		case c.Op == Stop:
			st.current = nil
		default:
			s.serve(st, c)
			s.fresh = append(s.fresh, c.gen.inst)
		}
	}
	for _, ep := range s.endpoints {
		if st := s.sites[ep.gen.spec.Name]; st == nil || st.current != ep.gen {
			s.closeEndpoint(ep, s.stopAccepting)
		}
	}
}

// serve makes c's generation the current one of its site and of its socket.
func (s *Supervisor) serve(st *site, c *change) {
	st.count++
	c.gen.number, c.gen.since = st.count, time.Now()
	c.gen.inst.SetGeneration(st.count)
	st.current = c.gen
	c.gen.inst.InForce()
	if ep := s.endpoints[c.Wanted.Addr]; ep != nil {
		before := ep.gen
		ep.gen = c.gen
		svc := ep.srv.Swap(c.gen.svc)
		s.drain(before, func(ctx context.Context) error { return ep.srv.Retire(ctx, svc) })
		return
	}
	s.open(c.bound, c.gen)
	c.bound = nil
}

// open begins to serve gen on a new socket.
func (s *Supervisor) open(ep *endpoint, gen *generation) {
	ep.gen = gen
	ep.srv = protocol.NewServer(ep.ln, gen.svc, s.log)
	ep.srv.UseSpare(s.reserve)
	s.endpoints[ep.addr] = ep
	delete(s.spare, ep.addr)
	s.work.Go(func() {
		err := ep.srv.Run(context.Background())
		s.served(ep, err)
	})
}

// served has the owner know that an endpoint's server returned. Inlined, it would have
// every idle site keep a stack of 4 KiB, not 2.
//
//go:noinline
func (s *Supervisor) served(ep *endpoint, err error) {
	close(ep.done)
	s.post(func() { s.ended(ep, err) })
}

// closeEndpoint has halt stop the accepting and drains the generation that was
// served, until nothing is to be waited for any more: the owner calls it for every
// endpoint then. The socket is closed long before its last connection.
func (s *Supervisor) closeEndpoint(ep *endpoint, halt func(*endpoint)) {
	delete(s.endpoints, ep.addr)
	s.closing[ep.addr] = ep
	halt(ep)
	s.drain(ep.gen, func(context.Context) error {
		defer context.AfterFunc(s.killed, ep.srv.Close)()
		<-ep.done
		return nil
	})
}

// stopAccepting has the server take what is in the socket's queue and then close
// the socket. Owner only.
func (s *Supervisor) stopAccepting(ep *endpoint) { s.work.Go(ep.srv.Drain) }

// ended is told that an endpoint's server returned: as it was asked to, or out
// of the blue, in which case its site is started again.
func (s *Supervisor) ended(ep *endpoint, err error) {
	if s.closing[ep.addr] == ep {
		delete(s.closing, ep.addr)
	}
	if s.endpoints[ep.addr] != ep {
		if err != nil {
			s.log.Warn("server did not end cleanly", "addr", ep.addr, "error", err)
		}
		return
	}
	delete(s.endpoints, ep.addr)
	st := s.sites[ep.gen.spec.Name]
	s.drain(ep.gen, func(context.Context) error { return nil })
	st.current = nil
	if st.pending == nil {
		st.pending = ep.gen.spec
	}
	st.reason = "its server ended unexpectedly"
	if err != nil {
		st.reason += ": " + err.Error()
	}
	st.on(died)
	st.log.Error("site down", "addr", ep.addr, "error", err, "retry_in", s.tryLater(st))
}

// drain lets a generation end in the background: wait returns when nothing
// uses it any more or when its ctx, which bears the site's drain timeout, ends.
func (s *Supervisor) drain(gen *generation, wait func(context.Context) error) {
	st := s.sites[gen.spec.Name]
	st.old = append(st.old, gen)
	begun := time.Now()
	s.background(func() {
		ctx, cancel := context.WithTimeout(s.killed, gen.spec.Timeouts.Drain)
		defer cancel()
		err := errors.Join(wait(ctx), gen.inst.Close(ctx))
		s.post(func() {
			if err != nil {
				st.log.Warn("generation cut short", "generation", gen.number, "took", time.Since(begun), "error", err)
			} else {
				st.log.Debug("generation drained", "generation", gen.number, "took", time.Since(begun))
			}
			st.drop(gen)
			s.leave(st)
		})
	})
}
