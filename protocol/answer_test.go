package protocol

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func request(path string, lines ...string) string {
	return crlf(append([]string{"GET " + path + " HTTP/1.1", "Host: a"}, lines...)...)
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func TestBodies(t *testing.T) {
	large := pattern(3 << 20)
	name := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(name, large, 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(offset, length int64) Content {
		f, err := os.Open(name)
		if err != nil {
			t.Error(err)
		}
		return File(f, offset, length)
	}
	resident := func(offset, length int64) Content {
		c := file(offset, length)
		c.Resident = true
		return c
	}
	tests := []struct {
		name string
		body func() Content
		want []byte
	}{
		{"nothing", func() Content { return Content{} }, nil},
		{"small bytes", func() Content { return Bytes(large[:100]) }, large[:100]},
		{"bytes as large as the buffer", func() Content { return Bytes(large[:outSize]) }, large[:outSize]},
		{"large bytes", func() Content { return Bytes(large) }, large},
		{"empty file", func() Content { return file(10, 0) }, nil},
		{"small part of a file", func() Content { return file(1000, 50) }, large[1000:1050]},
		{"large part of a file", func() Content { return file(12345, 2<<20) }, large[12345 : 12345+2<<20]},
		{"part of a file in memory", func() Content { return resident(12345, 200_000) }, large[12345:212345]},
		{"large part of a file in memory", func() Content { return resident(12345, 2<<20) }, large[12345 : 12345+2<<20]},
		{"end of a file", func() Content { return file(3<<20-70000, 70000) }, large[3<<20-70000:]},
		{"large stream", func() Content { return Stream(&stream{Reader: bytes.NewReader(large)}, -1) }, large},
		{"large stream of known length", func() Content { return Stream(&stream{Reader: bytes.NewReader(large)}, int64(len(large))) }, large},
		{"stream that ends with its last piece", func() Content { return Stream(&stream{Reader: io.LimitReader(strings.NewReader("abc"), 3)}, -1) }, []byte("abc")},
		{"stream with empty reads", func() Content { return Stream(&stream{Reader: pieces(io.EOF, "", "ab", "", "", "c")}, -1) }, []byte("abc")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, func(x *Exchange) error {
				if x.Req.Path == "/open" {
					return echo(x)
				}
				x.Res.Body = tt.body()
				return nil
			})
			c := s.dial()
			for range 2 {
				c.send(request("/"))
				c.want(200, string(tt.want))
			}
			c.send(crlf("HEAD / HTTP/1.1", "Host: a"))
			if r := c.answer("HEAD"); r.status != 200 || r.length >= 0 && r.length != int64(len(tt.want)) {
				t.Errorf("HEAD: %d, length %d", r.status, r.length)
			}
			c.open()
			done := s.obs.outcomes(t, 4)
			for i, want := range []int64{int64(len(tt.want)), int64(len(tt.want)), 0} {
				if done[i].sent != want || done[i].err != nil {
					t.Errorf("exchange %d: sent %d, %v; want %d", i, done[i].sent, done[i].err, want)
				}
			}
			old := s.dial()
			old.send(crlf("GET / HTTP/1.0", "X: y"))
			old.want(200, string(tt.want))
			old.closed()
		})
	}
}

func TestLargeHead(t *testing.T) {
	body := strings.Repeat("b", 100_000)
	for _, size := range []int{20_000, outSize - 200, outSize - 50, outSize, 3 * outSize} {
		s := serve(t, func(x *Exchange) error {
			if x.Req.Path == "/open" {
				return echo(x)
			}
			x.Res.Header.Add("X-Large", strings.Repeat("h", size))
			x.Res.Body = Stream(&stream{Reader: strings.NewReader(body)}, -1)
			return nil
		})
		c := s.dial()
		c.send(request("/"))
		if r := c.want(200, body); len(r.header.Get("X-Large")) != size {
			t.Errorf("field of %d bytes instead of %d", len(r.header.Get("X-Large")), size)
		}
		c.open()
	}
}

// TestFailingBodies: what was begun is cut off so that the client notices, what
// was not is replaced by an error page. The stream is closed once in any case.
func TestFailingBodies(t *testing.T) {
	cause := errors.New("broken pipe of a script")
	panics := readFunc(func([]byte) (int, error) { panic("in Read") })
	tests := []struct {
		name   string
		reader io.Reader
		length int64
		close  func() error
		status int
		body   string // up to the cut
		cut    bool
		want   error // in the outcome; nil: a *PanicError
	}{
		{"error at once", pieces(cause), -1, nil, 500, "", false, cause},
		{"error with a status", pieces(Fail(504, cause)), -1, nil, 504, "", false, cause},
		{"error midway", pieces(cause, "abc"), -1, nil, 200, "abc", true, cause},
		{"error midway, known length", pieces(cause, "abc"), 10, nil, 200, "abc", true, cause},
		{"too short", pieces(io.EOF, "abc", "d"), 10, nil, 200, "abcd", true, errStreamLength},
		{"too short at once", pieces(io.EOF), 10, nil, 500, "", false, errStreamLength},
		{"too long", pieces(io.EOF, "abc", "defg"), 5, nil, 200, "abc", true, errStreamLength},
		{"too long at once", pieces(io.EOF, "abcdef"), 5, nil, 500, "", false, errStreamLength},
		{"panic in Read", panics, -1, nil, 500, "", false, nil},
		{"panic in Read midway", io.MultiReader(strings.NewReader("abc"), panics), -1, nil, 200, "abc", true, nil},
		{"panic in Close", strings.NewReader("abc"), 3, func() error { panic("in Close") }, 200, "abc", false, nil},
		{"error in Close", strings.NewReader("abc"), 3, func() error { return cause }, 200, "abc", false, cause},
		{"no progress", readFunc(func([]byte) (int, error) { return 0, nil }), -1, nil, 200, "", true, io.ErrNoProgress},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := &stream{Reader: tt.reader, close: tt.close}
			s := serve(t, func(x *Exchange) error {
				x.Res.Body = Stream(body, tt.length)
				return nil
			})
			c := s.dial()
			c.send(request("/"))
			r := c.answer("GET")
			if r.status != tt.status || tt.status == 200 && r.body != tt.body || (r.err != nil) != tt.cut {
				t.Fatalf("got %d %q (%v), want %d %q, cut %t", r.status, r.body, r.err, tt.status, tt.body, tt.cut)
			}
			c.closed()
			done := s.obs.outcomes(t, 1)[0]
			_, panicked := errors.AsType[*PanicError](done.err)
			if done.status != tt.status || tt.want == nil && !panicked || tt.want != nil && !errors.Is(done.err, tt.want) {
				t.Errorf("Done told %d, %v", done.status, done.err)
			}
			if n := body.closes(); n != 1 {
				t.Errorf("closed %d times", n)
			}
		})
	}
}

// A close-delimited answer that is cut off is told from a complete one by a reset.
func TestFailingBodyHTTP10(t *testing.T) {
	sent := make(chan struct{})
	s := serve(t, func(x *Exchange) error {
		x.Res.Body = Stream(&stream{Reader: io.MultiReader(strings.NewReader("abc"), readFunc(func([]byte) (int, error) {
			<-sent
			return 0, errors.New("no more")
		}))}, -1)
		return nil
	})
	c := s.dial()
	c.send(crlf("GET / HTTP/1.0", "X: y"))
	res := c.head("GET")
	if _, err := io.ReadFull(res.Body, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	close(sent)
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the answer looks complete")
	}
}

// TestDiscardedBodies: an answer that isn't sent is closed, also when that panics.
func TestDiscardedBodies(t *testing.T) {
	tests := []struct {
		name   string
		answer func(x *Exchange) error
		status int
	}{
		{"error", func(x *Exchange) error { return Failf(403, "no") }, 403},
		{"panic", func(x *Exchange) error { panic("no") }, 500},
		{"malformed field", func(x *Exchange) error { x.Res.Header.Add("X", "a\r\nSet-Cookie: b"); return nil }, 500},
		{"impossible status", func(x *Exchange) error { x.Res.Status = 99; return nil }, 500},
		{"error without a status", func(x *Exchange) error { return &Error{} }, 500},
		{"204", func(x *Exchange) error { x.Res.Status = 204; return nil }, 204},
	}
	for _, tt := range tests {
		for _, closing := range []string{"", "panic"} {
			t.Run(tt.name+closing, func(t *testing.T) {
				body := &stream{Reader: strings.NewReader("abc"), close: func() error {
					if closing != "" {
						panic("in Close")
					}
					return nil
				}}
				s := serve(t, func(x *Exchange) error {
					if x.Req.Path != "/" {
						return echo(x)
					}
					x.Res.Body = Stream(body, -1)
					return tt.answer(x)
				})
				c := s.dial()
				c.send(request("/"))
				if r := c.want(tt.status, ""); r.header.Get("Set-Cookie") != "" {
					t.Error("a field was smuggled in")
				}
				_, panicked := errors.AsType[*PanicError](s.obs.outcomes(t, 1)[0].err)
				if n := body.closes(); n != 1 {
					t.Errorf("closed %d times", n)
				}
				if want := closing != "" || tt.name == "panic"; panicked != want {
					t.Errorf("a panic was reported: %t", panicked)
				}
				s.dial().open()
			})
		}
	}
}

func TestShrunkenFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, pattern(100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, length := range []int64{200, 300_000, 400_000} {
		var file *os.File
		s := serve(t, func(x *Exchange) (err error) {
			if file, err = os.Open(name); err == nil {
				x.Res.Body = File(file, 99_900, length)
				x.Res.Body.Resident = length == 400_000
			}
			return err
		})
		c := s.dial()
		c.send(request("/"))
		r := c.answer("GET")
		if length == 200 && (r.status != 500 || r.err != nil) || length > 200 && (r.status != 200 || r.err == nil || len(r.body) != 100) {
			t.Errorf("%d bytes: got %d with %d bytes, %v", length, r.status, len(r.body), r.err)
		}
		c.closed()
		if done := s.obs.outcomes(t, 1)[0]; !errors.Is(done.err, errShortFile) {
			t.Errorf("Done told %v", done.err)
		}
		if err := file.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("the file was left open: %v", err)
		}
	}
}

// Header lists that a handler shares between answers are not touched.
func TestSharedHeader(t *testing.T) {
	shared := Header{{"Content-Type", "text/plain"}, {"ETag", `"x"`}}
	s := serve(t, func(x *Exchange) error {
		x.Res = Response{Header: shared, Body: Bytes([]byte("s"))}
		return nil
	})
	c := s.dial()
	for range 3 {
		c.send(request("/"))
		if r := c.want(200, "s"); r.header.Get("ETag") != `"x"` || r.header.Get("Content-Type") != "text/plain" {
			t.Fatalf("got %v", r.header)
		}
	}
}

func TestUnreadBodies(t *testing.T) {
	unread := func(x *Exchange) error {
		if x.Req.Path != "/" {
			return echo(x)
		}
		x.Res.Body = Bytes([]byte("unread"))
		return nil
	}
	lax := func(s *Service) { s.Limits.MaxBody = 1 << 40 }
	t.Run("small", func(t *testing.T) {
		s := serve(t, unread, lax)
		c := s.dial()
		c.send(request("/", "Content-Length: 200000") + strings.Repeat("x", 200_000))
		if c.want(200, "unread").close {
			t.Error("close")
		}
		c.open()
		if done := s.obs.outcomes(t, 1)[0]; done.received != 200_000 || done.kept != strings.Repeat("x", 16) {
			t.Errorf("received %d, kept %q", done.received, done.kept)
		}
	})
	t.Run("large", func(t *testing.T) {
		c := serve(t, unread, lax).dial()
		c.send(request("/", "Content-Length: 8000000") + strings.Repeat("x", 8_000_000))
		if !c.want(200, "unread").close {
			t.Error("no close")
		}
		c.closed()
	})
	t.Run("large chunked", func(t *testing.T) {
		c := serve(t, unread, lax).dial()
		c.send(request("/", "Transfer-Encoding: chunked") + "800000\r\n" + strings.Repeat("x", 8<<20) + "\r\n0\r\n\r\n")
		c.want(200, "unread")
		c.closed()
	})
	t.Run("broken chunks", func(t *testing.T) {
		c := serve(t, unread, lax).dial()
		c.send(request("/", "Transfer-Encoding: chunked") + "8000000000000000\r\nx")
		c.want(200, "unread")
		c.closed()
	})
	t.Run("announced too large", func(t *testing.T) {
		c := serve(t, unread).dial()
		c.send(request("/", "Content-Length: 8000000") + strings.Repeat("x", 8_000_000))
		c.want(413, "")
		c.closed()
	})
}

// What a client sends behind a request with Connection: close is not read as a
// request, and does not cost it the answer (RFC 9112, section 9.6).
func TestNothingAfterClose(t *testing.T) {
	s := serve(t, echo)
	c := s.dial()
	c.send(get("Connection: close") + request("/more"))
	c.want(200, "GET / ")
	c.closed()
	if n := len(s.obs.outcomes(t, 1)); n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

// An answer that would break the message is replaced by an error page, which the
// service may change as any other; a page of the service that would break the
// message by the engine's own.
func TestMalformedAnswers(t *testing.T) {
	for _, both := range []struct {
		name   string
		change []func(*Service)
	}{{"usual", nil}, {"quick", []func(*Service){quick}}} {
		t.Run(both.name, func(t *testing.T) {
			hook := func(v *Service) {
				v.ErrorResponse = func(x *Exchange) {
					x.Res.Header.Set("X-Hook", "seen")
					if x.Req.Path == "/both" {
						x.Res.Header.Set("X-Broken", "a\nb")
					}
				}
			}
			s := serve(t, func(x *Exchange) error {
				x.Res.Header.Add("X-Broken", "a\r\nb")
				return nil
			}, append(both.change, hook)...)
			for path, want := range map[string]string{"/one": "seen", "/both": ""} {
				c := s.dial()
				c.send(request(path))
				if a := c.want(500, string(errorPage(500))); a.header.Get("X-Hook") != want || a.header.Get("X-Broken") != "" {
					t.Errorf("%s: %v", path, a.header)
				}
				c.closed()
				c.Close() // else it lingers
			}
			s.stop()
			s.ended()
		})
	}
}
