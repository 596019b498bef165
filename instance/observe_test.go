package instance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"sited/protocol"
)

func TestMetricsAreThereFromTheStart(t *testing.T) {
	s := open(t, withScripts)
	for name, want := range map[string]int{
		"http_requests_total":           4*len(s.spec.Methods) + 2*4 + 1, // 502 and 504 of GET, HEAD, POST and CONNECT, 507 of PUT
		"http_request_duration_seconds": 1, "http_requests_in_flight": 1, "http_request_bytes_total": 1, "http_response_bytes_total": 1,
		"connections": 2, "connections_accepted_total": 1, "connections_rejected_total": len(protocol.RefusedReasons()),
		"bad_requests_total": len(protocol.BadReasons()), "auth_failures_total": 1, "panics_total": 1, "log_lines_lost_total": 1,
		"script_requests_total": 2 * 6, "script_duration_seconds": 2, "script_processes": 2, "script_restarts_total": 2, "script_cpu_seconds_total": 2,
		"http_time_to_first_byte_seconds": 1, "connections_limit": 1, "http_requests_in_flight_limit": 0,
		"script_processes_limit": 2, "script_requests_waiting": 2, "script_peak_memory_bytes": 2,
		"tunnels": 1, "tunnel_bytes_total": 2, "tunnel_refused_total": 2,
	} {
		if got, err := testutil.GatherAndCount(s.reg.Gatherer(), "sited_"+name); err != nil || got != want {
			t.Errorf("%s: %d series, %v, want %d", name, got, err, want)
		}
	}
	if problems, err := testutil.GatherAndLint(s.reg.Gatherer()); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

func TestRequestsAreCountedAndLogged(t *testing.T) {
	s := open(t, func(spec *Spec) { spec.Logs.Body = 5 })
	s.file("a.txt", "0123456789")
	s.get("/a.txt")
	s.get("/a.txt?again", "Referer: http://there/", "User-Agent: me")
	s.do("HEAD", "/a.txt", "")
	s.get("/nothing")
	s.do("PUT", "/b.txt", "abc")
	s.do("PUT", "/no/b.txt", "abcdefgh")
	s.do("POST", "/a.txt", "abcdefgh")
	s.do("BREW", "/a.txt", "")
	s.raw("GET /a.txt HTTP/1.1\r\n\r\n")
	s.raw("rubbish\r\n\r\n")
	s.raw("GET /a.txt HTTP/2.0\r\nHost: test\r\n\r\n")
	for _, c := range []struct {
		want   float64
		series []string
	}{
		{2, []string{"http_requests_total", "method", "GET", "code", "200"}},
		{1, []string{"http_requests_total", "method", "HEAD", "code", "200"}},
		{1, []string{"http_requests_total", "method", "GET", "code", "404"}},
		{1, []string{"http_requests_total", "method", "GET", "code", "400"}},
		{1, []string{"http_requests_total", "method", "GET", "code", "505"}},
		{1, []string{"http_requests_total", "method", "PUT", "code", "201"}},
		{1, []string{"http_requests_total", "method", "PUT", "code", "409"}},
		{1, []string{"http_requests_total", "method", "POST", "code", "405"}},
		{1, []string{"http_requests_total", "method", "other", "code", "501"}},
		{1, []string{"http_requests_total", "method", "other", "code", "400"}},
		{11, []string{"http_request_duration_seconds"}},
		{11, []string{"connections_accepted_total"}},
		{0, []string{"http_requests_in_flight"}},
		{0, []string{"connections", "state", "active"}},
		{0, []string{"connections", "state", "idle"}},
		{1, []string{"bad_requests_total", "reason", "host"}},
		{1, []string{"bad_requests_total", "reason", "request_line"}},
		{1, []string{"bad_requests_total", "reason", "version"}},
	} {
		s.wantMetric(c.want, c.series[0], c.series[1:]...)
	}
	if got := s.metric("http_request_bytes_total"); got < 3 || got > 19 { // what is left of a refused body is read over
		t.Errorf("%v bytes received", got)
	}

	passed, failed := s.logged()
	if n := strings.Count(passed, "\n"); n != 4 {
		t.Errorf("%d lines in passed.log:\n%s", n, passed)
	}
	if n := strings.Count(failed, "\n"); n != 7 {
		t.Errorf("%d lines in failed.log:\n%s", n, failed)
	}
	for _, want := range []string{
		`"method":"GET","target":"/a.txt?again","version":"1.1","host":"test","status":200,"bytes":10,"received":0,`,
		`"referer":"http://there/","user_agent":"me"`, `"method":"PUT","target":"/b.txt","version":"1.1","host":"test","status":201,"bytes":0,"received":3,`,
	} {
		if !strings.Contains(passed, want) {
			t.Errorf("passed.log does not hold %s:\n%s", want, passed)
		}
	}
	for _, want := range []string{`"target":"/nothing"`, `"status":505`, `"target":"rubbish"`, `"method":"BREW"`, `"error":"no Host"`} {
		if !strings.Contains(failed, want) {
			t.Errorf("failed.log does not hold %s:\n%s", want, failed)
		}
	}
}

// An instance shows its limits once it is the one that serves, not before.
func TestLimitsInForce(t *testing.T) {
	s := prepare(t, func(spec *Spec) {
		withScripts(spec)
		spec.Scripts[1].Workers = 3
		spec.Limits.MaxConnections, spec.Limits.MaxInFlight = 70, 7
	})
	t.Cleanup(func() { must(t, s.Close(context.Background())) })
	want := func(connections, sh, cgi float64) {
		t.Helper()
		s.wantMetric(connections, "connections_limit")
		s.wantMetric(sh, "script_processes_limit", "script", ".sh")
		s.wantMetric(cgi, "script_processes_limit", "script", ".cgi")
	}
	want(0, 0, 0)
	s.InForce()
	want(70, 32, 3)
	s.wantMetric(7, "http_requests_in_flight_limit")

	next := s.spec
	next.Limits.MaxConnections = 80
	other, err := New(next, Shared{Metrics: s.reg, Files: NewBudget(DefaultBudget), Log: discard()})
	must(t, err)
	must(t, other.Close(t.Context()))
	want(70, 32, 3) // it was prepared, and never served
}

// What a script costs is counted, and its exemplar and that of its request carry
// the same id, which the log has, too.
func TestScriptsAreCounted(t *testing.T) {
	s := open(t, withScripts)
	s.file("work.sh", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; "+plainText+"sleep 0.1")
	s.get("/work.sh").want(t, "work", 200, "")
	s.wantMetric(1, "script_requests_total", "script", ".sh", "result", "ok")
	s.wantMetric(0, "script_processes", "script", ".sh")
	s.wantMetric(1, "script_duration_seconds", "script", ".sh")
	s.wantMetric(0, "script_requests_waiting", "script", ".sh")
	s.wantMetric(1, "http_time_to_first_byte_seconds")
	if cpu := s.metric("script_cpu_seconds_total", "script", ".sh"); cpu < 0.001 || cpu > 20 {
		t.Errorf("%v seconds of CPU time", cpu)
	}
	if peak := s.metric("script_peak_memory_bytes", "script", ".sh"); peak < 100<<10 || peak > 1<<30 {
		t.Errorf("%v bytes of memory", peak)
	}
	passed, _ := s.logged()
	for _, name := range []string{"http_request_duration_seconds", "http_time_to_first_byte_seconds", "script_duration_seconds"} {
		ids := s.exemplars("sited_" + name)
		if len(ids) != 1 || !strings.Contains(passed, ids[0]) {
			t.Errorf("%s has the exemplars %q, the log: %s", name, ids, passed)
		}
	}
}

// exemplars are the request ids in a histogram.
func (s *site) exemplars(name string) (ids []string) {
	s.t.Helper()
	families, err := s.reg.Gatherer().Gather()
	must(s.t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, e := range m.GetHistogram().GetExemplars() {
				if family.GetName() == name {
					ids = append(ids, e.GetLabel()[0].GetValue())
				}
			}
		}
	}
	return ids
}

// Those that wait for a process are counted while they do.
func TestWaitingForAScript(t *testing.T) {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		spec.Scripts[0].Workers = 1
	})
	s.file("wait.sh", plainText+"while [ ! -e go ]; do sleep 0.01; done")
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { s.get("/wait.sh").want(t, "wait", 200, "") })
	}
	s.wantMetric(2, "script_requests_waiting", "script", ".sh")
	s.wantMetric(0, "script_requests_waiting", "script", ".cgi")
	s.file("go", "")
	all.Wait()
	s.wantMetric(0, "script_requests_waiting", "script", ".sh")
}

// Only the body of a failed request is kept, and only as much as is allowed.
func TestBodiesInTheLog(t *testing.T) {
	for _, allowed := range []int64{0, 5} {
		s := open(t, func(spec *Spec) {
			withScripts(spec)
			spec.Logs.Body = allowed
		})
		s.file("bad.sh", "cat >/dev/null; exit 1")
		s.file("good.sh", "cat >/dev/null; "+plainText)
		s.do("POST", "/bad.sh", "SECRETBODY").want(t, "POST", 502, "")
		s.do("POST", "/good.sh", "SECRETBODY").want(t, "POST", 200, "")
		s.wantMetric(2, "http_request_duration_seconds")
		passed, failed := s.logged()
		if strings.Contains(passed, "SECR") {
			t.Errorf("the body of a request that passed is logged: %s", passed)
		}
		if got := strings.Contains(failed, `"body":"SECRE"}`); got != (allowed > 0) || strings.Contains(failed, "SECRET") {
			t.Errorf("with body = %d, failed.log holds %s", allowed, failed)
		}
	}
}

func TestKeepBodyWhereItCanBeLogged(t *testing.T) {
	for _, c := range []struct {
		failed, format string
		want           int
	}{{"f", "json", 10}, {"", "json", 0}, {"f", "combined", 0}} {
		spec, dir := testSpec(t)
		spec.Logs = Logs{Format: c.format, Body: 10}
		if c.failed != "" {
			spec.Logs.Failed = dir + "/" + c.failed
		}
		i, err := New(spec, Shared{Metrics: newRegistry(), Files: NewBudget(DefaultBudget), Log: discard()})
		must(t, err)
		if got := i.Service().Limits.KeepBody; got != c.want {
			t.Errorf("%+v: %d bytes are kept, want %d", c, got, c.want)
		}
		must(t, i.Close(t.Context()))
	}
}

// A panic ends one exchange: 500, counted, with its stack in the process's log.
func TestPanic(t *testing.T) {
	s := prepare(t, nil)
	s.policy.spec.Protect = []Protect{{Glob: "/panic"}} // and there is no password file
	s.serve()
	s.file("a.txt", "a")
	s.get("/panic?secret", "Authorization: "+basic("alice", "a")).want(t, "panic", 500, "")
	s.get("/a.txt").want(t, "after it", 200, "a")
	s.wantMetric(1, "panics_total", "site", "test")
	s.wantMetric(1, "http_requests_total", "method", "GET", "code", "500")
	s.wantMetric(0, "http_requests_in_flight")
	eventually(t, "the request is logged", func() bool { _, failed := s.logged(); return failed != "" })
	said := s.log.String()
	if !strings.Contains(said, "nil pointer dereference") || !strings.Contains(said, "authorize.go") || strings.Contains(said, "secret") {
		t.Errorf("the process's log: %s", said)
	}
	if _, failed := s.logged(); strings.Count(failed, "\n") != 1 || strings.Contains(failed, "authorize.go") {
		t.Errorf("failed.log: %s", failed)
	}
}

func TestTooManyConnections(t *testing.T) {
	s := open(t, func(spec *Spec) { spec.Limits.MaxConnections = 1 })
	s.file("a.txt", "a")
	c := s.dial()
	defer c.Close()
	fmt.Fprint(c, "GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n")
	readAnswer(t, bufio.NewReader(c), "GET").want(t, "the first connection", 200, "a")
	s.get("/a.txt").want(t, "one too many", 503, "")
	s.wantMetric(1, "connections_rejected_total", "reason", "max_connections")
	s.wantMetric(2, "connections_accepted_total")
	c.Close()
	eventually(t, "there is room again", func() bool { return s.get("/a.txt").status == 200 })
}

func TestStats(t *testing.T) {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		spec.Timeouts.Drain = 1e9
	})
	if got := s.Stats(); got != (Stats{}) {
		t.Errorf("before: %+v", got)
	}
	s.file("wait.sh", plainText+`while [ ! -e go ]; do sleep 0.01; done`)
	c := s.dial()
	defer c.Close()
	mustWrite(t, c, "GET /wait.sh HTTP/1.1\r\nHost: test\r\n\r\n")
	eventually(t, "the script is counted", func() bool { return s.Stats() == Stats{Connections: 1, InFlight: 1, Processes: 1} })
	if got := s.metric("http_requests_in_flight"); got != 1 {
		t.Errorf("in flight: %v", got)
	}
	s.file("go", "")
	readAnswer(t, bufio.NewReader(c), "GET").want(t, "the script", 200, "")
	c.Close()
	eventually(t, "nothing is counted", func() bool { return s.Stats() == Stats{} })
}

func TestReopen(t *testing.T) {
	s := open(t, nil)
	s.get("/1")
	s.wantMetric(1, "http_request_duration_seconds")
	must(t, os.Rename(s.spec.Logs.Failed, s.spec.Logs.Failed+".1"))
	must(t, s.Reopen())
	s.get("/2")
	s.wantMetric(2, "http_request_duration_seconds")
	_, failed := s.logged()
	var line struct{ Target string }
	if err := json.Unmarshal([]byte(failed), &line); err != nil || line.Target != "/2" {
		t.Errorf("the new file: %s", failed)
	}
	if old := readLog(t, s.spec.Logs.Failed+".1"); !strings.Contains(old, `"/1"`) {
		t.Errorf("the old file: %s", old)
	}
}
