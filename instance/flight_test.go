package instance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sited/protocol"
)

// recording is open with a recorder that takes whatever fails, however fast it
// comes.
func recording(t *testing.T, change func(*Spec), before ...func(*site)) *site {
	t.Helper()
	s := prepare(t, change)
	for _, b := range before {
		b(s)
	}
	r := s.observer.recorder
	r.failed.every, r.refused.every = 0, 0
	s.SetGeneration(7)
	s.serve()
	return s
}

func (s *site) flights() Flights { return s.observer.recorder.Flights() }

// flight waits until there is one that failed with that target, and returns the
// newest.
func (s *site) flight(target string) (found Flight) {
	s.t.Helper()
	eventually(s.t, "a flight to "+target+" is recorded", func() bool {
		for _, f := range s.flights().Failed {
			if f.Target == target {
				found = f
				return true
			}
		}
		return false
	})
	return found
}

func TestFlightsTellWhatHappened(t *testing.T) {
	s := recording(t, func(spec *Spec) {
		withScripts(spec)
		protecting(t, Protect{Glob: "/private/**", Users: []string{"alice"}})(spec)
		spec.Limits.MaxBody = 10
		spec.Connect = []string{"*.example.org:443"}
	})
	s.file("a.txt", "0123456789")
	s.file("private/a.txt", "secret")
	s.file("broken.sh", "echo 'first word' >&2; echo 'last word' >&2; exit 3")
	s.file("short.sh", `printf 'Content-Type: text/plain\nContent-Length: 10\n\nabc'`)
	s.file("own.sh", `printf 'Status: 500\n\n'`)
	s.file("to.sh", `echo 'the first' >&2; printf 'Location: /broken.sh\n\n'`)
	head := func(line string) string { return line + " HTTP/1.1\r\nHost: test\r\n" }
	for _, c := range []struct {
		name, request, target string
		status                int
		err                   string   // in the error
		trace                 []string // in the steps, in order
		not                   string   // in the steps
		script                string
		stderr                string
	}{
		{"nothing", head("GET /nothing"), "/nothing", 404, "no such file", []string{"path /nothing, method GET", "not protected", "-> 404"}, "what it got", "", ""},
		{"nothing, again", head("GET /nothing"), "/nothing", 404, "no such file", []string{"path /nothing, method GET", "-> 404"}, "what it got", "", ""},
		{"a method", head("POST /a.txt") + "Content-Length: 0\r\n", "/a.txt", 405, "only scripts", []string{"only a script takes POST"}, "", "", ""},
		{"no credentials", head("GET /private/a.txt"), "/private/a.txt", 401, "", []string{"asks for alice", "what it got", "-> 401"}, "sends", "", ""},
		{"no such part", head("GET /a.txt?r") + "Range: bytes=50-\r\n", "/a.txt?r", 416, "of 10 bytes", []string{"sends /a.txt", "what it got: range", "-> 416"}, "", "", ""},
		{"too long", head("PUT /a.txt") + "Transfer-Encoding: chunked\r\n\r\n20\r\n" + strings.Repeat("x", 32) + "\r\n0\r\n", "/a.txt", 413, "max_body", []string{"replaces /a.txt", `rule "body_too_large"`, "-> 413"}, "before the site's rules", "", ""},
		{"no tunnel", head("CONNECT a.example:443"), "a.example:443", 403, "", []string{"-> 403"}, "path /", "", ""},
		{"no Host", "GET /none HTTP/1.1\r\n", "/none", 400, "no Host", []string{`before the site's rules: no Host (rule "host") -> 400`}, "what it got", "", ""},
		{"no HTTP", "rubbish\r\n", "rubbish", 400, "", []string{`(rule "request_line") -> 400`}, "", "", ""},
		{"a version", "GET /v HTTP/3.0\r\n", "/v", 505, "", []string{`(rule "version") -> 505`}, "", "", ""},
		{"a broken script", head("GET /broken.sh"), "/broken.sh", 502, "exit status 3", []string{`runs as a script by script ".sh"`, "what it got: script", "-> 502"}, "", "/broken.sh", "first word|last word"},
		{"one led to by another", head("GET /to.sh"), "/to.sh", 502, "exit status 3", []string{"runs as a script", "-> 502"}, "", "/broken.sh", "the first|first word|last word"},
		{"a script's own", head("GET /own.sh"), "/own.sh", 500, "", []string{"the script answered 500"}, "", "/own.sh", ""},
		{"a short answer", head("GET /short.sh"), "/short.sh", 200, "short of its Content-Length", []string{"runs as a script", "200 OK, broke off: "}, "", "/short.sh", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(s.flights().Failed)
			s.raw(c.request + "\r\n")
			eventually(t, "one more is recorded", func() bool { return len(s.flights().Failed) == before+1 })
			f := s.flights().Failed[0]
			if f.Target != c.target || f.Status != c.status || f.Generation != 7 || !idPattern.MatchString(f.ID) || !strings.HasPrefix(f.Remote, "127.0.0.1:") {
				t.Errorf("%+v", f)
			}
			if !strings.Contains(f.Error, c.err) || time.Since(f.Time) > time.Minute || f.Time.Location() != time.UTC || f.Phases.Total <= 0 {
				t.Errorf("error %q, time %v, phases %+v", f.Error, f.Time, f.Phases)
			}
			steps := strings.Join(f.Trace, "\n")
			for _, want := range c.trace {
				_, after, found := strings.Cut(steps, want)
				if !found {
					t.Errorf("no word of %q (in order) in:\n%s", want, strings.Join(f.Trace, "\n"))
				}
				steps = after
			}
			if c.not != "" && strings.Contains(strings.Join(f.Trace, "\n"), c.not) {
				t.Errorf("%q is in:\n%s", c.not, strings.Join(f.Trace, "\n"))
			}
			if f.Script != c.script {
				t.Errorf("script %q", f.Script)
			}
			if c.script != "" {
				if f.Phases.Script <= 0 || c.status != 502 && f.Phases.FirstOutput <= 0 {
					t.Errorf("phases of a script: %+v", f.Phases)
				}
				eventually(t, "stderr is all there", func() bool { return strings.Join(s.flight(c.target).Stderr, "|") == c.stderr })
			}
		})
	}
}

func TestFlightOfAPanic(t *testing.T) {
	s := recording(t, nil, func(s *site) { s.policy.spec.Protect = []Protect{{Glob: "/panic"}} }) // and there is no password file
	s.get("/panic", "Authorization: "+basic("alice", "a")).want(t, "panic", 500, "")
	f := s.flight("/panic")
	if steps := strings.Join(f.Trace, "\n"); !strings.HasPrefix(f.Error, "panic: ") || strings.Contains(f.Error, "goroutine") ||
		!strings.Contains(steps, "protected by") || !strings.Contains(steps, "what it got: panic") {
		t.Errorf("%+v", f)
	}
}

// What the recorder and the log call a request is the same.
func TestFlightHasTheIDOfTheLog(t *testing.T) {
	s := recording(t, nil)
	s.get("/nothing")
	f := s.flight("/nothing")
	eventually(t, "it is logged", func() bool { _, failed := s.logged(); return strings.Contains(failed, f.ID) })
}

const hunter = "hunter2"

// secretive is a request full of secrets.
const secretive = "Authorization: Basic hunter2\r\nProxy-Authorization: Bearer hunter2\r\nCookie: session=hunter2\r\nX-Api-Key: hunter2\r\n" +
	"X-Auth-Token: hunter2\r\nX-Forwarded-Access-Token: hunter2\r\nX-Request-Id: hunter2\r\nSec-WebSocket-Key: hunter2\r\nFrom: hunter2\r\n" +
	"Referer: http://alice:hunter2@test/from\r\nOrigin: http://alice:hunter2@test\r\nX-Forwarded-Host: alice:hunter2@test\r\n"

func TestFlightsHoldNoSecret(t *testing.T) {
	s := recording(t, func(spec *Spec) {
		protecting(t, Protect{Glob: "/private/**"})(spec)
		spec.Logs.Body = 100
	})
	for _, line := range []string{
		"GET /nothing HTTP/1.1", "GET http://alice:hunter2@test/nothing HTTP/1.1", "GET /private/x HTTP/1.1", "BREW /x HTTP/1.1",
		"POST /body HTTP/1.1", "CONNECT alice:hunter2@test:443 HTTP/1.1", "GET http://alice:hunter2@test/\x01 HTTP/1.1", "GET //alice:hunter2@test/x HTTP/9.1",
	} {
		before := len(s.flights().Failed)
		s.raw(line + "\r\nHost: test\r\n" + secretive + "Content-Length: 7\r\n\r\nhunter2")
		eventually(t, "one more is recorded: "+line, func() bool { return len(s.flights().Failed) > before })
	}
	b, err := json.Marshal(s.flights())
	must(t, err)
	if all := string(b); strings.Contains(all, hunter) || !strings.Contains(all, "***@test") {
		at := strings.Index(all, hunter)
		t.Errorf("%q", all[max(0, at-200):min(len(all), at+100)])
	}
}

func TestFlightFields(t *testing.T) {
	s := recording(t, nil)
	s.raw("GET /nothing HTTP/1.1\r\nhost: test\r\nX-Mine: 12345\r\nACCEPT: a/b\r\nUser-Agent: " + strings.Repeat("u", 1000) +
		"\r\nCookie: a\r\nCookie: bc\r\nReferer: http://u:p@h/x\r\nX-Forwarded-For: 192.0.2.1\r\nIf-None-Match: \"x\"\r\nEmpty:\r\n\r\n")
	want := []FlightField{
		{"host", "test"}, {"X-Mine", "(redacted, 5 bytes)"}, {"ACCEPT", "a/b"}, {"User-Agent", strings.Repeat("u", maxFlightValue) + "..."},
		{"Cookie", "(redacted, 1 bytes)"}, {"Cookie", "(redacted, 2 bytes)"}, {"Referer", "http://***@h/x"}, {"X-Forwarded-For", "192.0.2.1"},
		{"If-None-Match", `"x"`}, {"Empty", "(redacted, 0 bytes)"},
	}
	if got := s.flight("/nothing").Headers; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for name := range harmless {
		if name != strings.ToLower(name) {
			t.Errorf("%s is never found", name)
		}
	}
}

// However much a request is, an entry is bounded, and holds no memory of it.
func TestFlightIsBounded(t *testing.T) {
	long := strings.Repeat("ü", 50_000)
	x := over(epoch, 0, 404)
	x.Req = protocol.Request{Method: long, Target: "/" + long, Path: "/" + long, Host: long, User: long, Version: "1.1"}
	x.Err = fmt.Errorf("%s", long)
	for i := range 1000 {
		x.Req.Header.Add(fmt.Sprint(i, long), long)
	}
	note := noteScript(x, "/x.sh")
	for range 100 {
		note.stderr(long[:4096])
	}
	spec := Defaults()
	spec.Root = t.TempDir()
	for i := range 1000 {
		spec.Try = append(spec.Try, fmt.Sprint("/", i))
	}
	p, err := newPolicy(spec)
	must(t, err)
	x.Req.Method = "GET"
	f := newFlown(x, p, 1).show()
	b, err := json.Marshal(f)
	must(t, err)
	if len(b) > 100<<10 || len(f.Headers) != maxFlightField+1 || f.Headers[maxFlightField].Value != "960 more fields" || len(f.Trace) > maxFlightSteps {
		t.Errorf("%d bytes, %d fields, %d steps", len(b), len(f.Headers), len(f.Trace))
	}
	if last := f.Trace[len(f.Trace)-1]; !strings.HasSuffix(last, "-> 404 Not Found") {
		t.Errorf("the last step is %q", last)
	}
	for _, s := range append(f.Trace, f.Target, f.Error, f.Host, f.User) {
		if strings.ToValidUTF8(s, "") != s {
			t.Errorf("cut within a character: %q", s[len(s)-10:])
		}
	}
}

// What makes the trace may fail; the request's end is none of its business.
func TestTraceThatPanics(t *testing.T) {
	steps := traceOf(over(epoch, 0, 404), nil)
	if len(steps) == 0 || !strings.Contains(steps[len(steps)-1], "by a panic") {
		t.Errorf("%q", steps)
	}
}

// A script may go on after its answer: what it says then belongs to its request.
func TestFlightOfAScriptThatGoesOn(t *testing.T) {
	s := recording(t, withScripts)
	s.file("late.sh", `printf 'Status: 500\n\n'; exec 1>&-; while [ ! -e go ]; do sleep 0.01; done; echo late >&2`)
	s.get("/late.sh").want(t, "the script", 500, "")
	if f := s.flight("/late.sh"); len(f.Stderr) != 0 {
		t.Errorf("it has said %q already", f.Stderr)
	}
	s.file("go", "")
	eventually(t, "the last word is there", func() bool { return len(s.flight("/late.sh").Stderr) == 1 })
}

// The phases tell a wait for a process from a slow script.
func TestPhasesOfScripts(t *testing.T) {
	s := recording(t, func(spec *Spec) {
		withScripts(spec)
		spec.Scripts[0].Workers = 1
	})
	s.file("wait.sh", `while [ ! -e go ]; do sleep 0.01; done; `+plainText)
	s.file("next.sh", plainText+`echo more`)
	answers := make(chan answer, 2)
	c := s.dial()
	defer c.Close()
	mustWrite(t, c, "GET /wait.sh HTTP/1.1\r\nHost: test\r\n\r\n")
	eventually(t, "the first runs", func() bool { return s.Stats().Processes == 1 })
	d := s.dial()
	defer d.Close()
	mustWrite(t, d, "GET /next.sh HTTP/1.1\r\nHost: test\r\n\r\n")
	s.wantMetric(1, "script_requests_waiting", "script", ".sh")
	began := time.Now()
	eventually(t, "it has waited for a while", func() bool { return time.Since(began) > 3*leastSlow })
	s.file("go", "")
	for _, r := range []io.Reader{c, d} {
		answers <- readAnswer(t, bufio.NewReader(r), "GET")
		<-answers
	}
	byTarget := map[string]Flight{}
	eventually(t, "both are recorded", func() bool {
		for _, f := range s.flights().Slowest {
			byTarget[f.Target] = f
		}
		return len(byTarget) == 2
	})
	first, next := byTarget["/wait.sh"].Phases, byTarget["/next.sh"].Phases
	least := (3 * leastSlow).Seconds()
	if first.FirstOutput < least || first.Script < first.FirstOutput || first.Wait > first.FirstOutput || first.Total < first.Script {
		t.Errorf("the first: %+v", first)
	}
	if next.Wait < least || next.Handler < next.Wait || next.FirstByte < next.Wait || next.Total < next.Wait {
		t.Errorf("the second: %+v", next)
	}
	if len(s.flights().Failed) != 0 {
		t.Errorf("failed: %+v", s.flights().Failed)
	}
}

// PHP's own messages are the tail that a person on call wants.
func TestFlightOfPHP(t *testing.T) {
	if _, err := exec.LookPath("php-cgi"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	s := recording(t, func(spec *Spec) {
		spec.Scripts = []Script{{Ext: ".php", Command: []string{"php-cgi", "-n", "-d", "log_errors=1", "-d", "display_errors=0"}, Timeout: 20 * time.Second}}
	})
	s.file("x.php", "<?php error_log('about to fail, ' . $_SERVER['UNIQUE_ID']); nothing();")
	s.get("/x.php").want(t, "the script", 500, "")
	f := s.flight("/x.php")
	eventually(t, "its messages are there", func() bool {
		said := strings.Join(s.flight("/x.php").Stderr, "\n")
		return strings.Contains(said, "about to fail, "+f.ID) && strings.Contains(said, "undefined function nothing()")
	})
}
