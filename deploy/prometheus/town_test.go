package prometheus_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"

	"sited/rig"
)

// towns are two machines: one with a site for each kind of trouble, and one that is
// started again and again.
type towns struct {
	t           *testing.T
	main, other *rig.Rig
	sited       *rig.Process
	client      http.Client
	held        []net.Conn
	load        sync.WaitGroup
	stop        context.CancelFunc
}

const mainSites = `
admin {
  @admin
}
defaults {
  methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT"]
}
site "web" {
  @web
  root      = "web"
  passwords = "users"
  protect "/private/**" {}
  connect {
    allow = ["ECHO"]
  }
  redirect "/old/**" {
    to = "/page.html"
  }
}
site "app" {
  @app
  root = "app"
  script ".sh" {
    command = ["sh"]
    workers = 1
  }
  script ".cgi" {
    command = ["sh"]
    workers = 4
  }
  script ".late" {
    command = ["sh"]
    timeout = "400ms"
  }
  limits {
    max_in_flight = 6
  }
}
site "small" {
  @small
  root = "web"
  limits {
    max_connections = 5
  }
}
site "nolog" {
  @nolog
  root = "web"
  logs {
    passed = "/dev/full"
    failed = "/dev/full"
  }
}
site "rootless" {
  @rootless
  root = "not there"
}
site "quiet" {
  @quiet
  root = "web"
}
`

// takenSite can't start: its address is taken.
const takenSite = `
site "taken" {
  @taken
  root = "web"
}
`

const otherSites = `
admin {
  @admin
}
site "far" {
  @far
  root = "web"
}
`

// newTowns starts both machines.
func newTowns(t *testing.T) *towns {
	o := &towns{t: t}
	o.client = http.Client{Timeout: 2 * rig.Patience, Transport: &http.Transport{MaxIdleConnsPerHost: 8},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	o.main = rig.New(t, binary, "web", "app", "small", "nolog", "taken", "rootless", "quiet", "prometheus", "native", "nobody")
	o.other = rig.New(t, binary, "far")
	o.main.Write("web/page.html", strings.Repeat("page\n", 1000))
	o.main.Write("web/private/secret.html", "secret")
	for name, script := range map[string]string{
		"slow.sh":    "sleep 0.6; printf 'Content-Type: text/plain\\n\\nslow\\n'",
		"ok.cgi":     "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; printf 'Content-Type: text/plain\\n\\nok\\n'",
		"broken.cgi": "echo nonsense; echo why >&2; exit 1",
		"hangs.late": "sleep 5",
	} {
		o.main.Write("app/"+name, script+"\n")
	}
	o.main.Write("app/index.html", "page")
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	rig.Must(t, err)
	o.main.Write("users", "alice:"+string(hash)+"\n")
	o.other.Write("web/index.html", "page")
	o.other.Config(otherSites)

	taken, err := net.Listen("tcp", o.main.Addrs["taken"])
	rig.Must(t, err)
	t.Cleanup(func() { taken.Close() })
	o.main.Config(o.text() + takenSite)
	o.sited = o.main.Launch()
	t.Cleanup(o.leave) // before it is stopped, which would wait for them
	o.sited.Alive()
	return o
}

// text is the configuration of the main machine, without the site that can't start.
func (o *towns) text() string {
	return strings.Replace(mainSites, "ECHO", o.main.IP+":*", 1)
}

// leave closes what is still open.
func (o *towns) leave() {
	if o.stop != nil {
		o.stop()
	}
	o.load.Wait()
	for _, c := range o.held {
		c.Close()
	}
	o.held = nil
	o.client.CloseIdleConnections()
}

// ask sends a request and reads the answer; 0 for none.
func (o *towns) ask(method, site, path string, edit func(*http.Request)) int {
	var body io.Reader
	if method == "PUT" || method == "POST" {
		body = strings.NewReader(strings.Repeat("body", 500))
	}
	req, err := http.NewRequest(method, o.main.URL(site, path), body)
	if err != nil {
		return 0
	}
	if edit != nil {
		edit(req)
	}
	res, err := o.client.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0
	}
	return res.StatusCode
}

func user(password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth("alice", password) }
}

// wantAll sees what each request gets.
func (o *towns) wantAll(requests []struct {
	status             int
	method, site, path string
	edit               func(*http.Request)
}) {
	o.t.Helper()
	for _, r := range requests {
		if status := o.ask(r.method, r.site, r.path, r.edit); status != r.status {
			o.t.Errorf("%s %s at %s: %d, want %d", r.method, r.path, r.site, status, r.status)
		}
	}
}

// visit has everything happen once.
func (o *towns) visit() {
	o.t.Helper()
	o.wantAll([]struct {
		status             int
		method, site, path string
		edit               func(*http.Request)
	}{
		{200, "GET", "web", "/page.html", nil},
		{200, "HEAD", "web", "/page.html", nil},
		{404, "GET", "web", "/nothing", nil},
		{302, "GET", "web", "/old/page", nil},
		{206, "GET", "web", "/page.html", func(r *http.Request) { r.Header.Set("Range", "bytes=0-9") }},
		{401, "GET", "web", "/private/secret.html", nil},
		{200, "GET", "web", "/private/secret.html", user("right")},
		{501, "BREW", "web", "/", nil},
		{201, "PUT", "web", "/new", nil},
		{204, "DELETE", "web", "/new", nil},
		{503, "GET", "rootless", "/", nil},
		{200, "GET", "nolog", "/page.html", nil},
		{404, "GET", "nolog", "/nothing", nil},
		{504, "GET", "app", "/hangs.late", nil},
	})
	for range 12 {
		o.wantAll([]struct {
			status             int
			method, site, path string
			edit               func(*http.Request)
		}{
			{502, "GET", "app", "/broken.cgi", nil},
			{200, "GET", "app", "/ok.cgi", nil},
		})
	}
	for range 150 {
		o.ask("GET", "app", "/", nil)
	}
	o.raw("web", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400")
	o.raw("web", "nonsense\r\n\r\n", "HTTP/1.1 400")
	o.raw("web", "CONNECT 192.0.2.1:25 HTTP/1.1\r\nHost: 192.0.2.1:25\r\n\r\n", "HTTP/1.1 403")
	o.tryPasswords(200)
	o.tunnel()
	for range 5 { // all that there may be, and then some
		o.hold("small", "GET /page.html HTTP/1.1\r\nHost: small\r\n\r\n", "HTTP/1.1 200")
	}
	for range 10 {
		o.raw("small", "", "HTTP/1.1 503")
	}
}

// tryPasswords tries wrong ones, some at a time.
func (o *towns) tryPasswords(n int) {
	o.t.Helper()
	var guests sync.WaitGroup
	for range 4 {
		guests.Go(func() {
			for range n / 4 {
				if status := o.ask("GET", "web", "/private/secret.html", user("wrong")); status != 401 {
					o.t.Errorf("a wrong password: %d", status)
				}
			}
		})
	}
	guests.Wait()
}

// hold opens a connection that stays, says something on it, and wants the first
// line of the answer to begin so.
func (o *towns) hold(site, say, want string) net.Conn {
	o.t.Helper()
	conn, err := net.DialTimeout("tcp", o.main.Addrs[site], rig.Patience)
	rig.Must(o.t, err)
	o.held = append(o.held, conn)
	conn.SetDeadline(time.Now().Add(2 * rig.Patience))
	_, err = io.WriteString(conn, say)
	rig.Must(o.t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if !strings.HasPrefix(line, want) {
		o.t.Errorf("%q at %s: %q, %v; want %q", say, site, line, err, want)
	}
	return conn
}

// raw is hold, and the connection is closed.
func (o *towns) raw(site, say, want string) {
	o.t.Helper()
	o.hold(site, say, want).Close()
	o.held = o.held[:len(o.held)-1]
}

// tunnel opens one to a listener of the test, and has bytes go both ways.
func (o *towns) tunnel() {
	o.t.Helper()
	ln, err := net.Listen("tcp", o.main.IP+":0")
	rig.Must(o.t, err)
	defer ln.Close()
	to := ln.Addr().String()
	conn := o.hold("web", fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to), "HTTP/1.1 200")
	target, err := ln.Accept()
	rig.Must(o.t, err)
	o.held = append(o.held, target)
	for _, way := range [][2]net.Conn{{conn, target}, {target, conn}} {
		_, err := way[0].Write([]byte("hello"))
		rig.Must(o.t, err)
		way[1].SetReadDeadline(time.Now().Add(rig.Patience))
		_, err = way[1].Read(make([]byte, 5))
		rig.Must(o.t, err)
	}
}

// keepBusy has clients ask for nearly as much as the app may have in flight, of
// which its slow script can do one at a time, until stop.
func (o *towns) keepBusy() {
	ctx, stop := context.WithCancel(o.t.Context())
	o.stop = stop
	for range 5 {
		o.load.Go(func() {
			for ctx.Err() == nil {
				o.ask("GET", "app", "/slow.sh", func(r *http.Request) { *r = *r.WithContext(ctx) })
			}
		})
	}
	o.load.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			o.ask("GET", "web", fmt.Sprint("/page.html?", i), nil)
			if i%5 == 0 {
				o.ask("GET", "app", "/broken.cgi", nil) // sited_http_requests_total is there with its first 502 only
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
}

// startAgain starts the other machine's sited n+1 times, each of which seen by
// Prometheus has to tell, and then breaks its configuration.
func (o *towns) startAgain(n int, seen func(starts int) bool) {
	o.t.Helper()
	for i := range n + 1 {
		p := o.other.Start()
		rig.Eventually(o.t, "Prometheus notices that it was started", func() bool { return seen(i + 1) })
		if i < n {
			p.Stop()
		}
	}
	o.other.Config("garbage")
}

// reconfigure has a good change taken in, by which the site whose address is taken
// goes, and then one by which it is back and a block is refused.
func (o *towns) reconfigure() {
	o.t.Helper()
	o.main.ReplaceConfig(o.text())
	rig.Eventually(o.t, "the change is taken in", func() bool {
		n, err := o.sited.Metric(`sited_config_last_reload_successful`)
		return err == nil && n == 1
	})
	o.main.ReplaceConfig(strings.Replace(o.text(), `root      = "web"`, "root = 7", 1) + takenSite)
	rig.Eventually(o.t, "a block is refused", func() bool {
		n, err := o.sited.Metric(`sited_site_config_current{site="web"}`)
		return err == nil && n == 0
	})
}

// scarce leaves the main machine hardly any more file descriptors than it has open.
func (o *towns) scarce() {
	o.t.Helper()
	for range 100 { // that a sixth is enough for Prometheus and the scripts
		o.hold("web", "HEAD /page.html HTTP/1.1\r\nHost: web\r\n\r\n", "HTTP/1.1 200")
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", o.sited.Cmd.Process.Pid))
	rig.Must(o.t, err)
	var limit unix.Rlimit
	rig.Must(o.t, unix.Prlimit(o.sited.Cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &limit))
	limit.Cur = uint64(len(open) + len(open)/6)
	rig.Must(o.t, unix.Prlimit(o.sited.Cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil))
}

// logged reports whether an access log has the text.
func (o *towns) logged(text string) bool {
	names, err := filepath.Glob(o.main.Path("logs/*/*.log"))
	rig.Must(o.t, err)
	for _, name := range names {
		b, err := os.ReadFile(name)
		rig.Must(o.t, err)
		if bytes.Contains(b, []byte(text)) {
			return true
		}
	}
	return false
}
