package instance

import (
	"io/fs"
	"os"
	"slices"
	"time"

	"sited/protocol"
)

// resource is one representation of a file, as an answer to GET and HEAD.
type resource struct {
	rep         representation
	size        int64
	contentType string
	coding      string // of the content; "" for none

	// The content: body, when it is in memory, or else the file, open. A file that
	// is kept open is on loan from shared.
	body   []byte
	file   *os.File
	shared *sharedFile

	whole, parts, same protocol.Rendered // the fields of 200, 206 with several parts, and 304
}

// newResource makes a resource of an open file. path is the file's own. The
// fields are not rendered yet.
func newResource(path string, file *os.File, info fs.FileInfo, coding string) resource {
	r := resource{rep: represent(info), size: info.Size(), contentType: contentType(path), coding: coding, file: file}
	if coding != "" { // RFC 9110, section 8.8.3.3: encodings of a file have different tags
		r.rep.etag = r.rep.etag[:len(r.rep.etag)-1] + "-" + coding + `"`
	}
	if modified := lastModified(r.rep.modified); modified == r.rep.modified.UTC().Format(protocol.TimeFormat) {
		r.rep.lastModified = modified
	}
	return r
}

// render makes the fields ready that answers to requests for path have.
// negotiated tells that there are other representations of the same.
func (r *resource) render(p *policy, path string, negotiated bool) (err error) {
	fields := protocol.Header{{Name: "Last-Modified", Value: lastModified(r.rep.modified)}, {Name: "ETag", Value: r.rep.etag}}
	if negotiated {
		fields.Add("Vary", "Accept-Encoding")
	}
	same := slices.Clone(fields)
	p.setFields(&same, path, 304)
	if r.same, err = protocol.Render(same); err != nil {
		return err
	}
	fields.Add("Content-Type", r.contentType)
	fields.Add("Accept-Ranges", "bytes")
	if r.coding != "" {
		fields.Add("Content-Encoding", r.coding)
	}
	p.setFields(&fields, path, 200)
	if r.whole, err = protocol.Render(fields); err != nil {
		return err
	}
	fields.Del("Content-Type") // each part has its own
	r.parts, err = protocol.Render(fields)
	return err
}

// lastModified is the time of the last modification, but never later than now:
// the field must not be ahead of Date (RFC 9110, section 8.8.2.1).
func lastModified(t time.Time) string {
	if now := time.Now(); t.After(now) {
		t = now
	}
	return t.UTC().Format(protocol.TimeFormat)
}

// content is the part of the resource that is to be sent. Once it was called the
// file belongs to the content.
func (r *resource) content(part byteRange) protocol.Content {
	switch {
	case r.shared != nil:
		c := protocol.Lent(r.shared.file, part.start, part.length, r.shared)
		c.Resident = r.shared.inMemory()
		return c
	case r.file != nil:
		return protocol.File(r.file, part.start, part.length)
	}
	return protocol.Bytes(r.body[part.start : part.start+part.length])
}

// several is those parts of the resource, and the media type of them together.
func (r *resource) several(parts []byteRange) (protocol.Content, string) {
	if r.shared != nil {
		return multipartRanges(parts, r.size, r.contentType, nil, r.shared.file, r.shared)
	}
	return multipartRanges(parts, r.size, r.contentType, r.body, r.file, nil)
}

// close closes the file of a resource whose content is not sent.
func (r *resource) close() {
	switch {
	case r.shared != nil:
		r.shared.Close()
	case r.file != nil:
		r.file.Close()
	}
}

// load makes the content ready to be sent many times: it reads a small file into
// memory and closes it, and shares a large one. A file that was changed since it
// was opened stays as it is: false.
func (r *resource) load(was identity) bool {
	if r.size > maxInMemory {
		r.shared, r.file = share(r.file, was), nil
		return true
	}
	body, unchanged, _ := readWhole(r.file, was)
	if !unchanged {
		return false
	}
	r.file.Close()
	r.file, r.body = nil, body
	return true
}

// bytes is the memory that the content is worth.
func (r *resource) bytes() int64 {
	if r.shared != nil {
		return openCost
	}
	return int64(len(r.body))
}

// variants are the representations of one file.
type variants struct {
	path    string // canonical, of the file itself
	plain   resource
	codings []string   // of siblings, the most wanted first
	coded   []resource // by codings
}

// borrow is choose for variants that are kept. It reports false when the one that
// is to be sent can't be sent any more.
func (v *variants) borrow(h protocol.Header) (*resource, bool) {
	r := v.choose(h)
	return r, r.shared == nil || r.shared.borrow()
}

// hold is for a copy of v to have its own hold of what is shared.
func (v *variants) hold() {
	for _, r := range v.each() {
		if r.shared != nil {
			r.shared.hold() // as v does
		}
	}
}

// choose returns the variant that a request is to get (RFC 9110, section 12.5.3).
func (v *variants) choose(h protocol.Header) *resource {
	if len(v.codings) > 0 {
		if coding, _ := acceptedCoding(h, v.codings); coding != "" {
			return &v.coded[slices.Index(v.codings, coding)]
		}
	}
	return &v.plain
}

// closeBut closes the files of all variants but one.
func (v *variants) closeBut(r *resource) {
	for _, other := range v.each() {
		if other != r {
			other.close()
		}
	}
}

// each lists the variants, the plain one first.
func (v *variants) each() []*resource {
	all := []*resource{&v.plain}
	for i := range v.coded {
		all = append(all, &v.coded[i])
	}
	return all
}

// render makes all variants ready to answer requests for path.
func (v *variants) render(p *policy, path string) error {
	for _, r := range v.each() {
		if err := r.render(p, path, len(v.coded) > 0); err != nil {
			return protocol.Fail(500, err)
		}
	}
	return nil
}

// bytes is the memory that the contents take.
func (v *variants) bytes() int64 {
	n := int64(len(v.path))
	for _, r := range v.each() {
		n += r.bytes()
	}
	return n
}
