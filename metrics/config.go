package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The results of a reload: the values of config_reloads_total's label.
const (
	ReloadApplied   = "applied"   // everything the file says is in force
	ReloadPartial   = "partial"   // some sites were refused, the others took their changes
	ReloadRefused   = "refused"   // nothing was taken
	ReloadUnchanged = "unchanged" // nothing to do
)

// Config tells of the configuration and its reloads.
type Config struct {
	successful prometheus.Gauge
	timestamp  prometheus.Gauge
	reloads    *prometheus.CounterVec
}

func newConfig(reg *prometheus.Registry) *Config {
	c := &Config{
		successful: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Name: "config_last_reload_successful",
			Help: "1 when all of the last configuration read is in force, else 0: then sited status says what was refused or could not be started.",
		}),
		timestamp: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Name: "config_last_reload_success_timestamp_seconds",
			Help: "When a configuration was last taken as a whole, unchanged ones included, in seconds since 1970.",
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "config_reloads_total",
			Help: "Configurations read, by result: applied as a whole; partial, some sites were refused and the others took their changes; refused, nothing was taken; unchanged.",
		}, []string{"result"}),
	}
	for _, r := range []string{ReloadApplied, ReloadPartial, ReloadRefused, ReloadUnchanged} {
		c.reloads.WithLabelValues(r)
	}
	reg.MustRegister(c.successful, c.timestamp, c.reloads)
	return c
}

// Reloaded counts a reload that ended at when with result, one of the Reload…
// constants.
func (c *Config) Reloaded(result string, when time.Time) {
	c.reloads.WithLabelValues(result).Inc()
	switch result {
	case ReloadApplied, ReloadUnchanged:
		c.Mended(when)
	default:
		c.successful.Set(0)
	}
}

// Mended says that the last configuration read is in force as a whole since when,
// although not all of it was at first.
func (c *Config) Mended(when time.Time) {
	c.successful.Set(1)
	c.timestamp.Set(float64(when.UnixMilli()) / 1000)
}
