package main_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"sited/rig"
)

// threeSites is the configuration most tests start from: a static site, one with
// scripts and a tunnel, one for uploads with a protected area.
const threeSites = `
admin {
  @admin
}
defaults {
  methods = ["GET", "HEAD", "OPTIONS"]
  timeouts { drain = "10s" }
}
site "static" {
  @static
  root = "static"
}
site "app" {
  @app
  root    = "app"
  index   = ["index.php", "index.html"]
  methods = ["GET", "HEAD", "POST", "OPTIONS", "CONNECT"]
  script ".php" { command = ["php-cgi"] }
  script ".sh" { command = ["/bin/sh"] }
  script ".cgi" {}
  connect { allow = ["@@echo"] }
}
site "upload" {
  @upload
  root      = "upload"
  methods   = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]
  passwords = "users.htpasswd"
  protect "/private/**" {}
  protect "/**" {
    methods = ["PUT", "DELETE"]
    users   = ["alice"]
  }
}
`

// newSites is a folder with what threeSites serves.
func newSites(t *testing.T, more ...string) *folder {
	t.Helper()
	f := newFolder(t, append([]string{"static", "app", "upload", "echo"}, more...)...)
	for name, content := range map[string]string{
		"secret.txt":                "outside of every root",
		"static/index.html":         "<!doctype html><title>static</title>",
		"static/hello.txt":          "hello, world\n",
		"static/digits":             "0123456789",
		"static/sub/index.html":     "<p>sub",
		"static/empty/.keep":        "",
		"static/.secret":            "a dotfile",
		"static/.git/config":        "a dotfile's",
		"static/.well-known/a.txt":  "well known",
		"static/source.php":         "<?php SOURCE ?>",
		"app/index.html":            "<p>app",
		"app/info.php":              "<?php header('X-Method: ' . $_SERVER['REQUEST_METHOD']); echo $_SERVER['SCRIPT_NAME'], '|', $_SERVER['PATH_INFO'] ?? '-', '|', $_SERVER['QUERY_STRING'];",
		"app/upload.php":            "<?php echo $_POST['name'], '|', $_FILES['file']['name'], '|', file_get_contents($_FILES['file']['tmp_name']);",
		"app/echo.sh":               "printf 'Content-Type: text/plain\\nX-Length: %s\\n\\n' \"${CONTENT_LENGTH-none}\"; cat",
		"app/env.cgi":               "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; env",
		"upload/public.txt":         "for all",
		"upload/private/secret.txt": "for users",
		"users.htpasswd":            user(t, "alice", "wonder") + user(t, "bob", "builder"),
	} {
		f.Write(name, content)
	}
	f.Config(threeSites)
	return f
}

// echo answers on f's address for "echo" with what it is sent, and ends its
// sending half when the other side has.
func (f *folder) echo() {
	ln, err := net.Listen("tcp", f.Addr("echo"))
	rig.Must(f.T, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c) // until the tunnel ends, in whatever way
				c.Close()
			}()
		}
	}()
	f.T.Cleanup(func() {
		ln.Close()
		<-done
	})
}

// curl runs curl and returns what it wrote, with the status on a line of its
// own at the end.
func curl(t *testing.T, args ...string) string {
	t.Helper()
	rig.Need(t, "curl")
	args = append([]string{"-q", "-sS", "--max-time", "20", "-w", "\n%{http_code}"}, args...)
	r := execute(t, t.TempDir(), "", "curl", args...)
	if r.status != 0 {
		t.Fatalf("curl %q: status %d: %s%s", args, r.status, r.stdout, r.stderr)
	}
	return r.stdout
}

// ends fails unless curl's output ends in a status.
func ends(t *testing.T, out, status string) {
	t.Helper()
	if !strings.HasSuffix(out, "\n"+status) {
		t.Errorf("curl got %q; want %s", out, status)
	}
}

// TestThreeSites walks once through all three as a visitor with curl does.
func TestThreeSites(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	f.echo()
	f.run()
	static, app, upload := "http://"+f.Addr("static"), "http://"+f.Addr("app"), "http://"+f.Addr("upload")

	t.Run("files", func(t *testing.T) {
		if out := curl(t, static+"/hello.txt"); out != "hello, world\n\n200" {
			t.Errorf("GET: %q", out)
		}
		out := curl(t, "-I", static+"/hello.txt")
		for _, want := range []string{"HTTP/1.1 200 OK\r\n", "Content-Length: 13\r\n", "Content-Type: text/plain; charset=utf-8\r\n", "ETag: ", "Last-Modified: "} {
			if !strings.Contains(out, want) {
				t.Errorf("HEAD: no %q in %q", want, out)
			}
		}
		if out := curl(t, "-r", "2-4", static+"/digits"); out != "234\n206" {
			t.Errorf("range: %q", out)
		}
		if out := curl(t, "-r", "-3", static+"/digits"); out != "789\n206" {
			t.Errorf("suffix range: %q", out)
		}
		ends(t, curl(t, "-r", "50-", static+"/digits"), "416")
		if out := curl(t, "-L", static+"/sub?a=b"); out != "<p>sub\n200" {
			t.Errorf("redirect followed: %q", out)
		}
	})
	t.Run("upload", func(t *testing.T) {
		f.Write("new.bin", strings.Repeat("0123456789abcdef", 10_000))
		ends(t, curl(t, "-T", f.Path("new.bin"), upload+"/new.bin"), "401")
		ends(t, curl(t, "-u", "bob:builder", "-T", f.Path("new.bin"), upload+"/new.bin"), "401")
		ends(t, curl(t, "-u", "alice:wonder", "-T", f.Path("new.bin"), upload+"/new.bin"), "201")
		ends(t, curl(t, "-u", "alice:wonder", "-T", f.Path("new.bin"), upload+"/new.bin"), "204")
		if f.Read("upload/new.bin") != f.Read("new.bin") {
			t.Error("what is stored is not what was sent")
		}
		ends(t, curl(t, "-u", "alice:wonder", "-X", "DELETE", upload+"/new.bin"), "204")
		ends(t, curl(t, upload+"/new.bin"), "404")
		if out := curl(t, "-u", "bob:builder", upload+"/private/secret.txt"); out != "for users\n200" {
			t.Errorf("protected: %q", out)
		}
	})
	t.Run("php", func(t *testing.T) {
		rig.Need(t, "php-cgi")
		if out := curl(t, app+"/info.php/a/b?q=1"); out != "/info.php|/a/b|q=1\n200" {
			t.Errorf("GET: %q", out)
		}
		f.Write("picture.txt", "contents of the file")
		if out := curl(t, "-F", "name=Jane", "-F", "file=@"+f.Path("picture.txt"), app+"/upload.php"); out != "Jane|picture.txt|contents of the file\n200" {
			t.Errorf("POST: %q", out)
		}
	})
	t.Run("scripts", func(t *testing.T) {
		if out := curl(t, "-d", "a=b", app+"/echo.sh"); out != "a=b\n200" {
			t.Errorf("POST to .sh: %q", out)
		}
		if out := curl(t, app+"/env.cgi?x=y"); !strings.Contains(out, "\nQUERY_STRING=x=y\n") {
			t.Errorf(".cgi: %q", out)
		}
	})
	t.Run("tunnel", func(t *testing.T) {
		f := newSites(t, "far")
		f.Config(strings.NewReplacer("@@echo", "@@static").Replace(threeSites))
		f.run()
		out := curl(t, "--proxytunnel", "-x", "http://"+f.Addr("app"), "http://"+f.Addr("static")+"/hello.txt")
		if out != "hello, world\n\n200" {
			t.Errorf("through the tunnel: %q", out)
		}
		r := execute(t, f.Dir, "", "curl", "-q", "-sS", "--proxytunnel", "-x", "http://"+f.Addr("app"), "http://"+f.Addr("upload")+"/")
		if r.status == 0 || !strings.Contains(r.stderr, "403") {
			t.Errorf("a target that is not allowed: %+v", r)
		}
	})
}
