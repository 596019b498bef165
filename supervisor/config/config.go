// Package config reads what sited is told to host: HCL in one file, or in the
// *.hcl files of a directory, becomes an instance.Spec for each site block, and
// diagnostics that point at the exact token for whatever is wrong.
//
// The data's way: every file is read once (source.go) and parsed; locals are
// evaluated (locals.go, functions.go); the tables in site.go say which argument
// goes where and how it is checked; defaults are decoded onto a Spec, and each
// site onto a copy of that; checks that need more than one argument come last
// (together.go, address.go).
package config

import (
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"sited/instance"
)

// Config is what was read, right or wrong. It is not changed after Load.
type Config struct {
	Path    string          // what was given to Load, made absolute; symbolic links are not resolved
	Admin   Admin           // where metrics, health and control are served
	Sites   []instance.Spec // the valid sites, in file order; none when Fatal
	Refused []string        // labels of the sites that have errors, sorted; none of them is in Sites
	Files   []File          // every file that was read, or that could not be, sorted by path
	Diags   hcl.Diagnostics // errors and warnings, in file order

	fatal     bool
	adminSeen bool                 // there is an admin block, in a file that is broken perhaps
	siteless  bool                 // there is no site block
	sources   map[string]*hcl.File // by the name diagnostics use
	located   []located            // of Diags, one each
	origin    map[string]string    // site label -> absolute path of the file it is in
	broken    []string             // absolute paths of config files that could not be read or parsed
}

// Admin is what the admin block says.
type Admin struct {
	Addr  netip.AddrPort
	Hosts []string // names in lower case that it may be called by, besides IP addresses and localhost
}

// Load reads the file at path, or the *.hcl files of the directory at path, and
// everything they refer to. env is what the env function asks; os.LookupEnv
// outside of tests. Load never returns nil: what is wrong is in Diags.
func Load(path string, env func(string) (string, bool)) *Config {
	return load(path, edge{env: env, lookPath: exec.LookPath})
}

// edge is what Load asks the operating system for besides files.
type edge struct {
	env      func(name string) (string, bool)
	lookPath func(name string) (string, error)
}

func load(path string, os edge) *Config {
	return newLoader(path, os).load()
}

func (l *loader) load() *Config {
	l.readFiles()
	l.findLost()
	l.evalContext()
	l.checkTopLevel()
	l.checkAnySite()
	l.admin()
	base := l.defaults()
	for _, f := range l.files {
		for _, b := range f.blocks(blockSite) {
			if spec, ok := l.pieces.recalled[b]; ok {
				l.sites = append(l.sites, l.recalled(spec, f, b))
			} else if len(b.Labels) > 0 {
				l.sites = append(l.sites, l.site(base, f, b))
			}
		}
	}
	for _, s := range l.sites {
		if _, ok := l.pieces.recalled[s.block]; !ok {
			l.checkSite(s)
		}
	}
	l.checkLabels()
	l.checkAddresses()
	return l.finish()
}

// Hash identifies what was read, see Reading.Hash.
func (c *Config) Hash() string { return c.Reading().Hash() }

// Reading is what was read for c.
func (c *Config) Reading() Reading { return Reading{Path: c.Path, Files: c.Files} }

// Fatal reports whether nothing may change: no file could be read and parsed,
// there is no site block at all, something is wrong outside of all site blocks,
// or what all sites share may be in a file that could not be read or parsed.
// Sites is empty then.
func (c *Config) Fatal() bool { return c.fatal }

// AdminKnown reports whether Admin can be relied on: it is what an admin block
// says, or the default because there is none. It is not known when a file that
// can't be read may hold the block, or what is left of the configuration has not
// even a site.
func (c *Config) AdminKnown() bool {
	return c.adminSeen || len(c.broken) == 0 && !c.siteless
}

// HasErrors reports whether Diags has an error.
func (c *Config) HasErrors() bool { return c.Diags.HasErrors() }

// Origin is the absolute path of the file that the site with that label is in,
// or "" when no such site was seen.
func (c *Config) Origin(site string) string { return c.origin[site] }

// Holds reports whether a running site must stay as it is: its block has errors,
// or the file it once came from, origin, can't be read or parsed now, so that
// nobody knows whether the site is still in it.
func (c *Config) Holds(site, origin string) bool {
	if c.fatal || slices.Contains(c.Refused, site) {
		return true
	}
	if !slices.Contains(c.broken, origin) {
		return false
	}
	return !slices.ContainsFunc(c.Sites, func(s instance.Spec) bool { return s.Name == site })
}

// WriteDiagnostics writes Diags as text with snippets of the files, as wide as
// the terminal if w is one, else 78 columns.
func (c *Config) WriteDiagnostics(w io.Writer, color bool) error {
	width := textWidth(w)
	for _, d := range c.Diags {
		if _, err := fmt.Fprintln(w, renderText(d, c.sources, width, color)); err != nil {
			return fmt.Errorf("write diagnostics: %w", err)
		}
	}
	return nil
}

// absolute is path from folder on, cleaned.
func absolute(folder, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(folder, path)
}
