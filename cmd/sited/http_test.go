package main_test

import (
	"os"
	"strings"
	"testing"

	"sited/rig"
)

// TestAnswers sends what DESIGN's table of answers is about, byte by byte as
// well as at once: both must get the same.
func TestAnswers(t *testing.T) {
	t.Parallel()
	f := newSites(t, "modern", "hasty")
	f.Config(threeSites + `
site "modern" {
  @modern
  root     = "static"
  versions = ["1.1"]
  limits {
    max_uri    = "256B"
    max_header = "1KiB"
  }
}
site "hasty" {
  @hasty
  root    = "upload"
  methods = ["GET", "PUT", "POST"]
  limits { max_body = "1KiB" }
  timeouts {
    header = "300ms"
    body   = "300ms"
  }
}`)
	f.run()
	rig.Must(t, os.Symlink("../secret.txt", f.Path("static/way-out")))
	put := func(fields, body string) string {
		return "PUT /x.txt HTTP/1.1\r\nHost: h\r\n" + basic("alice", "wonder") + "\r\n" + fields + "\r\n" + body
	}
	long := strings.Repeat("a", 2000)
	tests := []struct {
		name, site, raw string
		status          int
		closed          bool
	}{
		{"no HTTP", "static", "hello\r\n\r\n", 400, true},
		{"no version", "static", "GET /\r\n\r\n", 400, true},
		{"two spaces", "static", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400, true},
		{"no Host", "static", "GET / HTTP/1.1\r\n\r\n", 400, true},
		{"two Hosts", "static", request("GET", "/", "Host: other"), 400, true},
		{"bad Host", "static", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, true},
		{"user in Host", "static", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400, true},
		{"bare CR", "static", request("GET", "/", "X: a\rb"), 400, true},
		{"NUL", "static", request("GET", "/", "X: a\x00b"), 400, true},
		{"space before the colon", "static", request("GET", "/", "X : a"), 400, true},
		{"obs-fold", "static", request("GET", "/", "X: a", " b"), 400, true},
		{"no colon", "static", request("GET", "/", "Nonsense"), 400, true},
		{"length and coding", "upload", put("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400, true},
		{"two lengths", "upload", put("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"), 400, true},
		{"length list", "upload", put("Content-Length: 3, 3\r\n", "abc"), 400, true},
		{"signed length", "upload", put("Content-Length: +3\r\n", "abc"), 400, true},
		{"negative length", "upload", put("Content-Length: -3\r\n", "abc"), 400, true},
		{"bad chunk size", "upload", put("Transfer-Encoding: chunked\r\n", "xyz\r\nabc\r\n0\r\n\r\n"), 400, true},
		{"chunk too short", "upload", put("Transfer-Encoding: chunked\r\n", "2\r\nabc\r\n0\r\n\r\n"), 400, true},
		{"chunk without CR", "upload", put("Transfer-Encoding: chunked\r\n", "3\nabc\n0\n\n"), 400, true},
		{"major version", "static", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, true},
		{"HTTP/0.9", "static", "GET / HTTP/0.9\r\n\r\n", 505, true},
		{"HTTP/1.0", "static", "GET /hello.txt HTTP/1.0\r\n\r\n", 200, true},
		{"HTTP/1.0 not listed", "modern", "GET / HTTP/1.0\r\nHost: h\r\n\r\n", 505, true},
		{"transfer coding", "upload", put("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501, true},
		{"unknown method", "static", request("BREW", "/"), 501, false},
		{"method in lower case", "static", request("get", "/"), 501, false},
		{"TRACE", "static", request("TRACE", "/"), 405, false},
		{"method not listed", "static", requestWith("PUT", "/a", "x"), 405, false},
		{"CONNECT not listed", "static", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", 405, true},
		{"POST without a length", "app", request("POST", "/echo.sh"), 411, false},
		{"PUT without a length", "upload", put("", ""), 411, false},
		{"target too long", "modern", request("GET", "/"+long), 414, true},
		{"head too large", "modern", request("GET", "/", "X: "+long), 431, true},
		{"body too large", "hasty", requestWith("PUT", "/a", long), 413, true},
		{"chunked body too large", "hasty", request("PUT", "/a", "Transfer-Encoding: chunked") + "7d0\r\n" + long + "\r\n0\r\n\r\n", 413, true},
		{"head not in time", "hasty", "GET / HTTP/1.1\r\nHos", 408, true},
		{"body not in time", "hasty", request("PUT", "/a", "Content-Length: 5") + "ab", 408, true},
		{"expectation", "static", request("GET", "/", "Expect: cake"), 417, true},
		{"way out", "static", request("GET", "/../secret.txt"), 400, true},
		{"way out, escaped", "static", request("GET", "/%2e%2e/secret.txt"), 400, true},
		{"way out, slash escaped", "static", request("GET", "/..%2fsecret.txt"), 400, true},
		{"way out, later", "static", request("GET", "/sub/../../secret.txt"), 400, true},
		{"way out, backslash", "static", request("GET", "/..%5csecret.txt"), 404, false},
		{"way out, escaped twice", "static", request("GET", "/%252e%252e/secret.txt"), 404, false},
		{"way out by a link", "static", request("GET", "/way-out"), 404, false},
		{"NUL in the path", "static", request("GET", "/hello.txt%00.html"), 400, true},
		{"half an escape", "static", request("GET", "/%4"), 400, true},
		{"dotfile", "static", request("GET", "/.secret"), 404, false},
		{"dotfile, escaped", "static", request("GET", "/%2esecret"), 404, false},
		{"in a dot folder", "static", request("GET", "/.git/config"), 404, false},
		{"well-known", "static", request("GET", "/.well-known/a.txt"), 200, false},
		{"fragment", "static", request("GET", "/hello.txt#a"), 400, true},
		{"absolute form", "static", request("GET", "http://other.example/hello.txt"), 200, false},
		{"other scheme", "static", request("GET", "ftp://other.example/hello.txt"), 400, true},
		{"asterisk with GET", "static", request("GET", "*"), 400, true},
		{"not there", "static", request("GET", "/nothing"), 404, false},
		{"below a file", "static", request("GET", "/hello.txt/x"), 404, false},
		{"no script block", "static", request("GET", "/source.php"), 403, false},
		{"no script block, capitals", "static", request("GET", "/source.PHP"), 403, false},
		{"no index", "static", request("GET", "/empty/"), 404, false},
		{"folder", "static", request("GET", "/sub"), 301, false},
		{"asked to close", "static", request("GET", "/", "Connection: close"), 200, true},
		{"empty line first", "static", "\r\n" + request("GET", "/"), 200, false},
		{"CONNECT with a body", "app", requestWith("CONNECT", "a.example:443", "x"), 400, true},
		{"CONNECT without a port", "app", request("CONNECT", "a.example"), 400, true},
		{"CONNECT not allowed", "app", request("CONNECT", "a.example:443"), 403, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, slowly := range []bool{false, true} {
				if slowly && (tt.site == "hasty" || len(tt.raw) > 300) {
					continue
				}
				w := dial(t, f.Addr(tt.site))
				w.SetNoDelay(true)
				if slowly {
					for i := range len(tt.raw) {
						if _, err := w.Write([]byte{tt.raw[i]}); err != nil {
							break // the answer came before the end
						}
					}
				} else {
					w.send(t, tt.raw)
				}
				method, _, _ := strings.Cut(tt.raw, " ")
				a := w.answer(t, method)
				if a.status != tt.status {
					t.Errorf("byte by byte %t: %d, want %d: %s", slowly, a.status, tt.status, a.body)
				}
				if a.closes() != tt.closed {
					t.Errorf("byte by byte %t: Connection: %s", slowly, a.get("Connection"))
				}
				if strings.Contains(a.body, "SOURCE") || strings.Contains(a.body, "outside") || strings.Contains(a.body, "dotfile's") {
					t.Errorf("it shows what it must not: %q", a.body)
				}
				switch {
				case a.status == 405 && a.get("Allow") != "GET, HEAD, OPTIONS":
					t.Errorf("Allow: %q", a.get("Allow"))
				case a.status == 301 && a.get("Location") != "/sub/":
					t.Errorf("Location: %q", a.get("Location"))
				case a.status >= 400 && (!strings.HasPrefix(a.get("Content-Type"), "text/html") || !strings.Contains(a.body, "<")):
					t.Errorf("an error without its page: %q %q", a.get("Content-Type"), a.body)
				}
				if tt.closed {
					w.closed(t)
				} else if again := w.get(t, "/"); again.status >= 500 {
					t.Errorf("the next request on the connection: %d", again.status)
				}
			}
		})
	}
}

func TestConnections(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	f.run()
	static, app := f.Addr("static"), f.Addr("app")
	t.Run("pipelined", func(t *testing.T) {
		w := dial(t, static)
		w.send(t, request("GET", "/hello.txt")+request("HEAD", "/digits")+request("GET", "/nothing")+request("GET", "/digits"))
		for i, want := range []string{"hello, world\n", "", "404", "0123456789"} {
			a := w.answer(t, []string{"GET", "HEAD", "GET", "GET"}[i])
			if !strings.Contains(a.body, want) {
				t.Errorf("answer %d: %d %q", i, a.status, a.body)
			}
		}
	})
	t.Run("100 Continue", func(t *testing.T) {
		w := dial(t, app)
		w.send(t, request("POST", "/echo.sh", "Content-Length: 5", "Expect: 100-continue"))
		a, err := w.read("POST")
		if err != nil || a.status != 100 {
			t.Fatalf("%+v, %v", a, err)
		}
		w.send(t, "hello")
		if a := w.answer(t, "POST"); a.status != 200 || a.body != "hello" {
			t.Errorf("%+v", a)
		}
	})
	t.Run("refused instead of 100 Continue", func(t *testing.T) {
		w := dial(t, app)
		w.send(t, request("POST", "/gone.sh", "Content-Length: 5", "Expect: 100-continue"))
		if a, err := w.read("POST"); err != nil || a.status != 404 || !a.closes() {
			t.Errorf("%+v, %v", a, err)
		}
	})
	t.Run("HTTP/1.0", func(t *testing.T) {
		w := dial(t, static)
		w.send(t, "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		if a := w.answer(t, "GET"); a.status != 200 || !strings.EqualFold(a.get("Connection"), "keep-alive") {
			t.Errorf("kept: %+v", a)
		}
		w.send(t, "GET /hello.txt HTTP/1.0\r\n\r\n")
		w.answer(t, "GET")
		w.closed(t)

		w = dial(t, app)
		w.send(t, "POST /echo.sh HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
		if a := w.answer(t, "POST"); a.body != "hi" || a.has("transfer-encoding") {
			t.Errorf("a body of unknown length: %+v", a)
		}
	})
	t.Run("chunked both ways", func(t *testing.T) {
		a := ask(t, app, request("POST", "/echo.sh", "Transfer-Encoding: chunked")+"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n")
		if a.body != "abcde" || a.get("X-Length") != "5" || a.get("Transfer-Encoding") != "chunked" {
			t.Errorf("%+v", a)
		}
	})
	t.Run("idle", func(t *testing.T) {
		f := newFolder(t, "static")
		f.Write("root/a", "a")
		f.Config(`
admin {
  @admin
}
site "static" {
  @static
  root = "root"
  timeouts { idle = "200ms" }
}`)
		f.run()
		w := dial(t, f.Addr("static"))
		w.get(t, "/a")
		w.closed(t)
	})
}
