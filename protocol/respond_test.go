package protocol

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestPlanResponse(t *testing.T) {
	body := Bytes([]byte("abc"))
	known, unknown := Stream(nil, 7), Stream(nil, -1)
	tunnel := Tunnel(tunnelEcho, nil)
	file := File(nil, 2, 9)
	tests := []struct {
		name   string
		method string
		minor  int
		status int
		body   Content
		keep   bool
		want   respondPlan
	}{
		{"bytes", "GET", 1, 200, body, true, respondPlan{200, endLength, 3, true, false, true}},
		{"no status", "GET", 1, 0, body, true, respondPlan{200, endLength, 3, true, false, true}},
		{"close", "GET", 1, 200, body, false, respondPlan{200, endLength, 3, true, false, false}},
		{"nothing", "GET", 1, 200, Content{}, true, respondPlan{200, endLength, 0, true, false, true}},
		{"file", "GET", 1, 206, file, true, respondPlan{206, endLength, 9, true, false, true}},
		{"stream", "GET", 1, 200, known, true, respondPlan{200, endLength, 7, true, false, true}},
		{"stream of unknown length", "GET", 1, 200, unknown, true, respondPlan{200, endChunked, 0, true, false, true}},
		{"the same for 1.0", "GET", 0, 200, unknown, true, respondPlan{200, endClose, 0, true, false, false}},
		{"HEAD", "HEAD", 1, 200, body, true, respondPlan{200, endLength, 3, false, false, true}},
		{"HEAD of a stream", "HEAD", 1, 200, unknown, true, respondPlan{200, endChunked, 0, false, false, true}},
		{"204", "GET", 1, 204, body, true, respondPlan{204, endNone, 0, false, false, true}},
		{"205", "GET", 1, 205, body, true, respondPlan{205, endLength, 0, false, false, true}},
		{"304", "GET", 1, 304, unknown, true, respondPlan{304, endNone, 0, false, false, true}},
		{"tunnel", "CONNECT", 1, 200, tunnel, true, respondPlan{200, endNone, 0, false, true, false}},
		{"CONNECT refused", "CONNECT", 1, 403, body, true, respondPlan{403, endLength, 3, true, false, false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := Request{Method: tt.method, Minor: tt.minor}
			if got := planResponse(&req, &Response{Status: tt.status, Body: tt.body}, tt.keep); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestAppendHead(t *testing.T) {
	get := Request{Method: "GET", Minor: 1}
	tests := []struct {
		name   string
		req    Request
		plan   respondPlan
		header Header
		want   string
	}{
		{"plain", get, respondPlan{status: 200, end: endLength, length: 5, keep: true}, Header{{"X", "y"}, {"Z", ""}},
			"HTTP/1.1 200 OK\r\nDate: now\r\nX: y\r\nZ: \r\nContent-Length: 5\r\n\r\n"},
		{"close", get, respondPlan{status: 404, end: endLength}, nil,
			"HTTP/1.1 404 Not Found\r\nDate: now\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
		{"chunked", get, respondPlan{status: 599, end: endChunked, keep: true}, nil,
			"HTTP/1.1 599 Unknown\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"1.0", Request{Method: "GET"}, respondPlan{status: 200, end: endLength, keep: true}, nil,
			"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"},
		{"1.0 to the end", Request{Method: "GET"}, respondPlan{status: 200, end: endClose}, nil,
			"HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\n\r\n"},
		{"304", get, respondPlan{status: 304, keep: true}, Header{{"ETag", `"a"`}},
			"HTTP/1.1 304 Not Modified\r\nDate: now\r\nETag: \"a\"\r\n\r\n"},
		{"tunnel", Request{Method: "CONNECT", Minor: 1}, respondPlan{status: 200, tunnel: true}, nil,
			"HTTP/1.1 200 OK\r\nDate: now\r\n\r\n"},
		{"fields of the engine", get, respondPlan{status: 200, end: endLength, length: 1, keep: true},
			Header{{"content-length", "9"}, {"Transfer-Encoding", "chunked"}, {"CONNECTION", "close"}, {"date", "x"}, {"Dato", "x"}},
			"HTTP/1.1 200 OK\r\nDate: now\r\nDato: x\r\nContent-Length: 1\r\n\r\n"},
	}
	for _, tt := range tests {
		got, err := appendHead(nil, tt.plan, &Response{Header: tt.header}, &tt.req, "now")
		if string(got) != tt.want || err != nil {
			t.Errorf("%s: %q, %v\nwant %q", tt.name, got, err, tt.want)
		}
	}

	connect := Request{Method: "CONNECT", Minor: 1}
	good := respondPlan{status: 200, end: endLength}
	malformed := []struct {
		name   string
		req    Request
		plan   respondPlan
		header Header
	}{
		{"CRLF in a value", get, good, Header{{"X", "a\r\nSet-Cookie: b"}}},
		{"LF in a value", get, good, Header{{"X", "a\nb"}}},
		{"CR in a value", get, good, Header{{"X", "a\r"}}},
		{"NUL in a value", get, good, Header{{"X", "a\x00"}}},
		{"CRLF in a value of the engine's", get, good, Header{{"Date", "a\r\nb: c"}}},
		{"no name", get, good, Header{{"", "a"}}},
		{"space in a name", get, good, Header{{"X Y", "a"}}},
		{"colon in a name", get, good, Header{{"X:", "a"}}},
		{"CRLF in a name", get, good, Header{{"X\r\nY", "a"}}},
		{"status 0", get, respondPlan{}, nil},
		{"status 101", get, respondPlan{status: 101}, nil},
		{"status 600", get, respondPlan{status: 600}, nil},
		{"negative length", get, respondPlan{status: 200, end: endLength, length: -1}, nil},
		{"tunnel for GET", get, respondPlan{status: 200, tunnel: true}, nil},
		{"tunnel with an error", connect, respondPlan{status: 403, tunnel: true}, nil},
		{"CONNECT without a tunnel", connect, good, nil},
	}
	for _, tt := range malformed {
		if got, err := appendHead(nil, tt.plan, &Response{Header: tt.header}, &tt.req, "now"); err == nil {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

func TestErrorResponse(t *testing.T) {
	res := errorResponse(fmt.Errorf("wrapped: %w", &Error{Status: 405, Header: Header{{"Allow", "GET"}}, Err: os.ErrPermission}))
	if res.Status != 405 || res.Header.Get("Allow") != "GET" || !bytes.Contains(res.Body.bytes, []byte("405 Method Not Allowed")) {
		t.Errorf("%+v", res)
	}
	if bytes.Contains(res.Body.bytes, []byte("permission")) {
		t.Error("the page tells the cause")
	}
	for err, want := range map[error]int{nil: 200, io.EOF: 500, Fail(404, nil): 404, Fail(0, nil): 500, Fail(200, nil): 500, Failf(503, "x"): 503} {
		if got := StatusOf(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
	if got := Fail(404, nil).Error(); got != "404 Not Found" {
		t.Error(got)
	}
	if got := Failf(404, "gone %d", 1).Error(); got != "gone 1" {
		t.Error(got)
	}
}

func TestDate(t *testing.T) {
	var d dateClock
	before := time.Now().Truncate(time.Second)
	for range 2 {
		got, err := http.ParseTime(d.at(time.Now()))
		if err != nil || got.Before(before) || got.After(time.Now()) {
			t.Errorf("%v, %v", got, err)
		}
	}
	d.last.Store(&dateSecond{1, "stale"})
	if d.at(time.Now()) == "stale" {
		t.Error("the date stands still")
	}
}

// What frameChunk makes is what a decoder takes apart.
func TestFrameChunk(t *testing.T) {
	var c conn
	for _, n := range []int{0, 1, 15, 16, 255, 4096, outSize - 100} {
		for _, last := range []bool{false, true} {
			var x Exchange
			buf := make([]byte, outSize)
			at := copy(buf, "HEAD")
			data := pattern(n)
			copy(buf[at+chunkSizeRoom:], data)
			piece := c.frameChunk(&x, buf, at, n, last)
			if !strings.HasPrefix(string(piece), "HEAD") || int(x.framing) != len(piece)-at-n {
				t.Fatalf("%d bytes: %q, framing %d", n, piece, x.framing)
			}
			got, used, done, err := dechunk(string(piece[at:]), 1<<20)
			if got != string(data) || used != len(piece)-at || done != last || err != nil {
				t.Errorf("%d bytes, last %t: %d bytes, done %t, %v", n, last, len(got), done, err)
			}
		}
	}
}

func BenchmarkHead(b *testing.B) {
	lim := Limits{MaxURI: 8 << 10, MaxHeader: 16 << 10, MaxBody: 1 << 20}
	raw := []byte(browserHead)
	fields := make(Header, 0, 32)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		var s headScan
		end, err := s.scan(raw, &lim)
		if err != nil {
			b.Fatal(err)
		}
		req := Request{Header: fields}
		if err := parseHead(string(raw[:end]), &req, &lim, both); err != nil {
			b.Fatal(err)
		}
		if _, err := frame(&req, &lim); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExchange(b *testing.B) {
	body := pattern(1024)
	s := serve(b, func(x *Exchange) error {
		x.Res.Header.Add("Content-Type", "text/plain")
		x.Res.Body = Bytes(body)
		return nil
	}, func(v *Service) { v.Observer = silent{}; v.Limits.MaxHeader = 16 << 10 })
	c := s.dial()
	req := []byte(browserHead)
	if _, err := c.Write(req); err != nil {
		b.Fatal(err)
	}
	res, err := http.ReadResponse(c.br, nil)
	if err != nil {
		b.Fatal(err)
	}
	n, _ := io.Copy(io.Discard, res.Body)
	var head bytes.Buffer
	fmt.Fprintf(&head, "HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", TimeFormat, n)
	answer := make([]byte, head.Len()+int(n))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(req); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c.br, answer); err != nil {
			b.Fatal(err)
		}
	}
}

// silent is an Observer that costs nothing.
type silent struct{}

func (silent) Conn(_, _ ConnState, _ bool) {}
func (silent) Refused(string)              {}
func (silent) Begin(*Exchange)             {}
func (silent) Done(*Exchange)              {}
