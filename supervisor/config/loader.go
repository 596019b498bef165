package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sited/instance"
)

// loader is the state of one Load.
type loader struct {
	edge
	cfg    *Config
	name   string // the path as it was given: diagnostics show it
	folder string // absolute; relative paths start here

	read   map[string]*content // by absolute path: every file is read once
	files  []*configFile       // in name order
	order  map[string]int      // of files, by name, to sort diagnostics
	diags  []located
	eval   *hcl.EvalContext
	locals []string // names, sorted

	language shape
	sites    []*site
	tainted  []hcl.Range // what could not be known because of an error elsewhere
	lost     lost

	pieces    pieces
	forgotten bool // something about a site that was recalled is not as it was

	badPasswords map[string]string // what is wrong with a password file, by its path
	commands     map[string]bool   // whether an interpreter is there, by its name
	seen         map[seenKey]bool
}

// located is a diagnostic and what Diagnostic tells of its place.
type located struct {
	diag *hcl.Diagnostic
	path string // absolute; "" when it is about no file
	site string // "" outside of all site blocks
}

// lost is what may be in files that can't be read or parsed. What is missing
// elsewhere because of that is not reported: it would go with the error itself.
type lost struct{ defaults, locals bool }

type seenKey struct {
	at              hcl.Range
	summary, detail string
}

func newLoader(path string, os edge) *loader {
	abs, err := filepath.Abs(path)
	l := &loader{
		edge:  os,
		name:  filepath.Clean(path),
		read:  map[string]*content{},
		order: map[string]int{},
		seen:  map[seenKey]bool{},

		badPasswords: map[string]string{},
		commands:     map[string]bool{},

		language: language(),
		cfg: &Config{
			Path:    abs,
			Admin:   Admin{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), defaultAdminPort)},
			sources: map[string]*hcl.File{},
			origin:  map[string]string{},
		},
	}
	if err != nil {
		l.failFile(path, "Unknown working folder", "The path %s can't be made absolute: %v. Give an absolute path.", quote(path), err)
	}
	return l
}

// fail adds an error at a place in a config file.
func (l *loader) fail(at hcl.Range, summary, format string, args ...any) {
	l.add(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: &at})
}

// warn adds a warning at a place in a config file.
func (l *loader) warn(at hcl.Range, summary, format string, args ...any) {
	l.add(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: &at})
}

// failFile adds an error about a config file as a whole.
func (l *loader) failFile(path, summary, format string, args ...any) {
	l.diags = append(l.diags, located{path: path, diag: &hcl.Diagnostic{
		Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...),
	}})
}

// add takes a diagnostic in. What evaluation knew is left out, so that no value
// (a secret from the environment, say) is shown beside an expression.
func (l *loader) add(d *hcl.Diagnostic) {
	d.Expression, d.EvalContext = nil, nil
	if r := []rune(d.Detail); len(r) > maxDetail {
		d.Detail = string(r[:maxDetail]) + "…"
	}
	found := located{diag: d, path: l.cfg.Path}
	if d.Subject != nil {
		key := seenKey{*d.Subject, d.Summary, d.Detail}
		if l.seen[key] {
			return
		}
		l.seen[key] = true
		if i, ok := l.order[d.Subject.Filename]; ok {
			found.path, found.site = l.files[i].path, l.files[i].siteAt(*d.Subject)
		}
	}
	l.diags = append(l.diags, found)
}

// finish sorts out who is refused and what is fatal.
func (l *loader) finish() *Config {
	c := l.cfg
	refused := map[string]bool{}
	for _, d := range l.diags {
		switch {
		case d.diag.Severity != hcl.DiagError:
		case d.site != "":
			refused[d.site] = true
		case !slices.Contains(c.broken, d.path):
			c.fatal = true
		}
	}
	for _, at := range l.tainted {
		if f := l.fileAt(at); f != nil {
			label := f.siteAt(at)
			refused[label] = true
			c.fatal = c.fatal || label == ""
		}
	}
	l.holdBroken(refused)
	delete(refused, "")
	for label := range refused {
		c.Refused = append(c.Refused, label)
	}
	slices.Sort(c.Refused)
	c.Sites = make([]instance.Spec, 0, len(l.sites))
	for _, s := range l.sites {
		if !c.fatal && !refused[s.spec.Name] {
			c.Sites = append(c.Sites, s.spec)
		}
	}
	l.listFiles()
	l.sortDiags()
	return c
}

// holdBroken takes the sites of the files that could not be parsed for refused,
// and decides whether such a file holds back everything.
func (l *loader) holdBroken(refused map[string]bool) {
	parsed, haveDefaults := 0, l.haveDefaults()
	for _, f := range l.files {
		if !f.broken {
			parsed++
		}
	}
	for _, f := range l.files {
		if !f.broken {
			continue
		}
		for _, label := range f.labels {
			refused[label] = true
			l.cfg.origin[label] = cmp.Or(l.cfg.origin[label], f.path)
		}
		// Going on without defaults could open a site that they protect.
		if parsed > 0 && (f.shared || f.unreadable && !haveDefaults) {
			l.cfg.fatal = true
			l.failFile(f.path, "Nothing can be changed",
				"The file %s, which can't be read or parsed, has or may have blocks that all sites depend on. Nothing changes until it is mended or moved away.", f.name)
		}
	}
	if parsed == 0 {
		l.cfg.fatal = true
	}
}

// findLost finds out what may be in the files that could not be parsed.
func (l *loader) findLost() {
	for _, f := range l.files {
		l.lost.defaults = l.lost.defaults || f.broken && (f.unreadable || f.defaults)
		l.lost.locals = l.lost.locals || f.broken && (f.unreadable || f.locals)
	}
	l.lost.defaults = l.lost.defaults && !l.haveDefaults()
}

func (l *loader) haveDefaults() bool {
	return slices.ContainsFunc(l.files, func(f *configFile) bool { return len(f.blocks(blockDefaults)) > 0 })
}

func (l *loader) fileAt(at hcl.Range) *configFile {
	if i, ok := l.order[at.Filename]; ok {
		return l.files[i]
	}
	return nil
}

// sortDiags puts diagnostics in file order, and bounds their number: each is
// shown with a snippet, and the thousandth helps nobody.
func (l *loader) sortDiags() {
	slices.SortStableFunc(l.diags, func(a, b located) int {
		if a.diag.Subject == nil || b.diag.Subject == nil {
			return boolOrder(a.diag.Subject != nil, b.diag.Subject != nil)
		}
		return cmp.Or(
			cmp.Compare(l.order[a.diag.Subject.Filename], l.order[b.diag.Subject.Filename]),
			cmp.Compare(a.diag.Subject.Start.Byte, b.diag.Subject.Start.Byte),
		)
	})
	l.cfg.located = l.diags
	if len(l.diags) > maxDiags {
		l.cfg.located = boundDiags(l.diags)
	}
	for _, d := range l.cfg.located {
		l.cfg.Diags = append(l.cfg.Diags, d.diag)
	}
	l.dropSources()
}

// dropSources forgets the text and the syntax tree of the files that there is
// nothing to be said about. Both are many times as large as the sites in them.
func (l *loader) dropSources() {
	shown := map[string]bool{}
	for _, d := range l.cfg.Diags {
		if d.Subject != nil {
			shown[d.Subject.Filename] = true
		}
	}
	maps.DeleteFunc(l.cfg.sources, func(name string, _ *hcl.File) bool { return !shown[name] })
}

const (
	maxDiags  = 100
	maxDetail = 1000 // characters: the parser repeats a name of any length
)

func boundDiags(all []located) []located {
	var kept []located
	for _, severity := range []hcl.DiagnosticSeverity{hcl.DiagError, hcl.DiagWarning} {
		for _, d := range all {
			if d.diag.Severity == severity && len(kept) < maxDiags {
				kept = append(kept, d)
			}
		}
	}
	return append(kept, located{diag: &hcl.Diagnostic{
		Severity: hcl.DiagWarning,
		Summary:  "Too many messages",
		Detail:   fmt.Sprintf("%d more errors and warnings are not shown. Mend these first.", len(all)-len(kept)),
	}})
}

func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// place names a position for use in another diagnostic's text.
func place(at hcl.Range) string { return fmt.Sprintf("%s:%d", at.Filename, at.Start.Line) }

// blocks are the top-level blocks of one type, in file order; none when the file
// could not be parsed.
func (f *configFile) blocks(name string) []*hclsyntax.Block {
	var found []*hclsyntax.Block
	if f.broken {
		return nil
	}
	for _, b := range f.body.Blocks {
		if b.Type == name {
			found = append(found, b)
		}
	}
	return found
}

// siteAt is the label of the site block around a place.
func (f *configFile) siteAt(at hcl.Range) string {
	if f.body == nil {
		return ""
	}
	all := f.body.Blocks // in file order
	i := sort.Search(len(all), func(i int) bool { return all[i].TypeRange.Start.Byte > at.Start.Byte }) - 1
	if i < 0 || all[i].Type != blockSite || len(all[i].Labels) == 0 || at.Start.Byte >= all[i].CloseBraceRange.End.Byte {
		return ""
	}
	return all[i].Labels[0]
}
