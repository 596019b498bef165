package protocol

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"testing"
)

// wireSeeds are the inputs to begin with: what the rules of all sections send.
func wireSeeds() (seeds []string) {
	for _, section := range rfcSections {
		for _, r := range section.rules {
			seeds = append(seeds, r.raw)
		}
	}
	return append(seeds, browserHead)
}

// parsed is what the engine makes of the bytes of a request, up to its body.
type parsed struct {
	req Request
	f   framing
	end int
	err *Error
}

// parse parses raw, handed to the scanner in pieces of at most size bytes.
func parse(raw []byte, size int, lim *Limits) (p parsed) {
	var s headScan
	for seen := 0; seen < len(raw) && p.end == 0 && p.err == nil; {
		seen = min(seen+size, len(raw))
		p.end, p.err = s.scan(raw[:seen], lim)
	}
	switch {
	case p.err != nil:
		return p
	case p.end == 0:
		p.err = bad(400, BadTruncated, "no end")
		return p
	}
	if p.err = parseHead(string(raw[s.start:p.end]), &p.req, lim, both); p.err == nil {
		p.f, p.err = frame(&p.req, lim)
	}
	return p
}

func FuzzHead(f *testing.F) {
	for _, raw := range wireSeeds() {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		lim := testLimits()
		p := parse(raw, len(raw), &lim)
		again := parse(raw, 1, &lim)
		if (p.err == nil) != (again.err == nil) || p.end != again.end || p.f != again.f || p.req.Path != again.req.Path || p.req.Host != again.req.Host {
			t.Fatalf("whole: %+v\nbytes: %+v", p, again)
		}
		if p.err != nil {
			if p.err.Status < 400 || p.err.Reason == "" || !p.err.Close {
				t.Fatalf("%+v", p.err)
			}
			return
		}
		req := &p.req
		if c, err := canonicalPath(escape(req.Path)); err != nil || c != req.Path || req.Path[0] != '/' {
			t.Errorf("path %q: again %q, %v", req.Path, c, err)
		}
		all := []string{req.Method, req.Target, req.Query, req.Host}
		for _, field := range req.Header {
			if field.Name == "" {
				t.Error("field without a name")
			}
			all = append(all, field.Name, field.Value)
		}
		for _, s := range all {
			if strings.ContainsAny(s, "\r\n\x00") {
				t.Errorf("control character in %q", s)
			}
		}
		if req.Minor == 1 && req.Host == "" || p.f.length < -1 || p.f.length > lim.MaxBody || req.Length != p.f.length {
			t.Errorf("host %q, framing %+v, length %d", req.Host, p.f, req.Length)
		}
	})
}

func FuzzChunked(f *testing.F) {
	for _, s := range []string{
		"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "1;a;b=\"c\"\r\nx\r\n0;z\r\nA: b\r\n\r\nGET", "8000000000000000\r\nx",
		"7fffffffffffffff\r\nx", "1 ;a\r\nx\r\n0\r\n\r\n", "1\nx\r\n", "1\r\nxy", "0000000000000000\r\n\r\n", "1;\r\r\nx\r\n0\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	for _, raw := range wireSeeds() {
		if head, body, _ := strings.Cut(raw, "\r\n\r\n"); strings.Contains(head, "chunked") {
			f.Add([]byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		data, used, done, err := dechunk(string(raw), len(raw))
		for _, size := range []int{1, 3} {
			data2, used2, done2, err2 := dechunk(string(raw), size)
			if data != data2 || used != used2 || done != done2 || (err == nil) != (err2 == nil) {
				t.Fatalf("whole %q %d %t %v\nby %d %q %d %t %v", data, used, done, err, size, data2, used2, done2, err2)
			}
		}
		if err != nil || !done {
			return
		}
		r := bufio.NewReaderSize(bytes.NewReader(raw[:used]), 1<<16)
		got, gerr := io.ReadAll(httputil.NewChunkedReader(r))
		if gerr != nil {
			t.Fatalf("accepted what net/http refuses: %v", gerr)
		}
		if string(got) != data {
			t.Fatalf("%q, net/http %q", data, got)
		}
		if rest, _ := io.ReadAll(r); !bytes.HasSuffix(rest, []byte("\r\n")) { // it leaves the trailers
			t.Fatalf("behind the last chunk: %q", rest)
		}
	})
}

// FuzzTarget compares with net/url: a target that is accepted means the same
// host, path and query to both, and the two ways to take one apart agree.
func FuzzTarget(f *testing.F) {
	for _, raw := range wireSeeds() {
		line, _, _ := strings.Cut(raw, "\r\n")
		if words := strings.Split(line, " "); len(words) == 3 {
			f.Add(words[0], words[1])
		}
	}
	for _, target := range []string{"http://[::1]:80/a/../b?c", "HTTP://h:?q", "//h/x", "/a?b?c/..", "/%61/%2e%2e/%2F", "h:443", "[::1]:443", "/?%zz"} {
		f.Add("GET", target)
		f.Add("CONNECT", target)
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		if target == "" { // parseRequestLine sees to it
			return
		}
		req := Request{Method: method, Target: target}
		err := parseTarget(&req)
		path, query, splitErr := SplitPath(target)
		if originForm := target[0] == '/' && method != MethodConnect; originForm &&
			((err == nil) != (splitErr == nil) || err == nil && (path != req.Path || query != req.Query)) {
			t.Fatalf("%+v, %v; SplitPath: %q, %q, %v", req, err, path, query, splitErr)
		}
		if err != nil {
			if err.Status != 400 || err.Reason != BadTarget {
				t.Fatalf("%+v", err)
			}
			return
		}
		if again, err := canonicalPath(escape(req.Path)); err != nil || again != req.Path || req.Path[0] != '/' || strings.ContainsRune(req.Path, 0) {
			t.Fatalf("path %q, again %q, %v", req.Path, again, err)
		}
		switch {
		case method == MethodConnect:
			if host, port, err := net.SplitHostPort(target); err != nil || host == "" || !isDigits(port) || req.Host != target || req.Path != "/" {
				t.Fatalf("%+v, %v", req, err)
			}
		case target == "*":
			if method != MethodOptions || req.Path != "/" || req.Host != "" {
				t.Fatalf("%+v", req)
			}
		default:
			u, err := url.ParseRequestURI(target)
			if err != nil || u.User != nil || u.Opaque != "" || u.Host != req.Host || u.RawQuery != req.Query {
				t.Fatalf("%+v\nnet/url: %+v, %v", req, u, err)
			}
			if want := clean("/" + u.Path); req.Path != want {
				t.Fatalf("path %q, net/url %q", req.Path, want)
			}
		}
	})
}

func FuzzCanonicalPath(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2e/", "/a%2f..%2f..", "//a//", "/.well-known", "/%25%32%65", "/a/.", "/a/..", "/%00", "/..a/.../"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if raw == "" || raw[0] != '/' || strings.ContainsRune(raw, 0) {
			return
		}
		got, err := canonicalPath(raw)
		decoded, derr := url.PathUnescape(raw)
		if err != nil {
			if derr == nil && !strings.ContainsRune(decoded, 0) && !escapes(decoded) {
				t.Fatalf("refused %q: %v", raw, err)
			}
			return
		}
		if derr != nil || escapes(decoded) || strings.ContainsRune(decoded, 0) {
			t.Fatalf("accepted %q as %q", raw, got)
		}
		if want := clean(decoded); got != want {
			t.Fatalf("%q: %q, want %q", raw, got, want)
		}
		for segment := range strings.SplitSeq(strings.TrimSuffix(got[1:], "/"), "/") {
			if segment == "." || segment == ".." || segment == "" && got != "/" {
				t.Fatalf("%q: segment %q in %q", raw, segment, got)
			}
		}
		if again, err := canonicalPath(escape(got)); err != nil || again != got {
			t.Fatalf("%q: %q, again %q, %v", raw, got, again, err)
		}
	})
}

// clean is path.Clean that keeps the slash of a folder.
func clean(decoded string) string {
	c := path.Clean(decoded)
	last := decoded[strings.LastIndexByte(decoded, '/')+1:]
	if c != "/" && (last == "" || last == "." || last == "..") {
		c += "/"
	}
	return c
}

// escapes reports whether a decoded path leaves the root on its way.
func escapes(decoded string) bool {
	depth := 0
	for segment := range strings.SplitSeq(decoded, "/") {
		switch segment {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

// escape spells a decoded path so that canonicalPath reads it as it is.
func escape(p string) string { return strings.ReplaceAll(p, "%", "%25") }
