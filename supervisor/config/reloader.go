package config

import (
	"os/exec"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sited/instance"
)

// Reloader loads a configuration again and again, as Load does, and remembers
// what the site blocks in it came to: with a thousand sites in it, one that was
// changed is taken in without parsing the others. The zero value is ready. Its
// methods may be called concurrently.
//
// What is remembered is only relied on as long as there is nothing to be said about
// it: a configuration with an error is loaded without. So is one that uses the
// file function. What a site that is remembered only gets a warning for, that its
// root is not there say, is not looked at again.
type Reloader struct {
	mu   sync.Mutex
	last *memory // replaced, never changed
}

// Load is the function of that name. The environment must not change.
func (r *Reloader) Load(path string, env func(string) (string, bool)) *Config {
	return r.load(path, edge{env: env, lookPath: exec.LookPath})
}

func (r *Reloader) load(path string, os edge) *Config {
	r.mu.Lock()
	last := r.last
	r.mu.Unlock()
	l := newLoader(path, os)
	l.pieces.known = last
	cfg := l.load()
	if len(l.pieces.recalled) > 0 && l.doubtful() {
		l = newLoader(path, os)
		cfg = l.load()
	}
	if next := l.memorise(); next != nil {
		r.mu.Lock()
		r.last = next
		r.mu.Unlock()
	}
	return cfg
}

// memory is what the site blocks of a configuration came to.
type memory struct {
	folder string                   // where relative paths start
	shared string                   // everything that is no site block
	sites  map[string]instance.Spec // by the text of the block
}

// pieces are what the files were found to consist of.
type pieces struct {
	known    *memory // nil: everything is parsed
	shared   strings.Builder
	sites    map[*hclsyntax.Block]string // texts of the site blocks that were a piece of their own
	recalled map[*hclsyntax.Block]instance.Spec
}

// recall returns a block that stands for a site block that is remembered, nil for
// any other piece of a file. It has a label, and a place.
func (p *pieces) recall(piece []byte, name string, start hcl.Pos) *hclsyntax.Block {
	if p.known == nil {
		return nil
	}
	spec, ok := p.known.sites[string(piece)]
	if !ok {
		return nil
	}
	end := start
	end.Byte += len(piece)
	at := hcl.Range{Filename: name, Start: start, End: end}
	b := &hclsyntax.Block{
		Type: blockSite, Labels: []string{spec.Name},
		Body:      &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, SrcRange: at, EndRange: at},
		TypeRange: at, LabelRanges: []hcl.Range{at}, OpenBraceRange: at, CloseBraceRange: at,
	}
	if p.recalled == nil {
		p.recalled = map[*hclsyntax.Block]instance.Spec{}
	}
	p.recalled[b] = spec
	p.note(b, piece)
	return b
}

// parsed takes note of a piece of a file and what is in it.
func (p *pieces) parsed(body *hclsyntax.Body, piece []byte) {
	if len(body.Attributes) == 0 && len(body.Blocks) == 1 && body.Blocks[0].Type == blockSite {
		p.note(body.Blocks[0], piece)
		return
	}
	p.whole(piece)
}

func (p *pieces) note(b *hclsyntax.Block, piece []byte) {
	if p.sites == nil {
		p.sites = map[*hclsyntax.Block]string{}
	}
	p.sites[b] = string(piece)
}

// whole takes note of what is shared by all sites, or may be.
func (p *pieces) whole(src []byte) {
	p.shared.Write(src)
	p.shared.WriteByte(0)
}

// doubtful reports whether what was remembered may not be what the configuration
// says, or something is to be said that may be about it.
func (l *loader) doubtful() bool {
	return l.cfg.fatal || l.cfg.HasErrors() || len(l.tainted) > 0 || l.forgotten ||
		l.pieces.shared.String() != l.pieces.known.shared || l.folder != l.pieces.known.folder || l.usesFiles()
}

// usesFiles reports whether the file function was called.
func (l *loader) usesFiles() bool {
	for _, c := range l.read {
		if slices.Contains(c.kinds, KindFunction) {
			return true
		}
	}
	return false
}

// memorise returns what is to be remembered. It is nil for a configuration with
// errors: the one before may come back.
func (l *loader) memorise() *memory {
	if l.cfg.fatal || l.cfg.HasErrors() || len(l.tainted) > 0 {
		return nil
	}
	m := &memory{folder: l.folder, shared: l.pieces.shared.String(), sites: map[string]instance.Spec{}}
	if l.usesFiles() {
		return m
	}
	warned := map[string]bool{}
	for _, d := range l.diags {
		warned[d.site] = true
	}
	for _, s := range l.sites {
		if text, ok := l.pieces.sites[s.block]; ok && !warned[s.spec.Name] {
			m.sites[text] = s.spec
		}
	}
	return m
}

// recalled is the site that a block which is remembered stands for. Of what it was
// checked for only that is checked again which depends on others, or on the content
// of its password file.
func (l *loader) recalled(spec instance.Spec, f *configFile, b *hclsyntax.Block) *site {
	if l.cfg.origin[spec.Name] == "" {
		l.cfg.origin[spec.Name] = f.path
	}
	if spec.Passwords != "" {
		content, err := l.content(spec.Passwords, KindPasswords)
		l.forgotten = l.forgotten || err != nil || l.problemsIn(spec.Passwords, content) != ""
	}
	for _, x := range spec.Scripts { // a warning that they are not there may be about defaults
		l.forgotten = l.forgotten || len(x.Command) > 0 && !l.hasCommand(x.Command[0])
	}
	return &site{spec: spec, file: f, block: b}
}
