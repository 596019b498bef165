package instance

import (
	"sync"
	"sync/atomic"
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
