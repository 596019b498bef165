package main_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sited/rig"
)

// scriptSite has one script block for each thing that can go wrong.
const scriptSite = `
admin {
  @admin
}
site "app" {
  @app
  root    = "app"
  index   = ["index.sh"]
  methods = ["GET", "HEAD", "POST"]
  script ".sh" { command = ["/bin/sh"] }
  script ".cgi" {}
  script ".none" { command = ["no-such-interpreter"] }
  script ".slow" {
    command = ["/bin/sh"]
    timeout = "300ms"
  }
  script ".one" {
    command = ["/bin/sh"]
    workers = 1
  }
  limits { max_body = "200KiB" }
}`

const plainHead = `printf 'Content-Type: text/plain\n\n'; `

func newScripts(t *testing.T) (*folder, *process, string) {
	t.Helper()
	f := newFolder(t, "app")
	for name, text := range map[string]string{
		"index.sh":       plainHead + "echo index",
		"env.sh":         plainHead + "env",
		"echo.sh":        plainHead + `printf '%s ' "${CONTENT_LENGTH-none}"; cat`,
		"status.sh":      `printf 'Status: 418 Teapot\nX-Made-By: script\nContent-Type: text/plain\n\nshort'`,
		"redirect.sh":    `printf 'Location: https://other.example/\n\n'`,
		"local.sh":       `printf 'Location: /env.sh?from=local\n\n'`,
		"loop.sh":        `printf 'Location: /loop.sh\n\n'`,
		"silent.sh":      "exit 3",
		"headless.sh":    "echo this is no head",
		"cut.sh":         `printf 'Content-Type: text/plain\nContent-Length: 100\n\nshort'`,
		"complain.sh":    `echo "it hurts here" >&2; ` + plainHead + "echo done",
		"split.sh":       `printf 'X-A: 1\r\nContent-Type: text/plain\r\n\r\nok'`,
		"real.cgi":       "#!/bin/sh\n" + plainHead + "echo cgi",
		"x.none":         "SOURCE",
		"hang.slow":      "(sleep 300 & echo $! > grandchild; wait)",
		"trickle.slow":   plainHead + "echo begun; sleep 300 & echo $! > trickling; wait",
		"wait.one":       plainHead + "until [ -e go ]; do sleep 0.02; done; echo done",
		"folder.sh/file": "a folder with the name of a script",
	} {
		f.Write("app/"+name, text)
	}
	f.Write("app/noexec.cgi", "#!/bin/sh\nSOURCE")
	rig.Must(t, os.Chmod(f.Path("app/noexec.cgi"), 0o644))
	f.Write("app/noshebang.cgi", "SOURCE")
	f.Config(scriptSite)
	return f, f.run(), f.Addr("app")
}

func TestScripts(t *testing.T) {
	t.Parallel()
	f, p, addr := newScripts(t)
	t.Run("environment", func(t *testing.T) {
		a := ask(t, addr, request("GET", "/env.sh/more/path%20x?a=b&c", "User-Agent: tests", "Proxy: http://evil.example/",
			"X-One: 1", "X-One: 2", "Cookie: a=1", "Cookie: b=2", "X_Under: score"))
		for _, want := range []string{
			"GATEWAY_INTERFACE=CGI/1.1", "SERVER_PROTOCOL=HTTP/1.1", "REQUEST_METHOD=GET", "SCRIPT_NAME=/env.sh",
			"PATH_INFO=/more/path x", "PATH_TRANSLATED=" + f.Path("app") + "/more/path x", "QUERY_STRING=a=b&c",
			"REQUEST_URI=/env.sh/more/path%20x?a=b&c", "SCRIPT_FILENAME=" + f.Path("app/env.sh"), "DOCUMENT_ROOT=" + f.Path("app"),
			"SERVER_NAME=site.example", "SERVER_PORT=" + f.Port("app"), "REMOTE_ADDR=127.0.0.1", "REDIRECT_STATUS=200",
			"HTTP_USER_AGENT=tests", "HTTP_X_ONE=1, 2", "HTTP_COOKIE=a=1; b=2",
		} {
			if !strings.Contains("\n"+a.body, "\n"+want+"\n") {
				t.Errorf("no %s in\n%s", want, a.body)
			}
		}
		for _, not := range []string{"HTTP_PROXY=", "evil.example", "X_UNDER", "HOME=", "CONTENT_LENGTH="} {
			if strings.Contains(a.body, not) {
				t.Errorf("%s in\n%s", not, a.body)
			}
		}
		if a := ask(t, addr, request("GET", "/env.sh", "X-Same: 1", "X_Same: 2")); a.status != 400 {
			t.Errorf("fields that would be one variable: %d", a.status)
		}
	})
	for _, tt := range []struct {
		name, raw string
		status    int
		body      string
	}{
		{"index", request("GET", "/"), 200, "index\n"},
		{"executed itself", request("GET", "/real.cgi"), 200, "cgi\n"},
		{"HEAD", request("HEAD", "/status.sh"), 418, ""},
		{"own status", request("GET", "/status.sh"), 418, "short"},
		{"redirect", request("GET", "/redirect.sh"), 302, ""},
		{"CRLF head", request("GET", "/split.sh"), 200, "ok"},
		{"body", requestWith("POST", "/echo.sh", "name=value"), 200, "10 name=value"},
		{"empty body", requestWith("POST", "/echo.sh", ""), 200, "none "},
		{"chunked body", request("POST", "/echo.sh", "Transfer-Encoding: chunked") + "4\r\nname\r\n6\r\n=value\r\n0\r\n\r\n", 200, "10 name=value"},
		{"body over the limit", requestWith("POST", "/echo.sh", strings.Repeat("x", 200<<10+1)), 413, "<"},
		{"no such script", request("GET", "/gone.sh"), 404, "<"},
		{"redirects to itself", request("GET", "/loop.sh"), 502, "<"},
		{"no output", request("GET", "/silent.sh"), 502, "<"},
		{"no head", request("GET", "/headless.sh"), 502, "<"},
		{"no interpreter", request("GET", "/x.none"), 503, "<"},
		{"no interpreter, POST", requestWith("POST", "/x.none", "x"), 503, "<"},
		{"no x bit", request("GET", "/noexec.cgi"), 502, "<"},
		{"no #! line", request("GET", "/noshebang.cgi"), 502, "<"},
		{"below a folder", request("GET", "/folder.sh/file"), 200, "a folder with the name of a script"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := ask(t, addr, tt.raw)
			if a.status != tt.status || !strings.HasPrefix(a.body, tt.body) || tt.status < 300 && a.body != tt.body {
				t.Errorf("%d %q, want %d %q", a.status, a.body, tt.status, tt.body)
			}
			if strings.Contains(a.body, "SOURCE") {
				t.Errorf("the source: %q", a.body)
			}
			if tt.status == 418 && a.get("X-Made-By") != "script" {
				t.Errorf("the script's field is not there: %+v", a.header)
			}
		})
	}
	t.Run("long chunked body", func(t *testing.T) {
		piece := strings.Repeat("0123456789abcdef", 256)
		raw := request("POST", "/echo.sh", "Transfer-Encoding: chunked") + strings.Repeat("1000\r\n"+piece+"\r\n", 40) + "0\r\n\r\n"
		if a := ask(t, addr, raw); a.body != "163840 "+strings.Repeat(piece, 40) {
			t.Errorf("%d, %d bytes", a.status, len(a.body))
		}
	})
	t.Run("local redirect", func(t *testing.T) {
		if a := ask(t, addr, request("GET", "/local.sh")); a.status != 200 || !strings.Contains(a.body, "QUERY_STRING=from=local\n") {
			t.Errorf("%+v", a)
		}
	})
	t.Run("shorter than it said", func(t *testing.T) {
		if a, err := exchange(addr, request("GET", "/cut.sh")); err == nil {
			t.Errorf("an answer that looks whole: %+v", a)
		}
	})
	t.Run("standard error", func(t *testing.T) {
		if a := ask(t, addr, request("GET", "/complain.sh")); a.body != "done\n" {
			t.Errorf("%+v", a)
		}
		rig.Eventually(t, "it is in failed.log", func() bool {
			return rig.Lines(f.Read("logs/app/failed.log"), `"script":".sh"`, `"stderr":"it hurts here"`) > 0
		})
	})
	t.Run("missing interpreter is told", func(t *testing.T) {
		p.logged(`"site":"app"`, `"script":".none"`, "no-such-interpreter")
		rig.Eventually(t, "failed.log says why", func() bool {
			return rig.Lines(f.Read("logs/app/failed.log"), `"target":"/x.none"`, `"status":503`, "no-such-interpreter is not in PATH") > 0
		})
	})
}

func TestScriptTimeout(t *testing.T) {
	t.Parallel()
	f, p, addr := newScripts(t)
	if a := ask(t, addr, request("GET", "/hang.slow")); a.status != 504 {
		t.Errorf("%d", a.status)
	}
	if a, err := exchange(addr, request("GET", "/trickle.slow")); err == nil {
		t.Errorf("a script that stopped half way looks whole: %+v", a)
	}
	for _, file := range []string{"app/grandchild", "app/trickling"} {
		pid := strings.TrimSpace(f.Read(file))
		rig.Eventually(t, "the child's child is gone", func() bool { return !alive(pid) })
	}
	rig.Eventually(t, "it is counted and nothing runs", func() bool {
		m := p.scrape()
		return m[`sited_script_requests_total{result="timeout",script=".slow",site="app"}`] == 2 && m[`sited_script_processes{script=".slow",site="app"}`] == 0
	})
	if left := p.Children(); len(left) > 0 {
		t.Errorf("children are left: %q", left)
	}
}

// A client that goes away takes its script with it when there is something to
// send, and soon when there isn't.
func TestScriptWithoutItsClient(t *testing.T) {
	t.Parallel()
	f, p, addr := newScripts(t)
	f.Write("app/endless.sh", plainHead+"while :; do echo more; sleep 0.02; done")
	w := dial(t, addr)
	w.send(t, request("GET", "/endless.sh"))
	rig.Eventually(t, "the script runs", func() bool { return len(p.Children()) == 1 })
	w.Close()
	rig.Eventually(t, "nothing runs", func() bool {
		return len(p.Children()) == 0 && p.scrape()[`sited_script_requests_total{result="aborted",script=".sh",site="app"}`] == 1
	})
}

func TestSilentScriptWithoutItsClient(t *testing.T) {
	t.Parallel()
	f, p, addr := newScripts(t)
	f.Write("app/silent.sh", "sleep 60")
	var clients []*wire
	for range 5 {
		w := dial(t, addr)
		w.send(t, request("GET", "/silent.sh"))
		clients = append(clients, w)
	}
	rig.Eventually(t, "the scripts run", func() bool { return len(p.Children()) == 5 })
	for _, w := range clients {
		w.Close()
	}
	rig.Eventually(t, "nothing runs", func() bool {
		return len(p.Children()) == 0 && p.scrape()[`sited_script_requests_total{result="aborted",script=".sh",site="app"}`] == 5
	})
}

// alive reports whether a process is there and no zombie.
func alive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

func TestScriptsBusy(t *testing.T) {
	t.Parallel()
	f, p, addr := newScripts(t)
	const most, sent = 5, 8 // one process, and four places in the queue for each
	answers := make(chan *answer, sent)
	for range sent {
		w := dial(t, addr)
		w.send(t, request("GET", "/wait.one"))
		go func() {
			a, err := w.readFinal("GET")
			if err != nil {
				a = &answer{body: err.Error()}
			}
			answers <- a
		}()
	}
	for range sent - most {
		if a := <-answers; a.status != 503 || a.get("Retry-After") == "" {
			t.Errorf("one too many: %+v", a)
		}
	}
	if m := p.scrape(); m[`sited_http_requests_in_flight{site="app"}`] != most || m[`sited_script_requests_total{result="busy",script=".one",site="app"}`] != sent-most {
		t.Error("those that wait, and those that were turned away, are not counted")
	}
	if other := ask(t, addr, request("GET", "/env.sh")); other.status != 200 {
		t.Errorf("another kind of script: %d", other.status)
	}
	f.Write("app/go", "")
	for range most {
		if a := <-answers; a.status != 200 || a.body != "done\n" {
			t.Errorf("one that waited: %+v", a)
		}
	}
}

func TestPHP(t *testing.T) {
	rig.Need(t, "php-cgi")
	t.Parallel()
	f := newSites(t)
	f.Write("app/index.php", "<?php echo 'index ', $_SERVER['SCRIPT_NAME'];")
	f.Write("app/status.php", "<?php http_response_code(404); header('X-A: b'); echo 'mine';")
	f.Write("app/broken.php", "<?php this is SOURCE")
	f.Write("app/log.php", "<?php error_log('told to the log'); echo 'ok';")
	f.run()
	addr := f.Addr("app")
	for _, tt := range []struct {
		path   string
		status int
		body   string
	}{
		{"/", 200, "index /index.php"},
		{"/info.php", 200, "/info.php|-|"},
		{"/info.php/x%2Fy/../z?q=%20", 200, "/info.php|/x/z|q=%20"},
		{"/INFO.php", 404, "<"},
		{"/status.php", 404, "mine"},
		{"/log.php", 200, "ok"},
		{"/info.php?-s", 200, "/info.php|-|-s"}, // CVE-2012-1823
	} {
		if a := ask(t, addr, request("GET", tt.path)); a.status != tt.status || !strings.HasPrefix(a.body, tt.body) {
			t.Errorf("%s: %d %q, want %d %q", tt.path, a.status, a.body, tt.status, tt.body)
		}
	}
	if a := ask(t, addr, request("GET", "/broken.php")); strings.Contains(a.body, "SOURCE") {
		t.Errorf("the source: %q", a.body)
	}
	boundary := "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nJane\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.txt\"\r\n\r\ncontents\r\n--b--\r\n"
	field := "Content-Type: multipart/form-data; boundary=b"
	chunked := request("POST", "/upload.php", field, "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(boundary), boundary)
	for name, raw := range map[string]string{"known length": requestWith("POST", "/upload.php", boundary, field), "chunked": chunked} {
		if a := ask(t, addr, raw); a.body != "Jane|f.txt|contents" {
			t.Errorf("multipart, %s: %d %q", name, a.status, a.body)
		}
	}
	rig.Eventually(t, "error_log is in failed.log", func() bool {
		return rig.Lines(f.Read("logs/app/failed.log"), `"script":".php"`, "told to the log") > 0
	})
}
