package page

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sample is a page on which everything is that can be; odd is in every text that
// comes from outside.
func sample(odd string) *View {
	points := make([]Point, 60)
	for i := range points {
		points[i] = Point{Requests: uint32(i * 7 % 50), Errors: uint32(i % 9 / 8)}
	}
	return &View{
		Version: "1.2.3" + odd, PID: 42, Started: noon.Add(-26 * time.Hour), Now: noon, Phase: "running", Running: true,
		Config: "/etc/sited/sites.hcl" + odd, Admin: "its address is taken" + odd, Step: 5 * time.Second, Token: "t0ken",
		Sites: []Site{
			{Name: "well" + odd, Addr: "127.0.0.1:8081", Link: "http://127.0.0.1:8081/", State: State{"serving", Good}, Generation: 3, Since: noon.Add(-time.Hour), Rate: 1234.5, P50: 400 * time.Microsecond, P99: 12 * time.Millisecond, Connections: 1500, InFlight: 7, Points: points, Failures: "/api/sites/well/failures" + odd},
			{Name: "erring", Addr: "0.0.0.0:8082", State: State{"serving", Good}, Generation: 1, Since: noon, Rate: 10, ErrorRatio: .25, Points: points},
			{Name: "behind", Addr: "127.0.0.1:8083", State: State{"serving (last good)", Warn}, Generation: 1, Since: noon, Reasons: []string{"sites.hcl:4: wrong" + odd}},
			{Name: "down", State: State{"backoff", Bad}, Reasons: []string{"in use" + odd, "and more"}},
			{Name: "going", State: State{"draining", Quiet}},
		},
		Reloads: []Reload{
			{Number: 2, Time: noon.Add(-time.Minute), Took: 20 * time.Millisecond, Trigger: "watch", Result: "partial", Tone: Warn, Summary: "Applied in part" + odd, Text: "Error: x\n\n  on sites.hcl\n" + odd, Open: true},
			{Number: 1, Time: noon.Add(-26 * time.Hour), Trigger: "start" + odd, Result: "applied", Tone: Good, Text: "all"},
		},
		Failures: []Request{
			{ID: "00000000000000ff", Site: "well" + odd, Time: noon, Generation: 3, Remote: "192.0.2.1:5", User: "ann" + odd, Method: "GET" + odd, Target: "/" + odd, Status: 504, Error: "too slow" + odd, Took: 30 * time.Second, Phases: []Phase{{"head" + odd, time.Second}, {"script", 29 * time.Second}}, Headers: []Field{{"X-A" + odd, "b" + odd}}, Trace: []string{"path /" + odd}, Script: "/a.php" + odd, Stderr: []string{"oops" + odd}},
			{ID: "00000000000000fe", Site: "well", Time: noon.Add(-48 * time.Hour), Trace: []string{"first", "the answer broke off" + odd}},
		},
		Slowest: []Request{
			{ID: "00000000000000ff", Site: "well" + odd, Time: noon, Generation: 3, Method: "GET" + odd, Target: "/" + odd, Status: 504, Took: 29 * time.Second},
			{ID: "00000000000000fd", Site: "well", Time: noon, Generation: 3, Method: "GET", Target: "/report" + odd, Status: 200, Took: 2300 * time.Millisecond, Phases: []Phase{{"finding the answer", 2300 * time.Millisecond}, {"sending it", time.Second}}, Trace: []string{"served by rule" + odd}},
		},
		Plan: &Plan{Tone: Good, Text: "No changes.\n" + odd},
	}
}

func render(t testing.TB, v *View) string {
	t.Helper()
	var b bytes.Buffer
	if err := Render(&b, v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var (
	styleElement  = regexp.MustCompile(`(?s)<style>(.*?)</style>`)
	scriptElement = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
)

// walk calls see for every element, with the text that is directly in it, and
// fails where elements are not nested as they should be.
func walk(t testing.TB, text string, see func(name string, attrs map[string]string, inside string)) {
	t.Helper()
	text = styleElement.ReplaceAllString(scriptElement.ReplaceAllString(text, ""), "")
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	type element struct {
		name  string
		attrs map[string]string
		text  strings.Builder
	}
	var open []*element
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("at byte %d: %v", d.InputOffset(), err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: token.Name.Local, attrs: map[string]string{}}
			for _, a := range token.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			open = append(open, e)
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].text.Write(token)
			}
		case xml.EndElement:
			e := open[len(open)-1]
			if e.name != token.Name.Local {
				t.Fatalf("</%s> ends <%s>", token.Name.Local, e.name)
			}
			open = open[:len(open)-1]
			see(e.name, e.attrs, strings.TrimSpace(e.text.String()))
		}
	}
	if len(open) > 0 {
		t.Fatalf("<%s> is not ended", open[0].name)
	}
}

func TestStructure(t *testing.T) {
	text := render(t, sample(""))
	ids, count := map[string]bool{}, map[string]int{}
	walk(t, text, func(name string, attrs map[string]string, inside string) {
		count[name]++
		if id := attrs["id"]; id != "" {
			if ids[id] {
				t.Errorf("id %q twice", id)
			}
			ids[id] = true
		}
		for key, value := range attrs {
			switch {
			case key == "style" || strings.HasPrefix(key, "on"):
				t.Errorf("<%s %s>, which the policy does not allow", name, key)
			case key == "href" || key == "src" || key == "action":
				if !regexp.MustCompile(`^([/#]|data:|http://127\.0\.0\.1:8081/$)`).MatchString(value) {
					t.Errorf("<%s %s=%q> leads elsewhere", name, key, value)
				}
			}
		}
		switch {
		case name == "th" && attrs["scope"] == "":
			t.Errorf("<th> without scope: %s", inside)
		case name == "td" && strings.HasPrefix(attrs["class"], "n") && attrs["data-v"] == "" && attrs["class"] != "none":
			t.Errorf("figure without data-v: %s", inside)
		case name == "svg" && attrs["role"] == "img" == (attrs["aria-hidden"] == "true"):
			t.Errorf("<svg %v> is neither a picture nor hidden", attrs)
		case name == "button" && inside == "":
			t.Error("button without text")
		case (name == "section" || name == "nav") && attrs["aria-label"] == "" && attrs["aria-labelledby"] == "":
			t.Errorf("<%s> without a name", name)
		}
	})
	for _, name := range []string{"main", "header", "footer", "h1", "caption", "title"} {
		if want := 1; name != "title" && count[name] != want {
			t.Errorf("%d <%s>", count[name], name)
		}
	}
	// Every picture has words: one a site and one for all.
	if pictures := strings.Count(text, `role="img"`); pictures != 6 || count["title"] != pictures+1 {
		t.Errorf("%d pictures, %d titles", pictures, count["title"])
	}
	for _, m := range regexp.MustCompile(`(?:href="#|aria-labelledby="|for=")([^"]+)"`).FindAllStringSubmatch(text, -1) {
		if !ids[m[1]] {
			t.Errorf("there is no #%s", m[1])
		}
	}
}

func TestContent(t *testing.T) {
	text := render(t, sample(""))
	var words []string
	walk(t, text, func(_ string, _ map[string]string, inside string) { words = append(words, inside) })
	all := strings.Join(words, "\n")
	for _, want := range []string{
		"2 of 5 sites need attention, 1 more has errors", "running for 1\u00a0d 2\u00a0h", "pid 42", "/etc/sited/sites.hcl",
		"1,235", "400\u00a0µs", "12\u00a0ms", "1,500", "25\u00a0%", "1\u00a0h", "none yet",
		"serving (last good)", "sites.hcl:4: wrong", "Error: x\n\n  on sites.hcl", "partial", "by watch", "11:59:00",
		"504", "GET /", "too slow", "path /", "oops", "/a.php", "cut", "the answer broke off", "27 Feb 12:00",
		"What a reload would do", ", 6 errors", "2 of the last minutes", "GET /report", "2.3\u00a0s", "served by rule",
	} {
		if !strings.Contains(all, want) && !strings.Contains(html.UnescapeString(text), want) {
			t.Errorf("no %q", want)
		}
	}
	for _, want := range []string{
		`<form method="post" action="/reload"><input type="hidden" name="token" value="t0ken">`, `id="reload" class="item" data-key="2" open>`,
		`<details id="r-00000000000000ff"`, `<details id="s-00000000000000ff"`, `<a href="#s-00000000000000fd">`, `<b class="code good">200</b>`,
		`<a class="of" href="/api/sites/well/failures"`, `role="status" aria-live="polite"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
}

// Sites that are not well come first, whatever their names.
func TestOrder(t *testing.T) {
	v := sample("")
	for i := range 3 {
		v.Sites = append(v.Sites, Site{Name: fmt.Sprintf("a%d", 2-i), State: State{"serving", Good}})
	}
	var got []string
	for _, m := range regexp.MustCompile(`<tbody data-key="([^"]+)"`).FindAllStringSubmatch(render(t, v), -1) {
		got = append(got, m[1])
	}
	if want := []string{"down", "behind", "erring", "going", "a0", "a1", "a2", "well"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestVerdict(t *testing.T) {
	well, bad, warn := State{"serving", Good}, State{"failed", Bad}, State{"serving (last good)", Warn}
	for _, tt := range []struct {
		sites []Site
		tone  Tone
		text  string
	}{
		{nil, Quiet, "No site is configured"},
		{[]Site{{State: well}}, Good, "The site is well"},
		{[]Site{{State: well}, {State: well}}, Good, "All 2 sites are well"},
		{[]Site{{State: well}, {State: warn}}, Warn, "1 of 2 sites needs attention"},
		{[]Site{{State: bad}}, Bad, "1 of 1 site needs attention"},
		{[]Site{{State: well, Rate: 1, ErrorRatio: .05}}, Warn, "1 site answers with errors"},
		{[]Site{{State: well, Rate: 1, ErrorRatio: .049}}, Good, "The site is well"},
		{[]Site{{State: State{"preparing", Quiet}}}, Quiet, "1 site comes or goes"},
	} {
		v := &View{Running: true, Sites: tt.sites, Now: noon, Step: time.Second}
		if text := render(t, v); !strings.Contains(text, `<section class="hero `+string(tt.tone)+`"`) || !strings.Contains(text, "<span>"+tt.text+"</span></h1>") {
			t.Errorf("%q: %s", tt.text, regexp.MustCompile(`(?s)<section class="hero.*</h1>`).FindString(text))
		}
	}
	if text := render(t, &View{Phase: "draining", Now: noon, Step: time.Second}); !strings.Contains(text, "sited is draining") {
		t.Error("a process that ends does not say so")
	}
}

// The policy lets exactly the style and the script of the page run.
func TestPolicy(t *testing.T) {
	text := render(t, sample("</script></style>"))
	for name, element := range map[string]*regexp.Regexp{"style-src": styleElement, "script-src": scriptElement} {
		all := element.FindAllStringSubmatch(text, -1)
		if len(all) != 1 || !strings.Contains(Policy, name+" '"+hash(all[0][1])+"'") {
			t.Errorf("%d elements for %s, not with that hash", len(all), name)
		}
	}
	if strings.Contains(Policy, "unsafe") {
		t.Error(Policy)
	}
}

// What comes from outside adds no element, whatever it is.
func TestHostile(t *testing.T) {
	for _, odd := range hostile {
		checkHostile(t, odd)
	}
}

var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</pre></details></main>`,
	"\x00\x01\x1b[31m\x7f\u0085", "\u202egnp.exe\u2066", "\u200b\ufeff\u2028\u2029", "\xff\xfe\xc0\xaf", "{{.Token}}", "javascript:alert(1)",
	"<!--", "]]>", "&lt;&#60;", "\U000e0041", "a\nb\tc", "`${1}`", "--><script>",
}

func checkHostile(t *testing.T, odd string) {
	t.Helper()
	elements := func(text string) (names []string) {
		walk(t, text, func(name string, attrs map[string]string, _ string) {
			if attrs["class"] != "esc" {
				names = append(names, name)
			}
		})
		return names
	}
	text := render(t, sample(odd))
	if want := elements(render(t, sample(""))); !slices.Equal(elements(text), want) {
		t.Errorf("%q changes the elements of the page", odd)
	}
	for _, r := range styleElement.ReplaceAllString(scriptElement.ReplaceAllString(text, ""), "") {
		if !isSeen(r) && r != '\n' && r != '\t' {
			t.Errorf("%q: %U is in the page", odd, r)
		}
	}
}

func FuzzHostile(f *testing.F) {
	for _, odd := range hostile {
		f.Add(odd)
	}
	f.Fuzz(checkHostile)
}

func BenchmarkRender(b *testing.B) {
	v := sample("")
	for i := range 1000 {
		site := v.Sites[i%3]
		site.Name = fmt.Sprintf("site-%d", i)
		v.Sites = append(v.Sites, site)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := Render(io.Discard, v); err != nil {
			b.Fatal(err)
		}
	}
}
