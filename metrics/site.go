package metrics

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Site holds the handles for one site. All of them may be used concurrently,
// also after the site was forgotten: they then count for nobody.
type Site struct {
	Duration      prometheus.Observer
	InFlight      prometheus.Gauge
	RequestBytes  prometheus.Counter
	ResponseBytes prometheus.Counter
	Idle, Active  prometheus.Gauge // connections by state
	Accepted      prometheus.Counter
	AuthFailures  prometheus.Counter
	Panics        prometheus.Counter
	Tunnels       prometheus.Gauge
	ToTarget      prometheus.Counter // bytes through tunnels
	ToClient      prometheus.Counter
	Up            prometheus.Gauge
	Restarts      prometheus.Counter
	ConfigCurrent prometheus.Gauge
	LogLinesLost  prometheus.Counter

	row      *row
	of       *families
	requests requestCounters
	scripts  map[string]*Script
}

// Script holds the handles for one script block of a site.
type Script struct {
	Duration  prometheus.Observer
	Processes prometheus.Gauge
	Restarts  prometheus.Counter
	CPU       prometheus.Counter // seconds

	name     string
	row      *row
	requests *family
}

// Shape says which series a site has from the start.
type Shape struct {
	Methods       []string // that the site allows
	Scripts       []string // labels of its script blocks
	BadRequests   []string // reasons for bad_requests_total
	Rejected      []string // reasons for connections_rejected_total
	TunnelRefused []string // reasons for tunnel_refused_total
	ScriptResults []string // results for script_requests_total
}

// Site returns the handles for the site with that name and makes the series
// that shape names. Counters go on where they were when the site was known
// already. Series of scripts that shape no longer names stay until Prune: what is
// prepared here may never serve.
func (r *Registry) Site(name string, shape Shape) *Site {
	row := r.table.row(name)
	s := &Site{
		Duration:      r.duration.WithLabelValues(name),
		InFlight:      row.cell(r.inFlight),
		RequestBytes:  row.cell(r.requestBytes),
		ResponseBytes: row.cell(r.responseBytes),
		Idle:          row.cell(r.connections, "idle"),
		Active:        row.cell(r.connections, "active"),
		Accepted:      row.cell(r.accepted),
		AuthFailures:  row.cell(r.authFailures),
		Panics:        row.cell(r.panics),
		Tunnels:       row.cell(r.tunnels),
		ToTarget:      row.cell(r.tunnelBytes, "to_target"),
		ToClient:      row.cell(r.tunnelBytes, "to_client"),
		Up:            row.cell(r.up),
		Restarts:      row.cell(r.restarts),
		ConfigCurrent: row.cell(r.configCurrent),
		LogLinesLost:  row.cell(r.logLinesLost),

		row: row, of: &r.families,
		scripts: make(map[string]*Script, len(shape.Scripts)),
	}
	s.requests.row, s.requests.of = row, r.requests
	for _, m := range shape.Methods {
		for _, code := range []string{"200", "404", "500"} {
			row.cell(r.requests, m, code)
		}
	}
	row.touch(r.rejected, shape.Rejected)
	row.touch(r.badRequests, shape.BadRequests)
	row.touch(r.tunnelRefused, shape.TunnelRefused)
	for _, script := range shape.Scripts {
		s.scripts[script] = r.script(row, script, shape.ScriptResults)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, script := range shape.Scripts {
		if !slices.Contains(r.scriptsOf[name], script) {
			r.scriptsOf[name] = append(r.scriptsOf[name], script)
		}
	}
	return s
}

func (r *Registry) script(row *row, name string, results []string) *Script {
	s := &Script{
		Duration:  r.scriptDuration.WithLabelValues(row.site, name),
		Processes: row.cell(r.scriptProcesses, name),
		Restarts:  row.cell(r.scriptRestarts, name),
		CPU:       row.cell(r.scriptCPU, name),

		name: name, row: row, requests: r.scriptRequests,
	}
	for _, result := range results {
		row.cell(r.scriptRequests, name, result)
	}
	return s
}

// Forget deletes all series of a site.
func (r *Registry) Forget(site string) {
	r.table.forget(site)
	r.duration.DeleteLabelValues(site)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, script := range r.scriptsOf[site] {
		r.scriptDuration.DeleteLabelValues(site, script)
	}
	delete(r.scriptsOf, site)
}

// Prune deletes the series of a site's scripts but those named.
func (r *Registry) Prune(site string, scripts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := slices.DeleteFunc(r.scriptsOf[site], func(script string) bool {
		if slices.Contains(scripts, script) {
			return false
		}
		r.table.drop(site, func(c *column) bool { return r.isOf(c, script) })
		r.scriptDuration.DeleteLabelValues(site, script)
		return true
	})
	if len(left) > 0 {
		r.scriptsOf[site] = left
	} else {
		delete(r.scriptsOf, site)
	}
}

// isOf reports whether a column is that of a script.
func (f *families) isOf(c *column, script string) bool {
	switch c.family {
	case f.scriptRequests, f.scriptProcesses, f.scriptRestarts, f.scriptCPU:
		return c.values[0] == script
	}
	return false
}

// Request counts one answered request. A method that is not of HTTP's is to be
// passed as "other".
func (s *Site) Request(method string, code int) { s.requests.get(method, code).Inc() }

// Rejected counts a connection that was turned away.
func (s *Site) Rejected(reason string) { s.row.cell(s.of.rejected, reason).Inc() }

// BadRequest counts a request that is not HTTP.
func (s *Site) BadRequest(reason string) { s.row.cell(s.of.badRequests, reason).Inc() }

// TunnelRefused counts a refused CONNECT.
func (s *Site) TunnelRefused(reason string) { s.row.cell(s.of.tunnelRefused, reason).Inc() }

// Script returns the handles for the script block with that label, which
// Shape.Scripts must have named.
func (s *Site) Script(name string) *Script { return s.scripts[name] }

// Request counts a request that was handed to the script.
func (s *Script) Request(result string) { s.row.cell(s.requests, s.name, result).Inc() }

// requestCounters resolves http_requests_total by method and code without
// building a label list for each request: a map that is copied on a miss.
type requestCounters struct {
	row   *row
	of    *family
	known atomic.Pointer[map[methodCode]*cell]
	mu    sync.Mutex // held while known is replaced
}

type methodCode struct {
	method string
	code   int
}

func (c *requestCounters) get(method string, code int) *cell {
	key := methodCode{method, code}
	if known := c.known.Load(); known != nil {
		if counter, ok := (*known)[key]; ok {
			return counter
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[methodCode]*cell{}
	if known := c.known.Load(); known != nil {
		next = maps.Clone(*known)
	}
	next[key] = c.row.cell(c.of, method, strconv.Itoa(code))
	c.known.Store(&next)
	return next[key]
}
