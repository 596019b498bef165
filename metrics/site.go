package metrics

import "slices"

// Site holds the handles for one site. All of them may be used concurrently,
// also after the site was forgotten: they then count for nobody.
type Site struct {
	InFlight      *Gauge
	Idle, Active  *Gauge // connections by state
	Accepted      *Counter
	AuthFailures  *Counter
	Panics        *Counter
	Tunnels       *Gauge
	ToTarget      *Counter // bytes through tunnels
	ToClient      *Counter
	Up            *Gauge
	Restarts      *Counter
	ConfigCurrent *Gauge
	LogLinesLost  *Counter

	duration, firstByte         *Histogram
	requestBytes, responseBytes *Counter
	connectionsLimit            *Gauge
	inFlightLimit               *Gauge

	row      *row
	group    *group
	of       *families
	requests requestCounters
	scripts  []*Script
}

// Script holds the handles for one script block of a site.
type Script struct {
	Duration   *Histogram
	Processes  *Gauge
	Limit      *Gauge // of Processes
	Waiting    *Gauge
	Restarts   *Counter
	CPU        *Counter // seconds
	PeakMemory *Gauge   // bytes

	group    *group
	requests *family
}

// Shape says which series a site has from the start. What its lists hold must not
// change any more.
type Shape struct {
	Methods       []string // that the site allows
	Scripts       []string // labels of its script blocks
	BadRequests   []string // reasons for bad_requests_total
	Rejected      []string // reasons for connections_rejected_total
	TunnelRefused []string // reasons for tunnel_refused_total
	ScriptResults []string // results for script_requests_total

	columns []*column // of the cells that a site of this shape has; nil until there was one
}

// codes are those for which a method has a counter from the start: the usual ones,
// and all with which the site itself may fail, for Prometheus can't tell how fast a
// counter rose that was not there before.
func (s *Shape) codes(method string) []string {
	codes := []string{"200", "404", "500", "503"}
	switch {
	case method == "PUT":
		codes = append(codes, "507")
	case method == "CONNECT", len(s.Scripts) > 0 && slices.Contains(scriptMethods, method):
		codes = append(codes, "502", "504")
	}
	return codes
}

// scriptMethods are the methods that scripts take.
var scriptMethods = []string{"GET", "HEAD", "POST", "PATCH"}

func (s *Shape) equal(o *Shape) bool {
	return slices.Equal(s.Methods, o.Methods) && slices.Equal(s.Scripts, o.Scripts) &&
		slices.Equal(s.BadRequests, o.BadRequests) && slices.Equal(s.Rejected, o.Rejected) &&
		slices.Equal(s.TunnelRefused, o.TunnelRefused) && slices.Equal(s.ScriptResults, o.ScriptResults)
}

// Site returns the handles for the site with that name and makes the series
// that shape names. Counters go on where they were when the site was known
// already. Series of scripts that shape no longer names stay until Prune: what is
// prepared here may never serve. Asking again with the same shape costs little.
func (r *Registry) Site(name string, shape Shape) *Site {
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	known := r.known(&shape)
	row := r.table.row(name)
	if row.handles == nil || row.shape != known {
		row.shape, row.handles = known, r.newSite(row, known)
	}
	return row.handles
}

// maxShapes bounds the shapes that are remembered.
const maxShapes = 64

// known is the shape that equals this one, so that many sites share one.
func (r *Registry) known(shape *Shape) *Shape {
	for _, s := range r.shapes {
		if s.equal(shape) {
			return s
		}
	}
	if len(r.shapes) == maxShapes {
		r.shapes = nil
	}
	r.shapes = append(r.shapes, shape)
	return shape
}

func (r *Registry) newSite(row *row, shape *Shape) *Site {
	g := row.group("", max(len(shape.columns), slabCells))
	fresh := len(g.slabs[0]) == 0
	if fresh {
		g.fill(shape.columns)
	}
	s := &Site{
		InFlight:      g.gauge(r.inFlight),
		Idle:          g.gauge(r.connections, "idle"),
		Active:        g.gauge(r.connections, "active"),
		Accepted:      g.counter(r.accepted),
		AuthFailures:  g.counter(r.authFailures),
		Panics:        g.counter(r.panics),
		Tunnels:       g.gauge(r.tunnels),
		ToTarget:      g.counter(r.tunnelBytes, "to_target"),
		ToClient:      g.counter(r.tunnelBytes, "to_client"),
		Up:            g.gauge(r.up),
		Restarts:      g.counter(r.restarts),
		ConfigCurrent: g.gauge(r.configCurrent),
		LogLinesLost:  g.counter(r.logLinesLost),

		duration:         g.histogram(r.duration),
		firstByte:        g.histogram(r.firstByte),
		requestBytes:     g.counter(r.requestBytes),
		responseBytes:    g.counter(r.responseBytes),
		connectionsLimit: g.gauge(r.connectionsLimit),
		inFlightLimit:    g.gauge(r.inFlightLimit),

		row: row, group: g, of: &r.families,
	}
	if row.duration == nil {
		row.duration = s.duration
		s.inFlightLimit.Hide()
	}
	if !fresh || shape.columns == nil {
		r.touchAll(g, shape)
	}
	if fresh && shape.columns == nil {
		shape.columns = g.columns()
	}
	for _, script := range shape.Scripts {
		s.scripts = append(s.scripts, r.newScript(row, script, shape.ScriptResults))
	}
	return s
}

// touchAll makes the series that shape names and that a Site has no handles for.
func (r *Registry) touchAll(g *group, shape *Shape) {
	for _, m := range shape.Methods {
		for _, code := range shape.codes(m) {
			g.counter(r.requests, methods[methodIndex(m)], code)
		}
	}
	g.touch(r.rejected, shape.Rejected)
	g.touch(r.badRequests, shape.BadRequests)
	g.touch(r.tunnelRefused, shape.TunnelRefused)
}

// touch makes the series of f with each of these values.
func (g *group) touch(f *family, values []string) {
	for _, value := range values {
		g.cell(f, value)
	}
}

func (r *Registry) newScript(row *row, name string, results []string) *Script {
	g := row.group(name, 6+len(results))
	s := &Script{
		Duration:   g.histogram(r.scriptDuration, name),
		Processes:  g.gauge(r.scriptProcesses, name),
		Limit:      g.gauge(r.scriptLimit, name),
		Waiting:    g.gauge(r.scriptWaiting, name),
		Restarts:   g.counter(r.scriptRestarts, name),
		CPU:        g.counter(r.scriptCPU, name),
		PeakMemory: g.gauge(r.scriptMemory, name),

		group: g, requests: r.scriptRequests,
	}
	for _, result := range results {
		g.cell(r.scriptRequests, name, result)
	}
	return s
}

// Forget deletes all series of a site.
func (r *Registry) Forget(site string) { r.table.forget(site) }

// Prune deletes the series of a site's scripts but those named.
func (r *Registry) Prune(site string, scripts []string) {
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	row := r.table.rows[site]
	if row == nil {
		return
	}
	before := len(row.groups)
	row.groups = slices.DeleteFunc(row.groups, func(g *group) bool {
		return g.script != "" && !slices.Contains(scripts, g.script)
	})
	if len(row.groups) < before {
		row.handles = nil
	}
}

// Limits sets what the site allows at once: connections, and requests that are
// being answered. inFlight is 0 where that has no bound; there is no series then.
func (s *Site) Limits(connections, inFlight int) {
	s.connectionsLimit.Set(int64(connections))
	if inFlight > 0 {
		s.inFlightLimit.Set(int64(inFlight))
	} else {
		s.inFlightLimit.Hide()
	}
}

// Rejected counts a connection that was turned away. The reasons must be
// constants of the program, here and below.
func (s *Site) Rejected(reason string) { s.group.count(s.of.rejected, reason) }

// BadRequest counts a request that is not HTTP.
func (s *Site) BadRequest(reason string) { s.group.count(s.of.badRequests, reason) }

// TunnelRefused counts a refused CONNECT.
func (s *Site) TunnelRefused(reason string) { s.group.count(s.of.tunnelRefused, reason) }

// Script returns the handles for the script block with that label, or nil if
// Shape.Scripts did not name it.
func (s *Site) Script(name string) *Script {
	for _, script := range s.scripts {
		if script.group.script == name {
			return script
		}
	}
	return nil
}

// Request counts a request that was handed to the script.
func (s *Script) Request(result string) {
	s.group.count(s.requests, s.group.script, result)
}
