package instance

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sited/protocol"
)

// authorize asks for the credentials of a protect block; nil, and one that was
// granted already, asks for nothing. It sets x.Req.User.
func (i *Instance) authorize(x *protocol.Exchange, rule, granted *Protect) error {
	if rule == nil || rule == granted {
		return nil
	}
	field := x.Req.Header.Get("Authorization")
	if n := count(x.Req.Header, "Authorization"); n > 1 { // another recipient may read another one
		return protocol.Failf(400, "%d Authorization fields", n)
	}
	if field == "" && x.Req.Method == protocol.MethodConnect {
		field = x.Req.Header.Get("Proxy-Authorization") // where clients put it (RFC 9110, section 11.7.2)
	}
	user, err := i.credentials.verify(x.Ctx, field)
	switch {
	case err == nil && len(rule.Users) > 0 && !slices.Contains(rule.Users, user):
		err = fmt.Errorf("user %q is not among those protect %q names", user, rule.Glob)
	case err == nil:
		x.Req.User = user
		return nil
	case errors.Is(err, errNoCredentials):
	case !errors.Is(err, errWrongCredentials):
		return err
	}
	if !errors.Is(err, errNoCredentials) {
		i.metrics.AuthFailures.Inc()
	}
	return &protocol.Error{
		Status: 401,
		Header: protocol.Header{{Name: "WWW-Authenticate", Value: challenge(i.spec.Name)}},
		Err:    err,
	}
}

func count(h protocol.Header, name string) (n int) {
	for range h.Values(name) {
		n++
	}
	return n
}

// challenge asks for Basic credentials (RFC 7617, section 2). realm is written
// as a quoted-string (RFC 9110, section 5.6.4).
func challenge(realm string) string {
	return `Basic realm="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(realm) + `", charset="UTF-8"`
}
