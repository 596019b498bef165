package instance

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sited/protocol"
)

// maxListed is how many entries of a folder are listed.
const maxListed = 10_000

// listed is one entry of a folder that a client may see.
type listed struct {
	name     string
	isFolder bool
	size     int64 // of a file, in bytes
	modified time.Time
}

// list answers GET and HEAD for a folder without an index file. It closes f.
// granted is the protect block whose credentials were checked.
func (i *Instance) list(x *protocol.Exchange, root *os.Root, f found, granted *Protect) error {
	defer f.close()
	entries, more, err := i.policy.entries(root, f, granted)
	if err != nil {
		return err
	}
	order := orderOf(x.Req.Query)
	order.sort(entries)
	h := &x.Res.Header
	h.Add("Vary", "Accept")
	var body []byte
	if accepts(x.Req.Header, "application/json") > accepts(x.Req.Header, "text/html") {
		h.Add("Content-Type", "application/json")
		body, err = listingJSON(entries)
	} else {
		h.Add("Content-Type", "text/html; charset=utf-8")
		h.Add("Content-Security-Policy", listingPolicy)
		body, err = listingHTML(f.path, entries, more, order)
	}
	if err != nil {
		return err
	}
	if more {
		h.Add("Listing-Truncated", "?1")
	}
	x.Res.Status = 200
	x.Res.Body = protocol.Bytes(body)
	return nil
}

// entries reads a folder: what of it the client may see, and whether there is
// more than maxListed of it.
func (p *policy) entries(root *os.Root, f found, granted *Protect) (all []listed, more bool, err error) {
	all = []listed{}
	for {
		batch, err := f.file.ReadDir(256)
		for _, d := range batch {
			e, ok := p.entry(root, f, d, granted)
			switch {
			case !ok:
			case len(all) == maxListed:
				return all, true, nil
			default:
				all = append(all, e)
			}
		}
		if errors.Is(err, io.EOF) {
			return all, false, nil
		}
		if err != nil {
			return nil, false, diskError(err)
		}
	}
}

// entry says what a client may see of one name in the folder f. ok is false for
// what a request for it would not get, or only with other credentials than those
// that were granted: that it is there is then nobody's business.
func (p *policy) entry(root *os.Root, f found, d fs.DirEntry, granted *Protect) (e listed, ok bool) {
	path := f.path + d.Name()
	if strings.HasPrefix(d.Name(), ".") || p.refusedName(path) {
		return listed{}, false
	}
	e, ok = glance(root, f.file, path, d)
	if !ok {
		return listed{}, false
	}
	if e.isFolder {
		path += "/"
	}
	guard := p.protectFor(protocol.MethodGet, path)
	return e, guard == nil || guard == granted
}

// glance tells files and folders from the rest. A symbolic link is what it leads
// to, within the root.
func glance(root *os.Root, folder *os.File, path string, d fs.DirEntry) (e listed, ok bool) {
	if d.Type() == fs.ModeSymlink {
		info, err := root.Stat(relative(path))
		if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
			return listed{}, false
		}
		return listed{d.Name(), info.IsDir(), info.Size(), info.ModTime()}, true
	}
	if !d.IsDir() && !d.Type().IsRegular() {
		return listed{}, false
	}
	var st unix.Stat_t
	err := unix.Fstatat(int(folder.Fd()), d.Name(), &st, unix.AT_SYMLINK_NOFOLLOW)
	runtime.KeepAlive(folder)
	kind := st.Mode & unix.S_IFMT
	if err != nil || kind != unix.S_IFREG && kind != unix.S_IFDIR { // another one by now
		return listed{}, false
	}
	return listed{d.Name(), kind == unix.S_IFDIR, st.Size, time.Unix(st.Mtim.Unix())}, true
}

// order is how a listing is sorted.
type order struct {
	by         string // "name", "size" or "time"
	descending bool
}

// orderOf reads an order from a query, "sort=name&order=asc": what it does not
// know it ignores.
func orderOf(query string) order {
	o := order{by: "name"}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		switch name, value, _ := strings.Cut(pair, "="); {
		case name == "sort" && (value == "name" || value == "size" || value == "time"):
			o.by = value
		case name == "order" && (value == "asc" || value == "desc"):
			o.descending = value == "desc"
		}
	}
	return o
}

// sort puts folders first. Without regard to the order, entries that are equal in
// what it goes by are sorted by name, so that nothing moves from one time to the
// next; folders have no size.
func (o order) sort(entries []listed) {
	slices.SortFunc(entries, func(a, b listed) int {
		if a.isFolder != b.isFolder {
			if a.isFolder {
				return -1
			}
			return 1
		}
		n := 0
		switch o.by {
		case "size":
			if !a.isFolder {
				n = cmp.Compare(a.size, b.size)
			}
		case "time":
			n = a.modified.Compare(b.modified)
		default:
			n = compareNames(a.name, b.name)
		}
		if o.descending {
			n = -n
		}
		if n == 0 {
			n = compareNames(a.name, b.name)
		}
		return n
	})
}

// compareNames compares without regard to the case of ASCII letters first, so
// that "README" is among the files that begin with an R.
func compareNames(a, b string) int {
	for i := 0; i < min(len(a), len(b)); i++ {
		if n := cmp.Compare(lowerASCII(rune(a[i])), lowerASCII(rune(b[i]))); n != 0 {
			return n
		}
	}
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// listingEntry is an entry in the form that nginx's autoindex_format json has.
type listingEntry struct {
	Name     string `json:"name"`
	Type     string `json:"type"`           // "file" or "directory"
	Size     *int64 `json:"size,omitempty"` // of a file, in bytes
	Modified string `json:"mtime"`          // an HTTP-date
}

func listingJSON(entries []listed) ([]byte, error) {
	all := make([]listingEntry, len(entries))
	for i := range entries {
		e := &entries[i]
		all[i] = listingEntry{Name: e.name, Type: "file", Size: &e.size, Modified: e.modified.UTC().Format(protocol.TimeFormat)}
		if e.isFolder {
			all[i].Type, all[i].Size = "directory", nil
		}
	}
	return json.Marshal(all)
}
