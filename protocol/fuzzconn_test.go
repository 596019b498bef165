package protocol

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// message is a request as a reader of a connection's bytes understands it.
type message struct {
	method, target, host, path, query string
	minor                             int
	length                            int64 // -1: chunked
	body                              string
	whole                             bool // the body was read to its end
}

// wireLimits are wide, so that the fuzzer meets rules and not limits.
func wireLimits() Limits {
	return Limits{MaxBody: 1 << 20, MaxHeader: 1 << 16, MaxURI: 1 << 16, MaxConnections: 1}
}

// maxFuzzed bounds an input: all of it, and all answers to it, fit into the
// buffers of two sockets.
const maxFuzzed = 16 << 10

// engineReads runs a connection of the engine on raw, and returns the requests
// that its handler saw and the bytes of its answers. Nothing runs concurrently:
// raw is there before the engine begins, and the client has closed its half.
func engineReads(t testing.TB, ln *net.TCPListener, raw []byte, change ...func(*Service)) (seen []message, answers []byte) {
	svc := newService(func(x *Exchange) error {
		r := &x.Req
		seen = append(seen, message{
			method: r.Method, target: r.Target, host: r.Host, path: r.Path, query: r.Query, minor: r.Minor, length: r.Length,
		})
		if r.Path == "/unread" {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		last := &seen[len(seen)-1]
		last.body, last.whole = string(body), err == nil
		if err == nil && r.Method == MethodConnect {
			return Fail(403, nil)
		}
		return err
	}, append(change, func(v *Service) { v.Limits = wireLimits() })...)
	far, near := connected(t, ln)
	defer far.Close()
	if _, err := far.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := far.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	srv := NewServer(ln, svc, slog.New(slog.DiscardHandler))
	defer srv.cancel()
	c, err := newConn(srv, near)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.serve()
	if took := time.Since(began); took > patience/2 {
		t.Fatalf("the engine waits %v for what is there", took)
	}
	answers, err = io.ReadAll(far)
	if err != nil {
		t.Fatalf("the answers end with %v", err)
	}
	k := svc.Observer.(*checker)
	k.ended(t)
	return seen, answers
}

// connected returns both ends of a connection to ln.
func connected(t testing.TB, ln *net.TCPListener) (far, near *net.TCPConn) {
	for {
		c, err := net.Dial("tcp", ln.Addr().String())
		if errors.Is(err, syscall.EADDRNOTAVAIL) { // too many in a short time
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		near, err := ln.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		return c.(*net.TCPConn), near
	}
}

// netHTTPReads reads the next request from br as net/http does. The error is
// nil where net/http has nothing against the framing.
func netHTTPReads(br *bufio.Reader) (m message, pass bool, err error) {
	if p, _ := br.Peek(2); string(p) == "\r\n" { // RFC 9112, section 2.2: its Server reads over it, too
		br.Discard(2)
	}
	req, err := http.ReadRequest(br)
	if err != nil {
		return m, false, err
	}
	m = message{
		method: req.Method, target: req.RequestURI, host: req.Host, path: req.URL.Path, query: req.URL.RawQuery, minor: req.ProtoMinor, length: req.ContentLength,
	}
	body, err := io.ReadAll(req.Body)
	m.body, m.whole = string(body), err == nil
	return m, !req.Close, nil
}

// beyondFraming reports whether net/http refuses a request for something that
// doesn't say where it ends or whom it is for.
func beyondFraming(err error, target string) bool {
	if _, bad := url.ParseRequestURI(target); bad != nil {
		return true // what net/url knows of URIs is FuzzTarget's matter
	}
	return strings.Contains(err.Error(), "bad trailer key") // a Trailer field that names Content-Length, say: only announced
}

// FuzzConnection gives the bytes of a connection to the engine and to
// net/http.ReadRequest. What the engine accepts, net/http must accept, and both
// must see the same requests with the same bodies, whether or not the answers are
// at hand: a message that two readers
// cut differently is how requests are smuggled (RFC 9112, section 11.2).
func FuzzConnection(f *testing.F) {
	for _, raw := range wireSeeds() {
		f.Add([]byte(raw))
		f.Add([]byte(raw + get()))
	}
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { ln.Close() })
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > maxFuzzed {
			return
		}
		seen, answers := engineReads(t, ln, raw)
		closed := answersMatch(t, seen, answers)
		again, same := engineReads(t, ln, raw, quick)
		if !slices.Equal(seen, again) || !bytes.Equal(dates.ReplaceAll(answers, nil), dates.ReplaceAll(same, nil)) {
			t.Fatalf("usual: %+v\n%q\nquick: %+v\n%q", seen, answers, again, same)
		}
		br := bufio.NewReaderSize(bytes.NewReader(raw), 1<<17)
		for i, ours := range seen {
			theirs, pass, err := netHTTPReads(br)
			if err != nil {
				if beyondFraming(err, ours.target) {
					return
				}
				t.Fatalf("request %d of %d: accepted what net/http refuses: %v\n%+v", i, len(seen), err, ours)
			}
			if ours.path == "/unread" {
				ours.body, ours.whole = theirs.body, theirs.whole
			}
			sameMessage(t, ours, theirs)
			if !ours.whole {
				return
			}
			if !pass && (i+1 < len(seen) || !closed) {
				t.Fatalf("request %d of %d: net/http closes the connection behind it", i, len(seen))
			}
		}
		if rest, _ := br.Peek(len("\r\n") + 1); closed || blank(rest) {
			return
		}
		if more, _, err := netHTTPReads(br); err != io.EOF && err != io.ErrUnexpectedEOF {
			t.Fatalf("%d requests; net/http goes on with %+v, %v", len(seen), more, err)
		}
	})
}

func sameMessage(t *testing.T, ours, theirs message) {
	t.Helper()
	switch {
	case ours.method == MethodConnect, ours.target == "*":
		theirs.path, theirs.query = ours.path, ours.query // one has none
	case theirs.path == "": // http://host
		theirs.path = "/"
	default:
		theirs.path = clean(theirs.path)
	}
	if !ours.whole {
		theirs.body, theirs.whole = ours.body, ours.whole // we may have stopped before
	}
	if ours != theirs {
		t.Fatalf("ours:     %+v\nnet/http: %+v", ours, theirs)
	}
}

// answersMatch checks that each request got one answer, in order, that at most
// one more was refused, and that nothing follows. It reports whether the last
// answer closes the connection.
func answersMatch(t *testing.T, seen []message, answers []byte) (closed bool) {
	t.Helper()
	br := bufio.NewReader(bytes.NewReader(answers))
	for i := range seen {
		m := &seen[i]
		res, err := answerTo(br, m.method)
		if err != nil || closed {
			t.Fatalf("answer %d: %v\n%q", i, err, answers)
		}
		wrong := m.path != "/unread" && (!m.whole || m.method == MethodConnect)
		if n, err := io.Copy(io.Discard, res.Body); err != nil || (res.StatusCode >= 400) != wrong {
			t.Fatalf("answer %d: %d with %d bytes, %v\n%q", i, res.StatusCode, n, err, answers)
		}
		closed = res.Close
	}
	if _, err := br.Peek(1); err == io.EOF {
		return closed
	}
	// Refused before a handler saw it. If it was a HEAD, this has no body.
	res, err := answerTo(br, MethodHead)
	if err != nil || res.StatusCode < 400 || !res.Close || closed {
		t.Fatalf("the last answer: %v, %v\n%q", res, err, answers)
	}
	if rest, _ := io.ReadAll(br); len(rest) > 0 && int64(len(rest)) != res.ContentLength {
		t.Fatalf("behind the last answer: %q", rest)
	}
	return true
}

// answerTo reads the head of a final answer.
func answerTo(br *bufio.Reader, method string) (*http.Response, error) {
	for {
		res, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil || res.StatusCode >= 200 {
			return res, err
		}
	}
}
