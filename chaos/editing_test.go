package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sited/rig"
	"sited/supervisor"
	"sited/supervisor/config"
)

// The edits there are, how a file is written, and what has sited take it in.
var (
	editKinds  = []string{"add", "remove", "change", "break", "mend", "break the file", "mend the file", "move", "swap ports", "hand over", "bind elsewhere", "comment"}
	writeKinds = []string{"rename", "in place", "in pieces", "removed and written"}
	triggers   = []string{"watch", "sited reload", "api", "SIGHUP"}
)

// wrongs make a block wrong.
var wrongs = []string{`rooot = "x"`, `index = "index.html"`, `limits { max_body = "many" }`, `connect {}`, `redirect "x" { to = "y" }`}

// pick is one of them at random, but none again before all the others have come.
func (e *edits) pick(of []string) string {
	deck := e.decks[of[0]]
	if len(deck) == 0 {
		deck = e.shuffled(of)
	}
	e.decks[of[0]] = deck[1:]
	return deck[0]
}

func (e *edits) shuffled(all []string) []string {
	all = slices.Clone(all)
	e.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// next makes the next edit that can be made as things are. Those that can't be
// stay in line. It reports false when there is none but those not allowed.
func (e *edits) next(allowed func(kind string) bool) bool {
	if len(e.coming) < len(editKinds) {
		e.coming = append(e.coming, e.shuffled(editKinds)...)
	}
	for i, kind := range e.coming {
		if allowed(kind) && e.edit(kind) {
			e.coming = slices.Delete(e.coming, i, i+1)
			e.edits++
			e.counts.add("edit: " + kind)
			return true
		}
	}
	return false
}

// edit makes an edit of that kind, if it can be made.
func (e *edits) edit(kind string) bool {
	switch kind {
	case "add":
		i := slices.IndexFunc(e.names, func(name string) bool { return e.wanted[name] == nil && !e.touched[name] })
		if i < 0 || e.freePort() == 0 {
			return false
		}
		e.add(e.names[i])
	case "remove":
		name := e.choose(func(*block) bool { return true })
		if name == "" || len(e.wanted) < *sitesWanted-1 {
			return false
		}
		e.remove(name)
	case "change":
		name := e.choose(good)
		if name == "" {
			return false
		}
		e.wanted[name].gen = e.nextGen()
		e.touch(name)
		e.did("%s changed to generation %d", name, e.gen)
	case "break":
		return e.breakBlock()
	case "mend":
		name := e.choose(func(s *block) bool { return s.wrong != "" })
		if name == "" {
			return false
		}
		e.wanted[name].wrong = ""
		if e.random.IntN(2) == 0 { // else it is again what it was
			e.wanted[name].gen = e.nextGen()
		}
		e.touch(name)
		e.did("%s mended as generation %d", name, e.wanted[name].gen)
	case "break the file":
		if e.broken {
			return false
		}
		e.broken = true
		e.did("the file broken")
	case "mend the file":
		if !e.broken {
			return false
		}
		e.mendFile()
	case "comment":
		e.did("only the comment changed")
	default:
		return e.editAddress(kind)
	}
	return true
}

func (e *edits) breakBlock() bool {
	wrong := 0
	for _, s := range e.wanted {
		if s.wrong != "" {
			wrong++
		}
	}
	name := e.choose(good)
	if name == "" || wrong > *sitesWanted/5 {
		return false
	}
	if _, ok := e.inForce[name]; !ok {
		return false // it would be no site at all
	}
	e.wanted[name].wrong = e.pick(wrongs)
	if e.random.IntN(2) == 0 { // what else changed in it is not taken in either
		e.wanted[name].gen = e.nextGen()
	}
	e.touch(name)
	e.did("%s broken: %s", name, e.wanted[name].wrong)
	return true
}

// editAddress makes those edits that change addresses.
func (e *edits) editAddress(kind string) bool {
	one := e.choose(good)
	if one == "" {
		return false
	}
	a := e.wanted[one]
	two := e.choose(func(s *block) bool { return good(s) && s != a })
	free := e.freePort()
	switch kind {
	case "move":
		if free == 0 {
			return false
		}
		e.touch(one)
		a.port = free
	case "bind elsewhere":
		a.wild = !a.wild
	case "swap ports":
		if two == "" {
			return false
		}
		b := e.wanted[two]
		e.touch(one, two)
		a.port, b.port = b.port, a.port
	case "hand over":
		if two == "" || free == 0 {
			return false
		}
		b := e.wanted[two]
		e.touch(one, two)
		a.port, b.port = free, a.port
	}
	if e.random.IntN(2) == 0 {
		a.gen = e.nextGen()
	}
	e.touch(one)
	e.did("%s: %s is at %d (wild: %t) as generation %d", kind, one, a.port, a.wild, a.gen)
	if two != "" && e.touched[two] {
		b := e.wanted[two]
		e.did("and %s at %d (wild: %t)", two, b.port, b.wild)
	}
	return true
}

// burstEvery is how many rounds there are from one burst to the next.
const burstEvery = 8

// round makes one edit, or a burst of them, and sees that it is taken in.
func (e *edits) round() {
	e.T.Helper()
	e.rounds++
	if !e.broken && e.rounds >= burstEvery {
		e.rounds = 0
		for range 2 + e.random.IntN(4) {
			if e.next(func(kind string) bool { return !strings.HasSuffix(kind, "the file") }) {
				e.counts.add("edits in a burst")
			}
			if e.random.IntN(4) == 0 {
				e.broken = true
				e.write(e.pick(writeKinds))
				e.broken = false
			}
			e.write(e.pick(writeKinds))
			time.Sleep(time.Duration(e.random.IntN(40)) * time.Millisecond)
		}
		e.confirm(e.pick(triggers))
		return
	}
	mend := e.broken && e.random.IntN(2) == 0
	e.next(func(kind string) bool { return !mend || kind == "mend the file" })
	e.edited()
}

// edited writes the file and sees that it is taken in, however that is.
func (e *edits) edited() {
	e.T.Helper()
	e.write(e.pick(writeKinds))
	e.confirm(e.pick(triggers))
}

// write writes the file.
func (e *edits) write(how string) {
	e.version++
	e.note()
	text := e.text()
	e.did("edit %d written: %s", e.version, how)
	e.counts.add("written: " + how)
	switch how {
	case "rename":
		e.ReplaceConfig(text)
	case "in place":
		e.Config(text)
	case "in pieces":
		e.Rig.Write("sites.hcl", text[:len(text)/3])
		time.Sleep(5 * time.Millisecond)
		f, err := os.OpenFile(e.Path("sites.hcl"), os.O_WRONLY|os.O_APPEND, 0)
		rig.Must(e.T, err)
		_, err = f.WriteString(text[len(text)/3:])
		rig.Must(e.T, errors.Join(err, f.Close()))
	case "removed and written":
		rig.Must(e.T, os.Remove(e.Path("sites.hcl")))
		e.Config(text)
	}
}

// confirm has sited take the file in, waits until it has, and looks at what it
// says of it. From then on only the newest generations may answer.
func (e *edits) confirm(trigger string) {
	e.T.Helper()
	e.counts.add("taken in by: " + trigger)
	hash := config.Load(e.Path("sites.hcl"), os.LookupEnv).Hash()
	switch trigger {
	case "SIGHUP":
		rig.Must(e.T, e.p.Cmd.Process.Signal(syscall.SIGHUP))
		fallthrough
	case "watch":
		rig.Eventually(e.T, "the file is read: "+strings.Join(e.trail[max(0, len(e.trail)-5):], "; "), func() bool {
			return status(e.Rig).Config.Hash == hash
		})
	case "sited reload":
		status, said := e.Sited("reload", "--admin", e.Addrs["admin"], e.Path("sites.hcl"))
		if (status == 0) != e.allGood() || status > 1 {
			e.fails("sited reload: exit status %d\n%s", status, said)
		}
	case "api":
		if r := e.reload(); r.Hash != hash {
			e.fails("another file was read: %+v", r)
		}
	}
	e.checkReport(hash, e.reload()) // it has its turn after whoever read the file before
	e.inForce = e.effect()
	for _, line := range e.lines {
		line.settle()
	}
	e.did("taken in by %s", trigger)
	e.checkStatus()
	for port := range e.busy {
		e.probe(port)
	}
	if !e.broken {
		clear(e.touched)
		clear(e.busy)
	}
}

// allGood reports whether all of the file can be in force.
func (e *edits) allGood() bool {
	for _, s := range e.wanted {
		if s.wrong != "" {
			return false
		}
	}
	return !e.broken
}

// checkReport looks at the report of a reload that was to find all done.
func (e *edits) checkReport(hash string, r *supervisor.Report) {
	e.T.Helper()
	want := "unchanged"
	if !e.allGood() {
		want = "refused"
	}
	if r.Hash != hash || r.Result != want {
		e.fails("after all was taken in, the result of a reload is %q, want %q: %+v", r.Result, want, r.Steps)
	}
	for _, s := range r.Steps {
		if s.Outcome != supervisor.Stays {
			e.fails("after all was taken in, there was still something to be done: %+v", s)
		}
	}
}

func (e *edits) reload() *supervisor.Report {
	e.T.Helper()
	var r supervisor.Report
	_, body, err := rig.Request("POST", e.URL("admin", "/api/reload"), nil, 0)
	rig.Must(e.T, err)
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		e.T.Fatalf("%v: %s", err, body)
	}
	return &r
}

// status asks for /api/sites.
func status(r *rig.Rig) *supervisor.Status {
	r.T.Helper()
	var s supervisor.Status
	_, body, err := rig.Get(r.URL("admin", "/api/sites"))
	rig.Must(r.T, err)
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		r.T.Fatalf("%v: %s", err, body)
	}
	return &s
}

// checkStatus compares what sited says of its sites with the model.
func (e *edits) checkStatus() {
	e.T.Helper()
	found := map[string]supervisor.SiteStatus{}
	for _, s := range status(e.Rig).Sites {
		if s.State != supervisor.Draining {
			found[s.Name] = s
		}
	}
	for name, s := range e.inForce {
		ip := e.IP
		if s.wild {
			ip = "0.0.0.0"
		}
		got := found[name]
		delete(found, name)
		wrong := !e.broken && e.wanted[name].wrong != ""
		if got.State != supervisor.Serving || got.Addr != net.JoinHostPort(ip, strconv.Itoa(s.port)) ||
			wrong && (got.ConfigCurrent || got.Reason == "") || !e.broken && !wrong && !got.ConfigCurrent {
			e.fails("%s, of which %+v is to be in force: %+v", name, s, got)
		}
		if slices.Contains(e.names[:calm], name) && got.Generation != 1 {
			e.fails("a site that nobody touched: %+v", got)
		}
	}
	if len(found) > 0 {
		e.fails("sites that nobody asked for: %+v", found)
	}
}

// probe sees that a port whose site was edited has what it is to have, on the
// connection that was there before and on a new one.
func (e *edits) probe(port int) {
	e.T.Helper()
	if e.probes[port] == nil {
		e.probes[port] = &visitor{town: &e.town, kind: "the probe", port: port}
	}
	kept := e.probes[port]
	fresh := &visitor{town: &e.town, kind: "the new probe", port: port}
	want := e.lines[port].now()
	if want.site == "" {
		rig.Eventually(e.T, fmt.Sprintf("port %d is closed", port), func() bool {
			w, err := dial(net.JoinHostPort(e.IP, strconv.Itoa(port)))
			if err == nil {
				w.Close()
			}
			return errors.Is(err, syscall.ECONNREFUSED)
		})
		kept.leave()
		return
	}
	for _, v := range []*visitor{kept, fresh} {
		rig.Eventually(e.T, fmt.Sprintf("port %d shows %+v to %s", port, want, v.kind), func() bool {
			return e.T.Failed() || v.visit(asks[0]) && v.last.site == want.site && v.last.gen == want.gen
		})
	}
	fresh.leave()
}
