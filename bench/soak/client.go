package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
)

// manner is how a client treats its connections.
type manner uint8

const (
	kept      manner = iota // one request after the other on one connection
	pipelined               // several requests at once
	closing                 // a connection for each request
	slow                    // kept, and reads slowly
)

// mannerOf is the manner of the client with that number.
func mannerOf(number int) manner {
	switch number % 8 {
	case 2, 6:
		return pipelined
	case 3:
		return closing
	case 7:
		return slow
	}
	return kept
}

// client asks for resources as fast as they come and has the answers judged. It
// is for one goroutine.
type client struct {
	clock     clock
	rng       *rand.Rand
	manner    manner
	resources []*resource
	report    *report
	tags      map[*resource]string // the last ETag seen
	lines     map[string]*wire     // by address; none for a closing client
}

func newClient(c clock, number int, resources []*resource, r *report) *client {
	return &client{
		clock: c, manner: mannerOf(number), resources: resources, report: r,
		rng:  rand.New(rand.NewPCG(uint64(number), 1)),
		tags: map[*resource]string{}, lines: map[string]*wire{},
	}
}

// run asks until ctx ends; the last answers are read to their ends.
func (c *client) run(ctx context.Context) {
	defer func() {
		for _, w := range c.lines {
			w.close()
		}
	}()
	for failed := 0; ctx.Err() == nil && failed < 10; {
		if err := c.turn(); err != nil {
			c.report.wrong(nil, nil, err)
			failed++
		}
	}
}

// turn sends some requests and reads the answers. An error is one to connect.
func (c *client) turn() error {
	batch := c.batch()
	w, err := c.line(batch[0].of.addr)
	if err != nil {
		return err
	}
	done := c.exchange(w, batch)
	if !done {
		c.drop(batch[0].of.addr)
	}
	return nil
}

// exchange sends a batch and judges its answers. It reports whether the
// connection can go on.
func (c *client) exchange(w *wire, batch []*request) (again bool) {
	if err := w.send(c.clock, batch...); err != nil {
		c.report.wrong(batch[0], nil, fmt.Errorf("the request can't be sent: %w", err))
		return false
	}
	for i, q := range batch {
		a := w.receive(q.method)
		q.end = c.clock.now()
		ok := c.report.judge(q, a)
		if ok && a.tag != "" && a.err == nil {
			c.tags[q.of] = a.tag
		}
		last := i == len(batch)-1
		switch {
		case a.err != nil:
			return false // what else was asked has no answer because of this one
		case a.close && !(last && q.close):
			if a.status < 400 || !last {
				c.report.wrong(q, a, errors.New("the connection is closed, which nobody asked for"))
			}
			return false
		case a.close:
			if err := w.ended(); err != nil {
				c.report.wrong(q, a, err)
			}
			return false
		case last && q.close:
			c.report.wrong(q, a, errors.New("the answer to Connection: close does not say so"))
			return false
		}
	}
	if n := w.in.Buffered(); n > 0 {
		c.report.wrong(batch[len(batch)-1], nil, fmt.Errorf("%d bytes behind the last answer", n))
		return false
	}
	return true
}

func (c *client) line(addr string) (*wire, error) {
	if w := c.lines[addr]; w != nil {
		return w, nil
	}
	w, err := dial(addr)
	if err != nil {
		return nil, err
	}
	w.slow = c.manner == slow
	c.lines[addr] = w
	return w, nil
}

func (c *client) drop(addr string) {
	if w := c.lines[addr]; w != nil {
		w.close()
		delete(c.lines, addr)
	}
}

// batch makes up the requests of one turn.
func (c *client) batch() []*request {
	first := c.pick("")
	if c.manner != pipelined {
		q := c.request(first)
		q.close = c.manner == closing
		return []*request{q}
	}
	batch := []*request{c.request(first)}
	for range 1 + c.rng.IntN(7) {
		batch = append(batch, c.request(c.pick(first.addr)))
	}
	return batch
}

// pick chooses a resource, of the site at addr unless that is "". Large files are
// chosen less often, and by slow clients always. An answer that ends a connection
// in mid-air is no affair for a pipeline.
func (c *client) pick(addr string) *resource {
	for {
		r := c.resources[c.rng.IntN(len(c.resources))]
		switch {
		case addr != "" && r.addr != addr:
		case c.manner == pipelined && r.rewritten:
		case c.manner == slow && r.size < sizes[3] && c.rng.IntN(64) > 0:
		case c.manner != slow && r.size > sizes[3] && c.rng.IntN(8) > 0:
		default:
			return r
		}
	}
}

// request makes up a request for a resource.
func (c *client) request(of *resource) *request {
	q := &request{of: of, method: "GET", gzip: c.rng.IntN(2) == 0}
	tag := c.tags[of]
	switch n := c.rng.IntN(32); {
	case n < 3:
		q.method = "HEAD"
	case n < 8:
		q.condition(tag)
	case n < 12:
		q.spans = c.spans(of.size)
		if tag != "" && c.rng.IntN(3) == 0 {
			q.ifRange = tag
		}
	}
	return q
}

// condition makes the request one for what is not what tag stands for, if that
// is known.
func (q *request) condition(tag string) {
	for _, h := range []*history{q.of.history, q.of.sibling} {
		if h == nil {
			continue
		}
		if had, ok := h.contentOf(tag); ok {
			q.ifNone, q.had, q.hadIn = tag, had, h
			return
		}
	}
}

// spans makes up a range of a file of about that size, sometimes beyond it.
func (c *client) spans(size int64) string {
	at := func() int64 { return c.rng.Int64N(size + size/4 + 16) }
	switch c.rng.IntN(4) {
	case 0:
		return fmt.Sprintf("-%d", 1+at())
	case 1:
		return fmt.Sprintf("%d-", at())
	}
	from := at()
	return fmt.Sprintf("%d-%d", from, from+at())
}
