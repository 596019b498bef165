package protocol

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// phases is what an exchange took, and where it ended up.
type phases struct {
	id                              ID
	head, handled, firstByte, total time.Duration
	note                            any
}

// phaseObserver collects them, and tells when a connection becomes active.
type phaseObserver struct {
	done   chan phases
	active chan bool
}

func (o phaseObserver) Conn(_, to ConnState, _ bool) {
	if to == ConnActive {
		o.active <- true
	}
}
func (o phaseObserver) Refused(string)  {}
func (o phaseObserver) Begin(*Exchange) {}
func (o phaseObserver) Done(x *Exchange) {
	o.done <- phases{x.ID, x.HeadTook, x.Handled, x.FirstByte, x.Took, x.Note}
}

func TestPhases(t *testing.T) {
	const pause = 20 * time.Millisecond
	slow := func(x *Exchange) error {
		x.Note = x.Req.Path
		switch x.Req.Path {
		case "/handler":
			time.Sleep(pause)
		case "/body":
			x.Res.Body = Stream(&stream{Reader: io.MultiReader(strings.NewReader("first"), readFunc(func([]byte) (int, error) {
				time.Sleep(pause)
				return 0, io.EOF
			}))}, -1)
		}
		return nil
	}
	o := phaseObserver{make(chan phases, 1), make(chan bool, 10)}
	s := serve(t, slow, func(v *Service) { v.Observer = o })
	c := s.dial()
	seen := map[ID]bool{}
	for _, path := range []string{"/at-once", "/head", "/handler", "/body"} {
		raw := request(path)
		if path == "/head" {
			c.send(raw[:len(raw)-2])
			<-o.active // the head has begun, or does in a moment
			time.Sleep(2 * pause)
			raw = raw[len(raw)-2:]
		}
		c.send(raw)
		c.answer("GET")
		if path != "/head" {
			<-o.active
		}
		p := <-o.done
		if (path == "/head") != (p.head >= pause) || (p.head > 0) != (p.head >= pause) {
			t.Errorf("%s: head %v", path, p.head)
		}
		if p.handled <= 0 || path == "/handler" && p.handled < pause {
			t.Errorf("%s: handled %v", path, p.handled)
		}
		if (path == "/body") != (p.firstByte <= p.total-pause) || path != "/body" && p.firstByte != p.total {
			t.Errorf("%s: first byte %v of %v", path, p.firstByte, p.total)
		}
		if p.note != path {
			t.Errorf("%s: note %v", path, p.note)
		}
		if seen[p.id] {
			t.Errorf("%s: id %v again", path, p.id)
		}
		seen[p.id] = true
	}
	c.send("rubbish\r\n\r\n")
	c.want(400, "")
	if p := <-o.done; p.note != nil || p.handled != 0 || p.firstByte == 0 || p.id == 0 {
		t.Errorf("rubbish: %+v", p)
	}
	c.Close() // else it lingers
	s.stop()
	s.ended()
}

func TestID(t *testing.T) {
	if got := ID(0x00ab_0000_0000_0cde).String(); got != "00ab000000000cde" {
		t.Error(got)
	}
	for range 100 {
		if id := newID().String(); !regexp.MustCompile("^[0-9a-f]{16}$").MatchString(id) {
			t.Error(id)
		}
	}
}
