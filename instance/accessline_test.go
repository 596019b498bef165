package instance

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sited/protocol"
)

// sample is an exchange with all that a line may show, and some that it may not.
func sample() *protocol.Exchange {
	return &protocol.Exchange{
		ID: 0x00f1e2d3c4b5a697,
		Req: protocol.Request{
			Method: "GET", Target: "/a/b%20c?d=e", Path: "/a/b c", Query: "d=e", Host: "app.example.org:8082", Minor: 1, Version: "1.1",
			Header: protocol.Header{
				{Name: "Host", Value: "app.example.org:8082"},
				{Name: "user-agent", Value: "Mozilla/5.0 (X11)"},
				{Name: "Referer", Value: "https://example.org/start"},
				{Name: "Authorization", Value: "Basic hunter2"},
				{Name: "Proxy-Authorization", Value: "Basic hunter2"},
				{Name: "Cookie", Value: "session=hunter2"},
			},
			Remote: netip.MustParseAddrPort("192.0.2.7:51234"),
			User:   "alice",
		},
		Res:      protocol.Response{Status: 200},
		Start:    time.Date(2000, time.October, 10, 13, 55, 36, 42_999_999, time.FixedZone("", -7*3600)),
		Took:     1234567 * time.Nanosecond,
		Received: 17,
		Sent:     2326,
		Kept:     []byte("password=hunter2"),
	}
}

// malformed is what is known of a request of which nothing could be read.
func malformed() *protocol.Exchange {
	return &protocol.Exchange{
		Req:   protocol.Request{Path: "/", Minor: 1, Remote: netip.MustParseAddrPort("[2001:db8::1]:9")},
		Res:   protocol.Response{Status: 400},
		Start: sample().Start,
		Err:   protocol.Failf(400, "malformed request line"),
		Sent:  150,
	}
}

func TestLines(t *testing.T) {
	change := func(f func(x *protocol.Exchange)) *protocol.Exchange {
		x := sample()
		f(x)
		return x
	}
	for _, c := range []struct {
		name           string
		x              *protocol.Exchange
		json, combined string
	}{
		{
			"passed", sample(),
			`{"time":"2000-10-10T20:55:36.042Z","id":"00f1e2d3c4b5a697","site":"app","remote":"192.0.2.7","port":51234,"user":"alice","method":"GET","target":"/a/b%20c?d=e","version":"1.1","host":"app.example.org:8082","status":200,"bytes":2326,"received":17,"duration":0.001234,"referer":"https://example.org/start","user_agent":"Mozilla/5.0 (X11)"}`,
			`192.0.2.7 - alice [10/Oct/2000:13:55:36 -0700] "GET /a/b%20c?d=e HTTP/1.1" 200 2326 "https://example.org/start" "Mozilla/5.0 (X11)"`,
		},
		{
			"failed, with the body kept",
			change(func(x *protocol.Exchange) {
				x.Res.Status, x.Err, x.Req.User, x.Req.Version = 404, errors.New("open a/b c: no such file\nor so"), "", "1.0"
				x.Req.Method, x.Took, x.Kept = "POST", 75*time.Second, []byte("a=\"b\"\n\xff")
				x.Req.Header = nil
			}),
			`{"time":"2000-10-10T20:55:36.042Z","id":"00f1e2d3c4b5a697","site":"app","remote":"192.0.2.7","port":51234,"method":"POST","target":"/a/b%20c?d=e","version":"1.0","host":"app.example.org:8082","status":404,"bytes":2326,"received":17,"duration":75.000000,"referer":"","user_agent":"","error":"open a/b c: no such file\nor so","body":"a=\"b\"\n\ufffd"}`,
			`192.0.2.7 - - [10/Oct/2000:13:55:36 -0700] "POST /a/b%20c?d=e HTTP/1.0" 404 2326 "-" "-"`,
		},
		{
			"malformed", malformed(),
			`{"time":"2000-10-10T20:55:36.042Z","id":"0000000000000000","site":"app","remote":"2001:db8::1","port":9,"method":"","target":"","version":"","host":"","status":400,"bytes":150,"received":0,"duration":0.000000,"referer":"","user_agent":"","error":"malformed request line"}`,
			`2001:db8::1 - - [10/Oct/2000:13:55:36 -0700] "-" 400 150 "-" "-"`,
		},
		{
			"nothing at all", &protocol.Exchange{},
			`{"time":"0001-01-01T00:00:00.000Z","id":"0000000000000000","site":"app","remote":"","port":0,"method":"","target":"","version":"","host":"","status":200,"bytes":0,"received":0,"duration":0.000000,"referer":"","user_agent":""}`,
			`- - - [01/Jan/0001:00:00:00 +0000] "-" 200 - "-" "-"`,
		},
		{
			"passwords in URIs",
			change(func(x *protocol.Exchange) {
				x.Req.Target = "http://user:hunter2@host/a@b"
				x.Req.Host = "user:hunter2@host"
				x.Req.Header = protocol.Header{{Name: "Referer", Value: "https://user:hunter2@host?x@y"}}
				x.Res.Status = 0
			}),
			`{"time":"2000-10-10T20:55:36.042Z","id":"00f1e2d3c4b5a697","site":"app","remote":"192.0.2.7","port":51234,"user":"alice","method":"GET","target":"http://***@host/a@b","version":"1.1","host":"***@host","status":200,"bytes":2326,"received":17,"duration":0.001234,"referer":"https://***@host?x@y","user_agent":""}`,
			`192.0.2.7 - alice [10/Oct/2000:13:55:36 -0700] "GET http://***@host/a@b HTTP/1.1" 200 2326 "https://***@host?x@y" "-"`,
		},
		{
			"what has to be escaped",
			change(func(x *protocol.Exchange) {
				x.Req.User = "al \"ice\\"
				x.Req.Target = "/\x00\x1b[31m\x7f\x85\u009b\u00a0ü\u2028\xff"
				x.Req.Header = protocol.Header{{Name: "User-Agent", Value: "a\tb\rc\nd\be\vf"}}
			}),
			`{"time":"2000-10-10T20:55:36.042Z","id":"00f1e2d3c4b5a697","site":"app","remote":"192.0.2.7","port":51234,"user":"al \"ice\\","method":"GET","target":"/\u0000\u001b[31m\u007f\ufffd\u009b` + "\u00a0ü\u2028" + `\ufffd","version":"1.1","host":"app.example.org:8082","status":200,"bytes":2326,"received":17,"duration":0.001234,"referer":"","user_agent":"a\tb\rc\nd\u0008e\u000bf"}`,
			`192.0.2.7 - al\x20\"ice\\ [10/Oct/2000:13:55:36 -0700] "GET /\x00\x1b[31m\x7f\x85\xc2\x9b\xc2\xa0\xc3\xbc\xe2\x80\xa8\xff HTTP/1.1" 200 2326 "-" "a\tb\rc\nd\be\vf"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(appendJSON(nil, &clockText{}, "app", c.x)); got != c.json+"\n" {
				t.Errorf("json:\n%swant:\n%s", got, c.json)
			}
			if got := string(appendCombined(nil, &clockText{}, c.x, false)); got != c.combined+"\n" {
				t.Errorf("combined:\n%swant:\n%s", got, c.combined)
			}
			want := strings.Replace(c.combined, " - ", " "+c.x.ID.String()+" ", 1)
			if got := string(appendCombined(nil, &clockText{}, c.x, true)); got != want+"\n" {
				t.Errorf("combined, with the id:\n%swant:\n%s", got, want)
			}
		})
	}
}

func TestStderrLines(t *testing.T) {
	at := sample().Start
	line := "PHP Warning:  \"x\"\x1b in " + strings.Repeat("a", maxLogged)
	want := `{"time":"2000-10-10T20:55:36.042Z","id":"00f1e2d3c4b5a697","site":"app","script":".php","stderr":"PHP Warning:  \"x\"\u001b in aaa`
	if got := string(appendJSONStderr(nil, &clockText{}, at, sample().ID, "app", ".php", line)); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "aaa...\"}\n") {
		t.Errorf("json:\n%s", got)
	}
	want = `[10/Oct/2000:13:55:36 -0700] script ".php" id 00f1e2d3c4b5a697 stderr "PHP Warning:  \"x\"\x1b in aaa`
	if got := string(appendCombinedStderr(nil, &clockText{}, at, sample().ID, ".php", line)); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "aaa...\"\n") {
		t.Errorf("combined:\n%s", got)
	}
}

func TestLoggedURI(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"*":                      "*",
		"/a@b":                   "/a@b",
		"/a?u=http://x@y/":       "/a?u=http://x@y/",
		"http://host/":           "http://host/",
		"http://host/@a":         "http://host/@a",
		"http://host?a@b":        "http://host?a@b",
		"http://user@host/":      "http://***@host/",
		"http://user:pw@host":    "http://***@host",
		"HTTP://a@b@host:80/c@d": "HTTP://***@host:80/c@d",
		"//user:pw@host/":        "//***@host/",
		"user:pw@host:443":       "***@host:443",
		"host:443":               "host:443",
		"http://" + strings.Repeat("p", maxLogged) + "@host/": "http://***@host/",
		"/" + strings.Repeat("a", maxLogged-1):                "/" + strings.Repeat("a", maxLogged-1),
		"/" + strings.Repeat("a", maxLogged):                  "/" + strings.Repeat("a", maxLogged-1) + "...",
		strings.Repeat("a", maxLogged-1) + "ü":                strings.Repeat("a", maxLogged-1) + "...",
		strings.Repeat("\xbf", maxLogged+9):                   strings.Repeat("\xbf", maxLogged-utf8.UTFMax) + "...",
	} {
		if got := loggedURI(in); got != want {
			t.Errorf("loggedURI(%.80q) = %.80q, want %.80q", in, got, want)
		}
	}
}

// No secret is in a line, whatever the exchange holds.
func TestLinesHoldNoSecret(t *testing.T) {
	x := sample() // its Authorization, Cookie and kept body say hunter2
	for _, line := range []string{string(appendJSON(nil, &clockText{}, "app", x)), string(appendCombined(nil, &clockText{}, x, true))} {
		if strings.Contains(line, "hunter2") {
			t.Errorf("a secret is in %s", line)
		}
	}
}

// Whatever is in an exchange, it is one line, and valid JSON with the same
// strings.
func FuzzLines(f *testing.F) {
	f.Add("GET", "/a?b", "example.org", "alice", "https://example.org/", "curl/8", "broken", []byte("body"), 404, int64(1), int64(2))
	f.Add("\x00", "http://u:p@h/\n", "\u2028", "a b", "\"\\", "\xff\xc3", "\r\n", []byte{0xff, '\n', '"'}, 0, int64(-1), int64(1e18))
	f.Add("", "", "", "", "", "", "", []byte(nil), 200, int64(0), int64(0))
	f.Fuzz(func(t *testing.T, method, target, host, user, referer, agent, cause string, kept []byte, status int, sent, took int64) {
		x := &protocol.Exchange{
			Req: protocol.Request{
				Method: method, Target: target, Host: host, User: user, Minor: 1, Version: "1.1", Remote: netip.MustParseAddrPort("[fe80::1%a\"b]:80"),
				Header: protocol.Header{{Name: "Referer", Value: referer}, {Name: "User-Agent", Value: agent}},
			},
			Res: protocol.Response{Status: status}, ID: protocol.ID(took), Start: time.UnixMilli(sent & (1<<40 - 1)), Took: time.Duration(took), Sent: sent, Kept: kept,
		}
		if cause != "" {
			x.Err = errors.New(cause)
		}
		line := appendJSON(nil, &clockText{}, host, x)
		checkOneLine(t, line)
		var got struct {
			Time                                          time.Time
			ID                                            string
			Site, Method, Target, Host, User, Error, Body string
			Referer                                       string
			UserAgent                                     string `json:"user_agent"`
			Status                                        int
			Bytes                                         int64
			Duration                                      float64
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for _, s := range []struct{ field, got, want string }{
			{"site", got.Site, host},
			{"method", got.Method, capped(method)},
			{"target", got.Target, loggedURI(target)},
			{"host", got.Host, loggedURI(host)},
			{"user", got.User, capped(user)},
			{"referer", got.Referer, loggedURI(referer)},
			{"user_agent", got.UserAgent, capped(agent)},
			{"error", got.Error, capped(cause)},
		} {
			if want := toValidUTF8(s.want); s.got != want {
				t.Errorf("%s is %q, want %q", s.field, s.got, want)
			}
		}
		if !got.Time.Equal(x.Start) || got.ID != x.ID.String() || got.Status != statusOf(x) || got.Bytes != sent {
			t.Errorf("time, status or bytes are wrong: %s", line)
		}
		combined := appendCombined(nil, &clockText{}, x, took > 0)
		checkOneLine(t, combined)
		for _, c := range combined[:len(combined)-1] {
			if c < ' ' || c >= 0x7f {
				t.Fatalf("byte %#x in %q", c, combined)
			}
		}
		checkOneLine(t, appendJSONStderr(nil, &clockText{}, x.Start, x.ID, host, method, target))
		checkOneLine(t, appendCombinedStderr(nil, &clockText{}, x.Start, x.ID, method, target))
	})
}

// toValidUTF8 replaces every byte that is not part of UTF-8, as encoding/json
// does.
func toValidUTF8(s string) string { return string([]rune(s)) }

func checkOneLine(t *testing.T, line []byte) {
	t.Helper()
	if countLines(line) != 1 || line[len(line)-1] != '\n' {
		t.Errorf("not one line: %q", line)
	}
}

// What is remembered of a second is right for the next one and the one before.
func TestClockText(t *testing.T) {
	var clock clockText
	at := time.Date(2026, 12, 31, 23, 59, 59, 1e6, time.FixedZone("", -90*60))
	for _, d := range []time.Duration{0, time.Millisecond, time.Second, 0, 26 * time.Hour, -time.Second} {
		now := at.Add(d)
		if got, want := string(clock.appendMillis(nil, now)), now.UTC().Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
		if got, want := string(clock.appendCombined(nil, now)), now.Format("[02/Jan/2006:15:04:05 -0700]"); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestLinesDoNotAllocate(t *testing.T) {
	var clock clockText
	x := sample()
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = appendJSON(buf[:0], &clock, "app", x) }); n != 0 {
		t.Errorf("a JSON line costs %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { buf = appendCombined(buf[:0], &clock, x, true) }); n != 0 {
		t.Errorf("a combined line costs %v allocations", n)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	var clock clockText
	x := sample()
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = appendJSON(buf[:0], &clock, "app", x)
	}
}

func BenchmarkAppendCombined(b *testing.B) {
	var clock clockText
	x := sample()
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = appendCombined(buf[:0], &clock, x, true)
	}
}
