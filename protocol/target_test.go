package protocol

import "testing"

func TestCanonicalPath(t *testing.T) {
	same := map[string][]string{
		"/private/x.php": {
			"/private/x.php", "//private/x.php", "/private//x.php", "/./private/x.php", "/private/./x.php",
			"/a/../private/x.php", "/%70rivate/x.php", "/private%2Fx.php", "/private%2fx.php", "/%2e/private/x.php",
			"/a/%2e%2e/private/x.php", "/a/.%2E/private/x.php", "/a%2f..%2fprivate/x%2Ephp", "/private/a/b/../../x.php",
			"///private///x.php", "/%2F/private/x.php", "/a//../private/x.php",
		},
		"/":             {"/", "//", "/.", "/./", "/a/..", "/a/../", "/%2e", "/%2F", "/a/b/../.."},
		"/a/":           {"/a/", "/a//", "/a/.", "/a/./", "/a/b/..", "/a/b/../", "/a%2f"},
		"/.well-known/": {"/.well-known/", "/%2ewell-known/"},
		"/...":          {"/...", "/%2e.%2e"},
		"/..a":          {"/..a", "/b/../..a"},
		"/%41":          {"/%2541"}, // decoded once
		"/a b":          {"/a%20b"},
		"/\xff":         {"/%ff", "/%FF"},
		"/a\\..\\b":     {"/a%5c..%5Cb"},
		"/a;b":          {"/a;b", "/a%3bb"},
		"/~u/+":         {"/~u/+", "/%7Eu/+"},
	}
	for want, list := range same {
		for _, raw := range list {
			if got, err := canonicalPath(raw); got != want || err != nil {
				t.Errorf("%q: %q, %v; want %q", raw, got, err, want)
			}
		}
	}
	for _, raw := range []string{
		"/..", "/../", "/../a", "/%2e%2e", "/%2E.", "/a/../..", "/a/../../a", "//..", "/./..", "/a/%2e%2e%2f%2e%2e/b", "/.%2e%2f",
		"/%", "/%4", "/%zz", "/a%2", "/%-1", "/%00", "/a%00.php", "/%25%",
	} {
		if got, err := canonicalPath(raw); err == nil || got != "" {
			t.Errorf("%q: %q, no error", raw, got)
		}
	}
}

func TestParseTarget(t *testing.T) {
	tests := []struct {
		method, target    string
		path, query, host string
		ok                bool
	}{
		{"GET", "/", "/", "", "", true},
		{"GET", "/a?b=c?d", "/a", "b=c?d", "", true},
		{"GET", "/a?", "/a", "", "", true},
		{"GET", "/?%00%zz/../", "/", "%00%zz/../", "", true}, // a query is not a path
		{"GET", "http://b", "/", "", "b", true},
		{"GET", "HTTP://b:8?q", "/", "q", "b:8", true},
		{"GET", "http://[::1]:8/a/../b", "/b", "", "[::1]:8", true},
		{"OPTIONS", "*", "/", "", "", true},
		{"OPTIONS", "/a", "/a", "", "", true},
		{"CONNECT", "b:443", "/", "", "b:443", true},
		{"CONNECT", "[::1]:443", "/", "", "[::1]:443", true},
		{"GET", "*", "", "", "", false},
		{"GET", "b:443", "", "", "", false},
		{"GET", "a", "", "", "", false},
		{"GET", "?a", "", "", "", false},
		{"GET", "https://b/", "", "", "", false},
		{"GET", "http:/b/", "", "", "", false},
		{"GET", "http:///a", "", "", "", false},
		{"GET", "http://u:p@b/", "", "", "", false},
		{"GET", "http://b:x/", "", "", "", false},
		{"GET", "/a#b", "", "", "", false},
		{"GET", "/a\\b", "", "", "", false},
		{"GET", "/\xe4", "", "", "", false},
		{"GET", "/a\tb", "", "", "", false},
		{"CONNECT", "/", "", "", "", false},
		{"CONNECT", "b", "", "", "", false},
		{"CONNECT", "b:", "", "", "", false},
		{"CONNECT", "b:0", "", "", "", false},
		{"CONNECT", "b:65536", "", "", "", false},
		{"CONNECT", "b:80/", "", "", "", false},
		{"CONNECT", "u@b:80", "", "", "", false},
		{"CONNECT", "http://b:80", "", "", "", false},
		{"CONNECT", "[::1%eth0]:80", "", "", "", false},
	}
	for _, tt := range tests {
		req := Request{Method: tt.method, Target: tt.target}
		err := parseTarget(&req)
		if (err == nil) != tt.ok {
			t.Errorf("%s %q: %v", tt.method, tt.target, err)
		} else if tt.ok && (req.Path != tt.path || req.Query != tt.query || req.Host != tt.host) {
			t.Errorf("%s %q: path %q, query %q, host %q", tt.method, tt.target, req.Path, req.Query, req.Host)
		}
	}
}

func TestValidAuthority(t *testing.T) {
	for _, a := range []string{"a", "a.b-c_d", "a:80", "a:", "127.0.0.1", "[::1]", "[::1]:80", "[::ffff:1.2.3.4]", "[1:2:3:4:5:6:7:8]"} {
		if !validAuthority(a, false) {
			t.Errorf("%q is refused", a)
		}
	}
	for _, a := range []string{"", ":80", "a:b", "a:-1", "a:+1", "a:65536", "a b", "a/b", "a?b", "a@b", "a%20", "[]", "[::1", "[1.2.3.4]", "[:]", "[:::]", "[::1]x", "[::1%1]", "[v1.a]", "::1", "\xe4"} {
		if validAuthority(a, false) {
			t.Errorf("%q is accepted", a)
		}
	}
}
