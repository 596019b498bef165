package instance

import (
	"strings"
	"testing"
	"time"

	"sited/protocol"
)

var modified = time.Date(2024, 5, 6, 7, 8, 9, 500, time.UTC)

// Lists of entity tags: empty elements are skipped (RFC 9110, section 5.6.1.2), and
// so are those that are no tags.
func TestTagLists(t *testing.T) {
	rep := representation{exists: true, etag: `"v1"`}
	for value, want := range map[string]bool{
		`"v1"`:                  true,
		`"v0", , W/"v9" ,"v1"`:  true,
		`,,"v1",,`:              true,
		"\"v0\"\t,\t\"v1\"\t":   true,
		`"v0","v1"`:             true,
		`"v,0", "v1"`:           true,
		`x, "v1"`:               true,
		`"v1"x, "v1"`:           true,
		`*`:                     true,
		`"v0", *`:               true,
		`*, "v0"`:               true,
		``:                      false,
		`,`:                     false,
		`v1`:                    false,
		`"V1"`:                  false,
		`"v1`:                   false,
		`v1"`:                   false,
		`"v1" "v1"`:             false,
		`"v1"x`:                 false,
		`x"v1"`:                 false,
		`"a,"v1"`:               false, // the tag is "a,"
		`"*"`:                   false,
		`**`:                    false,
		`*x`:                    false,
		`"v0, *"`:               false,
		`W/ "v1"`:               false,
		`"v11"`:                 false,
		`""`:                    false,
		`w/"v1"`:                false,
		"\"v\x80\", \"v1\xff\"": false,
	} {
		h := protocol.Header{{Name: "if-none-match", Value: value}}
		if got := matches(h, "If-None-Match", rep, false); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
		if matches(h, "If-None-Match", representation{}, false) {
			t.Errorf("%q matches what does not exist", value)
		}
	}
	if matches(protocol.Header{{Name: "If-Match", Value: `W/"v1"`}}, "If-Match", representation{exists: true, etag: `W/"v1"`}, true) {
		t.Error("a weak tag of our own matches strongly")
	}
	if ifRange(protocol.Header{{Name: "If-Range", Value: `W/"v1"`}}, representation{exists: true, etag: `W/"v1"`}) {
		t.Error("If-Range holds with a weak tag of our own")
	}
}

// A Last-Modified that is at hand is compared before anything is parsed.
func TestLastModifiedIsCompared(t *testing.T) {
	rep := representation{exists: true, modified: modified, lastModified: "never parsed"}
	req := protocol.Request{Method: "GET", Header: protocol.Header{{Name: "If-Modified-Since", Value: "never parsed"}}}
	if got := precondition(&req, rep); got != 304 {
		t.Errorf("If-Modified-Since: %d, want 304", got)
	}
	req.Header[0].Name = "If-Unmodified-Since"
	if got := precondition(&req, rep); got != 0 {
		t.Errorf("If-Unmodified-Since: %d, want 0", got)
	}
	if !ifRange(protocol.Header{{Name: "If-Range", Value: "never parsed"}}, rep) {
		t.Error("If-Range does not hold")
	}
}

func TestPreconditionAllocatesNothing(t *testing.T) {
	const at = "Mon, 06 May 2024 07:08:09 GMT"
	rep := representation{exists: true, etag: `"v1"`, modified: modified, lastModified: at}
	for _, fields := range [][]string{
		nil,
		{`If-None-Match: "v1"`},
		{`If-None-Match: W/"v0", "v1"`},
		{"If-Modified-Since: " + at},
		{"If-Modified-Since: Mon, 06 May 2024 07:08:10 GMT"},
		{"If-Modified-Since: Monday, 06-May-24 07:08:09 GMT"},
		{"If-Modified-Since: no date at all"},
		{`If-Match: "v1"`, `If-None-Match: "v2"`},
	} {
		req := parse(t, "GET", "/", append([]string{"User-Agent: test", "Accept: */*"}, fields...)...)
		if n := testing.AllocsPerRun(100, func() { precondition(&req, rep) }); n != 0 {
			t.Errorf("%q: %v allocations", fields, n)
		}
	}
}

func BenchmarkPrecondition(b *testing.B) {
	const at = "Mon, 06 May 2024 07:08:09 GMT"
	rep := representation{exists: true, etag: `"v1"`, modified: modified, lastModified: at}
	for name, field := range map[string]string{
		"none": "X: y", "tag": `If-None-Match: "v1"`, "same date": "If-Modified-Since: " + at,
		"other date": "If-Modified-Since: Mon, 06 May 2024 07:08:10 GMT",
	} {
		b.Run(name, func(b *testing.B) {
			req := parse(b, "GET", "/", "User-Agent: test", "Accept: */*", "Accept-Encoding: gzip, deflate, br", "Accept-Language: en", "Connection: keep-alive", field)
			for b.Loop() {
				precondition(&req, rep)
			}
		})
	}
}

// FuzzIfMatch compares with a reader of lists that goes byte by byte, and checks
// what must hold for every value.
func FuzzIfMatch(f *testing.F) {
	for _, s := range []string{`"v1"`, `W/"v1"`, `*`, `"a", "b" , W/"c"`, `"`, `W/`, `,,,`, `"v1`, `x"v1"`, `"a,"v1"`, `"v1"x,*`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		rep := representation{exists: true, etag: `"v1"`}
		h := protocol.Header{{Name: "If-Match", Value: value}}
		strong, weak := matches(h, "If-Match", rep, true), matches(h, "If-Match", rep, false)
		var wantStrong, wantWeak bool
		for _, element := range splitTags(value) {
			wantStrong = wantStrong || element == "*" || element == `"v1"`
			wantWeak = wantWeak || element == "*" || element == `"v1"` || element == `W/"v1"`
		}
		if strong != wantStrong || weak != wantWeak {
			t.Fatalf("%q: strongly %v, weakly %v, want %v, %v", value, strong, weak, wantStrong, wantWeak)
		}
		put := protocol.Request{Method: "PUT", Header: h}
		if got := precondition(&put, rep); (got == 0) != strong {
			t.Fatalf("If-Match: %q is %d", value, got)
		}
		for rest := value; rest != ""; {
			tag, left := nextTag(rest)
			if len(left) >= len(rest) {
				t.Fatalf("nextTag(%q) gets nowhere", rest)
			}
			opaque := strings.TrimPrefix(tag, "W/")
			if tag != "" && tag != "*" && (len(opaque) < 2 || opaque[0] != '"' || strings.Index(opaque[1:], `"`) != len(opaque)-2) {
				t.Fatalf("nextTag(%q) = %q", rest, tag)
			}
			rest = left
		}
	})
}

// splitTags splits a list at the commas that are not within a tag: a quote begins
// one only at the start of an element, or behind W/ there.
func splitTags(s string) (elements []string) {
	element, quoted := "", false
	end := func() {
		elements = append(elements, strings.Trim(element, " \t"))
		element = ""
	}
	for i := range len(s) {
		switch begin := strings.TrimLeft(element, " \t"); {
		case quoted:
			quoted = s[i] != '"' && strings.Contains(s[i:], `"`)
		case s[i] == '"':
			quoted = (begin == "" || begin == "W/") && strings.Contains(s[i+1:], `"`)
		case s[i] == ',':
			end()
			continue
		}
		element += s[i : i+1]
	}
	end()
	return elements
}
