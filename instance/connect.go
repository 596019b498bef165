package instance

import (
	"errors"
	"net"

	"sited/protocol"
)

// connect opens a tunnel to an allowed target (RFC 9110, section 9.3.6).
func (i *Instance) connect(x *protocol.Exchange) error {
	target, err := i.dialer.open(x.Ctx, i.policy.targets, x.Req.Target)
	if err != nil {
		if r, ok := errors.AsType[*refusal](err); ok {
			i.metrics.TunnelRefused(r.reason)
		}
		return err
	}
	ctx := x.Ctx
	x.Res.Status = 200
	x.Res.Body = protocol.Tunnel(func(client *net.TCPConn, early []byte) (sent, received int64, err error) {
		i.metrics.Tunnels.Inc()
		i.tunnels.Add(1)
		defer i.tunnels.Add(-1)
		defer i.metrics.Tunnels.Dec()
		return carry(ctx, client, target, early, i.spec.Timeouts.Idle, func(toTarget, toClient int) {
			i.metrics.ToTarget.Add(float64(toTarget))
			i.metrics.ToClient.Add(float64(toClient))
		})
	}, target)
	return nil
}
