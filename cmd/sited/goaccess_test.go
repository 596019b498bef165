package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sited/rig"
)

// analysis is what GoAccess makes of a log.
type analysis struct {
	General struct {
		Total  int `json:"total_requests"`
		Valid  int `json:"valid_requests"`
		Failed int `json:"failed_requests"`
		Bytes  int `json:"bandwidth"`
	}
	StatusCodes struct {
		Data []struct {
			Items []struct {
				Data string // "404 - Not Found: …"
				Hits struct{ Count int }
			}
		}
	} `json:"status_codes"`
}

// statuses are the hits by status.
func (a *analysis) statuses() map[string]int {
	found := map[string]int{}
	for _, class := range a.StatusCodes.Data {
		for _, item := range class.Items {
			found[item.Data[:3]] += item.Hits.Count
		}
	}
	return found
}

// analyse runs GoAccess on the log of that name.
func analyse(t *testing.T, f *folder, name string) *analysis {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.json")
	cmd := exec.Command("goaccess", f.Path(name), "--log-format=COMBINED", "--no-global-config", "--output="+report, "--no-progress",
		"--invalid-requests="+f.Path("refused.log"))
	cmd.Env = append(rig.Environment(), "TERM=dumb")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("goaccess: %v\n%s", err, out)
	}
	text, err := os.ReadFile(report)
	rig.Must(t, err)
	a := new(analysis)
	if err := json.Unmarshal(text, a); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return a
}

// oddFields come with requests that are answered all the same.
var oddFields = [][]string{
	nil,
	{`User-Agent: a "quoted" one\`, `Referer: http://ref.example/"x"`},
	{"User-Agent: M\u00fcller \u65e5\u672c \xff", "Referer: http://\u00fc.example/"},
	{"User-Agent:", "Referer:"},
	{"User-Agent: " + strings.Repeat("long ", 200), "Referer: http://ref.example/" + strings.Repeat("x", 1000)},
	{"User-Agent: [23/Nov/2026:00:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"-\"", "Referer: -"},
	{"User-Agent: tab\there", "Referer: https://u:p@ref.example/a b"},
}

var (
	combinedStatus = regexp.MustCompile(`^\S+ \S+ \S+ \[[^]]+\] "(?:[^"\\]|\\.)*" (\d{3}) (\d+|-) "`)
	scriptStderr   = regexp.MustCompile(`^\[[^]]+\] script "\.sh" `)
)

// sums are what the lines of a log in the format combined say themselves.
func sums(t *testing.T, text string) (requests, bytes int, statuses map[string]int, others int) {
	t.Helper()
	statuses = map[string]int{}
	for line := range strings.Lines(text) {
		m := combinedStatus.FindStringSubmatch(line)
		if m == nil {
			if !scriptStderr.MatchString(line) {
				t.Errorf("neither a request nor of a script: %s", line)
			}
			others++
			continue
		}
		requests++
		statuses[m[1]]++
		n, _ := strconv.Atoi(m[2]) // "-" is none
		bytes += n
	}
	return requests, bytes, statuses, others
}

// TestGoAccess has a log analyser read what real requests leave in the format
// combined, with the request's id in the lines and without.
func TestGoAccess(t *testing.T) {
	t.Parallel()
	rig.Need(t, "goaccess")
	f := newFolder(t, "web", "ids")
	f.Write("root/a.txt", "0123456789")
	f.Write("root/ok.sh", "printf 'Content-Type: text/plain\\n\\nok'")
	f.Write("root/oh.sh", "echo 'a \"quoted\" [error]' >&2; printf 'Status: 500\\nContent-Type: text/plain\\n\\noh'")
	f.Write("users.htpasswd", user(t, "al ice", "secret"))
	const site = `
  root      = "root"
  passwords = "users.htpasswd"
  methods   = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]
  script ".sh" { command = ["/bin/sh"] }
  protect "/private/**" {}
  protect "/**" { methods = ["PUT", "DELETE"] }
  logs { format = "combined" }
}`
	f.Config("admin {\n  @admin\n}\nsite \"web\" {\n  @web" + site + "\nsite \"ids\" {\n  @ids\n  request_id = true" + site)
	p := f.run()
	known := basic("al ice", "secret")
	for _, name := range []string{"web", "ids"} {
		addr := f.Addr(name)
		for _, fields := range oddFields {
			for _, target := range []string{"/a.txt", "/a.txt?q=%22%0a\"x\"", "/%61.txt", "/a.txt?" + strings.Repeat("y", 1500), "http://u:p@site.example/a.txt", "/nothing", "/ok.sh/x?\\"} {
				ask(t, addr, request("GET", target, fields...))
				ask(t, addr, request("HEAD", target, fields...))
			}
		}
		for _, raw := range []string{
			request("GET", "/a.txt", "Range: bytes=0-3"), request("OPTIONS", "/"), request("OPTIONS", "*"),
			requestWith("PUT", "/new.txt", "12345", known), requestWith("PUT", "/new.txt", "12345", known), request("DELETE", "/new.txt", known),
			request("GET", "/private/x"), request("BREW", "/"), requestWith("POST", "/a.txt", "x"),
			"GET /a.txt HTTP/1.0\r\n\r\n",
		} {
			ask(t, addr, raw)
		}
	}
	for _, raw := range []string{request("GET", "/oh.sh"), request("GET", "/nothing?"+strings.Repeat("z", 5000)), "\x16\x03\x01 rubbish\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", "GET /a.txt\r\n\r\n"} {
		ask(t, f.Addr("web"), raw)
	}
	p.Stop() // writes what is buffered
	for _, name := range []string{"logs/web/passed.log", "logs/ids/passed.log", "logs/ids/failed.log"} {
		requests, bytes, statuses, others := sums(t, f.Read(name))
		a := analyse(t, f, name)
		if requests < 20 || others != 0 || a.General.Valid != requests || a.General.Total != requests || a.General.Failed != 0 || a.General.Bytes != bytes {
			t.Errorf("%s has %d requests of %d bytes and %d other lines; GoAccess sees %+v", name, requests, bytes, others, a.General)
		}
		if got := a.statuses(); !sameCounts(got, statuses) {
			t.Errorf("%s has statuses %v; GoAccess sees %v", name, statuses, got)
		}
	}

	// What docs/operations.md says that it refuses, and nothing else.
	const name = "logs/web/failed.log"
	requests, _, _, others := sums(t, f.Read(name))
	a := analyse(t, f, name)
	if others != 1 || a.General.Valid != requests-1 || a.General.Failed != others+2 {
		t.Errorf("%s has %d requests and %d other lines; GoAccess sees %+v", name, requests, others, a.General)
	}
	refused := strings.Split(strings.TrimSuffix(f.Read("refused.log"), "\n"), "\n")
	if len(refused) != 2 || !scriptStderr.MatchString(refused[0]) || !strings.Contains(refused[1], `zzz HTTP/1.1" 404 `) {
		t.Errorf("GoAccess refuses %.200q", refused)
	}
}

func sameCounts(a, b map[string]int) bool {
	if len(a) != len(b) {
		return false
	}
	for k, n := range a {
		if b[k] != n {
			return false
		}
	}
	return true
}
