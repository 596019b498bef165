package protocol

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const browserHead = "GET /assets/app.css?v=12 HTTP/1.1\r\n" +
	"Host: www.example.org:8080\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
	"Accept: text/css,*/*;q=0.1\r\n" +
	"Accept-Language: en-GB,en;q=0.5\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Referer: http://www.example.org:8080/index.html\r\n" +
	"Connection: keep-alive\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef\r\n" +
	"Sec-Fetch-Dest: style\r\n" +
	"Sec-Fetch-Mode: no-cors\r\n" +
	"Sec-Fetch-Site: same-origin\r\n" +
	"Priority: u=2\r\n\r\n"

// scanBytes scans as if each byte came by itself.
func scanBytes(raw string, lim *Limits) (start, end int, err *Error) {
	var s headScan
	for i := 1; i <= len(raw); i++ {
		if end, err = s.scan([]byte(raw[:i]), lim); err != nil || end > 0 {
			return s.start, end, err
		}
	}
	return s.start, 0, nil
}

func TestHeadScan(t *testing.T) {
	lim := testLimits()
	tests := []struct {
		name, raw  string
		start, end int // 0: more is needed
		reason     string
	}{
		{"empty", "", 0, 0, ""},
		{"part of a line", "GET / HT", 0, 0, ""},
		{"no empty line yet", "GET / HTTP/1.1\r\nHost: a\r\n", 0, 0, ""},
		{"half an empty line", "GET / HTTP/1.1\r\nHost: a\r\n\r", 0, 0, ""},
		{"no fields", "GET / HTTP/1.1\r\n\r\n", 0, 18, ""},
		{"body behind", "GET / HTTP/1.1\r\n\r\nbody\n", 0, 18, ""},
		{"empty line before", "\r\nGET / HTTP/1.1\r\n\r\n", 2, 20, ""},
		{"only an empty line", "\r\n", 2, 0, ""},
		{"two empty lines", "\r\n\r\n", 0, 0, BadRequestLine},
		{"bare LF", "GET / HTTP/1.1\n", 0, 0, BadRequestLine},
		{"bare LF in a field", "GET / HTTP/1.1\r\nA: b\n", 0, 0, BadField},
		{"LF at once", "\n", 0, 0, BadRequestLine},
		{"TLS", "\x16\x03", 0, 0, BadRequestLine},
		{"line without an end", "GET /" + strings.Repeat("a", 200), 0, 0, BadURITooLong},
		{"line as long as may be", "GET /" + strings.Repeat("a", lim.MaxURI+requestLinePad-5), 0, 0, ""},
		{"fields without an end", "GET / HTTP/1.1\r\n" + strings.Repeat("a", lim.MaxHeader+3), 0, 0, BadHeadTooLarge},
		{"fields as long as may be", "GET / HTTP/1.1\r\n" + strings.Repeat("a", lim.MaxHeader-2) + "\r\n\r\n", 0, 16 + lim.MaxHeader + 2, ""},
		{"fields one too long", "GET / HTTP/1.1\r\n" + strings.Repeat("a", lim.MaxHeader-1) + "\r\n\r\n", 0, 0, BadHeadTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check := func(how string, start, end int, err *Error) {
				if tt.reason != "" {
					if err == nil || err.Reason != tt.reason {
						t.Errorf("%s: error %v, want %s", how, err, tt.reason)
					}
					return
				}
				if err != nil || start != tt.start || end != tt.end {
					t.Errorf("%s: start %d, end %d, %v; want %d, %d", how, start, end, err, tt.start, tt.end)
				}
			}
			var s headScan
			end, err := s.scan([]byte(tt.raw), &lim)
			check("whole", s.start, end, err)
			start, end, err := scanBytes(tt.raw, &lim)
			check("bytes", start, end, err)
		})
	}
}

func TestParseHead(t *testing.T) {
	lim := Limits{MaxURI: 1000, MaxHeader: 1 << 20, MaxBody: 1000}
	var req Request
	if err := parseHead(browserHead, &req, &lim, both); err != nil {
		t.Fatal(err)
	}
	if _, err := frame(&req, &lim); err != nil {
		t.Fatal(err)
	}
	if req.Method != "GET" || req.Target != "/assets/app.css?v=12" || req.Path != "/assets/app.css" || req.Query != "v=12" ||
		req.Host != "www.example.org:8080" || req.Minor != 1 || req.Length != 0 || len(req.Header) != 12 {
		t.Errorf("%+v", req)
	}
	if req.Header[11] != (Field{"Priority", "u=2"}) || req.Header.Get("sec-fetch-mode") != "no-cors" {
		t.Errorf("%q", req.Header)
	}

	tests := []struct {
		name, head string
		versions   Versions
		status     int
	}{
		{"1.0 served", "GET / HTTP/1.0\r\n\r\n", both, 0},
		{"1.0 not served", "GET / HTTP/1.0\r\n\r\n", Versions{HTTP11: true}, 505},
		{"1.1 not served", "GET / HTTP/1.1\r\n\r\n", Versions{HTTP10: true}, 505},
		{"as many fields as may be", "GET / HTTP/1.1\r\n" + strings.Repeat("a:\r\n", maxFields) + "\r\n", both, 0},
		{"too many fields", "GET / HTTP/1.1\r\n" + strings.Repeat("a:\r\n", maxFields+1) + "\r\n", both, 431},
		{"no end", "GET / HTTP/1.1\r\na: b\r\n", both, 400},
		{"nothing", "\r\n", both, 400},
	}
	for _, tt := range tests {
		var req Request
		status := 0
		if err := parseHead(tt.head, &req, &lim, tt.versions); err != nil {
			status = err.Status
		}
		if status != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, status, tt.status)
		}
	}
}

func TestParseField(t *testing.T) {
	tests := []struct {
		line string
		want Field
		ok   bool
	}{
		{"a:b", Field{"a", "b"}, true},
		{"a: \t b c \t", Field{"a", "b c"}, true},
		{"a:", Field{"a", ""}, true},
		{"a: \t", Field{"a", ""}, true},
		{"a:b:c", Field{"a", "b:c"}, true},
		{"!#$%&'*+-.^_`|~09azAZ: x", Field{"!#$%&'*+-.^_`|~09azAZ", "x"}, true},
		{"a: \u00a0b", Field{"a", "\u00a0b"}, true}, // no white space of RFC 9110
		{"a :b", Field{}, false},
		{" a:b", Field{}, false},
		{"\ta:b", Field{}, false},
		{":b", Field{}, false},
		{"ab", Field{}, false},
		{"a(b):c", Field{}, false},
		{"\u00e4:b", Field{}, false},
		{"a:b\x00", Field{}, false},
		{"a:b\rc", Field{}, false},
		{"a:b\nc", Field{}, false},
		{"a:\x0bb", Field{}, false},
	}
	for _, tt := range tests {
		got, err := parseField(tt.line)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: %q, %v", tt.line, got, err)
		}
	}
}

func TestParseRequest(t *testing.T) {
	req, err := ParseRequest("POST /a/../b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", testLimits(), both)
	if err != nil || req.Path != "/b" || req.Length != 3 || req.Body == nil {
		t.Errorf("%+v, %v", req, err)
	}
	for head, status := range map[string]int{"GET / HTTP/1.1\r\n": 400, "GET / HTTP/1.1\r\n\r\n": 400, "GET / HTTP/4.0\r\n\r\n": 505, "\n": 400} {
		if _, err := ParseRequest(head, testLimits(), both); StatusOf(err) != status {
			t.Errorf("%q: %v", head, err)
		}
	}
}

func TestSplitPath(t *testing.T) {
	tests := []struct {
		target, path, query string
		ok                  bool
	}{
		{"/a/%2e/b?c?d", "/a/b", "c?d", true},
		{"/", "/", "", true},
		{"", "", "", false},
		{"a", "", "", false},
		{"?a", "", "", false},
		{"/..", "", "", false},
		{"/a b", "", "", false},
		{"/a#b", "", "", false},
	}
	for _, tt := range tests {
		path, query, err := SplitPath(tt.target)
		if path != tt.path || query != tt.query || (err == nil) != tt.ok {
			t.Errorf("%q: %q, %q, %v", tt.target, path, query, err)
		}
	}
}

func TestHeader(t *testing.T) {
	var h Header
	h.Add("A", "1")
	h.Add("b", "2")
	h.Add("a", "3")
	h.Add("C", "")
	if h.Get("a") != "1" || h.Get("B") != "2" || h.Get("d") != "" || !h.Has("c") || h.Has("d") {
		t.Errorf("look-ups in %q", h)
	}
	if h.Has("\u212a") || equalFold("k", "\u212a") || equalFold("[", "{") || !equalFold("Az-09", "aZ-09") {
		t.Error("equalFold is not ASCII's")
	}
	var got []string
	for v := range h.Values("A") {
		got = append(got, v)
	}
	for v := range h.Values("A") {
		got = append(got, v)
		break
	}
	if diff := cmp.Diff([]string{"1", "3", "1"}, got); diff != "" {
		t.Error(diff)
	}
	h.Set("A", "4")
	if diff := cmp.Diff(Header{{"A", "4"}, {"b", "2"}, {"C", ""}}, h); diff != "" {
		t.Error("Set: " + diff)
	}
	h.Set("D", "5")
	h.Del("B")
	h.Del("missing")
	if diff := cmp.Diff(Header{{"A", "4"}, {"C", ""}, {"D", "5"}}, h); diff != "" {
		t.Error("Del: " + diff)
	}
}
