package instance

import "sited/protocol"

// requestIDField tells a client the id of its request, where Spec.RequestID says
// so. That of the client is nobody's to trust: it is neither taken over nor sent
// back.
const requestIDField = "X-Request-Id"

// identify has the answer carry the request's id. What a script has put there is
// replaced.
func identify(x *protocol.Exchange) { x.Res.Header.Set(requestIDField, x.ID.String()) }

// withoutRequestID takes the field out of what a rule sets: the id is not a
// block's to say.
func (r *headerRule) withoutRequestID() {
	h := protocol.Header(r.set)
	h.Del(requestIDField)
	r.set = h
}

// sayRequestID tells whether an answer carries the id.
func (p *policy) sayRequestID(t *trace) {
	if p.spec.RequestID {
		t.say("request_id: the answer carries %s, by which the logs name the request", requestIDField)
	}
}
