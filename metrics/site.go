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

	rejected      *prometheus.CounterVec // by reason
	badRequests   *prometheus.CounterVec // by reason
	tunnelRefused *prometheus.CounterVec // by reason
	requests      requestCounters
	scripts       map[string]*Script
}

// Script holds the handles for one script block of a site.
type Script struct {
	Duration  prometheus.Observer
	Processes prometheus.Gauge
	Restarts  prometheus.Counter
	CPU       prometheus.Counter // seconds

	requests *prometheus.CounterVec // by result
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
	label := prometheus.Labels{"site": name}
	s := &Site{
		Duration:      r.duration.With(label),
		InFlight:      r.inFlight.With(label),
		RequestBytes:  r.requestBytes.With(label),
		ResponseBytes: r.responseBytes.With(label),
		Idle:          r.connections.WithLabelValues(name, "idle"),
		Active:        r.connections.WithLabelValues(name, "active"),
		Accepted:      r.accepted.With(label),
		AuthFailures:  r.authFailures.With(label),
		Panics:        r.panics.With(label),
		Tunnels:       r.tunnels.With(label),
		ToTarget:      r.tunnelBytes.WithLabelValues(name, "to_target"),
		ToClient:      r.tunnelBytes.WithLabelValues(name, "to_client"),
		Up:            r.up.With(label),
		Restarts:      r.restarts.With(label),
		ConfigCurrent: r.configCurrent.With(label),

		rejected:      r.rejected.MustCurryWith(label),
		badRequests:   r.badRequests.MustCurryWith(label),
		tunnelRefused: r.tunnelRefused.MustCurryWith(label),
		scripts:       make(map[string]*Script, len(shape.Scripts)),
	}
	s.requests.vec = r.requests.MustCurryWith(label)
	for _, m := range shape.Methods {
		for _, code := range []int{200, 404, 500} {
			s.requests.get(m, code)
		}
	}
	touch(s.rejected, shape.Rejected)
	touch(s.badRequests, shape.BadRequests)
	touch(s.tunnelRefused, shape.TunnelRefused)
	for _, script := range shape.Scripts {
		s.scripts[script] = r.script(label, script, shape.ScriptResults)
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

func touch(v *prometheus.CounterVec, values []string) {
	for _, value := range values {
		v.WithLabelValues(value)
	}
}

func (r *Registry) script(site prometheus.Labels, name string, results []string) *Script {
	label := maps.Clone(site)
	label["script"] = name
	s := &Script{
		Duration:  r.scriptDuration.With(label),
		Processes: r.scriptProcesses.With(label),
		Restarts:  r.scriptRestarts.With(label),
		CPU:       r.scriptCPU.With(label),
		requests:  r.scriptRequests.MustCurryWith(label),
	}
	touch(s.requests, results)
	return s
}

// Forget deletes all series of a site.
func (r *Registry) Forget(site string) {
	for _, v := range r.perSite {
		v.DeletePartialMatch(prometheus.Labels{"site": site})
	}
	r.mu.Lock()
	delete(r.scriptsOf, site)
	r.mu.Unlock()
}

// Prune deletes the series of a site's scripts but those named.
func (r *Registry) Prune(site string, scripts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scriptsOf[site] = slices.DeleteFunc(r.scriptsOf[site], func(script string) bool {
		if slices.Contains(scripts, script) {
			return false
		}
		for _, v := range r.perScript {
			v.DeletePartialMatch(prometheus.Labels{"site": site, "script": script})
		}
		return true
	})
}

// Request counts one answered request. A method that is not of HTTP's is to be
// passed as "other".
func (s *Site) Request(method string, code int) { s.requests.get(method, code).Inc() }

// Rejected counts a connection that was turned away.
func (s *Site) Rejected(reason string) { s.rejected.WithLabelValues(reason).Inc() }

// BadRequest counts a request that is not HTTP.
func (s *Site) BadRequest(reason string) { s.badRequests.WithLabelValues(reason).Inc() }

// TunnelRefused counts a refused CONNECT.
func (s *Site) TunnelRefused(reason string) { s.tunnelRefused.WithLabelValues(reason).Inc() }

// Script returns the handles for the script block with that label, which
// Shape.Scripts must have named.
func (s *Site) Script(name string) *Script { return s.scripts[name] }

// Request counts a request that was handed to the script.
func (s *Script) Request(result string) { s.requests.WithLabelValues(result).Inc() }

// requestCounters resolves http_requests_total by method and code without
// building a label list for each request: a map that is copied on a miss.
type requestCounters struct {
	vec   *prometheus.CounterVec
	known atomic.Pointer[map[methodCode]prometheus.Counter]
	mu    sync.Mutex // held while known is replaced
}

type methodCode struct {
	method string
	code   int
}

func (c *requestCounters) get(method string, code int) prometheus.Counter {
	key := methodCode{method, code}
	if known := c.known.Load(); known != nil {
		if counter, ok := (*known)[key]; ok {
			return counter
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[methodCode]prometheus.Counter{}
	if known := c.known.Load(); known != nil {
		next = maps.Clone(*known)
	}
	next[key] = c.vec.WithLabelValues(method, strconv.Itoa(code))
	c.known.Store(&next)
	return next[key]
}
