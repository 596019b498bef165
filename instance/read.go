package instance

import (
	"fmt"
	"net/url"
	"strconv"

	"sited/protocol"
)

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
		if f := i.cached(root, x.Req.Path); f != nil {
			if err := i.authorizeFound(x, f.path, granted); err != nil {
				return err
			}
			return send(x, &f.resource)
		}
	}
	state := i.files.state()
	f, err := i.policy.find(root.Root, x.Req.Path)
	if err != nil {
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
	}
	r := newResource(f.path, f.file, f.info)
	i.keep(x.Req.Path, &r, f.info, state)
	return send(x, &r)
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

// send answers with a resource, all of it or a part (RFC 9110, sections 13 and
// 14). It sees to its file being closed.
func send(x *protocol.Exchange, r *resource) error {
	h := &x.Res.Header
	status := precondition(&x.Req, r.rep)
	if status == 412 {
		r.close()
		return protocol.Failf(412, "a precondition does not hold")
	}
	if status == 304 {
		r.close()
		h.Add("Last-Modified", r.modified)
		h.Add("ETag", r.rep.etag)
		x.Res.Status = 304
		return nil
	}
	part, isPart, satisfiable := rangeFor(&x.Req, r.rep, r.size)
	if !satisfiable {
		r.close()
		return &protocol.Error{
			Status: 416,
			Header: protocol.Header{{Name: "Content-Range", Value: "bytes */" + strconv.FormatInt(r.size, 10)}},
			Err:    fmt.Errorf("range %q of %d bytes", x.Req.Header.Get("Range"), r.size),
		}
	}
	h.Add("Last-Modified", r.modified)
	h.Add("ETag", r.rep.etag)
	h.Add("Content-Type", r.contentType)
	h.Add("Accept-Ranges", "bytes")
	x.Res.Status = 200
	if isPart {
		x.Res.Status = 206
		h.Add("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.start, part.start+part.length-1, r.size))
	} else {
		part = byteRange{0, r.size}
	}
	x.Res.Body = r.content(part)
	return nil
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
