package instance

import (
	"errors"
	"log/slog"

	"sited/metrics"
	"sited/protocol"
)

// observer turns what the engine reports into the site's metrics, its access
// log, and, for a panic, a line in the process's log.
type observer struct {
	metrics     *metrics.Site
	log         *accessLog
	process     *slog.Logger
	recorder    *Recorder
	policy      *policy // for the recorder, as generation
	generation  int
	inFlight    gauge
	connections gauge // those that this generation served last
}

var _ protocol.Observer = (*observer)(nil)

func (o *observer) Conn(from, to protocol.ConnState, taken bool) {
	if from == protocol.ConnNone && !taken {
		o.metrics.Accepted.Inc()
	}
	if from == protocol.ConnNone {
		o.connections.Add(1)
	} else if to == protocol.ConnNone {
		o.connections.Add(-1)
	}
	if g := o.connectionsIn(from); g != nil {
		g.Dec()
	}
	if g := o.connectionsIn(to); g != nil {
		g.Inc()
	}
}

// connectionsIn is the gauge of the connections in a state; nil for ConnNone.
func (o *observer) connectionsIn(state protocol.ConnState) *metrics.Gauge {
	switch state {
	case protocol.ConnIdle:
		return o.metrics.Idle
	case protocol.ConnActive:
		return o.metrics.Active
	case protocol.ConnNone:
	}
	return nil
}

func (o *observer) Refused(reason string) { o.metrics.Rejected(reason) }

func (o *observer) Begin(*protocol.Exchange) {
	o.metrics.InFlight.Inc()
	o.inFlight.Add(1)
}

func (o *observer) Done(x *protocol.Exchange) {
	if x.Begun {
		o.metrics.InFlight.Dec()
		o.inFlight.Add(-1)
	}
	o.metrics.Exchange(&metrics.Exchange{
		Method: x.Req.Method, Code: statusOf(x), ID: uint64(x.ID),
		Start: x.Start, Took: x.Took, FirstByte: x.FirstByte,
		Received: x.Received, Sent: x.Sent,
	})
	if x.Err != nil {
		o.failed(x)
	}
	o.log.write(x)
	if p := o.recorder.admit(x); p != (places{}) {
		o.recorder.record(newFlown(x, o.policy, o.generation), p)
	}
}

// failed counts why, and logs what only the process's log can tell.
func (o *observer) failed(x *protocol.Exchange) {
	if reason := reasonOf(x.Err); reason != "" {
		o.metrics.BadRequest(reason)
	}
	if p, ok := errors.AsType[*protocol.PanicError](x.Err); ok {
		o.metrics.Panics.Inc()
		o.process.Error("panic while answering a request", "method", x.Req.Method, "path", x.Req.Path, "panic", p.Value, "stack", string(p.Stack))
	}
}
