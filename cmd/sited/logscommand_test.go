package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sited/rig"
)

const shownSites = `
site "shop" {
  ip   = "127.0.0.1"
  port = 8081
  root = "root"
}
site "blog" {
  ip   = "127.0.0.1"
  port = 8082
  root = "root"
  logs {
    passed = "all.log"
    failed = "all.log"
    format = "combined"
  }
}
site "quiet" {
  ip   = "127.0.0.1"
  port = 8083
  root = "root"
  logs {
    passed = ""
    failed = "/dev/null"
  }
}
site "other" {
  ip   = "127.0.0.1"
  port = 8084
  root = "root"
  logs {
    passed = "logs/shop/passed.log"
    failed = ""
  }
}
`

// jsonLine is a line of a log, at a second of some minute.
func jsonLine(second int, site, target string, status int, more string) string {
	return fmt.Sprintf(`{"time":"2026-11-23T08:15:%02d.123Z","id":"00000000000000ff","site":%q,"remote":"192.0.2.7","port":5,"method":"GET","target":%q,"version":"1.1","host":"h","status":%d,"bytes":2326,"received":0,"duration":0.001234,"referer":"","user_agent":""%s}`+"\n",
		second, site, target, status, more)
}

func newShown(t *testing.T) *folder {
	t.Helper()
	f := newFolder(t)
	f.Write("sites.hcl", shownSites)
	f.Write("root/index.html", "")
	f.Write("logs/shop/passed.log", jsonLine(1, "shop", "/1", 200, "")+jsonLine(3, "shop", "/3", 304, "")+jsonLine(6, "other", "/6", 200, "")+jsonLine(7, "shop", "/7", 201, `,"user":"alice"`))
	f.Write("logs/shop/failed.log", jsonLine(2, "shop", "/2", 404, `,"error":"no such file"`)+
		`{"time":"2026-11-23T08:15:05.000Z","id":"00000000000000ff","site":"shop","script":".php","stderr":"PHP Warning"}`+"\n"+
		jsonLine(8, "shop", "/8", 502, `,"error":"\u001b[2Jscript\n"`)+`{"time":"2026-11-23T08:15:`)
	f.Write("all.log", `192.0.2.8 - - [23/Nov/2026:09:15:04 +0100] "GET /4 HTTP/1.1" 200 5 "-" "x`+"\x1b]0;title\a\u202e"+`"`+"\n")
	return f
}

func TestLogsShows(t *testing.T) {
	t.Parallel()
	f := newShown(t)
	shop := []string{
		"2026-11-23T08:15:01.123Z shop  200 GET  /1 1.2ms 2.3KiB 192.0.2.7",
		"2026-11-23T08:15:02.123Z shop  404 GET  /2 1.2ms 2.3KiB 192.0.2.7  no such file",
		"2026-11-23T08:15:03.123Z shop  304 GET  /3 1.2ms 2.3KiB 192.0.2.7",
		"2026-11-23T08:15:04Z     blog  200 GET  /4 - 5B 192.0.2.8",
		"2026-11-23T08:15:05.000Z shop  err .php: PHP Warning",
		"2026-11-23T08:15:06.123Z other 200 GET  /6 1.2ms 2.3KiB 192.0.2.7",
		"2026-11-23T08:15:07.123Z shop  201 GET  /7 1.2ms 2.3KiB 192.0.2.7 alice",
		`2026-11-23T08:15:08.123Z shop  502 GET  /8 1.2ms 2.3KiB 192.0.2.7  \x1b[2Jscript\n`,
	}
	narrow := func(lines ...string) string {
		return strings.ReplaceAll(strings.Join(lines, "\n"), "shop  ", "shop ") + "\n"
	}
	for _, c := range []struct{ args, want string }{
		{"", strings.Join(shop, "\n") + "\n"},
		{"-n 2", strings.Join(shop[6:], "\n") + "\n"},
		{"-n2", strings.Join(shop[6:], "\n") + "\n"},
		{"-n 0", ""},
		{"shop", narrow(shop[0], shop[1], shop[2], shop[4], shop[6], shop[7])},
		{"-n 1 other", shop[5] + "\n"},
		{"blog quiet sites.hcl", shop[3] + "\n"},
		{"quiet ./sites.hcl", ""},
		{"blog --raw", f.Read("all.log")},
		{"blog --json", `{"time":"2026-11-23T08:15:04Z","site":"blog","remote":"192.0.2.8","method":"GET","target":"/4","version":"1.1","status":200,"bytes":5,"referer":"","user_agent":"x\u001b]0;title\u0007` + "\u202e\"}\n"},
		{"-n 1 -json shop", strings.SplitAfter(f.Read("logs/shop/failed.log"), "\n")[2]},
		{"-n 1 --color=always blog", "2026-11-23T08:15:04Z     blog \x1b[32m200\x1b[0m GET  /4 - 5B 192.0.2.8\n"},
		{"-n 1 --color=always shop", narrow(strings.NewReplacer(" 502 ", " \x1b[31m502\x1b[0m ", `\x1b[2Jscript\n`, "\x1b[31m"+`\x1b[2Jscript\n`+"\x1b[0m").Replace(shop[7]))},
	} {
		r := f.sited("", append([]string{"logs"}, strings.Fields(c.args)...)...)
		quiet := strings.Contains(c.args, "quiet") || !strings.Contains(c.args, "shop") && !strings.Contains(c.args, "blog") && !strings.Contains(c.args, "other")
		if r.stdout != c.want || quiet != (r.status == 1) || quiet != strings.Contains(r.stderr, "/dev/null is no file") {
			t.Errorf("logs %s: status %d\n%s\nwant:\n%s\nstderr: %s", c.args, r.status, r.stdout, c.want, r.stderr)
		}
	}
	for args, want := range map[string]string{
		"shpo":             `there is no site "shpo" in ` + f.Path("sites.hcl") + `; did you mean "shop"?`,
		"nobody":           `there are: shop, blog, quiet, other`,
		"--color=pink":     `--color "pink": it is auto, always or never`,
		"-n -1":            "0 or more",
		"--raw --json":     "none of the others can be",
		"shop ./none.hcl":  "none.hcl",
		"shop nothing.hcl": "nothing.hcl",
	} {
		if r := f.sited("", append([]string{"logs"}, strings.Fields(args)...)...); r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("logs %s: status %d, %s%s; want %s", args, r.status, r.stdout, r.stderr, want)
		}
	}
	f.Write("sites.hcl", strings.Replace(shownSites, "8081", `"x"`, 1))
	if r := f.sited("", "logs", "shop"); r.status != 1 || !strings.Contains(r.stderr, `the site "shop" has errors`) || !strings.Contains(r.stderr, "Invalid number") {
		t.Errorf("a refused site: %+v", r)
	}
	if r := f.sited("", "logs", "blog"); r.status != 0 || !strings.Contains(r.stdout, "/4") {
		t.Errorf("its neighbour: %+v", r)
	}
}

// On a terminal there is colour, and nothing of a client's that it would obey.
func TestLogsOnATerminal(t *testing.T) {
	t.Parallel()
	f := newShown(t)
	for _, c := range []struct {
		args, env string
		color     bool
	}{
		{"", "TERM=xterm", true},
		{"--raw", "TERM=xterm", true},
		{"", "NO_COLOR=1", false},
		{"", "TERM=dumb", false},
		{"--color=never --raw", "TERM=xterm", false},
		{"--color=always", "NO_COLOR=1", true},
	} {
		terminal, name := openTerminal(t)
		cmd := f.Command(append([]string{"logs", "shop", "blog"}, strings.Fields(c.args)...)...)
		cmd.Dir, cmd.Env, cmd.Stdout = f.Dir, append(cmd.Env, c.env), name
		rig.Must(t, cmd.Run())
		name.Close()
		var shown strings.Builder
		for buf := make([]byte, 4096); ; { // until there is no other end (EIO)
			n, err := terminal.Read(buf)
			shown.Write(buf[:n])
			if err != nil {
				break
			}
		}
		text := regexp.MustCompile(`\x1b\[\d\d?m`).ReplaceAllString(shown.String(), "")
		if color := len(text) < shown.Len(); color != c.color || !strings.Contains(text, "/8") || strings.Count(text, "\n") < 7 {
			t.Errorf("%q with %s: %q", c.args, c.env, shown.String())
		}
		if strings.ContainsAny(text, "\x1b\a\u202e") {
			t.Errorf("%q: a control character in %q", c.args, text)
		}
	}
}

// openTerminal is a pseudo-terminal and its other end.
func openTerminal(t *testing.T) (terminal, end *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { terminal.Close() })
	fd := int(terminal.Fd())
	rig.Must(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	rig.Must(t, err)
	end, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	rig.Must(t, err)
	return terminal, end
}

// follow runs `sited logs -f`.
func (f *folder) follow(args ...string) (*exec.Cmd, *rig.Buffer) {
	f.T.Helper()
	var out rig.Buffer
	cmd := f.Command(append([]string{"logs", "-f"}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = f.Dir, &out, &out
	rig.Must(f.T, cmd.Start())
	f.T.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return cmd, &out
}

func (f *folder) appendTo(name, text string) {
	f.T.Helper()
	file, err := os.OpenFile(f.Path(name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	rig.Must(f.T, err)
	defer file.Close()
	_, err = file.WriteString(text)
	rig.Must(f.T, err)
}

// What others do to files while they are followed: what is appended is shown,
// once, and a line when it is whole.
func TestLogsFollowsFiles(t *testing.T) {
	t.Parallel()
	f := newShown(t)
	rig.Must(t, os.RemoveAll(f.Path("logs")))
	cmd, out := f.follow("-n", "1", "--raw", "shop", "blog")
	shows := func(what, text string) {
		t.Helper()
		rig.Eventually(t, what, func() bool { return strings.Contains(out.String(), text) })
	}
	shows("the last line", "/4 ")
	const name = "logs/shop/failed.log"
	f.Write(name, "first\n") // which was not there
	shows("a new file", "first\n")
	f.appendTo(name, "sec")
	f.appendTo("all.log", "third\n")
	shows("another file", "third\n")
	f.appendTo(name, "ond\n")
	shows("a line in two pieces", "second\n")
	rig.Must(t, os.Rename(f.Path(name), f.Path(name+".1")))
	f.appendTo(name+".1", "fourth\n")
	shows("what comes to a renamed file", "fourth\n")
	f.appendTo(name, "fifth\n")
	shows("the one in its place", "fifth\n")
	f.appendTo(name+".1", "sixth\n")
	shows("a late line", "sixth\n")
	rig.Must(t, os.Truncate(f.Path(name), 0))
	f.appendTo("all.log", "between\n")
	shows("it goes on", "between\n")
	f.appendTo(name, "7\n")
	shows("what comes after a truncation", "\n7\n")
	rig.Must(t, cmd.Process.Signal(syscall.SIGINT))
	if err := cmd.Wait(); err != nil {
		t.Errorf("at SIGINT: %v", err)
	}
	for _, line := range []string{"first\n", "second\n", "third\n", "fourth\n", "fifth\n", "sixth\n", "between\n", "7\n"} {
		if n := strings.Count(out.String(), line); n != 1 {
			t.Errorf("%q is shown %d times:\n%s", line, n, out.String())
		}
	}
}

// A running sited rotates its logs by the size that the configuration says, is
// followed meanwhile, and every request is in one of the files.
func TestLogsFollowsRotation(t *testing.T) {
	t.Parallel()
	f := newFolder(t, "web")
	f.Write("root/a.txt", "a")
	const text = `
admin {
  @admin
}
site "web" {
  @web
  root = "root"
  logs {
    max_size = "SIZE"
    keep     = 0
  }
}
`
	f.Config(strings.Replace(text, "SIZE", "2KiB", 1))
	p := f.run()
	_, out := f.follow("-n", "100")
	asked := 0
	ask3 := func() {
		for range 3 { // a second's lines
			asked++
			ask(t, f.Addr("web"), request("GET", fmt.Sprintf("/a.txt?%03d&%s", asked, strings.Repeat("x", 200))))
		}
		rig.Eventually(t, "they are shown", func() bool { return strings.Contains(out.String(), fmt.Sprintf("/a.txt?%03d&", asked)) })
	}
	rotated := func() []string {
		names, err := filepath.Glob(f.Path("logs/web/passed-*.log.gz"))
		rig.Must(t, err)
		return names
	}
	for len(rotated()) < 3 {
		ask3()
	}
	f.Config(strings.Replace(text, "SIZE", "0B", 1)) // the same file, and another generation
	p.reloads("applied")
	ask3()
	p.Stop()
	for i := 1; i <= asked; i++ {
		if n := strings.Count(out.String(), fmt.Sprintf("/a.txt?%03d&", i)); n != 1 {
			t.Errorf("request %d is shown %d times", i, n)
		}
	}
	all := f.Read("logs/web/passed.log")
	names, err := filepath.Glob(f.Path("logs/web/passed-*"))
	if err != nil || len(names) < 3 {
		t.Fatalf("rotated: %q, %v", names, err)
	}
	for _, name := range names {
		r := execute(t, f.Dir, "", "zcat", "-f", name)
		if r.status != 0 {
			t.Errorf("%s: %s", name, r.stderr)
		}
		all += r.stdout
	}
	for i := 1; i <= asked; i++ {
		if n := strings.Count(all, fmt.Sprintf("/a.txt?%03d&", i)); n != 1 {
			t.Errorf("request %d is logged %d times", i, n)
		}
	}
}
