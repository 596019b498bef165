package main_test

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"sited/rig"
)

// wire is a plain socket with a strict reader (RFC 9112): it takes nothing that
// a server may not send.
type wire struct {
	*net.TCPConn
	r *bufio.Reader
}

// answer is one answer as it came.
type answer struct {
	status int
	header [][2]string // names in lower case
	body   string
}

// get is the value of the first field with that name.
func (a *answer) get(name string) string {
	for _, f := range a.header {
		if f[0] == strings.ToLower(name) {
			return f[1]
		}
	}
	return ""
}

func (a *answer) closes() bool { return strings.EqualFold(a.get("Connection"), "close") }

func connect(addr string) (*wire, error) {
	c, err := net.DialTimeout("tcp", addr, rig.Patience)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(2 * rig.Patience))
	return &wire{c.(*net.TCPConn), bufio.NewReader(c)}, nil
}

// dial is connect for a test; the socket is closed when that is over.
func dial(t *testing.T, addr string) *wire {
	t.Helper()
	w, err := connect(addr)
	rig.Must(t, err)
	t.Cleanup(func() { w.Close() })
	return w
}

// send sends bytes as they are.
func (w *wire) send(t *testing.T, raw string) {
	t.Helper()
	_, err := io.WriteString(w, raw)
	rig.Must(t, err)
}

// answer reads the final answer to a request with that method.
func (w *wire) answer(t *testing.T, method string) *answer {
	t.Helper()
	a, err := w.readFinal(method)
	rig.Must(t, err)
	return a
}

// get is a GET on a connection that is kept.
func (w *wire) get(t *testing.T, path string) *answer {
	t.Helper()
	w.send(t, request("GET", path))
	return w.answer(t, "GET")
}

// closed fails unless the server has closed its end and sent nothing more.
func (w *wire) closed(t *testing.T) {
	t.Helper()
	if b, err := w.r.ReadByte(); err != io.EOF {
		t.Errorf("the connection is not closed: read %q, %v", b, err)
	}
}

// request is the text of a request without a body; fields are whole lines.
func request(method, target string, fields ...string) string {
	head := method + " " + target + " HTTP/1.1\r\nHost: site.example\r\n"
	for _, f := range fields {
		head += f + "\r\n"
	}
	return head + "\r\n"
}

// requestWith is a request with a body of known length.
func requestWith(method, target, body string, fields ...string) string {
	return request(method, target, append(fields, "Content-Length: "+strconv.Itoa(len(body)))...) + body
}

// basic is the field with a user's credentials.
func basic(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// exchange sends raw on a connection of its own and reads one answer. It may be
// called from any goroutine.
func exchange(addr, raw string) (*answer, error) {
	w, err := connect(addr)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := io.WriteString(w, raw); err != nil {
		return nil, err
	}
	method, _, _ := strings.Cut(raw, " ")
	return w.readFinal(method)
}

// ask is exchange for a test.
func ask(t *testing.T, addr, raw string) *answer {
	t.Helper()
	a, err := exchange(addr, raw)
	if err != nil {
		t.Fatalf("%.60q: %v", raw, err)
	}
	return a
}

// readFinal skips interim answers.
func (w *wire) readFinal(method string) (*answer, error) {
	for {
		a, err := w.read(method)
		if err != nil || a.status >= 200 {
			return a, err
		}
	}
}

// read reads one answer, interim or final.
func (w *wire) read(method string) (*answer, error) {
	line, err := w.line()
	if err != nil {
		return nil, err
	}
	a := new(answer)
	rest, ok := strings.CutPrefix(line, "HTTP/1.1 ")
	if !ok || len(rest) < 4 || rest[3] != ' ' {
		return nil, fmt.Errorf("status line %q", line)
	}
	if a.status, err = strconv.Atoi(rest[:3]); err != nil || a.status < 100 || a.status > 599 {
		return nil, fmt.Errorf("status line %q", line)
	}
	for {
		if line, err = w.line(); err != nil || line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ": ")
		if !ok || !token(name) || strings.Trim(value, " \t") != value || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return nil, fmt.Errorf("field line %q", line)
		}
		name = strings.ToLower(name)
		switch name {
		case "content-length", "transfer-encoding", "date", "content-type", "etag", "last-modified", "connection":
			if a.has(name) {
				return nil, fmt.Errorf("two %s fields", name)
			}
		}
		a.header = append(a.header, [2]string{name, value})
	}
	if err != nil {
		return nil, err
	}
	if a.status < 200 {
		return a, nil
	}
	if _, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", a.get("Date")); err != nil {
		return nil, fmt.Errorf("answer %d: Date: %w", a.status, err)
	}
	return a, w.readBody(a, method)
}

func (a *answer) has(name string) bool {
	for _, f := range a.header {
		if f[0] == name {
			return true
		}
	}
	return false
}

// readBody reads as RFC 9112, section 6.3, says.
func (w *wire) readBody(a *answer, method string) error {
	length, coded := a.get("Content-Length"), a.has("transfer-encoding")
	switch {
	case a.status == 204 || method == "CONNECT" && a.status < 300:
		if coded || a.has("content-length") {
			return fmt.Errorf("a %d to %s with a length", a.status, method)
		}
		return nil
	case method == "HEAD", a.status == 304:
		return nil
	case coded && a.has("content-length"):
		return errors.New("both Transfer-Encoding and Content-Length")
	case coded:
		if a.get("Transfer-Encoding") != "chunked" {
			return fmt.Errorf("Transfer-Encoding %q", a.get("Transfer-Encoding"))
		}
		return w.readChunks(a)
	case a.has("content-length"):
		n, err := strconv.ParseUint(length, 10, 62)
		if err != nil {
			return err
		}
		b := make([]byte, n)
		got, err := io.ReadFull(w.r, b)
		a.body = string(b[:got])
		return err
	case !a.closes():
		return errors.New("no length, and the connection is kept")
	}
	b, err := io.ReadAll(w.r)
	a.body = string(b)
	return err
}

func (w *wire) readChunks(a *answer) error {
	var body strings.Builder
	defer func() { a.body = body.String() }()
	for {
		line, err := w.line()
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(line, 16, 31)
		if err != nil {
			return fmt.Errorf("chunk size %q", line)
		}
		if _, err := io.CopyN(&body, w.r, int64(n)); err != nil {
			return err
		}
		if line, err = w.line(); err != nil || line != "" {
			return fmt.Errorf("after a chunk: %q, %w", line, err)
		}
		if n == 0 {
			return nil
		}
	}
}

// line reads a line that ends in CR LF and has neither otherwise.
func (w *wire) line() (string, error) {
	line, err := w.r.ReadString('\n')
	if err != nil {
		if err == io.EOF && line != "" {
			err = io.ErrUnexpectedEOF
		}
		return "", err
	}
	line, ok := strings.CutSuffix(line, "\r\n")
	if !ok || strings.Contains(line, "\r") {
		return "", fmt.Errorf("line %q", line)
	}
	return line, nil
}

func token(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// TestStrictClient makes sure that the client the other tests trust takes
// nothing that is wrong.
func TestStrictClient(t *testing.T) {
	const date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
	tests := []struct {
		name, method, raw string
		good              bool
	}{
		{"plain", "GET", "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 2\r\n\r\nhi", true},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", true},
		{"until close", "GET", "HTTP/1.1 200 OK\r\n" + date + "Connection: close\r\n\r\nhi", true},
		{"interim", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n" + date + "\r\n", true},
		{"bare LF", "GET", "HTTP/1.1 200 OK\n" + date + "Content-Length: 0\r\n\r\n", false},
		{"no Date", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false},
		{"two lengths", "GET", "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", false},
		{"length and coding", "GET", "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"short", "GET", "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 3\r\n\r\nhi", false},
		{"short chunk", "GET", "HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", false},
		{"no length", "GET", "HTTP/1.1 200 OK\r\n" + date + "\r\n", false},
		{"204 with a length", "GET", "HTTP/1.1 204 No Content\r\n" + date + "Content-Length: 0\r\n\r\n", false},
		{"space in a name", "GET", "HTTP/1.1 200 OK\r\n" + date + "X : y\r\nContent-Length: 0\r\n\r\n", false},
	}
	for _, tt := range tests {
		w := &wire{r: bufio.NewReader(strings.NewReader(tt.raw))}
		if a, err := w.readFinal(tt.method); (err == nil) != tt.good {
			t.Errorf("%s: %+v, %v", tt.name, a, err)
		}
	}
}
