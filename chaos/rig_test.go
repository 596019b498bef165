package chaos

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"sited/rig"
)

// temporaries are the files below a folder that uploads have left.
func temporaries(r *rig.Rig, folder string) (found []string) {
	r.T.Helper()
	rig.Must(r.T, filepath.WalkDir(r.Path(folder), func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) { // it went meanwhile
			return nil
		}
		if err == nil && strings.HasPrefix(d.Name(), ".sited-upload-") {
			found = append(found, path)
		}
		return err
	}))
	return found
}

// counts is how often each of several things has happened.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[what]++
}

func (c *counts) of(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[what]
}

// String lists them, each on a line of its own.
func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(c.n)) {
		fmt.Fprintf(&b, "\n%7d %s", c.n[what], what)
	}
	return b.String()
}

// figures are what must not grow.
type figures struct {
	goroutines, descriptors, children int
	heap, resident                    int // KiB
}

func figuresOf(r *rig.Rig, p *rig.Process) figures {
	r.T.Helper()
	f := figures{descriptors: p.Descriptors(), children: len(p.Children())}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
	rig.Must(r.T, err)
	_, rss, _ := strings.Cut(string(b), "VmRSS:")
	if _, err := fmt.Sscan(rss, &f.resident); err != nil {
		r.T.Fatalf("VmRSS: %v", err)
	}
	samples, err := p.Scrape()
	rig.Must(r.T, err)
	for series, value := range map[string]*int{"go_goroutines": &f.goroutines, "go_memstats_heap_alloc_bytes": &f.heap} {
		n, ok := samples[series]
		if !ok {
			r.T.Fatalf("no series %s", series)
		}
		*value = int(n)
	}
	f.heap >>= 10
	return f
}
