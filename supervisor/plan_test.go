package supervisor

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sited/instance"
	"sited/protocol"
)

func spec(name string, port uint16, edit ...func(*instance.Spec)) instance.Spec {
	s := instance.Defaults()
	s.Name, s.Addr, s.Root = name, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), "/srv/"+name
	for _, e := range edit {
		e(&s)
	}
	return s
}

func TestPlan(t *testing.T) {
	bigger := func(s *instance.Spec) { s.Limits.MaxBody = 2 << 20 }
	tests := []struct {
		name            string
		running, wanted []instance.Spec
		refused         []string
		want            []string
	}{
		{name: "nothing at all"},
		{
			name:   "start, sorted",
			wanted: []instance.Spec{spec("b", 2), spec("a", 1)},
			want:   []string{"start a", "start b"},
		},
		{
			name:    "unchanged",
			running: []instance.Spec{spec("a", 1)}, wanted: []instance.Spec{spec("a", 1)},
			want: []string{"keep a"},
		},
		{
			name:    "an empty list is the same as none",
			running: []instance.Spec{spec("a", 1, func(s *instance.Spec) { s.Hosts = []string{} })},
			wanted:  []instance.Spec{spec("a", 1)},
			want:    []string{"keep a"},
		},
		{
			name:    "swap",
			running: []instance.Spec{spec("a", 1)}, wanted: []instance.Spec{spec("a", 1, bigger)},
			want: []string{"swap a limits.max_body: 1MiB -> 2MiB"},
		},
		{
			name:    "rebind with another change",
			running: []instance.Spec{spec("a", 1)}, wanted: []instance.Spec{spec("a", 2, bigger)},
			want: []string{"rebind a limits.max_body: 1MiB -> 2MiB port: 1 -> 2"},
		},
		{
			name:    "stop beside keep",
			running: []instance.Spec{spec("a", 1), spec("b", 2)}, wanted: []instance.Spec{spec("b", 2)},
			want: []string{"stop a", "keep b"},
		},
		{
			name:    "refused while running and while not",
			running: []instance.Spec{spec("a", 1)}, refused: []string{"a", "c", "a"},
			want: []string{"refused a (running)", "refused c"},
		},
		{
			name:    "refused wins over wanted",
			running: []instance.Spec{spec("a", 1)}, wanted: []instance.Spec{spec("a", 1, bigger)}, refused: []string{"a"},
			want: []string{"refused a (running)"},
		},
		{
			name:    "renamed: the address goes from one to the other",
			running: []instance.Spec{spec("old", 1)}, wanted: []instance.Spec{spec("new", 1)},
			want: []string{"start new", "stop old"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, step := range Plan(tt.running, tt.wanted, tt.refused...) {
				line := fmt.Sprintf("%s %s", step.Op, step.Site)
				for _, c := range step.Changes {
					line += fmt.Sprintf(" %s: %s -> %s", c.Name, c.Old, c.New)
				}
				if step.Op == Refused && step.Running != nil {
					line += " (running)"
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	php := instance.Script{Ext: ".php", Command: []string{"php-cgi"}, Timeout: 30 * time.Second}
	tests := []struct {
		name string
		edit func(*instance.Spec)
		want []Change
	}{
		{"ip", func(s *instance.Spec) { s.Addr = netip.MustParseAddrPort("[::1]:1") },
			[]Change{{"ip", "127.0.0.1", "::1"}}},
		{"methods", func(s *instance.Spec) { s.Methods = []string{"GET"} },
			[]Change{{"methods", `["GET", "HEAD", "OPTIONS"]`, `["GET"]`}}},
		{"root", func(s *instance.Spec) { s.Root = "/x" }, []Change{{"root", `"/srv/a"`, `"/x"`}}},
		{"rotation", func(s *instance.Spec) { s.Logs.MaxSize, s.Logs.MaxAge = 1<<30, 24*time.Hour },
			[]Change{{"logs.max_age", "0s", "24h"}, {"logs.max_size", "100MiB", "1GiB"}}},
		{"max_uri", func(s *instance.Spec) { s.Limits.MaxURI = 9<<10 + 1 },
			[]Change{{"limits.max_uri", "8KiB", "9217B"}}},
		{"max_connections", func(s *instance.Spec) { s.Limits.MaxConnections = 5 },
			[]Change{{"limits.max_connections", "10000", "5"}}},
		{"a timeout", func(s *instance.Spec) { s.Timeouts.Drain = 90 * time.Minute },
			[]Change{{"timeouts.drain", "30s", "1h30m"}}},
		{"connect", func(s *instance.Spec) { s.Connect = []string{"a.example:443"} },
			[]Change{{"connect.allow", "[]", `["a.example:443"]`}}},
		{"a block more", func(s *instance.Spec) {
			s.Scripts = append(s.Scripts, instance.Script{Ext: ".cgi", Timeout: time.Second})
		},
			[]Change{
				{"script", `[".php"]`, `[".php", ".cgi"]`},
				{`script ".cgi".command`, "", "[]"},
				{`script ".cgi".timeout`, "", "1s"},
				{`script ".cgi".workers`, "", "0"},
			}},
		{"in a block", func(s *instance.Spec) { s.Scripts[0].Timeout = time.Minute },
			[]Change{{`script ".php".timeout`, "30s", "1m"}}},
		{"the order of blocks", func(s *instance.Spec) { s.Protect[0], s.Protect[1] = s.Protect[1], s.Protect[0] },
			[]Change{{"protect", `["/a", "/b"]`, `["/b", "/a"]`}}},
		{"users", func(s *instance.Spec) { s.Protect[0].Users = []string{"alice"} },
			[]Change{{`protect "/a".users`, "[]", `["alice"]`}}},
		{"redirect", func(s *instance.Spec) { s.Redirects[0].Status = 308 },
			[]Change{{`redirect "/r".status`, "301", "308"}}},
		{"header", func(s *instance.Spec) { s.Headers[0].Set = []protocol.Field{{Name: "X-A", Value: "2"}} },
			[]Change{{`header "/h".set "X-A".value`, `"1"`, `"2"`}}},
		{"error_page", func(s *instance.Spec) { s.ErrorPages[0].File = "/x.html" },
			[]Change{{`error_page "404".file`, `"/404.html"`, `"/x.html"`}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base := func(s *instance.Spec) {
				s.Scripts = []instance.Script{php}
				s.Protect = []instance.Protect{{Glob: "/a"}, {Glob: "/b"}}
				s.Redirects = []instance.Redirect{{Glob: "/r", To: "/", Status: 301}}
				s.Headers = []instance.HeaderRule{{Glob: "/h", Set: []protocol.Field{{Name: "X-A", Value: "1"}}}}
				s.ErrorPages = []instance.ErrorPage{{Status: "404", File: "/404.html"}}
			}
			before, after := spec("a", 1, base), spec("a", 1, base, tt.edit)
			if diff := cmp.Diff(tt.want, changes(&before, &after)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Every field of Spec, nested ones included, is seen to change: a field that is
// added later can't be forgotten.
func TestChangesSeeEveryField(t *testing.T) {
	full := func() instance.Spec {
		s := spec("a", 1)
		s.Hosts, s.Connect = []string{"h"}, []string{"c:1"}
		s.Protect = []instance.Protect{{Glob: "/a", Methods: []string{"GET"}, Users: []string{"u"}}}
		s.Scripts = []instance.Script{{Ext: ".x", Command: []string{"x"}, Workers: 1, Timeout: 1}}
		s.Try, s.Precompressed = []string{"/t"}, []string{"gzip"}
		s.Redirects = []instance.Redirect{{Glob: "/r", To: "/", Status: 301}}
		s.Headers = []instance.HeaderRule{{Glob: "/h", Set: []protocol.Field{{Name: "X-A", Value: "1"}}, Remove: []string{"X-B"}}}
		s.ErrorPages = []instance.ErrorPage{{Status: "404", File: "/404.html"}}
		return s
	}
	var walk func(path string, v reflect.Value, test func(string))
	walk = func(path string, v reflect.Value, test func(string)) {
		switch v.Kind() {
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[netip.AddrPort]() {
				v.Set(reflect.ValueOf(netip.MustParseAddrPort("10.1.1.1:99")))
				test(path)
				return
			}
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Name, v.Field(i), test)
			}
		case reflect.Slice:
			if v.Len() == 0 {
				t.Fatalf("%s is empty: give it an element in this test", path)
			}
			walk(path+"[0]", v.Index(0), test)
		case reflect.String:
			old := v.String()
			v.SetString(old + "x")
			test(path)
			v.SetString(old)
		case reflect.Int, reflect.Int64:
			old := v.Int()
			v.SetInt(old + 1)
			test(path)
			v.SetInt(old)
		case reflect.Bool:
			v.SetBool(!v.Bool())
			test(path)
			v.SetBool(!v.Bool())
		default:
			t.Fatalf("%s: %s is new here: teach this test", path, v.Kind())
		}
	}
	edited := full()
	n := 0
	walk("Spec", reflect.ValueOf(&edited).Elem(), func(path string) {
		n++
		if path == "Spec.Name" {
			return
		}
		base := full()
		if edited.Addr != base.Addr && path != "Spec.Addr" {
			edited.Addr = base.Addr
		}
		if got := changes(&base, &edited); len(got) == 0 {
			t.Errorf("a change of %s is not seen", path)
		}
	})
	if n < 20 {
		t.Errorf("only %d fields were tried", n)
	}
}

// BenchmarkPlan compares 1,000 sites of which one has changed and one is new.
func BenchmarkPlan(b *testing.B) {
	const sites = 1000
	all := func() []instance.Spec {
		specs := make([]instance.Spec, sites)
		for i := range specs {
			specs[i] = instance.Defaults()
			specs[i].Name = fmt.Sprint("site", i)
			specs[i].Addr = netip.AddrPortFrom(netip.IPv6Loopback(), uint16(10_000+i))
		}
		return specs
	}
	running, wanted := all()[1:], all()
	wanted[sites/2].Root = "/elsewhere"
	b.ReportAllocs()
	for b.Loop() {
		changed := 0
		for _, step := range Plan(running, wanted) {
			if step.Op != Keep {
				changed++
			}
		}
		if changed != 2 {
			b.Fatal(changed)
		}
	}
}
