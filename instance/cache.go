package instance

import (
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxInMemory is how large a file may be to be kept in memory. Larger ones are
// kept open and sent with sendfile(2), which costs less from there on.
const maxInMemory = 32 << 10

const (
	entryCost = 1 << 10  // bytes that an entry takes besides its content, roughly
	openCost  = 64 << 10 // bytes that an open file is worth: it bounds how many there are
)

// openTime is how long a file that nobody asks for is kept open: if it was deleted
// meanwhile, it still takes its place on the disk.
const openTime = time.Second

// lookTime is how long an answer that is kept is given without a look at the
// disk.
const lookTime = 200 * time.Millisecond

// fileCache keeps answers in memory: small files, with the heads of their answers
// rendered, and that there is nothing of a name. What is kept is compared with
// what is on disk at most every lookTime. Its methods may be called concurrently.
type fileCache struct {
	budget *Budget

	mu      sync.RWMutex
	files   map[string]*cachedFile // by the path of the request; nil while there was none, as folders
	folders map[string]*watched    // that files have names in, by name
	ring    []*cachedFile          // for the hand that looks for files to give up
	hand    int
	used    int64
	changes uint64 // counts what drop was called for
	closed  bool
	tidy    *time.Timer // calls closeIdle; nil while no file is kept open
}

// cachedFile is what a path leads to, immutable but for the atomics.
type cachedFile struct {
	variants        // unless nothing is there
	missing  error  // what a request gets then
	key      string // path of the request
	open     bool   // for GET and HEAD by anybody
	shared   bool   // the contents are those of another entry

	names   []namedFile  // what must be there, each the same
	absent  []string     // what must not be there, or something else would be the answer
	folder  *watched     // as long as it stays the same, no name came up in it; nil: not all of absent are in one folder
	looked  atomic.Int64 // when a request came before which the files were last compared, in nanoseconds of Unix time
	settled atomic.Int64 // the state of folder in which absent were last looked for; 0: none

	cost   int64
	wanted atomic.Bool // since the hand came by
	index  int         // in ring
}

// namedFile is a file by its name, relative to the root.
type namedFile struct {
	name string
	same identity
}

func newFileCache(budget *Budget) *fileCache {
	c := &fileCache{budget: budget}
	budget.mu.Lock()
	budget.members[c] = struct{}{}
	budget.mu.Unlock()
	return c
}

// get returns the answer to a request for path that began now, if it is kept and
// still what is on disk, or was so less than lookTime before. root is the root's
// descriptor.
func (c *fileCache) get(path string, root int, now int64) *cachedFile {
	c.mu.RLock()
	f := c.files[path]
	c.mu.RUnlock()
	if f == nil {
		return nil
	}
	if looked := f.looked.Load(); uint64(now-looked) >= uint64(lookTime) { // also when the clock was set back
		if !f.current(root, now) {
			c.mu.Lock()
			c.remove(f)
			c.mu.Unlock()
			return nil
		}
	}
	if !f.wanted.Load() {
		f.wanted.Store(true)
	}
	return f
}

// current compares f with what is on disk, or was there less than lookTime before
// now, and notes when that was. A name that leads elsewhere by now, out of the root
// perhaps, leads to another file.
func (f *cachedFile) current(root int, now int64) bool {
	for i := range f.names {
		if same, there := lookAt(root, f.names[i].name); !there || same != f.names[i].same {
			return false
		}
	}
	if len(f.absent) == 0 {
		f.looked.Store(now)
		return true
	}
	folder := f.folder.look(root, now)
	if folder.state != 0 && folder.state == f.settled.Load() {
		f.looked.Store(folder.at) // names may have come up since
		return true
	}
	for _, name := range f.absent {
		if !nothing(root, name) {
			return false
		}
	}
	f.settled.Store(folder.state)
	f.looked.Store(now)
	return true
}

// fits reports whether there can be room for a file of that size.
func (c *fileCache) fits(size int64) bool {
	if size > maxInMemory {
		size = openCost
	}
	return size <= c.budget.total/8
}

// state is to be taken before a file is looked up that put is then called with.
func (c *fileCache) state() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.changes
}

// put keeps f, which was looked up for a request that began now, if it is still
// what is on disk, unless something was dropped since state, or there is no room.
// What f shares it holds on its own.
func (c *fileCache) put(f *cachedFile, root int, now int64, state uint64) {
	f.hold()
	f.folder = c.watch(f.absent)
	if !f.current(root, now) || !c.insert(f, state) {
		c.mu.Lock()
		c.unwatch(f.folder)
		c.mu.Unlock()
		f.closeBut(nil)
	}
}

// insert keeps f unless something was dropped since state, or there is no room.
func (c *fileCache) insert(f *cachedFile, state uint64) bool {
	f.cost = int64(len(f.key)) + entryCost
	if !f.shared {
		f.cost += f.bytes()
	}
	for _, name := range f.absent {
		f.cost += int64(len(name))
	}
	if f.cost > c.budget.total/8 {
		return false
	}
	c.mu.Lock()
	if c.closed || c.changes != state {
		c.mu.Unlock()
		return false
	}
	if old := c.files[f.key]; old != nil {
		c.remove(old)
	}
	f.index = len(c.ring)
	c.ring = append(c.ring, f)
	if c.files == nil {
		c.files = map[string]*cachedFile{}
	}
	c.files[f.key] = f
	c.used += f.cost
	if c.tidy == nil && f.isOpen() {
		c.tidy = time.AfterFunc(openTime, c.closeIdle)
	}
	over := c.budget.used.Add(f.cost) > c.budget.total
	c.mu.Unlock()
	if over {
		c.budget.trim()
	}
	return true
}

// watch returns the folder that all of names are in, or nil.
func (c *fileCache) watch(names []string) *watched {
	if len(names) == 0 {
		return nil
	}
	folder := path.Dir(names[0])
	for _, name := range names[1:] {
		if path.Dir(name) != folder {
			return nil
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.folders[folder]
	if w == nil {
		w = &watched{name: folder}
		if c.folders == nil {
			c.folders = map[string]*watched{}
		}
		c.folders[folder] = w
	}
	w.users++
	return w
}

// unwatch is the end of a use of w, which may be nil. The caller holds mu.
func (c *fileCache) unwatch(w *watched) {
	if w == nil {
		return
	}
	if w.users--; w.users == 0 && c.folders[w.name] == w {
		delete(c.folders, w.name)
	}
}

// drop forgets what a file, named relative to the root, is the answer to, or
// would be: it was changed through the site.
func (c *fileCache) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	for i := len(c.ring) - 1; i >= 0; i-- {
		f := c.ring[i]
		if slices.Contains(f.absent, name) || slices.ContainsFunc(f.names, func(n namedFile) bool { return n.name == name }) {
			c.remove(f)
		}
	}
}

// clear forgets everything: the root is another folder.
func (c *fileCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	c.budget.used.Add(-c.used)
	for _, f := range c.ring {
		f.closeBut(nil)
	}
	c.files, c.folders = nil, nil
	c.ring, c.used, c.hand = nil, 0, 0
}

// close forgets everything for good.
func (c *fileCache) close() {
	c.mu.Lock()
	c.closed = true
	if c.tidy != nil {
		c.tidy.Stop()
	}
	c.mu.Unlock()
	c.clear()
	c.budget.mu.Lock()
	delete(c.budget.members, c)
	c.budget.mu.Unlock()
}

// shrink gives up files that nobody asked for lately, as much as over says, but
// keeps share bytes.
func (c *fileCache) shrink(over, share int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for over > 0 && c.used > share && len(c.ring) > 0 {
		if c.hand >= len(c.ring) {
			c.hand = 0
		}
		f := c.ring[c.hand]
		if f.wanted.Swap(false) {
			c.hand++
			continue
		}
		over -= f.cost
		c.remove(f)
	}
}

// remove forgets one file, if it is there. The caller holds mu.
func (c *fileCache) remove(f *cachedFile) {
	if c.files[f.key] != f {
		return
	}
	delete(c.files, f.key)
	last := len(c.ring) - 1
	c.ring[f.index] = c.ring[last]
	c.ring[f.index].index = f.index
	c.ring = c.ring[:last]
	c.used -= f.cost
	c.budget.used.Add(-f.cost)
	c.unwatch(f.folder)
	f.closeBut(nil)
}

// isOpen reports whether a file is kept open.
func (f *cachedFile) isOpen() bool {
	return slices.ContainsFunc(f.each(), func(r *resource) bool { return r.shared != nil })
}

// closeIdle forgets the open files that nobody asked for within openTime.
func (c *fileCache) closeIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, left := time.Now().Add(-openTime).UnixNano(), false
	for i := len(c.ring) - 1; i >= 0; i-- {
		switch f := c.ring[i]; {
		case !f.isOpen():
		case f.looked.Load() < before:
			c.remove(f)
		default:
			left = true
		}
	}
	c.tidy = nil
	if left && !c.closed {
		c.tidy = time.AfterFunc(openTime, c.closeIdle)
	}
}
