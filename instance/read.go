package instance

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"sited/protocol"
)

// read answers GET and HEAD, and hands POST and PATCH to scripts: what the path
// leads to on disk decides. granted is the protect block whose credentials were
// checked, hops the number of local redirects so far.
func (i *Instance) read(x *protocol.Exchange, granted *Protect, hops int) error {
	root, err := i.root.get()
	if err != nil {
		return err
	}
	f, err := i.policy.find(root, x.Req.Path)
	if err != nil {
		return err
	}
	// An index file and a script with path info have a name of their own, which
	// may be protected where the path that led to them is not.
	if f.path != x.Req.Path {
		if err := i.authorize(x, i.policy.protectFor(x.Req.Method, f.path), granted); err != nil {
			if f.file != nil {
				f.file.Close()
			}
			return err
		}
	}
	switch {
	case f.script >= 0:
		return i.runScript(x, f, hops)
	case f.redirect:
		redirectToSlash(x)
		return nil
	case x.Req.Method == protocol.MethodPost || x.Req.Method == protocol.MethodPatch:
		f.file.Close()
		return &protocol.Error{
			Status: 405,
			Header: protocol.Header{{Name: "Allow", Value: i.policy.allowFor(false)}},
			Err:    fmt.Errorf("%s of a file: only scripts take it", x.Req.Method),
		}
	}
	return sendFile(x, f)
}

// sendFile answers with a file, all of it or a part (RFC 9110, sections 13 and
// 14). It sees to f.file being closed.
func sendFile(x *protocol.Exchange, f found) error {
	rep := represent(f.info)
	size := f.info.Size()
	h := &x.Res.Header
	status := precondition(&x.Req, rep)
	if status == 412 {
		f.file.Close()
		return protocol.Failf(412, "a precondition does not hold")
	}
	h.Add("Last-Modified", lastModified(rep))
	h.Add("ETag", rep.etag)
	if status == 304 {
		f.file.Close()
		x.Res.Status = 304
		return nil
	}
	part, isPart, satisfiable := rangeFor(&x.Req, rep, size)
	if !satisfiable {
		f.file.Close()
		return &protocol.Error{
			Status: 416,
			Header: protocol.Header{{Name: "Content-Range", Value: "bytes */" + strconv.FormatInt(size, 10)}},
			Err:    fmt.Errorf("range %q of %d bytes", x.Req.Header.Get("Range"), size),
		}
	}
	h.Add("Content-Type", contentType(f.path))
	h.Add("Accept-Ranges", "bytes")
	x.Res.Status = 200
	if isPart {
		x.Res.Status = 206
		h.Add("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.start, part.start+part.length-1, size))
	} else {
		part = byteRange{0, size}
	}
	x.Res.Body = protocol.File(f.file, part.start, part.length)
	return nil
}

// lastModified is the time of the last modification, but never later than now:
// the field must not be ahead of Date (RFC 9110, section 8.8.2.1).
func lastModified(rep representation) string {
	t := rep.modified
	if now := time.Now(); t.After(now) {
		t = now
	}
	return t.UTC().Format(protocol.TimeFormat)
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
