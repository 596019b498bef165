package chaos

import (
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sited/rig"
)

var (
	editsWanted = flag.Int("edits", 44, "how many edits TestEdits makes")
	sitesWanted = flag.Int("sites", 8, "how many sites it begins with")
)

// calm is how many of the sites are never edited.
const calm = 2

// TestEdits edits sites.hcl at random while each site is asked all the time. Each
// answer is whole and of a generation that was in force at some moment of the
// request, connections are closed only together with the socket they came to, and
// none is refused where a site is. In the end nothing is left of it all.
func TestEdits(t *testing.T) {
	t.Parallel()
	t.Logf("-seed %d", *seed)
	e := newEdits(t)
	e.p = e.Start()
	first := &visitor{town: &e.town, kind: "the first visitor", port: e.wanted[e.names[0]].port}
	for _, k := range asks {
		first.visit(k)
	}
	first.leave()
	before := e.usualFigures()

	begun := time.Now()
	for _, name := range e.names[1:*sitesWanted] {
		e.add(name)
	}
	e.write("rename")
	e.confirm("watch")
	keepers := e.beginLoad()
	for e.edits < *editsWanted && !t.Failed() {
		e.round()
	}
	if t.Failed() {
		t.Fatalf("after %d edits; lately:\n%s", e.edits, e.lately())
	}
	e.mendFile()
	e.edited()
	took := time.Since(begun)
	e.endLoad()
	e.checkLoad(keepers)

	for _, name := range e.names {
		if name != e.names[0] && e.wanted[name] != nil {
			e.remove(name)
		}
	}
	e.edited()
	for _, v := range e.probes {
		v.leave()
	}
	e.checkFigures(before)
	t.Logf("%d edits of %d sites in %v, %d answers that one generation only could give%v",
		e.edits, *sitesWanted, took.Round(time.Second), e.strict.Load(), &e.counts)
}

// usualFigures are the highest of some, as nobody asks any more.
func (e *edits) usualFigures() (usual figures) {
	e.T.Helper()
	for range 10 {
		e.reload()
		f := figuresOf(e.Rig, e.p)
		usual = figures{
			goroutines: max(usual.goroutines, f.goroutines), descriptors: max(usual.descriptors, f.descriptors),
			heap: max(usual.heap, f.heap), resident: max(usual.resident, f.resident),
		}
	}
	return usual
}

// checkFigures waits until the goroutines and descriptors are no more than
// before, there is no child, and the memory is about as much: what the race
// detector keeps of addresses that were in use once it never gives back.
func (e *edits) checkFigures(before figures) {
	e.T.Helper()
	var now figures
	defer func() { e.T.Logf("before %+v, after %+v", before, now) }()
	rig.Eventually(e.T, "everything is as before", func() bool {
		e.reload() // it has the garbage collected when it is done
		now = figuresOf(e.Rig, e.p)
		return now.goroutines <= before.goroutines && now.descriptors <= before.descriptors && now.children == 0 &&
			now.heap <= before.heap+heapGrowth && now.resident <= before.resident+residentGrowth
	})
}

const (
	heapGrowth     = 1 << 10  // KiB
	residentGrowth = 96 << 10 // KiB; see checkFigures
)

// beginLoad has each port asked all the time. It returns those that stay at a
// port each.
func (e *edits) beginLoad() (keepers []*visitor) {
	e.T.Cleanup(e.endLoad)
	random := func() *mathrand.Rand { return mathrand.New(mathrand.NewPCG(*seed, e.random.Uint64())) }
	for _, port := range e.ports {
		v := &visitor{town: &e.town, kind: "a kept connection", port: port}
		r := random()
		keepers = append(keepers, v)
		e.load.Go(func() { v.stay(r) })
	}
	for n := range 4 {
		v := &visitor{town: &e.town, kind: "a new connection"}
		r := random()
		e.load.Go(func() { v.roam(r, e.ports, n >= 2) })
	}
	return keepers
}

func (e *edits) endLoad() {
	if !e.stopped() {
		close(e.stop)
	}
	e.load.Wait()
}

// checkLoad makes sure that all happened that was to happen, and no more.
func (e *edits) checkLoad(keepers []*visitor) {
	e.T.Helper()
	for _, v := range keepers {
		if changes := e.lines[v.port].socketChanges(); v.closed > changes {
			e.T.Errorf("a connection kept to port %d was closed %d times, though its socket changed only %d times", v.port, v.closed, changes)
		}
	}
	for _, v := range keepers[:calm] {
		if v.dials != 1 || v.closed != 0 {
			e.T.Errorf("the connection kept to a site that nobody touched: %d opened, %d closed", v.dials, v.closed)
		}
	}
	for _, k := range asks {
		if e.counts.of("request: "+k.name) == 0 {
			e.T.Errorf("no request of the kind: %s", k.name)
		}
	}
	for what, kinds := range map[string][]string{"edit: ": editKinds, "written: ": writeKinds, "taken in by: ": triggers,
		"": {"edits in a burst", closedWithSocket, "refused where no site is"}} {
		for _, k := range kinds {
			if e.counts.of(what+k) == 0 {
				e.T.Errorf("it did not happen: %s%s", what, k)
			}
		}
	}
	if e.strict.Load() == 0 {
		e.T.Error("no answer that one generation only could give")
	}
}

// edits is what TestEdits works with: a model of sites.hcl and of what is in
// force.
type edits struct {
	town
	p      *rig.Process
	random *mathrand.Rand
	names  []string // of sites; the first are never edited
	ports  []int    // that sites have or may get; the first are those of the first names
	load   sync.WaitGroup
	probes map[int]*visitor // by port; they ask between edits only

	wanted  map[string]*block // what the file says
	inForce map[string]block  // what sited is known to serve
	broken  bool              // the file can't be parsed

	gen, version int
	edits        int
	trail        []string            // what was done, for messages
	touched      map[string]bool     // the sites edited since the last edit that was taken in
	busy         map[int]bool        // and the ports that were concerned
	coming       []string            // kinds of edits
	decks        map[string][]string // what pick has not picked yet
	rounds       int                 // since the last burst
}

// block is a site block.
type block struct {
	port, gen int
	wild      bool   // on 0.0.0.0
	wrong     string // an argument that makes it wrong; "" for none
}

func newEdits(t *testing.T) *edits {
	e := &edits{
		town:   town{Rig: rig.New(t, binary), lines: map[int]*timeline{}, stop: make(chan struct{})},
		random: mathrand.New(mathrand.NewPCG(*seed, 1)),
		probes: map[int]*visitor{}, wanted: map[string]*block{}, inForce: map[string]block{},
		touched: map[string]bool{}, busy: map[int]bool{}, decks: map[string][]string{},
	}
	if *sitesWanted < 6 {
		t.Fatal("-sites: 6 or more")
	}
	for n := range *sitesWanted + 3 {
		e.names = append(e.names, fmt.Sprintf("site%02d", n))
		e.fillRoots(e.names[n])
	}
	e.ports = rig.Ports(t, *sitesWanted+6)
	for _, port := range e.ports {
		e.lines[port] = &timeline{}
		e.lines[port].begin(served{})
	}
	e.add(e.names[0])
	e.write("rename")
	e.inForce = e.effect()
	for _, line := range e.lines {
		line.settle()
	}
	clear(e.touched)
	clear(e.busy)
	return e
}

// text is the file. Were half of it read, it would be refused: what its first
// block refers to comes last.
func (e *edits) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# edit %d
admin {
  @admin
}
defaults {
  header "/**" {
    set    = { X-Complete = local.complete }
    always = true
  }
  script ".sh" { command = ["/bin/sh"] }
}
`, e.version)
	for _, name := range e.names {
		if s := e.wanted[name]; s != nil {
			b.WriteString(e.blockText(name, s))
		}
	}
	if e.broken {
		b.WriteString("site {{{\n")
	}
	b.WriteString("locals {\n  complete = \"yes\"\n}\n")
	return e.Fill(b.String())
}

func (e *edits) blockText(name string, s *block) string {
	ip, methods := e.IP, `"GET", "HEAD", "POST"`
	if s.wild {
		ip = "0.0.0.0"
	}
	if s.gen%optionsEvery == 0 {
		methods += `, "OPTIONS"`
	}
	return fmt.Sprintf(`
site %q {
  ip      = %q
  port    = %d
  root    = "root/%s/%s"
  methods = [%s]
  header "/**" {
    set    = { X-Site = %q, X-Generation = "%d" }
    always = true
  }
  limits { max_connections = %d }
  timeouts {
    header = "%ds"
    idle   = "1h"
  }
  %s
}
`, name, ip, s.port, name, variant(s.gen), methods, name, s.gen, 1000+s.gen%5, 20+s.gen%7, s.wrong)
}

// effect is what is in force once sited has taken the file in: a block that is
// wrong leaves its site as it is, and a file that is leaves all.
func (e *edits) effect() map[string]block {
	if e.broken {
		return e.inForce
	}
	found := map[string]block{}
	for name, s := range e.wanted {
		if s.wrong == "" {
			found[name] = *s
		} else if last, ok := e.inForce[name]; ok {
			found[name] = last
		}
	}
	return found
}

// note tells the timelines that what the file is about to say may be in force from
// now on.
func (e *edits) note() {
	at := map[int]served{}
	for name, s := range e.effect() {
		at[s.port] = served{name, s.gen, s.wild}
	}
	for _, port := range e.ports {
		e.lines[port].begin(at[port])
	}
}

// did notes an edit for messages.
func (e *edits) did(format string, args ...any) {
	e.trail = append(e.trail, time.Now().Format("05.000 ")+fmt.Sprintf(format, args...))
}

// choose is a site that was not edited since the last edit was taken in and that
// ok accepts, or "".
func (e *edits) choose(ok func(s *block) bool) string {
	var found []string
	for _, name := range e.names[calm:] {
		if s := e.wanted[name]; s != nil && !e.touched[name] && ok(s) {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return found[e.random.IntN(len(found))]
}

func good(s *block) bool { return s.wrong == "" }

// freePort is a port that no site has, or may still have, or 0.
func (e *edits) freePort() int {
	taken := map[int]bool{}
	for _, s := range e.wanted {
		taken[s.port] = true
	}
	for _, s := range e.inForce {
		taken[s.port] = true
	}
	var free []int
	for _, port := range e.ports[calm:] {
		if !taken[port] && !e.busy[port] {
			free = append(free, port)
		}
	}
	if len(free) == 0 {
		return 0
	}
	return free[e.random.IntN(len(free))]
}

// touch notes that sites are edited.
func (e *edits) touch(names ...string) {
	for _, name := range names {
		e.touched[name] = true
		e.busy[e.wanted[name].port] = true
		if s, ok := e.inForce[name]; ok {
			e.busy[s.port] = true
		}
	}
}

func (e *edits) nextGen() int { e.gen++; return e.gen }

// add adds a site. The first ones get the first ports.
func (e *edits) add(name string) {
	port := e.ports[0]
	if n := slices.Index(e.names, name); n > 0 && n < calm {
		port = e.ports[n]
	} else if n >= calm {
		port = e.freePort()
	}
	e.wanted[name] = &block{port: port, gen: e.nextGen()}
	e.touch(name)
	e.did("%s added at %d as generation %d", name, port, e.gen)
}

func (e *edits) remove(name string) {
	e.touch(name)
	delete(e.wanted, name)
	e.did("%s removed", name)
}

func (e *edits) mendFile() {
	if e.broken {
		e.broken = false
		e.did("the file mended")
	}
}

// fails makes the test fail, and says what was done before.
func (e *edits) fails(format string, args ...any) {
	e.T.Helper()
	e.T.Errorf("%s\nlately:\n%s", fmt.Sprintf(format, args...), e.lately())
}

// lately is what was done last.
func (e *edits) lately() string { return strings.Join(e.trail[max(0, len(e.trail)-12):], "\n") }
