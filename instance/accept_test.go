package instance

import (
	"testing"

	"sited/protocol"
)

func TestAccepts(t *testing.T) {
	for _, c := range []struct {
		accept     []string // nil: no field
		html, json int
	}{
		{nil, 1000, 1000},
		{[]string{""}, 0, 0},
		{[]string{"*/*"}, 1000, 1000},
		{[]string{"application/json"}, 0, 1000},
		{[]string{"Application/JSON"}, 0, 1000},
		{[]string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, 1000, 800},
		{[]string{"application/json, */*;q=0.5"}, 500, 1000},
		{[]string{"application/json;q=0.2, text/html;q=0.1"}, 100, 200},
		{[]string{"application/json;q=0.001"}, 0, 1},
		{[]string{"application/*;q=0.9, application/json;q=0"}, 0, 0},
		{[]string{"*/*;q=0.1, application/*, text/html;q=0.3"}, 300, 1000},
		{[]string{"text/*"}, 1000, 0},
		{[]string{"text/html", "application/json;q=0.4"}, 1000, 400},
		{[]string{"application/json ; Q=0.4 , text/html ; q=1.000"}, 1000, 400},
		{[]string{`application/json;profile="a,b;q=0", text/html`}, 1000, 0}, // another one
		{[]string{`application/json;profile="\"", text/html;q=0.7`}, 700, 0},
		{[]string{"application/json;q=0.5;ext=1"}, 0, 500},
		{[]string{"application/json;"}, 0, 1000},
		{[]string{"application/json;q=2, text/html;q=0.5"}, 500, 0}, // malformed: skipped
		{[]string{"application/json;q=, text/html;q=.5"}, 0, 0},
		{[]string{",, application/json ,"}, 0, 1000},
		{[]string{"applicationx/*, */json, application, json"}, 0, 0},
	} {
		h := protocol.Header{}
		for _, v := range c.accept {
			h.Add("accept", v)
		}
		if html, json := accepts(h, "text/html"), accepts(h, "application/json"); html != c.html || json != c.json {
			t.Errorf("%q: html %d, json %d; want %d, %d", c.accept, html, json, c.html, c.json)
		}
	}
}

func FuzzAccepts(f *testing.F) {
	for _, s := range []string{"*/*", "text/html;q=0.5,application/json", `a/b;c="d\",e`, ";;q=,", "text/*;q=1.0000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		alone := accepts(protocol.Header{{Name: "Accept", Value: value}}, "text/html")
		if alone < 0 || alone > 1000 {
			t.Fatalf("%q: %d", value, alone)
		}
		if exact := accepts(protocol.Header{{Name: "Accept", Value: "text/html"}, {Name: "Accept", Value: value}}, "text/html"); exact != 1000 {
			t.Fatalf("text/html and %q: %d", value, exact)
		}
	})
}
