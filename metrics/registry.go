// Package metrics holds sited's Prometheus metrics: what is told of each site,
// of the scripts of a site, and of the configuration. Handles are resolved once
// per site, so that an exchange costs a few atomic adds. Series exist from the
// moment a site is known and go when it is forgotten. Label values never come
// from a request.
package metrics

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "sited"

// Registry is everything one process exports. Its methods may be called
// concurrently.
type Registry struct {
	Config *Config

	reg   *prometheus.Registry
	table *table
	families
	shapes []*Shape // that sites have; guarded by table.mu
}

// families are the metrics with a site label.
type families struct {
	requests         *family
	duration         *family
	firstByte        *family
	inFlight         *family
	inFlightLimit    *family
	requestBytes     *family
	responseBytes    *family
	connections      *family
	connectionsLimit *family
	accepted         *family
	rejected         *family
	badRequests      *family
	authFailures     *family
	panics           *family
	scriptRequests   *family
	scriptDuration   *family
	scriptProcesses  *family
	scriptLimit      *family
	scriptWaiting    *family
	scriptRestarts   *family
	scriptCPU        *family
	scriptMemory     *family
	tunnels          *family
	tunnelBytes      *family
	tunnelRefused    *family
	up               *family
	restarts         *family
	configCurrent    *family
	logLinesLost     *family
}

// New returns a registry with the Go, process and build_info collectors and the
// reload metrics; version is the value of build_info's label.
func New(version string) *Registry {
	r := &Registry{reg: prometheus.NewRegistry(), table: &table{rows: map[string]*row{}}}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info",
		Help: "Always 1. The labels say which sited this is and which Go built it: join by instance to see what an upgrade changed.",
	}, []string{"version", "goversion"})
	info.WithLabelValues(version, runtime.Version()).Set(1)
	r.reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		info,
	)
	r.Config = newConfig(r.reg)
	r.makeRequestFamilies()
	r.makeScriptFamilies()
	r.makeSiteFamilies()
	r.reg.MustRegister(r.table) // with all its families
	return r
}

// Handler answers scrapes: in the text format, in OpenMetrics, which has the
// exemplars, too, and in protobuf, which has the native histograms as well.
func (r *Registry) Handler() http.Handler {
	return promhttp.HandlerFor(r.reg, promhttp.HandlerOpts{Registry: r.reg, EnableOpenMetrics: true})
}

// Gatherer gives access to the metrics, for tests.
func (r *Registry) Gatherer() prometheus.Gatherer { return r.reg }

// A help text says what the number is, when it changes, and what it is good for.

func (r *Registry) makeRequestFamilies() {
	r.requests = r.counter("http_requests_total", "Requests that are over, by method and status code; methods nobody knows count as other. What could not be parsed, and the 503 for a connection too many, are among them. rate() of it is the traffic, that of code=~\"5..\" the failures.", "site", "method", "code")
	r.duration = r.histogram("http_request_duration_seconds", "Seconds from the first byte of a request to the last byte of its answer, slow clients and the whole life of tunnels included. Counted when the request is over.", "site")
	r.firstByte = r.histogram("http_time_to_first_byte_seconds", "Seconds from the first byte of a request until bytes of its answer were sent. Requests that got no byte are not counted. What http_request_duration_seconds has beyond it was spent sending.", "site")
	r.inFlight = r.gauge("http_requests_in_flight", "Requests being answered right now, tunnels included. Small files, which are answered at once, are not.", "site")
	r.inFlightLimit = r.gauge("http_requests_in_flight_limit", "How many requests the site answers at once, by its max_in_flight; not there where it has none. A request beyond it gets 503.", "site")
	r.requestBytes = r.counter("http_request_bytes_total", "Bytes of request bodies read. Counted when a request is over; what tunnels carried from the client is in it.", "site")
	r.responseBytes = r.counter("http_response_bytes_total", "Bytes of answers' bodies sent. Counted when a request is over; heads are not in it, what tunnels carried to the client is.", "site")
	r.badRequests = r.counter("bad_requests_total", "Requests refused before they reached the site's rules, by the rule of HTTP they broke. Scanners make some; many of one reason point to a broken client or proxy.", "site", "reason")
	r.authFailures = r.counter("auth_failures_total", "Requests with wrong credentials for a protected path; requests without any are not counted. A steady rate is somebody guessing passwords.", "site")
	r.panics = r.counter("panics_total", "Requests whose handling panicked: each got a 500, and a stack trace is in the process's log. Any is a bug of sited: report it.", "site")
	r.connections = r.gauge("connections", "Open connections, by state: active while a request is read or answered, or a tunnel is open, idle between requests.", "site", "state")
	r.connectionsLimit = r.gauge("connections_limit", "How many open connections the site allows, by its max_connections; 0 until it has begun to serve. A connection beyond it gets 503: raise it when the sum of connections comes near.", "site")
	r.accepted = r.counter("connections_accepted_total", "Connections accepted, those that were turned away after it included.", "site")
	r.rejected = r.counter("connections_rejected_total", "Connections turned away as soon as they were accepted, by reason: the limit that they hit.", "site", "reason")
	r.tunnels = r.gauge("tunnels", "CONNECT tunnels open right now.", "site")
	r.tunnelBytes = r.counter("tunnel_bytes_total", "Bytes carried by tunnels, by direction: to_target or to_client. Counted as they are passed on.", "site", "direction")
	r.tunnelRefused = r.counter("tunnel_refused_total", "CONNECT requests refused, by reason. A steady rate is somebody looking for an open proxy.", "site", "reason")
}

func (r *Registry) makeScriptFamilies() {
	r.scriptRequests = r.counter("script_requests_total", "Requests handed to scripts, by result: ok; error, the script is broken; timeout, it was too slow; busy, no process was free in time; unavailable, the interpreter or the room to run it is missing; aborted by the client.", "site", "script", "result")
	r.scriptDuration = r.histogram("script_duration_seconds", "Seconds from handing a request to a script to the end of its output, the wait for a free process included. Counted when it has ended, whatever the result.", "site", "script")
	r.scriptProcesses = r.gauge("script_processes", "Script processes running right now, those of a former configuration included.", "site", "script")
	r.scriptLimit = r.gauge("script_processes_limit", "How many processes the script may have at once, by its workers; 0 until the site has begun to serve. Requests wait when script_processes has come to it.", "site", "script")
	r.scriptWaiting = r.gauge("script_requests_waiting", "Requests that wait for a free process right now. Above 0 for long: the script needs more workers or is too slow.", "site", "script")
	r.scriptRestarts = r.counter("script_restarts_total", "Script workers replaced because they died or hung.", "site", "script")
	r.scriptCPU = r.seconds("script_cpu_seconds_total", "User and system CPU time of script processes, in seconds. Counted when a process has ended; rate() of it is the cores that the script keeps busy.", "site", "script")
	r.scriptMemory = r.gauge("script_peak_memory_bytes", "The most resident memory that any one of the script's processes that ended has held. Where that is less than sited itself has held, the kernel can't tell it: it then is what the process had held when its answer began.", "site", "script")
}

func (r *Registry) makeSiteFamilies() {
	r.up = r.gauge("site_up", "1 while the site accepts requests and its root is there, else 0.", "site")
	r.restarts = r.counter("site_restarts_total", "Attempts to start the site again after it failed to start or went down. The log and the status say why.", "site")
	r.configCurrent = r.gauge("site_config_current", "1 while the site runs what its block says, 0 while a newer block was refused or could not be put in force; the last good one serves on.", "site")
	r.logLinesLost = r.counter("log_lines_lost_total", "Lines of the site's access logs that could not be written and were dropped: most often the disk is full.", "site")
}

func (r *Registry) counter(name, help string, labels ...string) *family {
	return r.table.add(counter, 1, name, help, labels)
}

// seconds is a counter of seconds.
func (r *Registry) seconds(name, help string, labels ...string) *family {
	return r.table.add(counter, 1e9, name, help, labels)
}

func (r *Registry) gauge(name, help string, labels ...string) *family {
	return r.table.add(gauge, 1, name, help, labels)
}

func (r *Registry) histogram(name, help string, labels ...string) *family {
	return r.table.add(histogram, 1, name, help, labels)
}
