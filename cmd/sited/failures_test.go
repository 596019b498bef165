package main_test

import (
	"strings"
	"testing"
	"unicode"

	"sited/rig"
)

// flights is what the tests read of `sited failures -json`.
type flights struct {
	FormatVersion   int `json:"format_version"`
	Site, State     string
	Failed, Slowest []flight
}

type flight struct {
	ID, Method, Target, Error, Script string
	Generation, Status                int
	Trace, Stderr                     []string
	Headers                           []struct{ Name, Value string }
	Phases                            map[string]float64
}

// failures asks for those of a site.
func (f *folder) failures(site string) (all flights) {
	f.T.Helper()
	decode(f.T, f.sited("", "failures", site, "-json"), 0, &all)
	return all
}

// flight waits until one to that target is recorded.
func (f *folder) flight(site, target string) (found flight) {
	f.T.Helper()
	rig.Eventually(f.T, "a flight to "+target+" is recorded", func() bool {
		for _, x := range f.failures(site).Failed {
			if x.Target == target {
				found = x
				return true
			}
		}
		return false
	})
	return found
}

func TestFailures(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	f.Config(strings.Replace(threeSites, `site "app" {`, "site \"app\" {\n  request_id = true", 1))
	f.Write("app/broken.sh", "echo 'the reason is hunter3' >&2; exit 3")
	f.run()

	if r := f.sited("", "failures", "app"); r.status != 0 || !strings.Contains(r.stdout, "site app, serving, generation 1\n\nno failed requests") {
		t.Errorf("before anything has failed: %+v", r)
	}
	secret := []string{basic("alice", "hunter2"), "Cookie: session=hunter2", "X-Api-Key: hunter2", "Referer: http://alice:hunter2@h/"}
	w := dial(t, f.Addr("app"))
	w.send(t, request("GET", "/broken.sh", secret...))
	a := w.answer(t, "GET")
	if a.status != 502 || len(a.get("X-Request-Id")) != 16 {
		t.Fatalf("%+v", a)
	}
	x := f.flight("app", "/broken.sh")
	if x.ID != a.get("X-Request-Id") || x.Status != 502 || x.Generation != 1 || x.Script != "/broken.sh" || !strings.Contains(x.Error, "exit status 3") || x.Phases["total"] <= 0 {
		t.Errorf("%+v", x)
	}
	rig.Eventually(t, "its stderr is there", func() bool {
		return strings.Join(f.flight("app", "/broken.sh").Stderr, "") == "the reason is hunter3"
	})
	r := f.sited("", "failures", "app", f.Path("sites.hcl"), "-n", "1")
	for _, want := range []string{
		"  id " + x.ID + "\n  GET /broken.sh HTTP/1.1\n  502 Bad Gateway in ", ", generation 1\n", "phases ", "trace    path /broken.sh, method GET\n",
		`runs as a script by script ".sh"`, "what it got: ", "Authorization: (redacted, ", "Referer: http://***@h/", "stderr   the reason is hunter3\n",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in:\n%s", want, r.stdout)
		}
	}
	if all := r.stdout + f.sited("", "failures", "app", "-json").stdout; r.status != 0 || r.stderr != "" || strings.Contains(all, "hunter2") || strings.Contains(all, strings.TrimPrefix(basic("alice", "hunter2"), "Authorization: Basic ")) {
		t.Errorf("status %d, or a secret is shown: %s%s", r.status, all, r.stderr)
	}
	for _, word := range []string{`"target":"/broken.sh"`, `"stderr":"the reason`} {
		rig.Eventually(t, "the log has the id with "+word, func() bool { return rig.Lines(f.Read("logs/app/failed.log"), `"id":"`+x.ID+`"`, word) > 0 })
	}
}

// Whatever a client sends, a terminal gets nothing to obey.
func TestFailuresAreSafeToPrint(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	f.run()
	w := dial(t, f.Addr("static"))
	w.send(t, request("GET", "/%1b%5b31m%c2%9b2J%e2%80%ae", "User-Agent: \u009b31m\u202e"))
	w.answer(t, "GET")
	f.flight("static", "/%1b%5b31m%c2%9b2J%e2%80%ae")
	w = dial(t, f.Addr("upload"))
	w.send(t, "\x1b]0;pwned\a \x1b[31m\r\n\r\n")
	w.answer(t, "GET")
	rig.Eventually(t, "it is recorded", func() bool { return len(f.failures("upload").Failed) == 1 })
	for _, args := range [][]string{{"failures", "static"}, {"failures", "static", "-json"}, {"failures", "upload"}, {"failures", "upload", "-json"}} {
		r := f.sited("", args...)
		for _, c := range strings.ReplaceAll(r.stdout, "\n", "") {
			if !unicode.IsPrint(c) {
				t.Errorf("%q: %U in %q", args, c, r.stdout)
				break
			}
		}
	}
}

func TestFailuresOfNoSite(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	if r := f.sited("", "failures", "app"); r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "no sited answers at") {
		t.Errorf("before it runs: %+v", r)
	}
	f.run()
	r := f.sited("", "failures", "statik")
	if r.status != 1 || r.stdout != "" || r.stderr != "sited: there is no site \"statik\"; did you mean \"static\"? (there are: app, static, upload)\n" {
		t.Errorf("%+v", r)
	}
	for _, args := range [][]string{{"failures"}, {"failures", "app", "-n", "-1"}, {"failures", "app", "-n", "many"}} {
		if r := f.sited("", args...); r.status != 1 || r.stdout != "" || !strings.HasPrefix(r.stderr, "sited: ") {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if r := f.sited("", "help", "failures"); r.status != 0 || !strings.Contains(r.stdout, "Exit status: 0, or 1") {
		t.Errorf("%+v", r)
	}
}

// A reload and a block that is wrong leave what was recorded; -n says how much of
// it is shown.
func TestFailuresAfterAReload(t *testing.T) {
	t.Parallel()
	f := newSites(t)
	p := f.run()
	get := func(target string) {
		w := dial(t, f.Addr("static"))
		w.send(t, request("GET", target))
		w.answer(t, "GET")
		f.flight("static", target)
	}
	get("/one")
	f.Config(strings.Replace(threeSites, "root = \"static\"", "root = \"static\"\n  index = []", 1))
	p.reloads("applied")
	get("/two")
	f.Config(strings.Replace(threeSites, "root = \"static\"", "rot = \"static\"", 1))
	p.reloads("refused")
	all := f.failures("static")
	if len(all.Failed) != 2 || all.Failed[0].Target != "/two" || all.Failed[0].Generation != 2 || all.Failed[1].Generation != 1 {
		t.Errorf("%+v", all.Failed)
	}
	var one flights
	decode(t, f.sited("", "failures", "static", "-json", "-n", "1"), 0, &one)
	if len(one.Failed) != 1 || one.FormatVersion != 1 || one.State != "serving" {
		t.Errorf("%+v", one)
	}
}
