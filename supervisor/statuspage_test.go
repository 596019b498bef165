package supervisor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sited/instance"
	"sited/metrics"
	"sited/supervisor/page"
)

const browserAccept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// page is the status page as a browser gets it.
func (r *rig) page(path string) string {
	r.t.Helper()
	status, body := r.ask("GET", path, "Accept", browserAccept)
	if status != 200 || !strings.HasPrefix(body, "<!doctype html>") {
		r.t.Fatalf("GET %s: %d %s", path, status, body)
	}
	return body
}

// call sends a request to the admin endpoint and follows no redirect.
func (r *rig) call(method, path, body string, header ...string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://"+r.addr(r.admin)+path, strings.NewReader(body))
	must(r.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		} else {
			req.Header.Set(header[i], header[i+1])
		}
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	must(r.t, err)
	b, err := io.ReadAll(res.Body)
	must(r.t, err, res.Body.Close())
	res.Body = io.NopCloser(strings.NewReader(string(b)))
	return res
}

func TestStatusPage(t *testing.T) {
	var a, b int
	var other net.Listener
	r := run(t, func(r *rig) []string {
		a, b = r.port(), r.port()
		var err error
		other, err = net.Listen("tcp4", r.ip+":0")
		must(t, err)
		t.Cleanup(func() { other.Close() })
		return []string{r.site("a", a, "A"), r.site("b", b, "B"), r.site("c", other.Addr().(*net.TCPAddr).Port, "C")}
	})
	r.reload("refused", r.site("a", a, "A"), r.site("b", b, "B", "nonsense = 1"), r.site("c", other.Addr().(*net.TCPAddr).Port, "C"))
	body := r.page("/")
	for _, want := range []string{
		"2 of 3 sites need attention", "sited</span> <small>test</small>", fmt.Sprintf("pid %d", os.Getpid()), r.dir + "/sites.hcl",
		"serving (last good)", "is in use by another process", `no argument named &#34;nonsense&#34;`, "Last reload", "by test",
		`href="http://` + r.addr(a) + `/"`, `<details id="reload" class="item" data-key="2" open>`, `data-key="1"`, "No request has failed.",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if strings.Contains(body, "What a reload would do") {
		t.Error("a plan that nobody asked for")
	}
	r.config(r.site("b", b, "B"))
	if body := r.page("/?plan=1"); !strings.Contains(body, "What a reload would do") || !strings.Contains(body, "Plan: 1 to stop, 1 unchanged.") {
		t.Error("no plan")
	}

	res := r.call("GET", "/", "", "Accept", browserAccept)
	for name, want := range map[string]string{
		"Content-Security-Policy": page.Policy, "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff",
		"Cache-Control": "no-store", "Content-Type": "text/html; charset=utf-8", "Vary": "Accept",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, accept := range []string{"*/*", "", "application/json", "text/*", "text/html;q=0", "text/html; Q=0.000, */*"} {
		if status, body := r.ask("GET", "/", "Accept", accept); status != 200 || body != adminHint {
			t.Errorf("Accept: %s: %d %s", accept, status, body)
		}
	}
	for _, accept := range []string{"text/html;q=0.001", "*/*;q=0, TEXT/HTML;level=1;q=1"} {
		if _, body := r.ask("GET", "/", "Accept", accept); !strings.HasPrefix(body, "<!doctype html>") {
			t.Errorf("Accept: %s: %s", accept, body)
		}
	}
	if !strings.Contains(body, `href="/api/sites/a/failures"`) {
		t.Error("no link to what is known of a site's requests")
	}
	if status, _ := r.ask("GET", "/", "Accept", browserAccept, "Host", "evil.example"); status != 421 {
		t.Errorf("by a foreign name: %d", status)
	}
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

var failureElement = regexp.MustCompile(`<details id="r-`)

func TestReloadFromThePage(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "one")}
	})
	token := "token=" + url.QueryEscape(tokenField.FindStringSubmatch(r.page("/"))[1])
	own := "http://" + r.addr(r.admin)
	for _, tt := range []struct {
		name, method, body string
		header             []string
		status             int
	}{
		{"another site", "POST", token, []string{"Sec-Fetch-Site", "cross-site", "Origin", own}, 403},
		{"another port", "POST", token, []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"another origin", "POST", token, []string{"Origin", "http://evil.example"}, 403},
		{"no origin to tell", "POST", token, []string{"Origin", "null"}, 403},
		{"a browser that tells nothing", "POST", "all_or_nothing=1", nil, 403},
		{"another process's page", "POST", "token=AAAAAAAAAAAAAAAAAAAAAAAAAA", []string{"Sec-Fetch-Site", "same-origin"}, 403},
		{"token in the address", "POST", "", []string{"Sec-Fetch-Site", "same-origin"}, 403},
		{"too much", "POST", strings.Repeat("a", 5<<10) + "&" + token, nil, 403},
		{"rebound name", "POST", token, []string{"Host", "evil.example:9180", "Origin", "http://evil.example:9180", "Sec-Fetch-Site", "same-origin"}, 421},
		{"not a form", "GET", "", nil, 405},
		{"own page", "POST", token, []string{"Sec-Fetch-Site", "same-origin", "Origin", own}, 303},
		{"own page by an address that is no loopback", "POST", token, []string{"Origin", own}, 303},
		{"own page in an old browser", "POST", token, nil, 303},
	} {
		path := "/reload"
		if tt.body == "" {
			path += "?" + token
		}
		res := r.call(tt.method, path, tt.body, tt.header...)
		if res.StatusCode != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, res.StatusCode, tt.status)
		}
		if res.StatusCode == 303 && res.Header.Get("Location") != "/?reload=1#reload" {
			t.Errorf("%s: Location: %s", tt.name, res.Header.Get("Location"))
		}
	}
	r.wantMetric(3, "sited_config_reloads_total", "result", "unchanged")

	r.config(r.site("a", a, "two"))
	r.call("POST", "/reload", token)
	if got := r.get(a); got != "two" {
		t.Errorf("the site serves %q", got)
	}
	body := r.page("/?reload=1")
	if !strings.Contains(body, `data-key="5" open>`) || !strings.Contains(body, "by page") || !strings.Contains(body, "~ swap    a") {
		t.Error("the report is not on top")
	}
	r.config(r.site("a", a, "three"), r.site("b", r.port(), "B", "nonsense = 1"))
	r.call("POST", "/reload", token+"&all_or_nothing=1")
	if got := r.get(a); got != "two" {
		t.Errorf("all or nothing was asked for, and the site serves %q", got)
	}
}

// The page can tell where it is from now on, and no browser would go there by a
// form's redirect.
func TestReloadFromThePageMovesIt(t *testing.T) {
	var site string
	r := run(t, func(r *rig) []string {
		site = r.site("a", r.port(), "A")
		return []string{site}
	})
	token := tokenField.FindStringSubmatch(r.page("/"))[1]
	to := r.port()
	r.config(site, fmt.Sprintf("admin {\n  ip = %q\n  port = %d\n}\n", r.ip, to))
	res := r.call("POST", "/reload", "token="+token)
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || !strings.Contains(string(body), "http://"+r.addr(to)+"/") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestReloads(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "0")}
	})
	var last *Report
	for i := range keptReloads + 3 {
		last = r.reload("applied", r.site("a", a, fmt.Sprint(i%2+1)))
	}
	status, body := r.ask("GET", "/api/reloads")
	var got Reloads
	if err := json.Unmarshal([]byte(body), &got); status != 200 || err != nil {
		t.Fatalf("%d %v", status, err)
	}
	if len(got.Reloads) != keptReloads || got.FormatVersion != FormatVersion {
		t.Fatalf("%d reloads", len(got.Reloads))
	}
	for i, reload := range got.Reloads {
		if want := keptReloads + 4 - i; reload.Number != want {
			t.Errorf("reload %d has number %d, want %d", i, reload.Number, want)
		}
	}
	first := got.Reloads[0]
	if first.Text != last.Text() || first.Trigger != "test" || first.Result != "applied" || first.Hash != last.Hash ||
		first.Summary != "Applied: 1 swapped." || first.Took <= 0 || !first.Time.Equal(last.Time) {
		t.Errorf("%+v", first)
	}
	r.reload("refused", "nonsense {\n")
	if got, err := r.Reloads(context.Background()); err != nil || got.Reloads[0].Result != "refused" || len(got.Reloads[0].Errors) == 0 ||
		!strings.Contains(got.Reloads[0].Text, "sites.hcl") {
		t.Errorf("%v %+v", err, got.Reloads[0])
	}
}

func TestShorten(t *testing.T) {
	long := strings.Repeat("+ start   a-site\n", 5000) + "Applied: 5000 started.\n"
	got := shorten(long)
	if len(got) > maxReloadText+40 || !strings.HasSuffix(got, " more lines\nApplied: 5000 started.\n") || !strings.HasPrefix(long, got[:1000]) {
		t.Errorf("%d bytes that end with %q", len(got), got[len(got)-80:])
	}
	if shorten("a\nb\n") != "a\nb\n" {
		t.Error("a short text is changed")
	}
	if got := shorten(strings.Repeat("é", maxReloadText)); len(got) > maxReloadText+1 {
		t.Errorf("one long line: %d bytes", len(got))
	}
}

func TestFailuresOnThePage(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "A")}
	})
	c := dial(t, r.addr(a))
	c.send("GET /<script>alert(1)</script> HTTP/1.1\r\nHost: x\r\n\r\n")
	c.answer()
	var body string
	r.wait("both on the page", func() bool { // a recorder does not take every one
		c := dial(t, r.addr(a))
		c.send("GET /gone HTTP/1.1\r\nHost: x\r\nAuthorization: Basic c2VjcmV0\r\nCookie: secret\r\nUser-Agent: <img src=x onerror=alert(1)>\xff\r\nConnection: close\r\n\r\n")
		c.answer()
		body = r.page("/")
		return strings.Contains(body, "&lt;img") && strings.Contains(body, "alert(1)&lt;/script&gt;")
	})
	for _, want := range []string{"GET /gone", "&lt;img src=x onerror=alert(1)&gt;<span class=\"esc\">\\xff</span>", "User-Agent"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q", want)
		}
	}
	for _, not := range []string{"<script>alert", "<img", "c2VjcmV0", "secret", "\xff"} {
		if strings.Contains(body, not) {
			t.Errorf("%q is in the page", not)
		}
	}
	if !regexp.MustCompile(`<details id="r-([0-9a-f]{16})"[^>]*>(?s:.*?)<a href="#r-([0-9a-f]{16})">`).MatchString(body) {
		t.Error("a request has no link to itself")
	}
}

// Requests that are refused, of which a scanner makes plenty, don't crowd those
// that failed out.
func TestFailuresShown(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "A")}
	})
	held := 0
	r.wait("many are held", func() bool { // a recorder takes one now and then
		c := dial(t, r.addr(a))
		c.send("GET /gone HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		c.answer()
		failures, err := r.Failures(context.Background(), "a")
		must(t, err)
		held = len(failures.Failed)
		return held > shownRefused
	})
	if got := strings.Count(r.page("/"), `<details id="r-`); got != shownRefused {
		t.Errorf("%d of %d are shown, want %d", got, held, shownRefused)
	}
}

// A flood of one kind leaves places to the others, and takes those they don't need.
func TestShare(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	var all []flight
	add := func(n int, site string, status int, ago time.Duration) {
		for i := range n {
			all = append(all, flight{site, &instance.Flight{ID: fmt.Sprint(site, status, i), Status: status, Time: at.Add(-ago - time.Duration(i)*time.Second)}})
		}
	}
	add(32, "a", 404, 0)
	add(3, "a", 401, time.Hour)
	add(1, "b", 401, 2*time.Hour)
	got := map[string]int{}
	for _, f := range share(all, 10) {
		got[fmt.Sprint(f.site, " ", f.Status)]++
	}
	if diff := cmp.Diff(map[string]int{"a 404": 6, "a 401": 3, "b 401": 1}, got); diff != "" {
		t.Error(diff)
	}
	all = nil
	add(4, "a", 404, 0)
	if few := share(all, 10); len(few) != 4 || few[0].ID != "a404 0" || few[3].ID != "a404 3" {
		t.Errorf("%v", few)
	}
}

func TestSlowestOnThePage(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		block := r.site("a", a, "A", `script ".cgi" {}`)
		must(t, os.WriteFile(filepath.Join(r.dir, "root-a-A", "slow.cgi"), []byte("#!/bin/sh\nsleep 0.05\nprintf 'Content-Type: text/plain\\n\\nslow'\n"), 0o755))
		return []string{block}
	})
	if body := r.page("/"); !strings.Contains(body, "No slow request in the last minutes.") {
		t.Error("slow requests that nobody made")
	}
	c := dial(t, r.addr(a))
	c.send("GET /slow.cgi HTTP/1.1\r\nHost: x\r\n\r\n")
	if status, body := c.answer(); status != 200 || body != "slow" {
		t.Fatalf("%d %s", status, body)
	}
	r.wait("it is on the page", func() bool {
		return regexp.MustCompile(`(?s)<details id="s-[0-9a-f]{16}".*<b class="code good">200</b>.*GET /slow.cgi`).MatchString(r.page("/"))
	})
	if failureElement.MatchString(r.page("/")) {
		t.Error("it is among those that failed")
	}
}

func TestPhasesOf(t *testing.T) {
	for _, tt := range []struct {
		in   instance.Phases
		want []page.Phase
	}{
		{instance.Phases{}, nil},
		{instance.Phases{Handler: 1, FirstByte: 1.5, Total: 2}, []page.Phase{{Name: "finding the answer", Took: 1500 * time.Millisecond}, {Name: "sending it", Took: 500 * time.Millisecond}}},
		{instance.Phases{Head: 1, Body: 2, Wait: 3, FirstOutput: 4, Script: 9, Handler: 10.5, Total: 12}, []page.Phase{
			{Name: "receiving the head", Took: time.Second}, {Name: "receiving the body", Took: 2 * time.Second}, {Name: "waiting for a process", Took: 3 * time.Second},
			{Name: "the script, until its first output", Took: 4 * time.Second}, {Name: "finding the answer", Took: 500 * time.Millisecond}, {Name: "sending it", Took: 1500 * time.Millisecond},
		}},
	} {
		if diff := cmp.Diff(tt.want, phasesOf(&tt.in)); diff != "" {
			t.Errorf("%+v:\n%s", tt.in, diff)
		}
	}
}

func TestRecent(t *testing.T) {
	var a int
	r := run(t, func(r *rig) []string {
		a = r.port()
		return []string{r.site("a", a, "A"), r.site("b", r.port(), "B")}
	})
	r.reg.Sample(time.Now())
	r.get(a)
	r.get(a)
	r.wantMetric(2, "sited_http_requests_total", "site", "a", "code", "200")
	r.reg.Sample(time.Now())
	_, body := r.ask("GET", "/api/sites")
	var got struct {
		Sites []struct {
			Name   string
			Recent map[string]any
		}
	}
	must(t, json.Unmarshal([]byte(body), &got))
	recent := got.Sites[0].Recent
	if rate, _ := recent["rate"].(float64); rate <= 0 {
		t.Errorf("%v", recent)
	}
	if p99, _ := recent["p99_seconds"].(float64); p99 <= 0 || recent["error_ratio"] != 0.0 {
		t.Errorf("%v", recent)
	}
	if points, _ := recent["points"].([]any); len(points) == 0 || points[0].(map[string]any)["requests"] != 2.0 {
		t.Errorf("points: %v", recent["points"])
	}
	if points, ok := got.Sites[1].Recent["points"].([]any); !ok || len(points) != 0 {
		t.Errorf("points of a site without requests: %v", got.Sites[1].Recent)
	}
	status, err := Client{r.adminAddr()}.Status(context.Background())
	if err != nil || !regexp.MustCompile(`(?m)^a .* 1 +0\.\d +0\.0 `).MatchString(status.Text()) || !regexp.MustCompile(`(?m)^b .* 1 +0\.0 +- `).MatchString(status.Text()) {
		t.Errorf("%v\n%s", err, status.Text())
	}
	if page := r.page("/"); !strings.Contains(page, "2 requests in the last ") {
		t.Error("the page has no picture of the requests")
	}
}

func TestSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{File: "none", Version: "test", Log: slog.New(slog.DiscardHandler)})
		site := s.reg.Site("a", metrics.Shape{Methods: []string{"GET"}})
		ended := make(chan struct{})
		go func() { s.sample(); close(ended) }()
		time.Sleep(metrics.SampleEvery + time.Second)
		site.Exchange(&metrics.Exchange{Method: "GET", Code: 500, Took: time.Millisecond})
		time.Sleep(metrics.SampleEvery)
		if got := s.reg.Recent("a"); got.Rate <= 0 || got.ErrorRatio != 1 {
			t.Errorf("%+v", got)
		}
		close(s.over)
		<-ended
	})
}
