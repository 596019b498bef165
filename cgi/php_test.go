package cgi

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"sited/protocol"
)

func phpBench(t *testing.T) *bench {
	t.Helper()
	if _, err := exec.LookPath("php-cgi"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("php-cgi is not installed")
		}
		t.Skip("php-cgi is not installed")
	}
	return newBench(t, Config{Name: ".php", Command: []string{"php-cgi"}})
}

func (b *bench) php(text string) string {
	return writeScript(b.t, b.dir, "page.php", "<?php\n"+text, 0o644)
}

func TestPHPServer(t *testing.T) {
	b := phpBench(t)
	call := b.call(b.php("header('Content-Type: application/json'); echo json_encode($_SERVER + ['get' => $_GET]);"), "GET", "")
	call.ScriptName, call.PathInfo = "/app/page.php", "/x/y z"
	call.Request.Target, call.Request.Query = "/app/page.php/x/y%20z?a=1&b[]=2", "a=1&b[]=2"
	call.Request.Header = protocol.Header{{Name: "Authorization", Value: "Bearer t0"}, {Name: "Proxy", Value: "http://evil/"}}
	answer, body := b.whole(call)
	if got := answer.Header.Get("Content-Type"); answer.Status != 200 || got != "application/json" {
		t.Errorf("answer %d, %q", answer.Status, got)
	}
	var server map[string]any
	if err := json.Unmarshal([]byte(body), &server); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	for name, want := range map[string]string{
		"PHP_SELF":           "/app/page.php/x/y z",
		"SCRIPT_NAME":        "/app/page.php",
		"SCRIPT_FILENAME":    b.dir + "/page.php",
		"PATH_INFO":          "/x/y z",
		"PATH_TRANSLATED":    b.dir + "/x/y z",
		"REQUEST_URI":        "/app/page.php/x/y%20z?a=1&b[]=2",
		"QUERY_STRING":       "a=1&b[]=2",
		"DOCUMENT_ROOT":      b.dir,
		"HTTP_AUTHORIZATION": "Bearer t0",
		"SERVER_NAME":        "example.org",
		"SERVER_SOFTWARE":    "sited",
		"REMOTE_ADDR":        "192.0.2.7",
	} {
		if got := server[name]; got != want {
			t.Errorf("%s is %q; want %q", name, got, want)
		}
	}
	if _, there := server["HTTP_PROXY"]; there {
		t.Error("HTTP_PROXY is set")
	}
	if get, ok := server["get"].(map[string]any); !ok || get["a"] != "1" {
		t.Errorf("$_GET is %v", server["get"])
	}
}

func TestPHPPost(t *testing.T) {
	b := phpBench(t)
	file := b.php("echo strlen($_POST['a']), ' ', md5($_POST['a']), ' ', $_SERVER['CONTENT_LENGTH'];")
	for _, chunked := range []bool{false, true} {
		for _, size := range []int{1000, 300_000} {
			value := pattern(size)
			want := fmt.Sprintf("%d %x %d", size, md5.Sum([]byte(value)), size+2)
			call := b.call(file, "POST", "a="+value)
			call.Request.Header = protocol.Header{{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}}
			if chunked {
				call.Request.Length = -1
			}
			if _, body := b.whole(call); body != want {
				t.Errorf("%d bytes, chunked %v: %q; want %q", size, chunked, body, want)
			}
		}
	}
}

func TestPHPAnswers(t *testing.T) {
	t.Run("large", func(t *testing.T) {
		b := phpBench(t)
		if _, body := b.get(b.php("echo str_repeat('0123456789abcdef', 65536);")); body != strings.Repeat("0123456789abcdef", 65536) {
			t.Errorf("got %d bytes", len(body))
		}
	})
	t.Run("redirect and cookies", func(t *testing.T) {
		b := phpBench(t)
		answer, _ := b.get(b.php("setcookie('a', '1'); setcookie('b', '2'); header('Location: /elsewhere');"))
		cookies := 0
		for range answer.Header.Values("Set-Cookie") {
			cookies++
		}
		if answer.Status != 302 || answer.Header.Get("Location") != "/elsewhere" || cookies != 2 {
			t.Errorf("answer %+v", answer)
		}
	})
	t.Run("error", func(t *testing.T) {
		b := phpBench(t)
		answer, _ := b.get(b.php("undefined_function();"))
		if answer.Status != 500 {
			t.Errorf("status %d", answer.Status)
		}
		eventually(t, "told on standard error", func() bool { return strings.Contains(b.stderrText(), "undefined_function") })
	})
	t.Run("no such file", func(t *testing.T) {
		b := phpBench(t)
		answer, err := b.run(t.Context(), b.call(b.dir+"/no.php", "GET", ""))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.Status != 404 {
			t.Errorf("status %d", answer.Status)
		}
	})
}

// Words of the query string are no options of php-cgi (CVE-2012-1823).
func TestPHPQueryIsNoOption(t *testing.T) {
	b := phpBench(t)
	for _, query := range []string{"-s", "%2ds", "-d+auto_prepend_file%3d/etc/passwd", "\xad" + "s"} {
		call := b.call(b.php("echo 'run: ', $_SERVER['QUERY_STRING'];"), "GET", "")
		call.Request.Query = query
		if _, body := b.whole(call); body != "run: "+query {
			t.Errorf("query %s: %q", url.QueryEscape(query), body)
		}
	}
}
