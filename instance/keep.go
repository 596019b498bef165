package instance

import (
	"runtime"
	"slices"
	"strings"

	"sited/protocol"
)

// cached returns the answer to a request if it is in memory.
func (i *Instance) cached(root *folder, x *protocol.Exchange) *cachedFile {
	f := i.files.get(x.Req.Path, root.fd, x.Start.UnixNano())
	runtime.KeepAlive(root)
	return f
}

// lookup is a request for which the disk was looked at.
type lookup struct {
	root  *folder
	path  string // of the request
	now   int64  // when it began, in nanoseconds of Unix time
	state uint64 // of the cache, before the file was looked for
}

// keep reads a small file and its siblings into memory, and keeps large ones open,
// for this request and the next ones. What was changed meanwhile is left. before
// are the names that came before the file and led to nothing, beside those that
// siblings would have. A path that leads to a file of another name, as all do that
// end with the same fallback, shares its content with that name's.
func (i *Instance) keep(l lookup, v *variants, names []namedFile, before, beside []string) {
	all := v.each()
	for n, r := range all {
		if !i.files.fits(r.size) || !names[n].same.settled(l.now) {
			return
		}
	}
	own := i.files.get(v.path, l.root.fd, l.now)
	shared := own != nil && own.lend(all, names)
	if !shared {
		for n, r := range all {
			if !r.load(names[n].same) {
				return
			}
		}
		if l.path != v.path {
			shared = i.keepOwn(l, *v, names, beside)
		}
	}
	i.files.put(&cachedFile{
		variants: *v, shared: shared, key: l.path, names: names, absent: slices.Concat(before, beside),
		open: i.policy.open(l.path) && i.policy.open(v.path),
	}, l.root.fd, l.now, l.state)
	runtime.KeepAlive(l.root)
}

// keepOwn keeps a file for requests by its own name. v is a copy, but for the
// contents.
func (i *Instance) keepOwn(l lookup, v variants, names []namedFile, beside []string) bool {
	v.coded = slices.Clone(v.coded)
	if v.render(i.policy, v.path) != nil {
		return false
	}
	i.files.put(&cachedFile{
		variants: v, key: v.path, names: names, absent: beside, open: i.policy.open(v.path),
	}, l.root.fd, l.now, l.state)
	return true
}

// lend gives the contents of f to variants of the same files, and closes theirs.
// It reports whether they are the same.
func (f *cachedFile) lend(to []*resource, names []namedFile) bool {
	from := f.each()
	if f.missing != nil || len(from) != len(to) || len(names) < len(to) || !slices.Equal(f.names, names) {
		return false
	}
	for n, r := range from {
		if r.shared != nil && !r.shared.borrow() {
			for _, borrowed := range from[:n] {
				borrowed.close()
			}
			return false
		}
	}
	for n, r := range to {
		r.file.Close()
		r.file, r.body, r.shared = nil, from[n].body, from[n].shared
	}
	return true
}

// keepMissing keeps in memory that there is nothing for a request, as long as
// there is nothing of any of the names in absent.
func (i *Instance) keepMissing(l lookup, absent []string, err error) {
	if len(absent) == 0 || protocol.StatusOf(err) != 404 || slices.ContainsFunc(absent, i.policy.belowScript) {
		return
	}
	i.files.put(&cachedFile{key: l.path, missing: err, absent: absent, open: i.policy.open(l.path)}, l.root.fd, l.now, l.state)
	runtime.KeepAlive(l.root)
}

// open reports whether anybody may GET and HEAD a path.
func (p *policy) open(path string) bool {
	for _, method := range []string{protocol.MethodGet, protocol.MethodHead} {
		if !slices.Contains(p.spec.Methods, method) || p.protectFor(method, path) != nil {
			return false
		}
	}
	return true
}

// belowScript reports whether a name, relative to the root, would be a script's
// path info if a part of it before the last were a file.
func (p *policy) belowScript(name string) bool {
	for len(p.scripts) > 0 {
		at := strings.LastIndexByte(name, '/')
		if at < 0 {
			return false
		}
		name = name[:at]
		if block, _ := p.script(name); block >= 0 {
			return true
		}
	}
	return false
}
