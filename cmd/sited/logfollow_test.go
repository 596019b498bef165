package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sited/rig"
)

const rotatingSite = `
admin {
  @admin
}
site "web" {
  @web
  root = "root"
  logs {
    max_size = "4KiB"
    keep     = KEEP
    compress = "CODING"
  }
}
`

// rotating runs a site that rotates its logs often.
func rotating(t *testing.T, keep int, coding string) (*folder, *process) {
	t.Helper()
	f := newFolder(t, "web")
	f.Write("root/a.txt", "a")
	f.Config(strings.NewReplacer("KEEP", fmt.Sprint(keep), "CODING", coding).Replace(rotatingSite))
	p := f.run()
	f.logsOpen("web")
	return f, p
}

// askMany makes requests on one connection, with the numbers from first to last.
func (f *folder) askMany(site string, first, last int) {
	f.T.Helper()
	conn, err := net.Dial("tcp", f.Addr(site))
	rig.Must(f.T, err)
	defer conn.Close()
	rig.Must(f.T, conn.SetDeadline(time.Now().Add(rig.Patience)))
	r := bufio.NewReader(conn)
	for i := first; i <= last; i++ {
		fmt.Fprintf(conn, "GET /a.txt?%05d& HTTP/1.1\r\nHost: h\r\n\r\n", i)
		res, err := http.ReadResponse(r, nil)
		rig.Must(f.T, err)
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
			f.T.Fatal(res.Status, err)
		}
	}
}

// wantOnce waits for the last of many requests, and counts all.
func wantOnce(t *testing.T, out *rig.Buffer, last int) {
	t.Helper()
	rig.Eventually(t, "the last request is shown", func() bool { return strings.Contains(out.String(), fmt.Sprintf("/a.txt?%05d&", last)) })
	text, wrong := out.String(), 0
	for i := 1; i <= last; i++ {
		if n := strings.Count(text, fmt.Sprintf("/a.txt?%05d&", i)); n != 1 {
			if wrong++; wrong <= 5 {
				t.Errorf("request %d is shown %d times", i, n)
			}
		}
	}
	if strings.Contains(text, "missing") {
		t.Errorf("it says that lines may be missing:\n%s", text[strings.Index(text, "sited:"):])
	}
}

// A log that is rotated many times between two looks is shown as a whole.
func TestLogsFollowsManyRotations(t *testing.T) {
	t.Parallel()
	for _, coding := range []string{"gzip", "zstd", "none"} {
		t.Run(coding, func(t *testing.T) {
			t.Parallel()
			f, _ := rotating(t, 0, coding)
			f.askMany("web", 1, 10)
			cmd, out := f.follow("-n", "100")
			wantOnce(t, out, 10)
			f.askMany("web", 11, 1500)
			rotations := func() int {
				names, err := filepath.Glob(f.Path("logs/web/passed-*"))
				rig.Must(t, err)
				return len(names)
			}
			before := rotations()
			rig.Must(t, cmd.Process.Signal(syscall.SIGSTOP)) // it does not look at all
			f.askMany("web", 1501, 3000)
			rig.Eventually(t, "several rotations", func() bool { return rotations() >= before+3 })
			rig.Must(t, cmd.Process.Signal(syscall.SIGCONT))
			wantOnce(t, out, 3000)
		})
	}
}

// Lines that were rotated and deleted between two looks can't be shown, which is
// said.
func TestLogsTellsOfMissingLines(t *testing.T) {
	t.Parallel()
	f, _ := rotating(t, 1, "gzip")
	f.askMany("web", 1, 10)
	cmd, out := f.follow("-n", "100")
	wantOnce(t, out, 10)
	rig.Must(t, cmd.Process.Signal(syscall.SIGSTOP))
	first := ""
	for i := 11; ; i += 300 { // until the first rotated file is deleted
		f.askMany("web", i, i+299)
		names, err := filepath.Glob(f.Path("logs/web/passed-*.log*"))
		rig.Must(t, err)
		if first == "" && len(names) > 0 {
			first = strings.TrimSuffix(strings.TrimSuffix(names[0], ".tmp"), ".gz")
		}
		if left, err := filepath.Glob(first + "*"); first != "" && (err != nil || len(left) == 0) {
			break
		}
		if i > 100_000 {
			t.Fatalf("%s is kept", first)
		}
	}
	rig.Must(t, cmd.Process.Signal(syscall.SIGCONT))
	rig.Eventually(t, "it is said", func() bool {
		return strings.Contains(out.String(), "lines of "+f.Path("logs/web/passed.log")+" may be missing: ")
	})
}

// Sites that come into the file are followed from their beginning, and those that
// have left it until their last line.
func TestLogsFollowsTheConfiguration(t *testing.T) {
	t.Parallel()
	f := newShown(t)
	first := func(name, port string) string {
		return fmt.Sprintf("site %q {\n  ip = \"127.0.0.1\"\n  port = %s\n  root = \"root\"\n}\n", name, port)
	}
	f.Write("sites.hcl", first("shop", "8081"))
	_, all := f.follow("-n", "0")
	_, named := f.follow("-n", "0", "shop")
	shows := func(what, text string, outs ...*rig.Buffer) {
		t.Helper()
		for _, out := range outs {
			rig.Eventually(t, what, func() bool { return strings.Contains(out.String(), text) })
		}
	}
	tick := func(target string) { // it is shown wherever shop is
		t.Helper()
		f.appendTo("logs/shop/passed.log", jsonLine(9, "shop", target, 200, ""))
		shows(target, target+" ", all, named)
	}
	for i := 0; !strings.Contains(all.String(), "/begun") || !strings.Contains(named.String(), "/begun"); i++ { // -n 0 begins behind what is there
		f.appendTo("logs/shop/passed.log", jsonLine(9, "shop", "/begun", 200, ""))
		time.Sleep(20 * time.Millisecond)
		if i > 500 {
			t.Fatal("nothing is followed")
		}
	}
	f.Write("logs/late/passed.log", lineOf(time.Now().Add(-time.Minute), "late", "/old", 200)+lineOf(time.Now(), "late", "/late1", 200))
	f.Write("sites.hcl", first("shop", "8081")+first("late", "8085"))
	shows("a new site", "/late1 ", all)
	f.appendTo("logs/late/passed.log", lineOf(time.Now(), "late", "/late2", 200))
	shows("what it logs then", "/late2 ", all)

	f.Write("sites.hcl", first("shop", "8081")+first("late", `"x"`))
	shows("an error", "Invalid number", all, named)
	f.appendTo("logs/late/passed.log", lineOf(time.Now(), "late", "/late3", 200))
	shows("a site with an error", "/late3 ", all)

	f.Write("sites.hcl", first("shop", "8081")+first("third", "8086"))
	f.Write("logs/third/failed.log", lineOf(time.Now(), "third", "/third", 404))
	shows("another new site", "/third ", all)
	f.appendTo("logs/late/passed.log", lineOf(time.Now(), "late", "/late4", 200))
	shows("the last line of one that is gone", "/late4 ", all)
	tick("/end")
	if text := named.String(); strings.Contains(text, "/late") || strings.Contains(text, "/third") {
		t.Errorf("a site that was not asked for:\n%s", text)
	}
	if strings.Contains(all.String(), "/old ") {
		t.Errorf("what a new site has logged before:\n%s", all.String())
	}
	for _, target := range []string{"/late1 ", "/late2 ", "/late3 ", "/late4 ", "/third "} {
		if n := strings.Count(all.String(), target); n != 1 {
			t.Errorf("%s is shown %d times:\n%s", target, n, all.String())
		}
	}
}

// lineOf is a line of a log at that time.
func lineOf(at time.Time, site, target string, status int) string {
	return strings.Replace(jsonLine(0, site, target, status, ""), "2026-11-23T08:15:00.123Z", at.UTC().Format("2006-01-02T15:04:05.000Z"), 1)
}

// Every line in the format combined that a real site writes is shown as one in the
// format json is.
func TestLogsShowsCombined(t *testing.T) {
	t.Parallel()
	f := newFolder(t, "web")
	f.Write("root/a.txt", "a")
	f.Write("root/oh.sh", "echo 'a \"quoted\" [error]' >&2; printf 'Status: 500\\n\\n'")
	f.Config("admin {\n  @admin\n}\nsite \"web\" {\n  @web\n  root = \"root\"\n  request_id = true\n  script \".sh\" { command = [\"/bin/sh\"] }\n  logs { format = \"combined\" }\n}\n")
	p := f.run()
	asked := 2
	for _, fields := range oddFields {
		ask(t, f.Addr("web"), request("GET", "/a.txt?q", fields...))
		asked++
	}
	ask(t, f.Addr("web"), request("GET", "/a.txt?\"x\""))
	asked++
	ask(t, f.Addr("web"), request("GET", "/oh.sh"))
	ask(t, f.Addr("web"), "\x16\x03\x01 rubbish\r\n\r\n")
	p.Stop()
	// What is no line of either format is an object too, and not lost.
	f.appendTo("logs/web/passed.log", "garbage\n")

	r := f.sited("", "logs", "-n", "100", "--json")
	var requests, stderrs, others int
	for line := range strings.Lines(r.stdout) {
		var l struct {
			Time, ID, Site, Target, Script, Stderr, Line string
			Agent                                        string `json:"user_agent"`
			Status                                       int
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		if _, err := time.Parse(time.RFC3339, l.Time); l.Site != "web" || l.Line == "" && (err != nil || len(l.ID) != 16) {
			t.Errorf("time, id or site: %s", line)
		}
		switch {
		case l.Line == "garbage":
			others++
		case l.Stderr != "":
			stderrs++
			if l.Stderr != `a "quoted" [error]` || l.Script != ".sh" {
				t.Errorf("standard error: %s", line)
			}
		case l.Status >= 200:
			requests++
		}
	}
	if r.status != 0 || requests != asked || stderrs != 1 || others != 1 || !strings.Contains(r.stdout, `"user_agent":"a \"quoted\" one\\"`) || !strings.Contains(r.stdout, `"target":"/a.txt?\"x\""`) {
		t.Errorf("%d requests of %d, %d of scripts, %d others:\n%s%s", requests, asked, stderrs, others, r.stdout, r.stderr)
	}
	r = f.sited("", "logs", "-n", "100", "--color=always")
	for _, want := range []string{" web \x1b[32m200\x1b[0m GET  /a.txt?q - 1B ", " web \x1b[31m500\x1b[0m GET  /oh.sh - 0B ", " web \x1b[35merr\x1b[0m .sh: a \"quoted\" [error]\n", " web \x1b[33m400\x1b[0m "} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is not in\n%s", want, r.stdout)
		}
	}
	if raw := f.sited("", "logs", "-n", "100", "--raw"); strings.Count(raw.stdout, "\n") != strings.Count(r.stdout, "\n") {
		t.Errorf("--raw: %s", raw.stdout)
	} else {
		for line := range strings.Lines(f.Read("logs/web/failed.log")) {
			if !strings.Contains(raw.stdout, line) {
				t.Errorf("--raw lacks %q:\n%s", line, raw.stdout)
			}
		}
	}
}
