package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"sited/instance"
)

// failures asks the admin endpoint.
func (r *rig) failures(site string) (*SiteFailures, error) {
	return Client{r.adminAddr()}.Failures(context.Background(), site)
}

// held waits until a site has that many failures, and returns them.
func (r *rig) held(site string, n int) (held *SiteFailures) {
	r.t.Helper()
	r.wait("failures of "+site, func() bool {
		var err error
		held, err = r.failures(site)
		must(r.t, err)
		return len(held.Failed) == n
	})
	return held
}

// fails has a site fail once more than the recorder has seen.
func (r *rig) fails(site string, port int) *SiteFailures {
	r.t.Helper()
	before, err := r.failures(site)
	must(r.t, err)
	var held *SiteFailures
	r.wait("a failure is recorded", func() bool {
		c := dial(r.t, r.addr(port))
		c.send("GET /nothing HTTP/1.1\r\nHost: x\r\nCookie: hunter2\r\n\r\n")
		if status, _ := c.answer(); status != 404 {
			r.t.Fatalf("status %d", status)
		}
		held, err = r.failures(site)
		must(r.t, err)
		return len(held.Failed) > len(before.Failed)
	})
	return held
}

// What failed is remembered over generations, refusals and restarts, until the
// site is gone.
func TestFailuresOutliveGenerations(t *testing.T) {
	var a, b int
	r := run(t, func(r *rig) []string {
		a, b = r.port(), r.port()
		return []string{r.site("a", a, "one"), r.site("b", b, "B")}
	})
	f := r.fails("a", a)
	if f.FormatVersion != FormatVersion || f.Site != "a" || f.State != Serving || f.Generation != 1 || time.Since(f.Time) > time.Minute {
		t.Errorf("%+v", f)
	}
	if x := f.Failed[0]; x.Generation != 1 || x.Target != "/nothing" || len(x.Trace) == 0 || x.Phases.Total <= 0 {
		t.Errorf("%+v", x)
	}
	r.held("b", 0)

	r.reload("applied", r.site("a", a, "two"), r.site("b", b, "B"))
	f = r.fails("a", a)
	if f.Generation != 2 || f.Failed[0].Generation != 2 || f.Failed[len(f.Failed)-1].Generation != 1 {
		t.Errorf("after a swap: generation %d, %+v", f.Generation, f.Failed)
	}
	n := len(f.Failed)
	r.reload("refused", r.site("a", a, "two", "nonsense = 1"), r.site("b", b, "B"))
	r.held("a", n)

	r.reload("applied", r.site("b", b, "B"))
	r.wait("a is gone", func() bool { _, there := r.siteStatus("a"); return !there })
	if _, err := r.failures("a"); err == nil || !strings.Contains(err.Error(), `there is no site "a"`) {
		t.Errorf("once it is gone: %v", err)
	}
	r.reload("applied", r.site("a", a, "two"), r.site("b", b, "B"))
	r.held("a", 0)
}

// A site that has never served is known all the same.
func TestFailuresOfASiteThatFailed(t *testing.T) {
	r := run(t, func(r *rig) []string {
		return []string{r.site("good", r.port(), "A"), r.site("wrong", r.port(), "B", "nonsense = 1")}
	})
	f := r.held("wrong", 0)
	if f.State != Failed || f.Generation != 0 || f.Slowest == nil {
		t.Errorf("%+v", f)
	}
	if text := f.Text(0); !strings.Contains(text, "site wrong, failed") || !strings.Contains(text, "no failed requests") || !strings.Contains(text, "no slow requests") {
		t.Errorf("%s", text)
	}
}

func TestFailuresOfNoSite(t *testing.T) {
	r := run(t, func(r *rig) []string { return []string{r.site("shop", r.port(), "A"), r.site("blog", r.port(), "B")} })
	for name, want := range map[string]string{
		"shpo":  `there is no site "shpo"; did you mean "shop"? (there are: blog, shop)`,
		"other": `there is no site "other" (there are: blog, shop)`,
		"a b/é": `there is no site "a b/é" (there are: blog, shop)`,
	} {
		_, err := r.Failures(context.Background(), name)
		if _, ok := errors.AsType[*UnknownSite](err); !ok || err.Error() != want {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := r.failures(name); err == nil || !strings.HasSuffix(err.Error(), "answered 404 Not Found: "+want) {
			t.Errorf("%q, by the endpoint: %v", name, err)
		}
	}
	if status, _ := r.ask(http.MethodPost, "/api/sites/shop/failures"); status != 405 {
		t.Errorf("POST: %d", status)
	}
	if status, _ := r.ask(http.MethodGet, "/api/sites/shop/failures", "Host", "evil.example"); status != 421 {
		t.Errorf("by another name: %d", status)
	}
	many := &UnknownSite{Name: "x", Known: strings.Fields(strings.Repeat("site ", 30))}
	if got := many.Error(); strings.Count(got, "site,")+1 != 20 || !strings.HasSuffix(got, "and 10 more)") {
		t.Errorf("%s", got)
	}
}

// hostile is what a request may hold that a terminal would obey or hide.
const hostile = "\x1b]0;pwned\a\x1b[2J\r\n\x7f\u009b31m\u202egnp.exe\u2028\U000e0041\xff"

func hostileFailures() *SiteFailures {
	x := instance.Flight{
		ID: "00000000000000ff", Time: time.Now(), Remote: hostile, User: hostile, Method: hostile, Target: hostile, Version: hostile, Host: hostile,
		Status: 404, Error: hostile, Headers: []instance.FlightField{{Name: hostile, Value: hostile}}, Trace: []string{hostile}, Script: hostile, Stderr: []string{hostile},
	}
	return &SiteFailures{FormatVersion: 1, Site: "a", State: Serving, Time: time.Now(), Flights: instance.Flights{Failed: []instance.Flight{x}, Slowest: []instance.Flight{x}}}
}

func TestFailuresAreSafeToPrint(t *testing.T) {
	f := hostileFailures()
	b, err := json.MarshalIndent(f, "", "  ")
	must(t, err)
	for what, text := range map[string]string{"text": f.Text(0), "JSON": string(b)} {
		for _, r := range strings.ReplaceAll(text, "\n", "") {
			if !unicode.IsPrint(r) {
				t.Errorf("%s: %U in %q", what, r, text)
				break
			}
		}
		if strings.Contains(text, "\r") || !strings.Contains(text, "pwned") {
			t.Errorf("%s: %q", what, text)
		}
	}
	if lines := strings.Count(f.Text(0), "\n"); lines != 20 {
		t.Errorf("%d lines: a line feed of the request's is among them:\n%s", lines, f.Text(0))
	}
	var back SiteFailures
	must(t, json.Unmarshal(b, &back))
	if want := strings.ToValidUTF8(hostile, "\ufffd"); back.Failed[0].Target != want {
		t.Errorf("%q, want %q", back.Failed[0].Target, want)
	}
}

func TestFailuresText(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 447_000_000, time.Local)
	slow := instance.Flight{
		ID: "3f0c9a1be2d47756", Time: at, Generation: 2, Remote: "192.0.2.7:58254", User: "alice", Method: "POST", Target: "/slow.php", Version: "1.1",
		Status: 504, Error: "killed: no output within 30s", Bytes: 337, Received: 4,
		Phases:  instance.Phases{Body: 0.0042, Wait: 0.25, Script: 30.001, Handler: 30.27, FirstByte: 30.27, Total: 30.2704},
		Headers: []instance.FlightField{{Name: "Host", Value: "h"}, {Name: "Cookie", Value: "(redacted, 41 bytes)"}},
		Trace:   []string{"path /slow.php, method POST", "what it got: 504"}, Script: "/slow.php", Stderr: []string{"one", "two"},
	}
	malformed := instance.Flight{ID: "01", Time: at.Add(-2 * time.Hour), Status: 400, Error: "malformed", Trace: []string{"refused"}}
	f := &SiteFailures{Site: "app", State: Serving, Generation: 3, Time: at.Add(125 * time.Second), Flights: instance.Flights{
		Failed: []instance.Flight{slow, malformed, malformed}, Slowest: []instance.Flight{slow},
	}}
	want := `site app, serving, generation 3

failed requests, newest first (2 of 3)

2026-03-01 10:00:00.447  2m ago  id 3f0c9a1be2d47756
  POST /slow.php HTTP/1.1
  504 Gateway Timeout in 30270 ms: killed: no output within 30s
    from     192.0.2.7:58254, user alice, generation 2
    bytes    337 sent, 4 received
    phases   body 4.200, wait for a process 250.0, script 30001, handler 30270, first byte 30270, total 30270 ms
    trace    path /slow.php, method POST
             what it got: 504
    headers  Host: h
             Cookie: (redacted, 41 bytes)
    script   /slow.php
    stderr   one
             two

2026-03-01 08:00:00.447  2h ago  id 01
  (no request)
  400 Bad Request in 0.000 ms: malformed
    from     generation 0
    bytes    0 sent, 0 received
    phases   total 0.000 ms
    trace    refused

slowest requests of the last minutes

2026-03-01 10:00:00.447  2m ago  id 3f0c9a1be2d47756
  POST /slow.php HTTP/1.1
  504 Gateway Timeout in 30270 ms: killed: no output within 30s
`
	if got := f.Text(2); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// What a client made long is no longer than a few lines of a terminal.
func TestFailuresTextIsShort(t *testing.T) {
	long := "/" + strings.Repeat("é\x1b", 1000) + "end"
	f := &SiteFailures{Site: "a", State: Serving, Flights: instance.Flights{Failed: []instance.Flight{{
		Method: "GET", Target: long, Version: "1.1", Status: 404, Error: "no " + long, Trace: []string{"path " + long + ", method GET"}, Script: long,
	}}}}
	text := f.Text(0)
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(line); n > 250 {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	if strings.Count(text, "…") != 4 || !strings.Contains(text, "end HTTP/1.1\n") || !strings.Contains(text, "end, method GET\n") || !strings.Contains(text, "GET /é\\x1bé") {
		t.Error(text)
	}
	if whole := strings.Repeat("é", 200); abridged(whole) != whole || utf8.RuneCountInString(abridged(whole+"é")) != 200 {
		t.Error("200 characters are not the most")
	}
}

// A site that serves does so since its generation began, whatever it was before.
func TestStatusSince(t *testing.T) {
	first := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	second := first.Add(time.Hour)
	s := &Status{Phase: Running, Sites: []SiteStatus{
		{Name: "a", State: Serving, Since: first, GenerationSince: second, Generation: 2, ConfigCurrent: true},
		{Name: "b", State: Backoff, Since: second, GenerationSince: first},
		{Name: "c", State: Failed, Since: second},
	}}
	for _, want := range []string{`(?m)^a +serving +2026-03-01 11:00:00 +2 `, `(?m)^b +backoff +2026-03-01 11:00:00 `, `(?m)^c +failed +2026-03-01 11:00:00 `} {
		if !regexp.MustCompile(want).MatchString(s.Text()) {
			t.Errorf("no %s in\n%s", want, s.Text())
		}
	}
}
