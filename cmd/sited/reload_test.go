package main_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"sited/rig"
)

// twoSites is a configuration with a part that stays and one that tests change.
func twoSites(changing string) string {
	return `
admin {
  @admin
}
site "calm" {
  @calm
  root = "v1"
}
` + changing
}

func web(root string) string {
	return "site \"web\" {\n  @web\n  root = \"" + root + "\"\n}\n"
}

func newReload(t *testing.T, more ...string) *folder {
	t.Helper()
	f := newFolder(t, append([]string{"calm", "web"}, more...)...)
	for _, v := range []string{"v1", "v2", "v3"} {
		f.Write(v+"/index.html", v)
		f.Write(v+"/slow.sh", "printf 'Content-Type: text/plain\\n\\n'; : > started; until [ -e go ]; do sleep 0.02; done; echo "+v)
	}
	f.Config(twoSites(web("v1")))
	return f
}

// shows waits until a site answers with that index page.
func (f *folder) shows(site, want string) {
	f.T.Helper()
	rig.Eventually(f.T, site+" shows "+want, func() bool {
		a, err := exchange(f.Addr(site), request("GET", "/"))
		return err == nil && a.body == want
	})
}

// refuses waits until nobody listens on a site's address.
func (f *folder) refuses(site string) {
	f.T.Helper()
	rig.Eventually(f.T, "connections to "+site+" are refused", func() bool {
		w, err := connect(f.Addr(site))
		if err == nil {
			w.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}

func TestReloadTriggers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		flags  []string
		change func(f *folder, p *process, text string)
	}{
		{"written in place", nil, func(f *folder, _ *process, text string) { f.Config(text) }},
		{"renamed into place", nil, func(f *folder, _ *process, text string) { f.ReplaceConfig(text) }},
		{"removed and written", nil, func(f *folder, _ *process, text string) {
			rig.Must(f.T, os.Remove(f.Path("sites.hcl")))
			f.Config(text)
		}},
		{"SIGHUP", []string{"-watch=false"}, func(f *folder, p *process, text string) {
			f.Config(text)
			p.Signal(syscall.SIGHUP)
		}},
		{"sited reload", []string{"-watch=false"}, func(f *folder, _ *process, text string) {
			f.Config(text)
			if r := f.sited("", "reload"); r.status != 0 || !strings.Contains(r.stdout, "~ swap    web") || !strings.Contains(r.stdout, "Applied: 1 swapped, 1 unchanged.") {
				f.T.Errorf("%+v", r)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newReload(t)
			p := f.run(tt.flags...)
			calm, changing := dial(t, f.Addr("calm")), dial(t, f.Addr("web"))
			for i, v := range []string{"v1", "v2", "v3"} {
				if i > 0 {
					tt.change(f, p, twoSites(web(v)))
					f.shows("web", v)
				}
				if a := changing.get(t, "/"); a.body != v {
					t.Errorf("the kept connection shows %q, want %s", a.body, v)
				}
				if a := calm.get(t, "/"); a.body != "v1" {
					t.Errorf("the other site: %+v", a)
				}
			}
			if calm, web := p.site("calm"), p.site("web"); calm.Generation != 1 || web.Generation != 3 || calm.Connections != 1 {
				t.Errorf("%+v\n%+v", calm, web)
			}
		})
	}
}

// As Kubernetes mounts a ConfigMap: the file is a link into ..data, which is a
// link that is swapped.
func TestReloadConfigMap(t *testing.T) {
	t.Parallel()
	f := newReload(t)
	mount := func(version, text string) {
		f.Write(version+"/sites.hcl", f.Fill(text))
		rig.Must(t, errors.Join(os.Symlink(version, f.Path("..data_tmp")), os.Rename(f.Path("..data_tmp"), f.Path("..data"))))
	}
	rig.Must(t, os.Remove(f.Path("sites.hcl")))
	mount("..2026_1", twoSites(web("v1")))
	rig.Must(t, os.Symlink("..data/sites.hcl", f.Path("sites.hcl")))
	f.run()
	f.shows("web", "v1")
	mount("..2026_2", twoSites(web("v2")))
	f.shows("web", "v2")
	mount("..2026_3", twoSites(web("v3")))
	f.shows("web", "v3")
}

// What the file function has read is a part of the configuration, and so are all
// files of a folder.
func TestReloadOtherFiles(t *testing.T) {
	t.Parallel()
	f := newReload(t)
	f.Write("root.txt", "v1")
	f.Config(twoSites("site \"web\" {\n  @web\n  root = file(\"root.txt\")\n}\n"))
	f.run()
	f.shows("web", "v1")
	f.Write("root.txt", "v2")
	f.shows("web", "v2")
}

func TestReloadAddsAndRemoves(t *testing.T) {
	t.Parallel()
	f := newReload(t, "third")
	p := f.run()
	calm := dial(t, f.Addr("calm"))
	calm.get(t, "/")
	idle := dial(t, f.Addr("web"))
	idle.get(t, "/")

	f.ReplaceConfig(twoSites(web("v1") + "site \"third\" {\n  @third\n  root = \"v3\"\n}\n"))
	f.shows("third", "v3")
	f.ReplaceConfig(twoSites("site \"third\" {\n  @third\n  root = \"v3\"\n}\n"))
	f.refuses("web")
	idle.closed(t)
	rig.Eventually(t, "the removed site is forgotten", func() bool { return p.site("web").Name == "" })
	for name := range p.scrape() {
		if strings.Contains(name, `site="web"`) {
			t.Errorf("%s is still there", name)
		}
	}
	f.Config(twoSites(web("v2")))
	f.refuses("third")
	f.shows("web", "v2")
	if n := p.scrape()[`sited_http_requests_total{code="200",method="GET",site="web"}`]; n > 3 {
		t.Errorf("a site that came back counts on from %v", n)
	}
	if a := calm.get(t, "/"); a.body != "v1" || p.site("calm").Generation != 1 {
		t.Errorf("the site that nobody touched: %+v", a)
	}
}

func TestReloadKeepsLastGood(t *testing.T) {
	t.Parallel()
	f := newReload(t, "third")
	p := f.run()
	third := func(root string) string { return "site \"third\" {\n  @third\n  root = \"" + root + "\"\n}\n" }
	f.Config(twoSites(web("v1") + third("v1")))
	f.shows("third", "v1")

	// One block is wrong: it stays as it was, the other one changes.
	f.Config(twoSites(strings.Replace(web("v2"), "root", "rooot", 1) + third("v2")))
	f.shows("third", "v2")
	f.shows("web", "v1")
	rig.Eventually(t, "the metrics say so", func() bool {
		m := p.scrape()
		return m[`sited_site_config_current{site="web"}`] == 0 && m[`sited_site_up{site="web"}`] == 1 &&
			m[`sited_site_config_current{site="third"}`] == 1 && m["sited_config_last_reload_successful"] == 0 &&
			m[`sited_config_reloads_total{result="partial"}`] == 1
	})
	if s := p.site("web"); s.State != "serving" || s.ConfigCurrent || !strings.Contains(s.Reason, `Did you mean "root"?`) {
		t.Errorf("%+v", s)
	}
	p.logged("configuration", "rooot", `Did you mean`)

	// The file can't be parsed: nothing changes, and nothing stops.
	f.Config(twoSites(web("v3") + third("v3") + "site {{{"))
	rig.Eventually(t, "the file is refused", func() bool { return p.scrape()[`sited_config_reloads_total{result="refused"}`] == 1 })
	f.shows("third", "v2")
	f.shows("web", "v1")

	// Mended, everything is in force again.
	f.Config(twoSites(web("v3") + third("v3")))
	f.shows("third", "v3")
	f.shows("web", "v3")
	rig.Eventually(t, "the metrics say so", func() bool {
		m := p.scrape()
		return m[`sited_site_config_current{site="web"}`] == 1 && m["sited_config_last_reload_successful"] == 1
	})
	if s := p.site("calm"); s.Generation != 1 {
		t.Errorf("the site that nobody touched: %+v", s)
	}
}

func TestReloadHandsPortOver(t *testing.T) {
	t.Parallel()
	f := newReload(t)
	p := f.run("-watch=false")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { // every connection is taken, whoever has the port
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, site := range []string{"calm", "web"} {
				if a, err := exchange(f.Addr(site), request("GET", "/")); err != nil || a.status != 200 {
					t.Errorf("%s: %+v, %v", site, a, err)
					return
				}
			}
		}
	}()
	there := `
admin {
  @admin
}
site "calm" {
  @calm
  root = "v1"
}
site "web" {
  @web
  root = "v2"
}`
	back := strings.NewReplacer("@calm", "@web", "@web", "@calm").Replace(there)
	for range 5 {
		for _, text := range []string{back, there} {
			f.Config(text)
			p.reloads("applied")
		}
	}
	f.Config(back)
	if r := p.reloads("applied"); r.op("calm") != "rebind applied" || r.op("web") != "rebind applied" {
		t.Errorf("%+v", r)
	}
	close(stop)
	<-done
	f.shows("web", "v1")
	f.shows("calm", "v2")

	// A site that goes leaves its port to one that comes.
	f.Config(`
admin {
  @admin
}
site "new" {
  @web
  root = "v3"
}`)
	p.reloads("applied")
	f.shows("web", "v3")
	f.refuses("calm")
}

// What is in flight when a site changes or goes is answered as it began.
func TestReloadLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	f := newReload(t)
	scripts := func(root string) string {
		return strings.Replace(web(root), "root", "script \".sh\" { command = [\"/bin/sh\"] }\n  root", 1)
	}
	f.Config(twoSites(scripts("v1")))
	p := f.run("-watch=false")
	begin := func(version string) *wire {
		w := dial(t, f.Addr("web"))
		w.send(t, request("GET", "/slow.sh"))
		rig.Eventually(t, "the script runs", func() bool { return f.exists(version + "/started") })
		return w
	}
	first := begin("v1")
	f.Config(twoSites(scripts("v2")))
	p.reloads("applied")
	f.shows("web", "v2")
	second := begin("v2")
	f.Config(twoSites(""))
	p.reloads("applied")
	f.refuses("web")
	if s := p.site("web"); s.State != "draining" {
		t.Errorf("%+v", s)
	}
	f.Write("v1/go", "")
	f.Write("v2/go", "")
	if a := first.answer(t, "GET"); a.body != "v1\n" {
		t.Errorf("begun before the change: %+v", a)
	}
	if a := second.answer(t, "GET"); a.body != "v2\n" {
		t.Errorf("begun before the removal: %+v", a)
	}
	rig.Eventually(t, "the site is gone", func() bool { return p.site("web").Name == "" })
}
