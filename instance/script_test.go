package instance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sited/protocol"
)

const plainText = "printf 'Content-Type: text/plain\\r\\n\\r\\n'\n"

func TestScripts(t *testing.T) {
	s := open(t, withScripts)
	s.file("hello.sh", plainText+`printf '%s %s [%s] [%s] ' "$REQUEST_METHOD" "$SCRIPT_NAME" "$PATH_INFO" "$QUERY_STRING"; cat`)
	s.file("index.sh", plainText+"printf index")
	s.file("own.cgi", "#!/bin/sh\n"+plainText+`printf '%s' "$SCRIPT_FILENAME"`)
	s.file("status.sh", "printf 'Status: 418 Teapot\\r\\nContent-Type: text/plain\\r\\nX-Mine: yes\\r\\n\\r\\n'")
	s.file("UPPER.SH", plainText+"printf upper")
	s.file("folder.sh/index.html", "a folder that is named like a script")
	s.file("folder.sh/in.sh", plainText+`printf '%s' "$PATH_INFO"`)

	s.get("/hello.sh").want(t, "GET", 200, "GET /hello.sh [] [] ")
	s.get("/hello.sh?a=b").want(t, "query", 200, "GET /hello.sh [] [a=b] ")
	s.get("/hello.sh/").want(t, "slash", 200, "GET /hello.sh [/] [] ")
	s.get("/hello.sh/a%20b/c.txt?q").want(t, "path info", 200, "GET /hello.sh [/a b/c.txt] [q] ")
	s.get("/%68ello.sh/x/../y").want(t, "another spelling", 200, "GET /hello.sh [/y] [] ")
	s.do("POST", "/hello.sh", "body").want(t, "POST", 200, "POST /hello.sh [] [] body")
	s.do("POST", "/hello.sh", "").want(t, "POST of nothing", 200, "POST /hello.sh [] [] ")
	large := strings.Repeat("x", 200_000)
	s.do("POST", "/hello.sh", large).want(t, "large POST", 200, "POST /hello.sh [] [] "+large)
	s.raw("POST /hello.sh HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").want(t, "chunked POST", 200, "POST /hello.sh [] [] abcde")
	s.get("/").want(t, "index", 200, "index")
	s.do("POST", "/", "x").want(t, "POST of the index", 200, "index")
	s.get("/own.cgi").want(t, "executed itself", 200, filepath.Join(s.root, "own.cgi"))
	s.get("/UPPER.SH").want(t, "upper case", 200, "upper")
	s.get("/folder.sh").want(t, "folder", 301, "")
	s.get("/folder.sh/").want(t, "folder", 200, "a folder that is named like a script")
	s.get("/folder.sh/in.sh/x").want(t, "below the folder", 200, "/x")
	s.get("/nothing.sh").want(t, "no such script", 404, "")
	a := s.get("/status.sh")
	a.want(t, "its own status", 418, "")
	a.wantField(t, "its own field", "X-Mine", "yes")

	head := s.do("HEAD", "/hello.sh", "")
	head.want(t, "HEAD", 200, "")
	head.wantField(t, "HEAD", "Content-Type", "text/plain")
	s.do("PUT", "/hello.sh", "x").want(t, "PUT", 403, "")
	s.wantMetric(0, "script_processes", "script", ".sh")
	s.wantMetric(1, "script_requests_total", "script", ".cgi", "result", "ok")
	s.wantMetric(1, "script_duration_seconds", "script", ".cgi")
}

func TestScriptsThatFail(t *testing.T) {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		spec.Scripts = append(spec.Scripts,
			Script{Ext: ".gone", Command: []string{"/no/such/interpreter"}, Timeout: time.Second},
			Script{Ext: ".slow", Command: []string{"/bin/sh"}, Timeout: 50 * time.Millisecond})
	})
	if said := s.log.String(); !strings.Contains(said, "/no/such/interpreter") {
		t.Errorf("the log does not warn: %s", said)
	}
	s.file("a.txt", "a")
	s.file("x.gone", source)
	s.file("x.slow", "exec sleep 60")
	s.file("bad.sh", "echo this is no head; echo oh no >&2")
	s.file("quiet.sh", "exit 3")
	s.file("noexec.cgi", "#!/bin/sh\n"+plainText)
	must(t, os.Chmod(filepath.Join(s.root, "noexec.cgi"), 0o644))
	s.get("/x.gone").want(t, "missing interpreter", 503, "")
	s.get("/x.slow").want(t, "slow", 504, "")
	s.get("/bad.sh").want(t, "no head", 502, "")
	s.get("/quiet.sh").want(t, "no output", 502, "")
	s.get("/noexec.cgi").want(t, "not executable", 502, "")
	s.get("/a.txt").want(t, "the rest of the site", 200, "a")
	s.wantMetric(1, "script_requests_total", "script", ".gone", "result", "unavailable")
	s.wantMetric(1, "script_requests_total", "script", ".slow", "result", "timeout")
	s.wantMetric(2, "script_requests_total", "script", ".sh", "result", "error")
	eventually(t, "what the script says is in the log", func() bool {
		_, failed := s.logged()
		return strings.Contains(failed, `"script":".sh","stderr":"oh no"`)
	})
}

// No spelling of a script's path shows its source, with a block for it or without.
func TestSourceIsNeverShown(t *testing.T) {
	for _, withBlock := range []bool{false, true} {
		s := open(t, func(spec *Spec) {
			if withBlock {
				spec.Scripts = []Script{{Ext: ".php", Command: []string{"/bin/sh"}, Timeout: 20 * time.Second}}
			}
			spec.Index = []string{"x.php", "index.html"}
		})
		script := plainText + "exit # " + source
		s.file("x.php", script)
		s.file("X.PHP", script)
		s.file("dir/x.php", script)
		for _, target := range []string{
			"/x.php", "/X.PHP", "/x.php/", "/x.php/y", "/x.php/y.txt", "/x.php?y", "/x%2ephp", "/x.ph%70", "/%78.php", "//x.php", "/./x.php", "/dir/../x.php",
			"/x.php.", "/x.php%20", "/x.php%2f", "/x.php%5c", "/x.php%0a", "/x.php;", "/x.php;y", "/x.php::$DATA", "/x.php~", "/x.php%23", "/x.php%3f",
			"/x.Php", "/dir/", "/dir/x.php", "/dir", "/", "/x.php%00", "/x.php%00.txt",
		} {
			for _, field := range []string{"X: y", "Range: bytes=0-5", "Range: bytes=-6", "If-None-Match: *"} {
				for _, method := range []string{"GET", "HEAD", "POST"} {
					a := s.do(method, target, "", field)
					if strings.Contains(a.body, source) || a.status == 206 || a.status == 304 || a.header.Get("Accept-Ranges") != "" {
						t.Errorf("block %v: %s %s: %d %q", withBlock, method, target, a.status, a.body)
					}
				}
			}
		}
		want := map[bool]int{false: 403, true: 200}[withBlock]
		for _, target := range []string{"/x.php", "/X.PHP", "/x.php/"} {
			s.get(target).want(t, target, want, "")
		}
		if a := s.get("/x.php%00"); a.status != 400 {
			t.Errorf("NUL: %d", a.status)
		}
	}
}

// A local redirect (RFC 3875, section 6.2.2) is served as if the client had asked
// for it, with all that decides about it.
func TestLocalRedirect(t *testing.T) {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		protecting(t, Protect{Glob: "/private/**"})(spec)
	})
	s.file("a.txt", "0123456789")
	s.file("private/a.txt", "PRIVATE")
	s.file(".hidden", "DOT")
	s.file("x.php", source)
	s.file("to.sh", `printf 'Location: %s\r\n\r\n' "$QUERY_STRING"`)
	s.file("loop.sh", `printf 'Location: /loop.sh\r\n\r\n'`)
	s.file("count.sh", `n=$QUERY_STRING; [ "$n" = 0 ] && { `+plainText+` printf done; exit; }; printf 'Location: /count.sh?%d\r\n\r\n' $((n-1))`)
	s.file("show.sh", plainText+`printf '%s [%s] [%s] [%s] [%s]' "$REQUEST_METHOD" "$PATH_INFO" "$QUERY_STRING" "$CONTENT_LENGTH" "$CONTENT_TYPE"; cat`)
	alice := "Authorization: " + basic("alice", "a")

	s.get("/to.sh?/a.txt").want(t, "to a file", 200, "0123456789")
	s.do("POST", "/to.sh?/a.txt", "body").want(t, "POST, to a file", 200, "0123456789")
	s.do("POST", "/to.sh?/a.txt", "body", "If-None-Match: *", "Range: bytes=0-1").want(t, "POST with conditions, to a file", 200, "0123456789")
	s.get("/to.sh?/a.txt", "Range: bytes=0-1").want(t, "GET of a range, to a file", 206, "01")
	s.do("POST", "/to.sh?/show.sh/i?q=1", "body", "Content-Type: text/x").want(t, "POST, to a script", 200, "GET [/i] [q=1] [] []")
	s.get("/to.sh?/to.sh?/a.txt").want(t, "twice", 200, "0123456789")
	s.do("HEAD", "/to.sh?/a.txt", "").want(t, "HEAD", 200, "")
	s.get("/to.sh?/nothing").want(t, "to nothing", 404, "")
	s.get("/to.sh?/.hidden").want(t, "to a dotfile", 404, "")
	s.get("/to.sh?/x.php").want(t, "to a script without a block", 403, "")
	s.get("/to.sh?/../../etc/passwd").want(t, "out of the root", 502, "")
	s.get("/to.sh?/%zz").want(t, "to rubbish", 502, "")
	for _, target := range []string{"/private/a.txt", "/private/nothing", "//private/a.txt", "/x/../private/a.txt", "/%70rivate/a.txt"} {
		if a := s.get("/to.sh?" + target); a.status != 401 && a.status != 302 { // "//private" is a host's: the client's business
			t.Errorf("to %s: %d", target, a.status)
		}
	}
	s.get("/to.sh?/private/a.txt", alice).want(t, "to what is protected, with the password", 200, "PRIVATE")
	s.get("/loop.sh").want(t, "a loop", 502, "")
	s.get(fmt.Sprint("/count.sh?", maxRedirects)).want(t, "as many as may be", 200, "done")
	s.get(fmt.Sprint("/count.sh?", maxRedirects+1)).want(t, "one more", 502, "")

	// Log and metrics tell what the client asked for.
	s.wantMetric(3, "http_requests_total", "method", "POST", "code", "200")
	if passed, _ := s.logged(); !strings.Contains(passed, `"method":"POST","target":"/to.sh?/a.txt"`) {
		t.Errorf("the log tells of another request:\n%s", passed)
	}
}

func TestPHP(t *testing.T) {
	if _, err := exec.LookPath("php-cgi"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("php-cgi is not installed")
		}
		t.Skip("php-cgi is not installed")
	}
	s := open(t, func(spec *Spec) {
		spec.Index = []string{"index.php"}
		spec.Scripts = []Script{{Ext: ".php", Command: []string{"php-cgi"}, Timeout: 20 * time.Second}}
		protecting(t, Protect{Glob: "/admin.php"})(spec)
	})
	s.file("index.php", `<?php header('X-Mine: yes'); echo $_SERVER['SCRIPT_NAME'], ' [', $_SERVER['PATH_INFO'] ?? '', '] ', $_GET['a'] ?? '', $_POST['b'] ?? '';`)
	s.file("admin.php", `<?php echo 'admin ', $_SERVER['REMOTE_USER'];`)
	s.file("missing.php", `<?php http_response_code(410); echo 'gone';`)
	s.get("/?a=1").want(t, "index", 200, "/index.php [] 1")
	s.get("/index.php/x/y?a=2").want(t, "path info", 200, "/index.php [/x/y] 2")
	s.do("POST", "/index.php", "b=3", "Content-Type: application/x-www-form-urlencoded").want(t, "POST", 200, "/index.php [] 3")
	s.raw("POST /index.php HTTP/1.1\r\nHost: test\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nb=4\r\n0\r\n\r\n").
		want(t, "chunked POST", 200, "/index.php [] 4")
	s.get("/missing.php").want(t, "its own status", 410, "")
	s.get("/admin.php/x").want(t, "protected", 401, "")
	s.get("/admin.php/x", "Authorization: "+basic("alice", "a")).want(t, "protected", 200, "admin alice")
	s.get("/?-s").wantField(t, "arguments from the query (CVE-2012-1823)", "X-Mine", "yes")
}

func TestWithoutContent(t *testing.T) {
	h := protocol.Header{{Name: "Host", Value: "a"}, {Name: "CONTENT-Type", Value: "b"}, {Name: "If-Match", Value: "c"}, {Name: "Range", Value: "d"}, {Name: "Cookie", Value: "e"}}
	if got := withoutContent(h); fmt.Sprint(got) != "[{Host a} {Cookie e}]" || len(h) != 5 || h[1].Value != "b" {
		t.Errorf("%v, of %v", got, h)
	}
}
