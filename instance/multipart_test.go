package instance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	mimeparts "mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"sited/protocol"
)

const alphabet = "abcdefghijklmnopqrstuvwxyz"

func openTemp(t testing.TB, content string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	writeFile(t, name, content)
	f, err := os.Open(name)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// The bytes of a small answer: RFC 9110, section 14.6, and RFC 2046, section 5.1.1.
func TestMultipartLayout(t *testing.T) {
	parts := []byteRange{{23, 3}, {0, 2}}
	const want = "--BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 23-25/26\r\n\r\nxyz" +
		"\r\n--BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/26\r\n\r\nab" +
		"\r\n--BOUNDARY--\r\n"
	for _, c := range []struct {
		contentType, want string
		file              *os.File
	}{
		{"text/plain", want, nil},
		{"text/plain", want, openTemp(t, alphabet)},
		{"", strings.ReplaceAll(want, "Content-Type: text/plain\r\n", ""), nil},
	} {
		r, length := newPartsReader(parts, 26, c.contentType, "BOUNDARY", []byte(alphabet), c.file)
		if length != int64(len(c.want)) {
			t.Errorf("length %d, want %d", length, len(c.want))
		}
		if err := iotest.TestReader(r, []byte(c.want)); err != nil {
			t.Error(err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("behind the end: %d, %v", n, err)
		}
	}
}

// However it is read, an independent reader finds the parts, and the length is
// what was said.
func TestMultipartIsRead(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	body := make([]byte, 100_000)
	for i := range body {
		body[i] = byte(random.Uint32())
	}
	file := openTemp(t, string(body))
	for round := range 200 {
		var parts []byteRange
		for range 1 + random.IntN(maxRanges) {
			start := random.Int64N(int64(len(body)))
			length := min(1+random.Int64N(1+random.Int64N(9000)), int64(len(body))-start)
			parts = append(parts, byteRange{start, length})
		}
		var source *os.File
		if round%2 == 1 {
			source = file
		}
		r, length := newPartsReader(parts, int64(len(body)), "a/b", "B", body, source)
		way := []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, func(r io.Reader) io.Reader { return r }}[round%3]
		all, err := io.ReadAll(way(r))
		must(t, err)
		if int64(len(all)) != length {
			t.Fatalf("%v: %d bytes, said were %d", parts, len(all), length)
		}
		checkParts(t, bytes.NewReader(all), "B", "a/b", body, parts)
	}
}

// checkParts reads a multipart/byteranges body that has parts of content.
func checkParts(t *testing.T, r io.Reader, boundary, contentType string, content []byte, parts []byteRange) {
	t.Helper()
	m := mimeparts.NewReader(r, boundary)
	for _, want := range parts {
		p, err := m.NextRawPart()
		must(t, err)
		got, err := io.ReadAll(p)
		must(t, err)
		if !bytes.Equal(got, content[want.start:want.start+want.length]) {
			t.Fatalf("%+v: %d bytes that differ", want, len(got))
		}
		if s := p.Header.Get("Content-Range"); s != fmt.Sprintf("bytes %d-%d/%d", want.start, want.start+want.length-1, len(content)) {
			t.Fatalf("%+v: Content-Range %q", want, s)
		}
		if s := p.Header.Get("Content-Type"); s != contentType || len(p.Header) != 2 {
			t.Fatalf("%+v: %v", want, p.Header)
		}
	}
	if _, err := m.NextRawPart(); err != io.EOF {
		t.Fatalf("behind the last part: %v", err)
	}
}

func TestMultipartOfTooLittle(t *testing.T) {
	parts := []byteRange{{0, 2}, {20, 6}}
	for name, file := range map[string]*os.File{"file": openTemp(t, alphabet[:23]), "memory": nil} {
		r, _ := newPartsReader(parts, 26, "", "B", []byte(alphabet[:23]), file)
		all, err := io.ReadAll(r)
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasSuffix(string(all), "\r\n\r\nuvw") {
			t.Errorf("%s: %q, %v", name, all, err)
		}
		if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: once more: %d, %v", name, n, err)
		}
	}
	closed := openTemp(t, alphabet)
	closed.Close()
	r, _ := newPartsReader(parts, 26, "", "B", nil, closed)
	if _, err := io.ReadAll(r); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a file that can't be read: %v", err)
	}
}

func TestMultipartCloses(t *testing.T) {
	file := openTemp(t, alphabet)
	content, _ := multipartRanges([]byteRange{{0, 1}, {2, 1}}, 26, "a/b", nil, file, nil)
	must(t, content.Close())
	if _, err := file.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file is open: %v", err)
	}
	r, _ := newPartsReader([]byteRange{{0, 1}}, 26, "a/b", "B", nil, openTemp(t, alphabet))
	for range 2 {
		must(t, r.Close())
	}
	memory, _ := multipartRanges([]byteRange{{0, 1}, {2, 1}}, 26, "a/b", []byte(alphabet), nil, nil)
	must(t, memory.Close())
}

// RFC 2046, section 5.1.1: 1 to 70 characters of a set. None may come twice.
func TestMultipartBoundary(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		_, mediaType := multipartRanges([]byteRange{{0, 1}, {2, 1}}, 26, "a/b", []byte(alphabet), nil, nil)
		kind, parameters, err := mime.ParseMediaType(mediaType)
		must(t, err)
		boundary := parameters["boundary"]
		if kind != "multipart/byteranges" || len(parameters) != 1 || seen[boundary] {
			t.Errorf("%q", mediaType)
		}
		if len(boundary) < 20 || len(boundary) > 70 || strings.Trim(boundary, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			t.Errorf("boundary %q", boundary)
		}
		seen[boundary] = true
	}
}

// ranger answers everything with parts of what it holds.
type ranger struct {
	content []byte
	file    string // holds content, or less; "" for an answer from memory
}

func (g *ranger) Serve(x *protocol.Exchange) error {
	set, v := rangesFor(&x.Req, representation{exists: true}, int64(len(g.content)))
	if v != rangeSeveral {
		return protocol.Failf(400, "verdict %d", v)
	}
	var file *os.File
	if g.file != "" {
		var err error
		if file, err = os.Open(g.file); err != nil {
			return err
		}
	}
	body, mediaType := multipartRanges(set.parts, int64(len(g.content)), "text/plain", g.content, file, nil)
	x.Res.Status, x.Res.Body = 206, body
	x.Res.Header.Add("Content-Type", mediaType)
	return nil
}

type noObserver struct{}

func (noObserver) Conn(from, to protocol.ConnState, taken bool) {}
func (noObserver) Refused(reason string)                        {}
func (noObserver) Begin(x *protocol.Exchange)                   {}
func (noObserver) Done(x *protocol.Exchange)                    {}

// On the wire: with Content-Length, over a connection that goes on, and cut off
// where the file is shorter than it was.
func TestMultipartOnTheWire(t *testing.T) {
	content := []byte(strings.Repeat(alphabet, 20_000))
	const size = 26 * 20_000
	whole := filepath.Join(t.TempDir(), "whole")
	writeFile(t, whole, string(content))
	short := filepath.Join(t.TempDir(), "short")
	writeFile(t, short, string(content[:size-100]))
	parts := []byteRange{{size - 1000, 1000}, {0, 1}, {1000, 200_000}}
	before := descriptors(t)
	for name, g := range map[string]*ranger{
		"memory": {content: content}, "file": {content: content, file: whole}, "short file": {content: content, file: short},
	} {
		t.Run(name, func(t *testing.T) {
			client := serveRanger(t, g)
			for range 2 {
				for _, order := range [][]byteRange{parts, {parts[1], parts[2], parts[0]}} {
					res, body, err := getRanges(t, client, order)
					cut := g.file == short
					if !cut {
						must(t, err)
						_, parameters, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
						checkParts(t, bytes.NewReader(body), parameters["boundary"], "text/plain", content, order)
					}
					if failed := err != nil || res.StatusCode == 500; failed != cut {
						t.Errorf("status %d, %d bytes, %v", res.StatusCode, len(body), err)
					}
					if res.StatusCode == 206 && (res.Header.Get("Content-Range") != "" || res.ContentLength < 201_001) {
						t.Errorf("15.3.7.2 MUST NOT have Content-Range; Content-Length: %v", res.Header)
					}
				}
			}
		})
	}
	eventually(t, "all files are closed", func() bool { return descriptors(t) <= before })
}

func serveRanger(t *testing.T, g *ranger) *http.Client {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	d := Defaults()
	server := protocol.NewServer(ln, &protocol.Service{
		Handler: g, Observer: noObserver{}, Limits: testLimits, Timeouts: d.Timeouts,
		Versions: protocol.Versions{HTTP11: true},
	}, discard())
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- server.Run(ctx) }()
	dialer := net.Dialer{}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, ln.Addr().String())
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		must(t, <-over)
	})
	return &http.Client{Transport: transport}
}

func getRanges(t *testing.T, client *http.Client, parts []byteRange) (*http.Response, []byte, error) {
	t.Helper()
	var specs []string
	for _, p := range parts {
		specs = append(specs, fmt.Sprintf("%d-%d", p.start, p.start+p.length-1))
	}
	req, err := http.NewRequest("GET", "http://test/", nil)
	must(t, err)
	req.Header.Set("Range", "bytes="+strings.Join(specs, ", "))
	res, err := client.Do(req)
	must(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, body, err
}
