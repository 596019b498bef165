package instance

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"sited/protocol"
)

var _ protocol.QuickHandler = (*Instance)(nil)

// ServeQuick implements protocol.QuickHandler: it answers with what is in memory
// and anybody may have.
func (i *Instance) ServeQuick(x *protocol.Exchange) (done bool, err error) {
	root, err := i.root.get(x.Start)
	if err != nil {
		return false, nil
	}
	f := i.cached(root, x)
	if f == nil || !f.open || x.Req.Method != protocol.MethodGet && x.Req.Method != protocol.MethodHead || x.Req.Header.Has("Range") {
		return false, nil
	}
	done, err = f.answer(x)
	if i.spec.RequestID && done && err == nil {
		identify(x)
	}
	return done, err
}

// read answers GET and HEAD, and hands POST and PATCH to scripts: what the path
// leads to on disk decides. granted is the protect block whose credentials were
// checked, hops the number of local redirects so far.
func (i *Instance) read(x *protocol.Exchange, granted *Protect, hops int) error {
	root, err := i.root.get(x.Start)
	if err != nil {
		return err
	}
	safe := x.Req.Method == protocol.MethodGet || x.Req.Method == protocol.MethodHead
	if safe {
		if done, err := i.sendCached(x, root, granted); done {
			return err
		}
	}
	x.Req.Path = strings.Clone(x.Req.Path) // what is kept by it is not to hold the whole head
	l := lookup{root: root, path: x.Req.Path, now: x.Start.UnixNano(), state: i.files.state()}
	f, err := i.policy.find(root.Root, x.Req.Path)
	if err != nil {
		if safe {
			i.keepMissing(l, f.absent, err)
		}
		return err
	}
	if err := i.authorizeFound(x, f.path, granted); err != nil {
		f.close()
		return err
	}
	switch {
	case f.script >= 0:
		return i.runScript(x, f, hops)
	case f.redirect:
		redirectToSlash(x)
		return nil
	case !safe:
		f.close()
		return &protocol.Error{
			Status: 405,
			Header: protocol.Header{{Name: "Allow", Value: i.policy.allowFor(false)}},
			Err:    fmt.Errorf("%s of a file: only scripts take it", x.Req.Method),
		}
	case f.listing:
		return i.list(x, root.Root, f, granted)
	}
	return i.sendFound(x, l, f)
}

// sendCached answers with what is in memory, if it is.
func (i *Instance) sendCached(x *protocol.Exchange, root *folder, granted *Protect) (done bool, err error) {
	f := i.cached(root, x)
	if f == nil {
		return false, nil
	}
	if f.missing == nil {
		if err := i.authorizeFound(x, f.path, granted); err != nil {
			return true, err
		}
	}
	return f.answer(x)
}

// answer answers with what is kept, unless that can't be sent any more.
func (f *cachedFile) answer(x *protocol.Exchange) (done bool, err error) {
	if f.missing != nil {
		return true, f.missing
	}
	r, ok := f.borrow(x.Req.Header)
	if !ok {
		return false, nil
	}
	return true, send(x, r)
}

// sendFound answers with a file, or one of its siblings.
func (i *Instance) sendFound(x *protocol.Exchange, l lookup, f found) error {
	v, names, absent := i.siblings(l.root, f)
	if err := v.render(i.policy, x.Req.Path); err != nil {
		v.closeBut(nil)
		return err
	}
	i.keep(l, &v, names, f.absent, absent)
	r := v.choose(x.Req.Header)
	v.closeBut(r)
	return send(x, r)
}

// authorizeFound asks for the credentials that the path of what was found wants:
// an index file and a script with path info have a name of their own, which may
// be protected where the path that led to them is not.
func (i *Instance) authorizeFound(x *protocol.Exchange, path string, granted *Protect) error {
	if path == x.Req.Path {
		return nil
	}
	return i.authorize(x, i.policy.protectFor(x.Req.Method, path), granted)
}

// send answers with a resource, all of it or parts (RFC 9110, sections 13 and
// 14). It sees to its file being closed.
func send(x *protocol.Exchange, r *resource) error {
	x.Res.Status = 200
	if !conditional(x.Req.Header) {
		x.Res.Rendered = r.whole
		x.Res.Body = r.content(byteRange{0, r.size})
		return nil
	}
	switch precondition(&x.Req, r.rep) {
	case 412:
		r.close()
		return protocol.Failf(412, "a precondition does not hold")
	case 304:
		r.close()
		x.Res.Status, x.Res.Rendered = 304, r.same
		return nil
	}
	set, verdict := rangesFor(&x.Req, r.rep, r.size)
	switch verdict {
	case rangeUnsatisfiable:
		r.close()
		return &protocol.Error{
			Status: 416,
			Header: protocol.Header{{Name: "Content-Range", Value: "bytes */" + strconv.FormatInt(r.size, 10)}},
			Err:    fmt.Errorf("range %q of %d bytes", x.Req.Header.Get("Range"), r.size),
		}
	case rangeOne:
		x.Res.Status, x.Res.Rendered = 206, r.whole
		x.Res.Header.Add("Content-Range", fmt.Sprintf("bytes %d-%d/%d", set.part.start, set.part.start+set.part.length-1, r.size))
		x.Res.Body = r.content(set.part)
	case rangeSeveral:
		x.Res.Status, x.Res.Rendered = 206, r.parts
		var kind string
		x.Res.Body, kind = r.several(set.parts)
		x.Res.Header.Add("Content-Type", kind)
	case rangeIgnored:
		x.Res.Rendered = r.whole
		x.Res.Body = r.content(byteRange{0, r.size})
	}
	return nil
}

// conditional reports whether a request may get anything but the whole file.
func conditional(h protocol.Header) bool {
	for n := range h {
		switch len(h[n].Name) {
		case len("Range"), len("If-Match"), len("If-None-Match"), len("If-Modified-Since"), len("If-Unmodified-Since"):
			return true // or another field that is as long, which does no harm
		}
	}
	return false
}

// redirectToSlash sends the client to the folder's own name, so that relative
// links in its index file lead where they should.
func redirectToSlash(x *protocol.Exchange) {
	x.Res.Status = slashStatus(x.Req.Method)
	to := url.URL{Path: x.Req.Path + "/", RawQuery: x.Req.Query}
	x.Res.Header.Add("Location", to.String())
}

// slashStatus is 301, or 308 where the client must not change the method (RFC
// 9110, sections 15.4.2 and 15.4.9).
func slashStatus(method string) int {
	if method == protocol.MethodGet || method == protocol.MethodHead {
		return 301
	}
	return 308
}
