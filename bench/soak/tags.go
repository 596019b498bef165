package main

import (
	"errors"
	"fmt"
	"maps"
)

// body identifies the content that an entity tag stands for.
type body struct {
	version version
	size    int64
}

// known is what a tag stands for, with the version that it was seen with: all
// empty versions have the same content.
type known struct {
	body
	with version
}

// validators are what the answers with one version say about it.
type validators struct{ tag, modified string }

// tagBook is what was learned of the validators of one file. A strong entity
// tag stands for one content (RFC 9110, section 8.8.3), and a file that is
// replaced as a whole has one of each validator.
type tagBook struct {
	content map[string]known // by tag
	seen    map[version]validators
}

func newTagBook() tagBook {
	return tagBook{content: map[string]known{}, seen: map[version]validators{}}
}

// forget drops what is known of versions that are not in states.
func (b *tagBook) forget(states []state) {
	kept := map[version]bool{}
	for i := range states {
		kept[states[i].version] = true
	}
	maps.DeleteFunc(b.content, func(_ string, k known) bool { return !kept[k.with] })
	maps.DeleteFunc(b.seen, func(v version, _ validators) bool { return !kept[v] })
}

// learn notes the validators of an answer with that content, and says what is
// wrong with them. whole: the file is replaced as a whole. An empty modified is
// one that is not known.
func (h *history) learn(of body, v validators, whole bool) error {
	if v.tag == "" {
		return errors.New("no ETag")
	}
	with := of.version
	if of.size == 0 {
		of.version = version{} // all empty versions are the same
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if known, ok := h.tags.content[v.tag]; ok && known.body != of {
		return fmt.Errorf("ETag %s stands for version %d of %d bytes, and was seen with version %d of %d bytes",
			v.tag, of.version.number, of.size, known.version.number, known.size)
	}
	h.tags.content[v.tag] = known{of, with}
	if !whole || of.size == 0 {
		return nil
	}
	before, ok := h.tags.seen[of.version]
	if ok && before.tag != v.tag {
		return fmt.Errorf("ETag %s of version %d, which had ETag %s before", v.tag, of.version.number, before.tag)
	}
	if ok && before.modified != "" && v.modified != "" && before.modified != v.modified {
		return fmt.Errorf("Last-Modified %s of version %d, which had %s before", v.modified, of.version.number, before.modified)
	}
	if v.modified == "" {
		v.modified = before.modified
	}
	h.tags.seen[of.version] = v
	return nil
}

// contentOf returns what a tag was seen with.
func (h *history) contentOf(tag string) (body, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of, ok := h.tags.content[tag]
	return of.body, ok
}
