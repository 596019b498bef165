package instance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"sited/protocol"
)

var idPattern = regexp.MustCompile(`^[0-9a-f]{16}$`)

// everyAnswer is a site that can give all kinds of answers.
func everyAnswer(t *testing.T, with bool, change ...func(*Spec)) *site {
	s := open(t, func(spec *Spec) {
		withScripts(spec)
		protecting(t, Protect{Glob: "/private/**"})(spec)
		spec.RequestID = with
		spec.Listing = true
		spec.Connect = []string{echo(t)}
		spec.Redirects = []Redirect{{"/old/**", "/new/{rest}", 308}}
		spec.ErrorPages = []ErrorPage{{"404", "/404.html"}}
		spec.Headers = []HeaderRule{{Glob: "/**", Set: []protocol.Field{{Name: "x-request-ID", Value: "a block's"}, {Name: "X-Other", Value: "kept"}}}}
		for _, c := range change {
			c(spec)
		}
	})
	s.file("a.txt", "0123456789")
	s.file("404.html", "none")
	s.file("dir/x", "x")
	s.file("own.sh", `printf 'X-Request-Id: the script'\''s\nX-Request-ID: again\nContent-Type: text/plain\n\n%s' "$UNIQUE_ID"`)
	s.file("to.sh", `printf 'Location: /own.sh\n\n'`)
	s.file("broken.sh", `exit 3`)
	return s
}

// Every answer carries the id that the log has for its request, and no other.
func TestRequestIDIsOnEveryAnswer(t *testing.T) {
	s := everyAnswer(t, true, func(spec *Spec) { spec.Limits.MaxURI = 256 })
	get := func(target string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: test\r\nX-Request-Id: the client's\r\n"
	}
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"a file", get("/a.txt"), 200},
		{"a file from memory", get("/a.txt"), 200},
		{"a file that was not changed", get("/a.txt") + "If-None-Match: *\r\n", 304},
		{"a part", get("/a.txt") + "Range: bytes=1-2\r\n", 206},
		{"several parts", get("/a.txt") + "Range: bytes=1-2,4-5\r\n", 206},
		{"no such part", get("/a.txt") + "Range: bytes=50-\r\n", 416},
		{"HEAD", "HEAD /a.txt HTTP/1.1\r\nHost: test\r\n", 200},
		{"nothing", get("/nothing"), 404},
		{"nothing, from memory", get("/nothing"), 404},
		{"a listing", get("/dir/"), 200},
		{"a folder", get("/dir"), 301},
		{"a redirect", get("/old/x"), 308},
		{"credentials", get("/private/x"), 401},
		{"a script", get("/own.sh"), 200},
		{"a local redirect", get("/to.sh"), 200},
		{"a broken script", get("/broken.sh"), 502},
		{"an upload", "PUT /new.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n", 201},
		{"a deletion", "DELETE /new.txt HTTP/1.1\r\nHost: test\r\n", 204},
		{"the options", "OPTIONS / HTTP/1.1\r\nHost: test\r\n", 204},
		{"a method", "PATCH / HTTP/1.1\r\nHost: test\r\n", 405},
		{"an unknown method", "BREW / HTTP/1.1\r\nHost: test\r\n", 501},
		{"a tunnel", "CONNECT " + s.spec.Connect[0] + " HTTP/1.1\r\nHost: test\r\n", 200},
		{"no tunnel", "CONNECT a.example:1 HTTP/1.1\r\nHost: test\r\n", 403},
		{"no HTTP", "rubbish\r\n", 400},
		{"no Host", "GET / HTTP/1.1\r\n", 400},
		{"another version", "GET / HTTP/2.0\r\n", 505},
		{"a long target", get("/" + strings.Repeat("a", 300)), 414},
	} {
		a := s.raw(c.request + "\r\n")
		a.want(t, c.name, c.status, a.body)
		ids := a.header.Values("X-Request-Id")
		if len(ids) != 1 || !idPattern.MatchString(ids[0]) {
			t.Errorf("%s: X-Request-Id is %q", c.name, ids)
			continue
		}
		if strings.HasSuffix(c.request, "sh HTTP/1.1") && c.status == 200 && a.body != ids[0] {
			t.Errorf("%s: UNIQUE_ID is %q, X-Request-Id %q", c.name, a.body, ids[0])
		}
		eventually(t, "the log has a line with the id of "+c.name, func() bool {
			passed, failed := s.logged()
			return strings.Contains(passed+failed, fmt.Sprintf(`"id":"%s","site":"test"`, ids[0]))
		})
	}
	if passed, failed := s.logged(); strings.Contains(passed+failed, "client's") {
		t.Errorf("the client's id is in the log:\n%s%s", passed, failed)
	}
	a := s.get("/a.txt")
	a.wantField(t, "another field of the same block", "X-Other", "kept")
}

// Requests on one connection have an id each, also those that are answered from
// memory.
func TestRequestIDsDiffer(t *testing.T) {
	s := everyAnswer(t, true)
	c := s.dial()
	defer c.Close()
	r := bufio.NewReader(c)
	seen := map[string]bool{}
	for i := range 5 {
		mustWrite(t, c, "GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n")
		a := readAnswer(t, r, "GET")
		id := a.header.Get("X-Request-Id")
		if seen[id] || !idPattern.MatchString(id) {
			t.Errorf("answer %d has the id %q", i, id)
		}
		seen[id] = true
	}
}

func TestRequestIDOfThoseThatAreTurnedAway(t *testing.T) {
	s := open(t, func(spec *Spec) { spec.RequestID, spec.Limits.MaxConnections = true, 1 })
	s.file("a.txt", "a")
	c := s.dial()
	defer c.Close()
	mustWrite(t, c, "GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n")
	readAnswer(t, bufio.NewReader(c), "GET").want(t, "the first", 200, "a")
	a := s.get("/a.txt")
	a.want(t, "one too many", 503, "")
	if id := a.header.Get("X-Request-Id"); !idPattern.MatchString(id) {
		t.Errorf("its id is %q", id)
	}
}

// Without request_id nothing is added, and a script's own field is its own.
func TestNoRequestID(t *testing.T) {
	s := everyAnswer(t, false, func(spec *Spec) { spec.Headers = nil })
	for _, target := range []string{"/a.txt", "/a.txt", "/nothing", "/dir", "/private/x", "/broken.sh"} {
		if a := s.get(target, "X-Request-Id: mine"); a.header.Values("X-Request-Id") != nil {
			t.Errorf("%s: X-Request-Id: %q", target, a.header.Values("X-Request-Id"))
		}
	}
	a := s.get("/own.sh")
	a.wantField(t, "a script's", "X-Request-Id", "the script's")
	if !idPattern.MatchString(a.body) {
		t.Errorf("UNIQUE_ID is %q", a.body)
	}
}

// What a script writes to standard error has the id of its request.
func TestStderrHasTheRequestID(t *testing.T) {
	s := open(t, withScripts)
	s.file("say.sh", `echo "it is $UNIQUE_ID" >&2; `+plainText)
	s.get("/say.sh").want(t, "the script", 200, "")
	var line struct{ ID, Stderr string }
	eventually(t, "the line is logged", func() bool {
		_, failed := s.logged()
		return json.Unmarshal([]byte(failed), &line) == nil
	})
	if line.Stderr != "it is "+line.ID {
		t.Errorf("%+v", line)
	}
	eventually(t, "the request is logged with the same id", func() bool { passed, _ := s.logged(); return strings.Contains(passed, line.ID) })
}

func TestRequestIDInTheCombinedFormat(t *testing.T) {
	for _, with := range []bool{true, false} {
		s := open(t, func(spec *Spec) { spec.RequestID, spec.Logs.Format = with, "combined" })
		s.file("a.txt", "a")
		id := s.get("/a.txt").header.Get("X-Request-Id")
		if !with {
			id = "-"
		}
		eventually(t, "the request is logged", func() bool { passed, _ := s.logged(); return passed != "" })
		if passed, _ := s.logged(); !strings.HasPrefix(passed, "127.0.0.1 "+id+" - [") {
			t.Errorf("with request_id = %t: %s", with, passed)
		}
	}
}

func TestExplainTellsOfTheRequestID(t *testing.T) {
	spec, _ := testSpec(t)
	for _, with := range []bool{true, false} {
		spec.RequestID = with
		for _, request := range []string{"GET /nothing", "BREW /", "GET /%", "CONNECT a:1"} {
			e, err := Explain(spec, request+" HTTP/1.1\r\nHost: a\r\n\r\n")
			must(t, err)
			if got := strings.Contains(strings.Join(e.Steps, "\n"), http.CanonicalHeaderKey(requestIDField)); got != with {
				t.Errorf("with request_id = %t, %s: %q", with, request, e.Steps)
			}
		}
	}
}
