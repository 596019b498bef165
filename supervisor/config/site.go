package config

import (
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sited/instance"
)

const (
	blockAdmin    = "admin"
	blockDefaults = "defaults"
	blockLocals   = "locals"
	blockSite     = "site"

	defaultAdminPort = 9180
)

// language is all that can be written: the tables below, put together.
func language() shape {
	site := shape{
		name: blockSite, label: "the site's name", repeated: true,
		args: slices.Concat(argNames(ownArgs), argNames(siteArgs)),
		blocks: []shape{
			{name: "protect", label: "a path pattern", repeated: true, args: argNames(protectArgs)},
			{name: "script", label: "a file name extension", repeated: true, args: argNames(scriptArgs)},
			{name: "connect", args: argNames(connectArgs)},
			{name: "redirect", label: "a path pattern", repeated: true, args: argNames(redirectArgs)},
			{name: "header", label: "a path pattern", repeated: true, args: argNames(headerArgs)},
			{name: "error_page", label: "a status or a class of statuses", repeated: true, args: argNames(errorPageArgs)},
			{name: "logs", args: argNames(logsArgs)},
			{name: "limits", args: argNames(limitsArgs)},
			{name: "timeouts", args: argNames(timeoutsArgs)},
		},
	}
	defaults := shape{name: blockDefaults, args: argNames(siteArgs), siteOnly: argNames(ownArgs), blocks: site.blocks}
	admin := shape{name: blockAdmin, args: argNames(adminArgs)}
	return shape{blocks: []shape{site, admin, defaults, {name: blockLocals, repeated: true}}}
}

// shapeOf is the shape of a top-level block.
func (l *loader) shapeOf(name string) shape {
	all := l.language.blocks
	return all[slices.IndexFunc(all, func(s shape) bool { return s.name == name })]
}

// ownArgs are the arguments that only a site can have.
var ownArgs = []argument[instance.Spec]{
	portArg(func(s *instance.Spec) *netip.AddrPort { return &s.Addr }),
	wordsArg("hosts", func(s *instance.Spec) *[]string { return &s.Hosts }, 0, checkHost),
	pathArg("root", func(s *instance.Spec) *string { return &s.Root }, false),
}

// siteArgs are the arguments of site and defaults.
var siteArgs = []argument[instance.Spec]{
	ipArg(func(s *instance.Spec) *netip.AddrPort { return &s.Addr }),
	wordsArg("index", func(s *instance.Spec) *[]string { return &s.Index }, 0, checkIndex),
	wordsArg("methods", func(s *instance.Spec) *[]string { return &s.Methods }, 1, checkMethod),
	wordsArg("versions", func(s *instance.Spec) *[]string { return &s.Versions }, 1, checkVersion),
	pathArg("passwords", func(s *instance.Spec) *string { return &s.Passwords }, false),
	wordsArg("try", func(s *instance.Spec) *[]string { return &s.Try }, 0, checkTry),
	boolArg("listing", func(s *instance.Spec) *bool { return &s.Listing }),
	wordsArg("precompressed", func(s *instance.Spec) *[]string { return &s.Precompressed }, 0, checkCoding),
	boolArg("request_id", func(s *instance.Spec) *bool { return &s.RequestID }),
}

var protectArgs = []argument[instance.Protect]{
	wordsArg("methods", func(p *instance.Protect) *[]string { return &p.Methods }, 0, checkKnownMethod),
	wordsArg("users", func(p *instance.Protect) *[]string { return &p.Users }, 0, checkUser),
}

var scriptArgs = []argument[instance.Script]{
	commandArg("command", func(s *instance.Script) *[]string { return &s.Command }),
	intArg("workers", func(s *instance.Script) *int { return &s.Workers }, 0, 1024),
	durationArg("timeout", func(s *instance.Script) *time.Duration { return &s.Timeout }),
}

var connectArgs = []argument[instance.Spec]{
	wordsArg("allow", func(s *instance.Spec) *[]string { return &s.Connect }, 0, checkTarget),
}

var redirectArgs = []argument[instance.Redirect]{
	textArg("to", func(r *instance.Redirect) *string { return &r.To }, checkTo),
	redirectStatusArg("status", func(r *instance.Redirect) *int { return &r.Status }),
}

var headerArgs = []argument[instance.HeaderRule]{
	setArg("set"),
	removeArg("remove"),
	boolArg("always", func(r *instance.HeaderRule) *bool { return &r.Always }),
}

var errorPageArgs = []argument[instance.ErrorPage]{
	textArg("file", func(p *instance.ErrorPage) *string { return &p.File }, checkPageFile),
}

var logsArgs = []argument[instance.Logs]{
	pathArg("passed", func(g *instance.Logs) *string { return &g.Passed }, true),
	pathArg("failed", func(g *instance.Logs) *string { return &g.Failed }, true),
	textArg("format", func(g *instance.Logs) *string { return &g.Format }, checkFormat),
	sizeArg("body", func(g *instance.Logs) *int64 { return &g.Body }, 0, 1<<20, ""),
	sizeArg("max_size", func(g *instance.Logs) *int64 { return &g.MaxSize }, 1<<10, 1<<40, `, or "0B" for files of any size`),
	maxAgeArg("max_age", func(g *instance.Logs) *time.Duration { return &g.MaxAge }),
	intArg("keep", func(g *instance.Logs) *int { return &g.Keep }, 0, 100_000),
	textArg("compress", func(g *instance.Logs) *string { return &g.Compress }, checkCompress),
}

var limitsArgs = []argument[instance.Limits]{
	sizeArg("max_body", func(m *instance.Limits) *int64 { return &m.MaxBody }, 0, 1<<50, ""),
	sizeArg("max_header", func(m *instance.Limits) *int64 { return &m.MaxHeader }, 1<<10, 1<<20, ""),
	sizeArg("max_uri", func(m *instance.Limits) *int64 { return &m.MaxURI }, 256, 64<<10, ""),
	intArg("max_connections", func(m *instance.Limits) *int { return &m.MaxConnections }, 1, 1_000_000),
	intArg("max_client_connections", func(m *instance.Limits) *int { return &m.MaxClientConnections }, 0, 1_000_000),
	intArg("max_in_flight", func(m *instance.Limits) *int { return &m.MaxInFlight }, 0, 1_000_000),
	sizeArg("cache", func(m *instance.Limits) *int64 { return &m.Cache }, 0, 64<<30, ""),
}

var timeoutsArgs = []argument[instance.Timeouts]{
	durationArg("header", func(t *instance.Timeouts) *time.Duration { return &t.Header }),
	durationArg("body", func(t *instance.Timeouts) *time.Duration { return &t.Body }),
	durationArg("write", func(t *instance.Timeouts) *time.Duration { return &t.Write }),
	durationArg("idle", func(t *instance.Timeouts) *time.Duration { return &t.Idle }),
	durationArg("drain", func(t *instance.Timeouts) *time.Duration { return &t.Drain }),
}

var adminArgs = []argument[Admin]{
	ipArg(func(a *Admin) *netip.AddrPort { return &a.Addr }),
	portArg(func(a *Admin) *netip.AddrPort { return &a.Addr }),
	wordsArg("hosts", func(a *Admin) *[]string { return &a.Hosts }, 0, checkAdminHost),
}

// site is a site block, or the defaults, as far as it has been decoded.
type site struct {
	spec  instance.Spec
	file  *configFile
	block *hclsyntax.Block // nil for defaults that nobody wrote
	given said             // inherited arguments too

	protects []hcl.Range             // where spec.Protect are written
	scripts  map[string]*scriptBlock // by extension
	connect  *hclsyntax.Block        // nil when there is none, or an inherited one
	headers  []hcl.Range             // where spec.Headers are written
	pages    map[string]hcl.Range    // where the files of spec.ErrorPages are written, by status
}

// scriptBlock is where a script is written.
type scriptBlock struct {
	label   hcl.Range
	command hcl.Expression // nil for none
}

// checkTopLevel reports what has no place outside of blocks, and what may be
// there only once in all files together.
func (l *loader) checkTopLevel() {
	first := map[string]hcl.Range{}
	for _, f := range l.files {
		if f.broken {
			continue
		}
		l.contents(f.body, l.language)
		for _, name := range []string{blockAdmin, blockDefaults} {
			for _, b := range f.blocks(name)[:min(1, len(f.blocks(name)))] {
				if before, twice := first[name]; twice {
					l.fail(b.TypeRange, "Repeated block", "There is one %s block at %s already, and only one can be in all files together. Put everything into that one.",
						name, place(before))
				} else {
					first[name] = b.TypeRange
				}
			}
		}
	}
}

// checkAnySite reports a configuration without any site block: an emptied file is
// a mishap, and no reason to stop every site. A block that is nearly one is
// reported as such, and a file that can't be parsed may have some.
func (l *loader) checkAnySite() {
	for _, f := range l.files {
		if f.broken || slices.ContainsFunc(f.body.Blocks, func(b *hclsyntax.Block) bool {
			return b.Type == blockSite || nearest(b.Type, l.language.blockNames()) == blockSite
		}) {
			return
		}
	}
	l.cfg.siteless = true
	where := "The file " + l.name + " has"
	switch {
	case len(l.files) == 0:
		return // reported
	case l.folder == l.cfg.Path:
		where = "The files in the directory " + l.name + " have"
	}
	l.failFile(l.cfg.Path, "No site block",
		`%s no site block, so there is nothing to host. The least is site "name" { … } and in it, each on its own line: ip = "127.0.0.1", port = 8080, root = "sites/name".`, where)
}

func (l *loader) admin() {
	for _, f := range l.files {
		for _, b := range f.blocks(blockAdmin) {
			l.cfg.adminSeen = true
			l.contents(b.Body, l.shapeOf(blockAdmin))
			decode(l, b.Body, adminArgs, &l.cfg.Admin, "", said{})
		}
		if f.broken && f.body != nil {
			l.brokenAdmin(f)
		}
	}
}

// brokenAdmin reads the admin block of a file that can't be parsed, as far as it
// goes: nothing of the file counts, but who asks a running sited about it must know
// where that is.
func (l *loader) brokenAdmin(f *configFile) {
	for _, b := range f.body.Blocks {
		if b.Type != blockAdmin {
			continue
		}
		found, before := l.cfg.Admin, len(l.diags)
		decode(l, b.Body, adminArgs, &found, "", said{})
		if len(l.diags) == before {
			l.cfg.Admin, l.cfg.adminSeen = found, true
		}
		l.diags = l.diags[:before]
	}
}

// defaults is what every site starts from.
func (l *loader) defaults() *site {
	s := &site{spec: instance.Defaults(), given: said{}, scripts: map[string]*scriptBlock{}, pages: map[string]hcl.Range{}}
	for _, f := range l.files {
		for _, b := range f.blocks(blockDefaults) {
			s.file, s.block = f, b
			l.decodeInto(s, l.shapeOf(blockDefaults))
		}
	}
	return s
}

// site decodes one site block onto a copy of base.
func (l *loader) site(base *site, f *configFile, b *hclsyntax.Block) *site {
	s := &site{
		spec: base.spec, file: f, block: b,
		given:    maps.Clone(base.given),
		protects: base.protects,
		scripts:  maps.Clone(base.scripts),
		headers:  base.headers,
		pages:    maps.Clone(base.pages),
	}
	s.spec.Name = b.Labels[0]
	s.spec.Scripts = slices.Clone(base.spec.Scripts)
	s.spec.ErrorPages = slices.Clone(base.spec.ErrorPages)
	decode(l, b.Body, ownArgs, &s.spec, "", s.given)
	l.decodeInto(s, l.shapeOf(blockSite))
	logs := filepath.Join(l.folder, "logs", s.spec.Name)
	if s.given["logs.passed"] == nil {
		s.spec.Logs.Passed = filepath.Join(logs, "passed.log")
	}
	if s.given["logs.failed"] == nil {
		s.spec.Logs.Failed = filepath.Join(logs, "failed.log")
	}
	if l.cfg.origin[s.spec.Name] == "" {
		l.cfg.origin[s.spec.Name] = f.path
	}
	return s
}

// decodeInto decodes what site and defaults have in common.
func (l *loader) decodeInto(s *site, is shape) {
	blocks := l.contents(s.block.Body, is)
	decode(l, s.block.Body, siteArgs, &s.spec, "", s.given)
	byType := map[string][]*hclsyntax.Block{}
	for _, b := range blocks {
		byType[b.Type] = append(byType[b.Type], b)
		for _, kind := range is.blocks {
			if kind.name == b.Type {
				l.contents(b.Body, kind)
			}
		}
	}
	for _, b := range byType["logs"] {
		decode(l, b.Body, logsArgs, &s.spec.Logs, "logs.", s.given)
	}
	for _, b := range byType["limits"] {
		decode(l, b.Body, limitsArgs, &s.spec.Limits, "limits.", s.given)
	}
	for _, b := range byType["timeouts"] {
		decode(l, b.Body, timeoutsArgs, &s.spec.Timeouts, "timeouts.", s.given)
	}
	for _, b := range byType["connect"] {
		s.connect = b
		s.spec.Connect = nil
		given := said{}
		decode(l, b.Body, connectArgs, &s.spec, "", given)
		if given["allow"] == nil && !misspelt(b.Body, argNames(connectArgs), "allow") {
			l.fail(b.TypeRange, missingArgument, `A connect block needs allow, the targets that tunnels may have: allow = ["*.example.org:443"].`)
		}
	}
	l.decodeProtects(s, byType["protect"])
	l.decodeScripts(s, byType["script"])
	l.decodeRedirects(s, byType["redirect"])
	l.decodeHeaders(s, byType["header"])
	l.decodeErrorPages(s, byType["error_page"])
}

// decodeProtects replaces inherited protect blocks, if there are any new ones.
func (l *loader) decodeProtects(s *site, blocks []*hclsyntax.Block) {
	if len(blocks) > 0 {
		s.spec.Protect, s.protects = nil, nil
	}
	for _, b := range blocks {
		p := instance.Protect{Glob: b.Labels[0]}
		if l.checkGlob(b) && strings.HasSuffix(p.Glob, "/") {
			l.warnNarrow(b.LabelRanges[0], p.Glob, "protects")
		}
		decode(l, b.Body, protectArgs, &p, "", said{})
		s.spec.Protect = append(s.spec.Protect, p)
		s.protects = append(s.protects, b.LabelRanges[0])
	}
}

// decodeScripts replaces inherited scripts for the same extensions.
func (l *loader) decodeScripts(s *site, blocks []*hclsyntax.Block) {
	here := map[string]hcl.Range{}
	for _, b := range blocks {
		x := instance.Script{Ext: b.Labels[0], Timeout: instance.DefaultScriptTimeout}
		at := b.LabelRanges[0]
		given := said{}
		decode(l, b.Body, scriptArgs, &x, "", given)
		if !l.checkExtension(x.Ext, at) {
			continue
		}
		if first, twice := here[x.Ext]; twice {
			l.fail(at, "Repeated script", "There is one script block for %q at %s already. Put everything into that one.", x.Ext, place(first))
			continue
		}
		here[x.Ext] = at
		s.scripts[x.Ext] = &scriptBlock{label: at, command: given["command"]}
		i := slices.IndexFunc(s.spec.Scripts, func(old instance.Script) bool { return old.Ext == x.Ext })
		if i < 0 {
			s.spec.Scripts = append(s.spec.Scripts, x)
		} else {
			s.spec.Scripts[i] = x
		}
	}
}
