package protocol

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// rule is one thing that an RFC asks for, and what is done with it here: what a
// client sends, and what comes back.
type rule struct {
	level level
	text  string
	raw   string
	want  then
}

// level is how much an RFC asks for something (RFC 2119).
type level string

const (
	must    level = "MUST"
	mustNot level = "MUST NOT"
	should  level = "SHOULD"
	may     level = "MAY"
	ours    level = "ours"    // left open by the RFC, or stricter than it asks for
	against level = "against" // the RFC asks for something else; the row says why
)

// then is what comes back: answers, and the end of the connection if it is closed.
type then struct {
	answers []wireAnswer
	closes  bool
}

// wireAnswer is one answer.
type wireAnswer struct {
	status int
	body   string   // compared below 400
	method string   // of the request; GET when left out
	reason string   // why it was refused: one of the Bad… constants, or ""
	fields []string // field lines that it has, "Name: value", and names that it hasn't, "!Name"
}

// keeps is a 200 on a connection that goes on.
func keeps(body string, fields ...string) then {
	return then{answers: []wireAnswer{{status: 200, body: body, fields: fields}}}
}

// closes is a 200 on a connection that is closed behind it.
func closes(body string, fields ...string) then {
	return then{[]wireAnswer{{status: 200, body: body, fields: fields}}, true}
}

// refuses is an error, for that reason, on a connection that is closed behind it.
func refuses(status int, reason string) then {
	return then{[]wireAnswer{{status: status, reason: reason}}, true}
}

// to is one answer to a request with that method, on a connection that goes on.
func to(method string, status int, body string, fields ...string) then {
	return then{answers: []wireAnswer{{status: status, body: body, method: method, fields: fields}}}
}

// after puts the answers of a pipeline behind each other.
func (t then) after(before ...then) then {
	var all []wireAnswer
	for _, b := range before {
		all = append(all, b.answers...)
	}
	t.answers = append(all, t.answers...)
	return t
}

func get(lines ...string) string {
	return crlf(append([]string{"GET / HTTP/1.1", "Host: a"}, lines...)...)
}

func post(body string, lines ...string) string {
	return crlf(append([]string{"POST /p HTTP/1.1", "Host: a"}, lines...)...) + body
}

func chunkedPost(body string) string { return post(body, "Transfer-Encoding: chunked") }

// wireHandler answers as its path says, or with what it was sent.
func wireHandler(x *Exchange) error {
	if x.Req.Method == MethodConnect {
		return Failf(403, "no tunnels here")
	}
	switch x.Req.Path {
	case "/204", "/304", "/205":
		fmt.Sscanf(x.Req.Path, "/%d", &x.Res.Status)
		x.Res.Body = Bytes([]byte("dropped"))
		return nil
	case "/404":
		return Failf(404, "not there")
	case "/panic":
		panic("oh")
	case "/unread":
		x.Res.Body = Bytes([]byte("unread"))
		return nil
	case "/stream":
		x.Res.Body = Stream(&stream{Reader: strings.NewReader("one two three")}, -1)
		return nil
	case "/sized":
		x.Res.Body = Stream(&stream{Reader: strings.NewReader("one two three")}, 13)
		return nil
	case "/host":
		x.Res.Body = Bytes([]byte(x.Req.Host))
		return nil
	case "/query":
		x.Res.Body = Bytes([]byte(x.Req.Query))
		return nil
	case "/fields": // after the body: a trailer must not have come to them
		if err := echo(x); err != nil {
			return err
		}
		var b []byte
		for _, f := range x.Req.Header {
			b = fmt.Appendf(b, "%s=%s;", f.Name, f.Value)
		}
		x.Res.Body = Bytes(b)
		return nil
	case "/forge": // the engine's fields, from a handler
		x.Res.Header = Header{{"Content-Length", "99"}, {"Transfer-Encoding", "gzip"}, {"Connection", "upgrade"}, {"Date", "yesterday"}}
	case "/split":
		x.Res.Header.Add("Location", "/a\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK")
	case "/split-lf":
		x.Res.Header.Add("Location", "/a\nSet-Cookie: b")
	case "/split-name":
		x.Res.Header.Add("X: y\r\nSet-Cookie", "b")
	}
	return echo(x)
}

// testRules sends what each rule says: whole, byte by byte, and cut in two at
// every offset. A handler that has its answers at hand gives the same ones; there
// the cuts are fewer.
func testRules(t *testing.T, rules []rule) {
	t.Helper()
	t.Parallel()
	testRulesOf(t, rules, 1, tellReason)
	t.Run("quick", func(t *testing.T) { testRulesOf(t, rules, 5, tellReason, quick) })
}

// tellReason tells on the wire, too, why a request was refused.
func tellReason(v *Service) {
	v.ErrorResponse = func(x *Exchange) {
		if e, ok := errors.AsType[*Error](x.Err); ok && e.Reason != "" {
			x.Res.Header.Add("Reason", e.Reason)
		}
	}
}

func testRulesOf(t *testing.T, rules []rule, sparse int, change ...func(*Service)) {
	t.Helper()
	s := serve(t, wireHandler, change...)
	for _, r := range rules {
		t.Run(string(r.level)+" "+r.text, func(t *testing.T) {
			s := &site{t: t, addr: s.addr}
			c := s.dial()
			c.send(r.raw)
			r.check(c)
			c = s.dial()
			for i := range len(r.raw) {
				if _, err := c.Write([]byte(r.raw[i : i+1])); err != nil {
					t.Fatalf("byte by byte: %v", err) // the server reads on after an early answer
				}
			}
			r.check(c)
			if r.want.closes {
				r.splitClosing(s, sparse*stride(len(r.raw)))
			} else {
				r.splitKeeping(s, sparse*stride(len(r.raw)))
			}
		})
	}
}

// stride is the distance of two offsets at which a case of n bytes is cut: every
// offset, unless it is long, which is by filling.
func stride(n int) int {
	switch {
	case testing.Short():
		return 7 + n/100
	case n < 700:
		return 1
	}
	return 1 + n/150
}

// answers reads what is expected.
func (r *rule) answers(c *client) {
	c.t.Helper()
	for i, w := range r.want.answers {
		method := w.method
		if method == "" {
			method = "GET"
		}
		got := c.answer(method)
		if got.status != w.status || got.err != nil || w.status < 400 && got.body != w.body {
			c.t.Fatalf("answer %d: got %d %.80q (%v, %s), want %d %.80q", i, got.status, got.body, got.err, got.header.Get("Reason"), w.status, w.body)
		}
		if reason := got.header.Get("Reason"); reason != w.reason {
			c.t.Fatalf("answer %d: %d for %q, want it for %q", i, got.status, reason, w.reason)
		}
		if got.header.Get("Date") == "" {
			c.t.Fatalf("answer %d has no Date", i)
		}
		for _, f := range w.fields {
			name, value, has := strings.Cut(f, ": ")
			name, hasNot := strings.CutPrefix(name, "!")
			values := got.header.Values(name)
			if has && (len(values) != 1 || values[0] != value) || hasNot && len(values) > 0 {
				c.t.Fatalf("answer %d: %s is %q, want %s", i, name, values, f)
			}
		}
		if last := i == len(r.want.answers)-1; got.close != (last && r.want.closes) {
			c.t.Fatalf("answer %d says close %t", i, got.close)
		}
	}
}

func (r *rule) check(c *client) {
	c.t.Helper()
	r.answers(c)
	if r.want.closes {
		c.closed()
	} else {
		c.open()
	}
	c.Close()
}

// splitKeeping sends the case many times on one connection, cut into pieces that
// are one stride longer than the case: each cut falls on another offset. The next
// piece is sent when the request that the last one completed has been answered,
// so the server has read the beginning of the next.
func (r *rule) splitKeeping(s *site, step int) {
	c := s.dial()
	n := len(r.raw)
	times := n / step
	sent := 0
	all := strings.Repeat(r.raw, times)
	for i := range times {
		to := min((i+1)*(n+step), len(all))
		c.send(all[sent:to])
		sent = to
		r.answers(c)
	}
	c.open()
	c.Close()
}

// firstCut is the first offset at which a case that closes is cut: what get and
// post begin with is cut everywhere by the cases that don't.
func (r *rule) firstCut() int {
	for _, begin := range []string{get(), post("")} {
		if begin = strings.TrimSuffix(begin, "\r\n"); strings.HasPrefix(r.raw, begin) {
			return len(begin) - 1
		}
	}
	return 1
}

// splitClosing takes a connection for each offset. A request before the case,
// in one packet with its first part, tells when that part has been read.
func (r *rule) splitClosing(s *site, step int) {
	const sync = "GET /open HTTP/1.1\r\nHost: a\r\n\r\n"
	for i := r.firstCut(); i < len(r.raw); i += step {
		c := s.dial()
		c.send(sync + r.raw[:i])
		c.want(200, "GET /open ")
		if _, err := c.Write([]byte(r.raw[i:])); err != nil {
			s.t.Fatalf("split at %d: %v", i, err)
		}
		r.check(c)
	}
}
