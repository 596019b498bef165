package instance

import (
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Budget is the memory that the sites of a process share to keep small files in.
// A site takes what the others leave; when there is none left, sites that have
// more than an equal share give way. Its methods may be called concurrently.
type Budget struct {
	total int64 // bytes
	used  atomic.Int64

	mu      sync.Mutex
	members map[*fileCache]struct{}
}

// DefaultBudget is how much memory, in bytes, files of all sites together take.
const DefaultBudget = 64 << 20

// NewBudget returns a budget of total bytes; with none or less nothing is kept.
func NewBudget(total int64) *Budget {
	return &Budget{total: total, members: map[*fileCache]struct{}{}}
}

// share is an equal share of the budget.
func (b *Budget) share() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total / int64(max(1, len(b.members)))
}

// trim has sites that are over an equal share give files up until the budget
// holds.
func (b *Budget) trim() {
	share := b.share()
	b.mu.Lock()
	members := make([]*fileCache, 0, len(b.members))
	for c := range b.members {
		members = append(members, c)
	}
	b.mu.Unlock()
	for _, c := range members {
		if over := b.used.Load() - b.total; over > 0 {
			c.shrink(over, share)
		}
	}
}

// maxCached is how large a file may be to be kept. Larger ones are sent with
// sendfile(2), which costs no more from there on.
const maxCached = 256 << 10

// entryCost is what an entry takes besides its content, in bytes, roughly.
const entryCost = 512

// fileCache keeps small files in memory, with what their answers' heads say. A
// file is compared with the one on disk, by one stat(2), before it is served: a
// change shows at once. Its methods may be called concurrently.
type fileCache struct {
	budget *Budget

	mu      sync.RWMutex
	files   map[string]*cachedFile // by the path of the request
	ring    []*cachedFile          // for the hand that looks for files to give up
	hand    int
	used    int64
	changes uint64 // counts what drop was called for
	closed  bool
}

// cachedFile is one file, immutable but for the atomics.
type cachedFile struct {
	resource
	key    string
	name   string   // relative to the root
	absent []string // names that must not be there for it to be the answer: index files before it
	same   identity
	cost   int64
	wanted atomic.Bool // since the hand came by
	index  int         // in ring
}

// identity tells whether a file is the same and has the same content.
type identity struct {
	dev, ino          uint64
	size              int64
	modified, changed int64 // nanoseconds
}

func identify(st *syscall.Stat_t) identity {
	return identity{st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
}

func newFileCache(budget *Budget) *fileCache {
	c := &fileCache{budget: budget, files: map[string]*cachedFile{}}
	budget.mu.Lock()
	budget.members[c] = struct{}{}
	budget.mu.Unlock()
	return c
}

// get returns the file that answers a request for path, if it is kept and is the
// one on disk. folder is the root's descriptor.
func (c *fileCache) get(path string, folder int) *cachedFile {
	c.mu.RLock()
	f := c.files[path]
	c.mu.RUnlock()
	if f == nil {
		return nil
	}
	if !f.current(folder) {
		c.mu.Lock()
		c.remove(f)
		c.mu.Unlock()
		return nil
	}
	if !f.wanted.Load() {
		f.wanted.Store(true)
	}
	return f
}

// current compares the file with the one on disk. A name that leads elsewhere by
// now, out of the root perhaps, leads to another file.
func (f *cachedFile) current(folder int) bool {
	var st unix.Stat_t
	for _, name := range f.absent {
		if unix.Fstatat(folder, name, &st, 0) != unix.ENOENT {
			return false
		}
	}
	return unix.Fstatat(folder, f.name, &st, 0) == nil &&
		identity{st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()} == f.same
}

// state is to be taken before a file is looked up that put is then called with.
func (c *fileCache) state() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.changes
}

// put keeps f, unless something was dropped since state, or there is no room.
func (c *fileCache) put(f *cachedFile, state uint64) {
	f.cost = int64(len(f.body)+len(f.key)+len(f.name)) + entryCost
	if f.cost > c.budget.total/8 {
		return
	}
	c.mu.Lock()
	if c.closed || c.changes != state {
		c.mu.Unlock()
		return
	}
	if old := c.files[f.key]; old != nil {
		c.remove(old)
	}
	f.index = len(c.ring)
	c.ring = append(c.ring, f)
	c.files[f.key] = f
	c.used += f.cost
	over := c.budget.used.Add(f.cost) > c.budget.total
	c.mu.Unlock()
	if over {
		c.budget.trim()
	}
}

// drop forgets what a file, named relative to the root, is the answer to, or
// would be: it was changed through the site.
func (c *fileCache) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	for i := len(c.ring) - 1; i >= 0; i-- {
		if f := c.ring[i]; f.name == name || slices.Contains(f.absent, name) {
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
	c.files, c.ring, c.used, c.hand = map[string]*cachedFile{}, nil, 0, 0
}

// close forgets everything for good.
func (c *fileCache) close() {
	c.mu.Lock()
	c.closed = true
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
}
