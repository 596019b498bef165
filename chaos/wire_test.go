package chaos

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"sited/rig"
)

// wire is a connection on which a test sees everything: net/http would open
// another one quietly when the server has closed it.
type wire struct {
	net.Conn
	r *bufio.Reader
}

func dial(addr string) (*wire, error) {
	conn, err := net.DialTimeout("tcp", addr, 2*rig.Patience)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(10 * time.Minute))
	return &wire{Conn: conn, r: bufio.NewReader(conn)}, nil
}

// reply is a whole answer.
type reply struct {
	status int
	header http.Header
	body   string
	closes bool // it says that the connection ends with it
}

// unanswered says that a connection ended before the first byte of an answer.
type unanswered struct{ err error }

func (e *unanswered) Error() string { return "no answer: " + e.err.Error() }

// send writes a part of a request.
func (w *wire) send(raw string) error {
	w.SetWriteDeadline(time.Now().Add(2 * rig.Patience))
	_, err := io.WriteString(w, raw)
	return asUnanswered(err)
}

// answer reads the whole answer to a request of that method. The error is an
// *unanswered when the connection was closed or reset before it began; all
// others are about half an answer, or none in time.
func (w *wire) answer(method string) (reply, error) {
	w.SetReadDeadline(time.Now().Add(2 * rig.Patience))
	if _, err := w.r.Peek(1); err != nil {
		return reply{}, asUnanswered(err)
	}
	res, err := http.ReadResponse(w.r, &http.Request{Method: method})
	if err != nil {
		return reply{}, fmt.Errorf("half a head: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{}, fmt.Errorf("%s, and %d bytes of %d: %v", res.Status, len(body), res.ContentLength, err)
	}
	return reply{res.StatusCode, res.Header, string(body), res.Close}, nil
}

func asUnanswered(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return &unanswered{err}
	}
	return err
}
