package supervisor

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	screenshots = flag.String("screenshots", "", "`folder` for pictures of the status page under load; see scripts/screenshot")
	loadFor     = flag.Duration("load", 5*time.Minute+20*time.Second, "how long the load runs before the pictures are taken")
)

// visited is a site of the picture and what its visitors ask for.
type visited struct {
	name, block string
	perSecond   float64
	paths       []string // one of them for each request
}

const ok = `#!/bin/sh
printf 'Content-Type: text/plain\n\nfine\n'
`

var visitedSites = []visited{
	{name: "shop", perSecond: 240, paths: []string{"/", "/", "/photo.jpg", "/style.css"}},
	{name: "blog", perSecond: 60, paths: append(slices.Repeat([]string{"/", "/style.css"}, 100), "/wp-login.php")},
	{name: "docs", perSecond: 35, paths: []string{"/", "/style.css"}},
	{name: "cdn", perSecond: 150, paths: []string{"/photo.jpg"}},
	{name: "intranet", perSecond: 2, paths: []string{"/"}},
	{name: "archive", paths: []string{"/"}},
	{name: "wiki", perSecond: 14, paths: []string{"/"}},
	{name: "bookings", perSecond: 8, paths: []string{"/ok.cgi", "/ok.cgi", "/ok.cgi", "/ok.cgi", "/ok.cgi?day=14", "/ok.cgi", "/ok.cgi", "/pay.cgi?order=8812", "/ok.cgi", "/ok.cgi", "/ok.cgi", "/report.cgi"},
		block: "script \".cgi\" {\n    timeout = \"1s\"\n  }"},
}

// TestScreenshots makes pictures of the page under real load. It is no test of
// anything, and asks for minutes: it runs only where -screenshots says so.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("only with -screenshots")
	}
	folder, err := filepath.Abs(*screenshots)
	must(t, err, os.MkdirAll(folder, 0o755))
	dir := filepath.Join(os.TempDir(), "demo")
	must(t, os.Mkdir(dir, 0o755))
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	var taken net.Listener
	r := newRig(t, func(o *Options) {
		o.File, o.Version, o.BackoffMin, o.BackoffMax = filepath.Join(dir, "sites.hcl"), "demo", time.Second, time.Minute
	})
	r.dir, r.ip, r.admin = dir, "127.0.0.2", 9180
	taken, err = net.Listen("tcp4", r.addr(8090))
	must(t, err)
	t.Cleanup(func() { taken.Close() })
	blocks := func(edit map[string]string) (all []string) {
		for i, v := range visitedSites {
			root := filepath.Join(dir, v.name)
			must(t, os.MkdirAll(root, 0o755))
			block := v.block + edit[v.name]
			all = append(all, fmt.Sprintf("site %q {\n  ip = %q\n  port = %d\n  root = %q\n  %s\n}\n", v.name, r.ip, 8081+i, root, block))
		}
		return append(all, fmt.Sprintf("site \"mail\" {\n  ip = %q\n  port = 8090\n  root = %q\n}\n", r.ip, filepath.Join(dir, "docs")))
	}
	r.config(blocks(nil)...)
	for _, v := range visitedSites {
		fill(t, filepath.Join(dir, v.name))
	}
	r.start()
	<-r.ready
	ctx, stop := context.WithTimeout(context.Background(), *loadFor+time.Minute)
	defer stop()
	done := make(chan struct{})
	for i, v := range visitedSites {
		go func() {
			visit(ctx, "http://"+netip.AddrPortFrom(netip.MustParseAddr(r.ip), uint16(8081+i)).String(), &v, float64(i))
			done <- struct{}{}
		}()
	}
	at := func(share float64) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(share * float64(*loadFor))):
		}
	}
	at(.3)
	r.config(blocks(map[string]string{"shop": "methods = [\"GET\", \"HEAD\", \"POST\", \"OPTIONS\"]"})...)
	r.reloadAs(Request{Trigger: "signal"}, "partial")
	at(.3)
	r.config(blocks(map[string]string{"shop": "methods = [\"GET\", \"HEAD\", \"POST\", \"OPTIONS\"]", "wiki": "metods = [\"GET\"]", "blog": "index = [\"index.html\"]\n  listing = true"})...)
	r.reloadAs(Request{Trigger: "watch"}, "partial")
	at(.4)
	picture(r, folder)
	stop()
	for range visitedSites {
		<-done
	}
}

// fill puts something to be asked for into a root.
func fill(t *testing.T, root string) {
	t.Helper()
	write(t, filepath.Join(root, "index.html"), "<!doctype html><title>hello</title>"+strings.Repeat("<p>hello</p>", 100))
	write(t, filepath.Join(root, "style.css"), strings.Repeat("p { color: teal }\n", 50))
	must(t, os.WriteFile(filepath.Join(root, "photo.jpg"), bytes.Repeat([]byte{0xff}, 80<<10), 0o644))
	for name, text := range map[string]string{
		"ok.cgi":     ok,
		"pay.cgi":    "#!/bin/sh\necho 'pay: the bank did not answer: connection refused' >&2\necho 'pay: giving up order 8812' >&2\nexit 3\n",
		"report.cgi": "#!/bin/sh\necho 'report: reading 2,481,220 rows' >&2\nexec sleep 5\n",
	} {
		must(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o755))
	}
}

// visit asks v for something, about as often as it says, until ctx ends.
func visit(ctx context.Context, url string, v *visited, phase float64) {
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	begun := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		much := v.perSecond * (1 + .35*math.Sin(time.Since(begun).Seconds()/35+phase) + .5*(rand.Float64()-.5))
		wait := time.Second
		if much > 0 {
			wait = time.Duration(float64(time.Second) / much)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if v.perSecond == 0 {
			continue
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+v.paths[n%len(v.paths)], nil)
		if err != nil {
			return
		}
		req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
		if res, err := client.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	}
}

func picture(r *rig, folder string) {
	r.t.Helper()
	b := startBrowser(r.t)
	for _, p := range []struct {
		name, scheme  string
		width, height int
	}{
		{"light", "light", 1200, 1440}, {"dark", "dark", 1200, 1440}, {"tablet", "light", 800, 2600}, {"phone", "light", 360, 4000}, {"phone-dark", "dark", 360, 4000},
	} {
		b.see(p.width, 900, p.scheme)
		b.open("http://" + r.addr(r.admin) + "/")
		b.wait(`document.getElementById('age').textContent === 'Live'`)
		b.screenshot(filepath.Join(folder, "page-"+p.name+".png"), p.width, p.height)
	}
	b.see(1200, 900, "light")
	b.eval(`document.querySelectorAll('.failures details').forEach((d, i) => d.open = i < 3)`, nil)
	b.screenshot(filepath.Join(folder, "page-open.png"), 1200, 3200)
}
