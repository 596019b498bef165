// Package metrics holds sited's Prometheus metrics: what is told of each site,
// of the scripts of a site, and of the configuration. Handles are resolved once
// per site and generation, so that an exchange costs a few atomic adds. Series
// exist from the moment a site is known and go when it is forgotten. Label
// values never come from a request.
package metrics

import (
	"net/http"
	"runtime"
	"sync"

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

	mu        sync.Mutex
	scriptsOf map[string][]string // labels of each site's scripts
}

// families are the metrics with a site label.
type families struct {
	requests        *family
	duration        *prometheus.HistogramVec
	inFlight        *family
	requestBytes    *family
	responseBytes   *family
	connections     *family
	accepted        *family
	rejected        *family
	badRequests     *family
	authFailures    *family
	panics          *family
	scriptRequests  *family
	scriptDuration  *prometheus.HistogramVec
	scriptProcesses *family
	scriptRestarts  *family
	scriptCPU       *family
	tunnels         *family
	tunnelBytes     *family
	tunnelRefused   *family
	up              *family
	restarts        *family
	configCurrent   *family
	logLinesLost    *family
}

// durationBuckets are the classic buckets, in seconds. They reach lower than
// the client's defaults: a small file takes well under a millisecond.
var durationBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// New returns a registry with the Go, process and build_info collectors and the
// reload metrics; version is the value of build_info's label.
func New(version string) *Registry {
	r := &Registry{reg: prometheus.NewRegistry(), table: &table{rows: map[string]*row{}}, scriptsOf: map[string][]string{}}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info",
		Help: "Always 1; the labels say which sited this is and which Go built it.",
	}, []string{"version", "goversion"})
	info.WithLabelValues(version, runtime.Version()).Set(1)
	r.reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		info,
	)
	r.Config = newConfig(r.reg)
	r.makeFamilies()
	r.reg.MustRegister(r.table) // with all its families
	return r
}

// Handler answers scrapes, in the text format and in OpenMetrics.
func (r *Registry) Handler() http.Handler {
	return promhttp.HandlerFor(r.reg, promhttp.HandlerOpts{Registry: r.reg, EnableOpenMetrics: true})
}

// Gatherer gives access to the metrics, for tests.
func (r *Registry) Gatherer() prometheus.Gatherer { return r.reg }

func (r *Registry) makeFamilies() {
	r.requests = r.counter("http_requests_total", "Requests answered, by method and status code; methods nobody knows count as other.", "site", "method", "code")
	r.duration = r.histogram("http_request_duration_seconds", "Time from a request's first byte to the last byte of its answer.", "site")
	r.inFlight = r.gauge("http_requests_in_flight", "Requests being answered right now.", "site")
	r.requestBytes = r.counter("http_request_bytes_total", "Bytes of request bodies read.", "site")
	r.responseBytes = r.counter("http_response_bytes_total", "Bytes of answers' bodies written.", "site")
	r.connections = r.gauge("connections", "Open connections, by state: active while a request is read or answered, idle between requests.", "site", "state")
	r.accepted = r.counter("connections_accepted_total", "Connections accepted.", "site")
	r.rejected = r.counter("connections_rejected_total", "Connections turned away, by reason.", "site", "reason")
	r.badRequests = r.counter("bad_requests_total", "Requests refused before they reached the site's rules, by the rule of HTTP they broke.", "site", "reason")
	r.authFailures = r.counter("auth_failures_total", "Requests with wrong credentials for a protected path; requests without any are not counted.", "site")
	r.panics = r.counter("panics_total", "Requests whose handling panicked; each got a 500 and a stack trace in the process's log.", "site")
	r.scriptRequests = r.counter("script_requests_total", "Requests handed to scripts, by result.", "site", "script", "result")
	r.scriptDuration = r.histogram("script_duration_seconds", "Time from handing a request to a script to the end of its output.", "site", "script")
	r.scriptProcesses = r.gauge("script_processes", "Script processes running right now.", "site", "script")
	r.scriptRestarts = r.counter("script_restarts_total", "Script workers replaced because they died or hung.", "site", "script")
	r.scriptCPU = r.counter("script_cpu_seconds_total", "User and system CPU time of script processes that ended.", "site", "script")
	r.tunnels = r.gauge("tunnels", "CONNECT tunnels open right now.", "site")
	r.tunnelBytes = r.counter("tunnel_bytes_total", "Bytes carried by tunnels, by direction: to_target or to_client.", "site", "direction")
	r.tunnelRefused = r.counter("tunnel_refused_total", "CONNECT requests refused, by reason.", "site", "reason")
	r.up = r.gauge("site_up", "1 while the site accepts requests and its root is there, else 0.", "site")
	r.restarts = r.counter("site_restarts_total", "Attempts to start the site again after it failed to start.", "site")
	r.configCurrent = r.gauge("site_config_current", "1 while the site runs what its block says, 0 while a newer block was refused.", "site")
	r.logLinesLost = r.counter("log_lines_lost_total", "Lines of the site's access logs that could not be written and were dropped.", "site")
}

func (r *Registry) counter(name, help string, labels ...string) *family {
	return r.table.add(prometheus.CounterValue, name, help, labels)
}

func (r *Registry) gauge(name, help string, labels ...string) *family {
	return r.table.add(prometheus.GaugeValue, name, help, labels)
}

func (r *Registry) histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help,
		Buckets:                        durationBuckets,
		NativeHistogramBucketFactor:    1.1,
		NativeHistogramMaxBucketNumber: 100,
	}, labels)
	r.reg.MustRegister(v)
	return v
}
