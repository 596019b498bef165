package config

import (
	"math"
	"time"

	"github.com/hashicorp/hcl/v2"

	"sited/instance"
)

// What may be said about when a log file is rotated: 0 turns a bound off.
const (
	leastLogAge, mostLogAge = time.Second, 10_000 * time.Hour
)

func maxAgeArg(name string, field func(*instance.Logs) *time.Duration) argument[instance.Logs] {
	return argument[instance.Logs]{name, func(l *loader, to *instance.Logs, e hcl.Expression) bool {
		v, said, ok := l.value(e)
		if !ok {
			return said
		}
		d, ok := l.duration(v, name, math.MinInt64, math.MaxInt64)
		switch {
		case !ok:
		case d != 0 && (d < leastLogAge || d > mostLogAge):
			l.fail(v.at, "Time out of range", `%s must be from %s to %s, or "0s" for files of any age.`, name, durationText(leastLogAge), durationText(mostLogAge))
		default:
			*field(to) = d
		}
		return true
	}}
}

func checkCompress(l *loader, s string, at hcl.Range) (string, bool) {
	if s == "" {
		l.fail(at, "Unknown compression", `compress can't be empty. To leave rotated files as they are, write "none".`)
		return "", false
	}
	return s, l.oneOf(s, at, "compression", []string{"gzip", "zstd", "none"})
}
