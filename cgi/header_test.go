package cgi

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sited/protocol"
)

func TestParseHead(t *testing.T) {
	type h = protocol.Header
	tests := []struct {
		name, head string
		want       head
	}{
		{"document", "Content-Type: text/html\n\n", head{200, h{{Name: "Content-Type", Value: "text/html"}}, -1, ""}},
		{"CRLF, spaces, case", "content-type:\t a/b \t\r\n\r\n", head{200, h{{Name: "content-type", Value: "a/b"}}, -1, ""}},
		{"status alone", "Status: 404 Not Found\n\n", head{404, nil, -1, ""}},
		{"status without reason", "Status: 599\n\n", head{599, nil, -1, ""}},
		{"length", "Status: 200 OK\nContent-Length: 007\n\n", head{200, nil, 7, ""}},
		{"redirect", "Location: https://example.org/x\n\n", head{302, h{{Name: "Location", Value: "https://example.org/x"}}, -1, ""}},
		{"redirect with status", "Status: 303 See Other\nLocation: /x\n\n", head{303, h{{Name: "Location", Value: "/x"}}, -1, ""}},
		{"redirect with document", "Location: /x\nContent-Type: a/b\n\n",
			head{302, h{{Name: "Location", Value: "/x"}, {Name: "Content-Type", Value: "a/b"}}, -1, ""}},
		{"redirect with cookie", "Location: /x\nSet-Cookie: a=b\n\n",
			head{302, h{{Name: "Location", Value: "/x"}, {Name: "Set-Cookie", Value: "a=b"}}, -1, ""}},
		{"created", "Status: 201 Created\nLocation: /new\n\n", head{201, h{{Name: "Location", Value: "/new"}}, -1, ""}},
		{"local redirect", "Location: /x?y=z\n\n", head{redirect: "/x?y=z"}},
		{"local redirect with extension", "X-CGI-Note: n\nLocation: /x\n\n", head{redirect: "/x"}},
		{"not local: a host", "Location: //example.org/x\n\n", head{302, h{{Name: "Location", Value: "//example.org/x"}}, -1, ""}},
		{"not local: a fragment", "Location: /x#y\n\n", head{302, h{{Name: "Location", Value: "/x#y"}}, -1, ""}},
		{"not local: a space", "Location: /x y\n\n", head{302, h{{Name: "Location", Value: "/x y"}}, -1, ""}},
		{"dropped", "Content-Type: a/b\nConnection: close\nKeep-Alive: x\nTransfer-Encoding: chunked\nUpgrade: x\nTrailer: x\nTE: x\nProxy-Authenticate: x\nX-CGI-A: x\nX-A:\n\n",
			head{200, h{{Name: "Content-Type", Value: "a/b"}, {Name: "X-A", Value: ""}}, -1, ""}},
		{"cookies", "Set-Cookie: a\nStatus: 200\nSet-Cookie: b\n\n",
			head{200, h{{Name: "Set-Cookie", Value: "a"}, {Name: "Set-Cookie", Value: "b"}}, -1, ""}},
		{"as many fields as may", "Status: 200\n" + strings.Repeat("Connection: a\n", maxFields-1) + "\n", head{200, nil, -1, ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseHead([]byte(test.head))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(head{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseHeadRefuses(t *testing.T) {
	tests := []struct{ name, head, cause string }{
		{"nothing", "\n", "none of"},
		{"none of the three", "X-A: b\n\n", "none of"},
		{"HTTP", "HTTP/1.1 200 OK\nContent-Type: a/b\n\n", "line 1 has no colon"},
		{"space before colon", "Content-Type : a/b\n\n", "line 1"},
		{"folded", "Content-Type: a/b\n  c: d\n\n", "line 2"},
		{"no name", ": x\n\n", "line 1"},
		{"bare CR", "Content-Type: a\rb\n\n", "control character 0x0d"},
		{"NUL", "Content-Type: a\x00b\n\n", "control character 0x00"},
		{"DEL", "Content-Type: a\x7fb\n\n", "control character 0x7f"},
		{"too many fields", strings.Repeat("Set-Cookie: a\n", maxFields+1) + "\n", "more than 128"},
		{"informational", "Status: 103 Early Hints\n\n", "Status"},
		{"status too large", "Status: 600\n\n", "Status"},
		{"status no number", "Status: ok\n\n", "Status"},
		{"status of four digits", "Status: 2000\n\n", "Status"},
		{"status with a sign", "Status: +20\n\n", "Status"},
		{"empty status", "Status:\n\n", "Status is empty"},
		{"empty location", "Location:\n\n", "Location is empty"},
		{"two statuses", "Status: 200\nStatus: 200\n\n", "twice"},
		{"two lengths", "Status: 200\nContent-Length: 5\ncontent-length: 5\n\n", "twice"},
		{"negative length", "Status: 200\nContent-Length: -5\n\n", "Content-Length"},
		{"list of lengths", "Status: 200\nContent-Length: 5, 5\n\n", "Content-Length"},
		{"length too large", "Status: 200\nContent-Length: 9223372036854775808\n\n", "Content-Length"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseHead([]byte(test.head))
			if err == nil || !strings.Contains(err.Error(), test.cause) {
				t.Errorf("got %+v, %v; want an error with %q", got, err, test.cause)
			}
		})
	}
}

// The causes of failures are logged: no value may be in them.
func TestParseHeadKeepsSecrets(t *testing.T) {
	for _, head := range []string{
		"Set-Cookie: hunter2\x01\n\n", "Set-Cookie: hunter2\n\n", "Set-Cookie hunter2\n\n", "Set-Cookie: a\n hunter2: b\n\n",
	} {
		_, err := parseHead([]byte(head))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: error %v", head, err)
		}
	}
}

// The end of a head is found wherever the output is cut.
func TestHeadEnd(t *testing.T) {
	for _, whole := range []string{"A: b\nC: d\n\nbody\n\n", "A: b\r\nC: d\r\n\r\nbody\r\n\r\n", "A: b\r\n\nbody", "\nbody", "\r\n\r\n"} {
		want, _ := headEnd([]byte(whole), 0)
		if !strings.HasSuffix(whole[:want], "\n\n") && !strings.HasSuffix(whole[:want], "\r\n") && want != 1 {
			t.Errorf("%q: end at %d", whole, want)
		}
		from, end := 0, 0
		for n := 0; n <= len(whole) && end == 0; n++ {
			end, from = headEnd([]byte(whole[:n]), from)
		}
		if end != want || end == 0 {
			t.Errorf("%q: end at %d byte by byte, at %d at once", whole, end, want)
		}
	}
	if end, _ := headEnd([]byte("A: b\nC: d\n"), 0); end != 0 {
		t.Errorf("an unfinished head ends at %d", end)
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add([]byte("Content-Type: text/html\r\nStatus: 200 OK\r\n\r\nbody"))
	f.Add([]byte("Location: /x\n\n"))
	f.Add([]byte("Status: 404\nContent-Length: 12\nSet-Cookie: a=b\n\n"))
	f.Add([]byte("HTTP/1.1 200 OK\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		end, from := headEnd(b, 0)
		if end == 0 {
			if from > len(b) || bytes.Contains(b[:from], []byte("\n\n")) {
				t.Fatalf("no end found; next line at %d", from)
			}
			return
		}
		h, err := parseHead(b[:end])
		if err != nil {
			return
		}
		if h.redirect != "" {
			if !localPath(h.redirect) || h.header != nil || h.status != 0 {
				t.Errorf("redirect %+v", h)
			}
			return
		}
		if h.status < 200 || h.status > 599 || h.length < -1 || len(h.header) > maxFields {
			t.Errorf("head %+v", h)
		}
		for _, field := range h.header {
			name := strings.ToLower(field.Name)
			if !token([]byte(field.Name)) || strings.ContainsAny(field.Value, "\r\n\x00") || connectionField(name) || name == "content-length" || name == "status" {
				t.Errorf("field %+v passed", field)
			}
		}
	})
}
