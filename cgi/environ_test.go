package cgi

import (
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sited/protocol"
)

func variables(t *testing.T, env []string) map[string]string {
	t.Helper()
	m := make(map[string]string)
	for _, e := range env {
		name, value, ok := strings.Cut(e, "=")
		if _, twice := m[name]; twice || !ok {
			t.Errorf("%q: twice, or no variable", e)
		}
		m[name] = value
	}
	return m
}

func testCall() *Call {
	return &Call{
		Request: &protocol.Request{
			Method: "GET", Target: "/app/a%20b.php/x/y?q=1", Path: "/app/a b.php/x/y", Query: "q=1",
			Host: "example.org:8080", Minor: 1,
			Remote: netip.MustParseAddrPort("192.0.2.7:4711"), Local: netip.MustParseAddrPort("127.0.0.1:8080"),
		},
		Filename: "/srv/www/app/a b.php", ScriptName: "/app/a b.php", PathInfo: "/x/y", Root: "/srv/www",
	}
}

func TestEnviron(t *testing.T) {
	call := testCall()
	call.ID = 0x3f0c9a1be2d47756
	env, err := environ(call, "/bin")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"PATH":              "/bin",
		"GATEWAY_INTERFACE": "CGI/1.1",
		"SERVER_SOFTWARE":   "sited",
		"SERVER_PROTOCOL":   "HTTP/1.1",
		"SERVER_NAME":       "example.org",
		"SERVER_PORT":       "8080",
		"SERVER_ADDR":       "127.0.0.1",
		"REQUEST_METHOD":    "GET",
		"REQUEST_SCHEME":    "http",
		"REQUEST_URI":       "/app/a%20b.php/x/y?q=1",
		"QUERY_STRING":      "q=1",
		"DOCUMENT_ROOT":     "/srv/www",
		"DOCUMENT_URI":      "/app/a b.php/x/y",
		"SCRIPT_NAME":       "/app/a b.php",
		"SCRIPT_FILENAME":   "/srv/www/app/a b.php",
		"PATH_INFO":         "/x/y",
		"PATH_TRANSLATED":   "/srv/www/x/y",
		"REMOTE_ADDR":       "192.0.2.7",
		"REMOTE_HOST":       "192.0.2.7",
		"REMOTE_PORT":       "4711",
		"REDIRECT_STATUS":   "200",
		"UNIQUE_ID":         "3f0c9a1be2d47756",
		"HTTP_HOST":         "example.org:8080",
	}
	if diff := cmp.Diff(want, variables(t, env)); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

// Only the HTTP_* variables and those that depend on fields are looked at.
func TestEnvironFields(t *testing.T) {
	type h = protocol.Header
	tests := []struct {
		name   string
		header h
		auth   bool
		want   map[string]string
	}{
		{"plain", h{{Name: "accept-LANGUAGE", Value: "de"}, {Name: "X-1", Value: ""}}, false,
			map[string]string{"HTTP_ACCEPT_LANGUAGE": "de", "HTTP_X_1": ""}},
		{"repeated", h{{Name: "Accept", Value: "a"}, {Name: "Cookie", Value: "x=1"}, {Name: "ACCEPT", Value: "b"}, {Name: "cookie", Value: "y=2"}}, false,
			map[string]string{"HTTP_ACCEPT": "a, b", "HTTP_COOKIE": "x=1; y=2"}},
		{"httpoxy", h{{Name: "Proxy", Value: "http://evil/"}, {Name: "pRoXy", Value: "http://evil/"}}, false, nil},
		{"credentials for the script", h{{Name: "Authorization", Value: "Bearer t"}, {Name: "Proxy-Authorization", Value: "no"}}, false,
			map[string]string{"HTTP_AUTHORIZATION": "Bearer t"}},
		{"credentials for us", h{{Name: "Authorization", Value: "Basic t"}}, true,
			map[string]string{"AUTH_TYPE": "Basic", "REMOTE_USER": "alice"}},
		{"of the body", h{{Name: "Content-Type", Value: "a/b"}, {Name: "Content-Length", Value: "5"}, {Name: "Content-Encoding", Value: "gzip"}}, false,
			map[string]string{"CONTENT_TYPE": "a/b", "HTTP_CONTENT_ENCODING": "gzip"}},
		{"of the connection", h{
			{Name: "Connection", Value: "x"}, {Name: "Keep-Alive", Value: "x"}, {Name: "TE", Value: "x"},
			{Name: "Transfer-Encoding", Value: "x"}, {Name: "Upgrade", Value: "x"}, {Name: "Proxy-Connection", Value: "x"},
		}, false, nil},
		{"other characters", h{{Name: "X_Forwarded_For", Value: "evil"}, {Name: "X.A", Value: "x"}, {Name: "X!", Value: "x"}, {Name: "", Value: "x"}}, false, nil},
		{"the Host field is not asked", h{{Name: "Host", Value: "other"}}, false, nil},
		{"the same underscored name twice", h{{Name: "A_B", Value: "1"}, {Name: "a_b", Value: "2"}}, false, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			call := testCall()
			call.Request.Header = test.header
			call.Request.User = "alice"
			if test.auth {
				call.AuthType = "Basic"
			}
			env, err := environ(call, "/bin")
			if err != nil {
				t.Fatal(err)
			}
			got := variables(t, env)
			maps.DeleteFunc(got, func(name, _ string) bool {
				return name == "HTTP_HOST" || !strings.HasPrefix(name, "HTTP_") && !slices.Contains([]string{"AUTH_TYPE", "REMOTE_USER", "CONTENT_TYPE", "CONTENT_LENGTH"}, name)
			})
			if test.want == nil {
				test.want = map[string]string{}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if i := slices.Index(env, "HTTP_HOST=example.org:8080"); i < 0 {
				t.Errorf("HTTP_HOST is not the request's host: %q", env)
			}
		})
	}
}

func TestEnvironRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Call)
	}{
		{"colliding", func(c *Call) { c.Request.Header = protocol.Header{{Name: "Foo-Bar"}, {Name: "foo_bar"}} }},
		{"colliding the other way", func(c *Call) { c.Request.Header = protocol.Header{{Name: "A_B-C"}, {Name: "A-B_C"}} }},
		{"colliding with one that is withheld", func(c *Call) { c.Request.Header = protocol.Header{{Name: "Content-Length"}, {Name: "Content_Length"}} }},
		{"NUL in a path", func(c *Call) { c.PathInfo = "/a\x00b" }},
		{"NUL in a field", func(c *Call) { c.Request.Header = protocol.Header{{Name: "A", Value: "\x00"}} }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			call := testCall()
			test.change(call)
			if _, err := environ(call, "/bin"); protocol.StatusOf(err) != 400 {
				t.Errorf("error %v; want a 400", err)
			}
		})
	}
}

func TestServerName(t *testing.T) {
	v4, v6 := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("fe80::1%eth0")
	mapped := netip.MustParseAddr("::ffff:192.0.2.1")
	for _, test := range []struct {
		host  string
		local netip.Addr
		want  string
	}{
		{"example.org", v4, "example.org"},
		{"example.org:80", v4, "example.org"},
		{"example.org:", v4, "example.org"},
		{"[2001:db8::1]:80", v4, "[2001:db8::1]"},
		{"[2001:db8::1]", v4, "[2001:db8::1]"},
		{"", v4, "127.0.0.1"},
		{":80", v4, "127.0.0.1"},
		{"", v6, "[fe80::1]"},
		{"", mapped, "192.0.2.1"},
	} {
		if got := serverName(test.host, test.local); got != test.want {
			t.Errorf("serverName(%q, %v) = %q; want %q", test.host, test.local, got, test.want)
		}
	}
}

func TestRequestURI(t *testing.T) {
	for target, want := range map[string]string{
		"/a?b":                      "/a?b",
		"//a/b":                     "//a/b",
		"*":                         "*",
		"http://example.org":        "/",
		"http://example.org?q":      "/?q",
		"http://example.org/a%20b?": "/a%20b?",
		"HTTP://[::1]:80/a":         "/a",
		"/x?u=http://y/z":           "/x?u=http://y/z",
	} {
		if got := requestURI(target); got != want {
			t.Errorf("requestURI(%q) = %q; want %q", target, got, want)
		}
	}
}

func FuzzEnviron(f *testing.F) {
	f.Add("X-A", "1", "X_A", "2", "example.org:80", "/a?b", "/info")
	f.Add("Proxy", "x", "Cookie", "a=b", "[::1]", "http://h?x", "")
	f.Add("Cookie", "a", "cookie", "b", "", "*", "/\x00")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2, host, target, info string) {
		call := testCall()
		call.Request.Header = protocol.Header{{Name: name1, Value: value1}, {Name: name2, Value: value2}}
		call.Request.Host, call.Request.Target, call.PathInfo = host, target, info
		env, err := environ(call, "/bin")
		if err != nil {
			if protocol.StatusOf(err) != 400 {
				t.Fatalf("error %v; want a 400", err)
			}
			return
		}
		for name, value := range variables(t, env) {
			switch {
			case strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "":
				t.Errorf("variable %q", name)
			case name == "HTTP_PROXY":
				t.Error("HTTP_PROXY is set")
			case strings.IndexByte(value, 0) >= 0:
				t.Errorf("%s holds a NUL byte", name)
			}
		}
	})
}

func TestPathOfOurOwn(t *testing.T) {
	t.Setenv("PATH", "")
	if got := New(Config{}, nil).path; got == "" || strings.HasPrefix(got, ":") {
		t.Errorf("path %q without PATH", got)
	}
	os.Setenv("PATH", "/opt/bin")
	if got := New(Config{}, nil).path; got != "/opt/bin" {
		t.Errorf("path %q; want that of PATH", got)
	}
}
