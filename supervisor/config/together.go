package config

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sited/instance"
)

// checkSite checks what needs more than one argument of a site, and what is on
// disk.
func (l *loader) checkSite(s *site) {
	if !labelPattern.MatchString(s.spec.Name) {
		l.fail(s.block.LabelRanges[0], "Invalid site name",
			`%s can't be a site's name, which is also the label of its metrics and the name of its log folder. Use up to 64 letters, digits, ".", "_" and "-", a letter or digit first.`,
			quote(s.spec.Name))
	}
	for _, need := range []struct{ arg, remedy string }{
		{"ip", `the address to listen on: ip = "127.0.0.1" for this host alone, "0.0.0.0" for every IPv4 address, "::" for every address. It may be in defaults.`},
		{"port", "the port to listen on: port = 8080."},
		{"root", `the folder to serve: root = "sites/app".`},
	} {
		switch {
		case s.given[need.arg] != nil, misspelt(s.block.Body, l.shapeOf(blockSite).args, need.arg):
		case l.lost.defaults && !slices.Contains(l.shapeOf(blockDefaults).siteOnly, need.arg):
			l.tainted = append(l.tainted, s.block.LabelRanges[0])
		default:
			l.fail(s.block.LabelRanges[0], missingArgument, "A site needs %s, %s", need.arg, need.remedy)
		}
	}
	if l.checkRoot(s) {
		l.checkFolders(s)
		l.checkPages(s)
	}
	l.checkPasswords(s)
	if !l.lost.defaults {
		l.checkUploads(s)
		l.checkConnect(s)
	}
	l.checkScripts(s)
}

// where is the place of an argument; that of the site's label when the argument
// is inherited.
func (s *site) where(arg string) hcl.Range {
	if e := s.given[arg]; e != nil && s.has(e.Range()) {
		return e.Range()
	}
	return s.block.LabelRanges[0]
}

// whereIn is the place of a value of an argument that is a list.
func (s *site) whereIn(arg, value string) hcl.Range {
	if e := s.given[arg]; e != nil && s.has(e.Range()) {
		return elementAt(e, value)
	}
	return s.block.LabelRanges[0]
}

// has reports whether a place is in the site's own block.
func (s *site) has(at hcl.Range) bool {
	return at.Filename == s.file.name && s.block.Range().ContainsPos(at.Start)
}

// checkRoot reports whether the root is there to look into.
func (l *loader) checkRoot(s *site) bool {
	if s.spec.Root == "" {
		return false
	}
	info, err := os.Stat(s.spec.Root)
	switch {
	case err != nil:
		l.warn(s.where("root"), "No such folder", "%s: %v. The site starts, and answers 503 until it is there.", s.spec.Root, plainError(err))
	case !info.IsDir():
		l.warn(s.where("root"), "Not a folder", "%s is not a folder. The site starts, and answers 503 until it is one.", s.spec.Root)
	default:
		return true
	}
	return false
}

// checkFolders warns of patterns that are a folder's path, where all that is in
// the folder was meant.
func (l *loader) checkFolders(s *site) {
	for i, p := range s.spec.Protect {
		l.checkFolder(s, p.Glob, "protects", s.protects[i])
	}
	for i, r := range s.spec.Headers {
		l.checkFolder(s, r.Glob, "covers", s.headers[i])
	}
}

func (l *loader) checkFolder(s *site, glob, does string, at hcl.Range) {
	if !strings.HasPrefix(glob, "/") || strings.ContainsAny(glob, wildcards) || strings.HasSuffix(glob, "/") || !s.has(at) {
		return
	}
	if info, err := os.Stat(filepath.Join(s.spec.Root, path.Clean("/"+glob))); err == nil && info.IsDir() {
		l.warn(at, "Narrow pattern", "This %s %q alone, and nothing below it. For the whole folder write %q.", does, glob, glob+"/**")
	}
}

func (l *loader) checkPasswords(s *site) {
	e := s.given["passwords"]
	if e == nil && l.lost.defaults && len(s.spec.Protect) > 0 {
		l.tainted = append(l.tainted, s.block.LabelRanges[0])
		return
	}
	if e == nil {
		for i := range s.spec.Protect[:min(1, len(s.spec.Protect))] {
			at := s.protects[i]
			if !s.has(at) {
				at = s.block.LabelRanges[0]
			}
			l.fail(at, "Missing passwords",
				"A path is protected, but the site has no passwords, so nobody could get in. Make a file with `sited passwd users.htpasswd alice` and give it: passwords = \"users.htpasswd\".")
		}
		return
	}
	if s.spec.Passwords == "" {
		return // reported
	}
	if len(s.spec.Protect) == 0 && s.has(e.Range()) && !l.lost.defaults {
		l.warn(e.Range(), "Nothing protected", `The site has passwords, but no protect block asks for them: everything is open. Add protect "/**" {}.`)
	}
	content, err := l.content(s.spec.Passwords, KindPasswords)
	if err != nil {
		l.fail(e.Range(), "Unreadable password file", "%s can't be read: %v. Make it with `sited passwd %s alice`, for a user alice.",
			s.spec.Passwords, err, s.spec.Passwords)
		return
	}
	if problems := l.problemsIn(s.spec.Passwords, content); problems != "" {
		l.warn(e.Range(), "Unusable passwords",
			"The users of these lines can't log in; all others can.\n%sSet a user's password with `sited passwd %s USER`, or remove the line.",
			problems, s.spec.Passwords)
	}
}

// problemsIn is passwordProblems, once for each file.
func (l *loader) problemsIn(path string, content []byte) string {
	problems, known := l.badPasswords[path]
	if !known {
		problems = passwordProblems(content)
		l.badPasswords[path] = problems
	}
	return problems
}

// passwordProblems lists the first few lines of a password file that can't be
// used, a line for each.
func passwordProblems(content []byte) string {
	const most = 5
	problems, more := instance.PasswordProblems(content)
	var b strings.Builder
	for _, p := range problems[:min(most, len(problems))] {
		fmt.Fprintf(&b, "- %s\n", p)
	}
	if n := len(problems) - most + more; n > 0 {
		fmt.Fprintf(&b, "- and %d more\n", n)
	}
	return b.String()
}

// checkUploads warns of uploads and deletions that anybody may do in most places
// of the site.
func (l *loader) checkUploads(s *site) {
	for _, m := range s.spec.Methods {
		if m != "PUT" && m != "DELETE" || s.protectedAtLarge(m) {
			continue
		}
		what := "upload files to"
		if m == "DELETE" {
			what = "delete files from"
		}
		const remedy = `protect "/**" { methods = ["PUT", "DELETE"] }`
		at := s.whereIn("methods", m)
		if globs := s.globs(m); len(globs) > 0 {
			l.warn(at, "Unprotected "+m,
				"Only paths like %s are protected: anybody may %s the rest of this site. Add a protect block for the rest, below the others: %s.", some(globs), what, remedy)
		} else {
			l.warn(at, "Unprotected "+m, "Anybody may %s this site. Add passwords and a protect block: %s.", what, remedy)
		}
	}
}

// protectedAtLarge reports whether protect blocks cover a method wherever it is
// used. It tries paths that no pattern for a part of a site has all of.
func (s *site) protectedAtLarge(method string) bool {
	globs := s.globs(method)
	for _, path := range []string{"/probe", "/probe/probe", "/0/0.html"} {
		if !slices.ContainsFunc(globs, func(glob string) bool { return doublestar.MatchUnvalidated(glob, path) }) {
			return false
		}
	}
	return true
}

// globs are the patterns of the protect blocks for a method.
func (s *site) globs(method string) []string {
	var globs []string
	for _, p := range s.spec.Protect {
		if len(p.Methods) == 0 || slices.Contains(p.Methods, method) {
			globs = append(globs, p.Glob)
		}
	}
	return globs
}

// some lists the first few of names.
func some(names []string) string {
	const most = 3
	var b strings.Builder
	for i, name := range names[:min(most, len(names))] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(name))
	}
	if n := len(names) - most; n > 0 {
		fmt.Fprintf(&b, " and %d more", n)
	}
	return b.String()
}

func (l *loader) checkConnect(s *site) {
	allowed := slices.Contains(s.spec.Methods, "CONNECT")
	switch {
	case allowed && len(s.spec.Connect) == 0 && s.connect == nil:
		l.warn(s.whereIn("methods", "CONNECT"), "CONNECT without targets",
			`CONNECT is allowed, but no target is: every tunnel is refused. Add connect { allow = ["*.example.org:443"] }, or remove CONNECT.`)
	case !allowed && s.connect != nil && len(s.spec.Connect) > 0:
		l.warn(s.connect.TypeRange, "Targets without CONNECT",
			"Tunnels have targets, but CONNECT is not in methods, so none can be opened. Add \"CONNECT\" to methods, or remove the block.")
	}
}

func (l *loader) checkScripts(s *site) {
	for _, x := range s.spec.Scripts {
		if len(x.Command) == 0 || x.Command[0] == "" {
			continue
		}
		if !l.hasCommand(x.Command[0]) {
			l.warn(commandPlace(s.scripts[x.Ext]), "Interpreter not found",
				"%s is not an executable file, nor the name of one in PATH. Sites start all the same, and answer 503 for their %s files until it is there.",
				quote(x.Command[0]), x.Ext)
		}
	}
}

// hasCommand looks once for a command, however many sites have it.
func (l *loader) hasCommand(name string) bool {
	has, known := l.commands[name]
	if !known {
		_, err := l.lookPath(name)
		has = err == nil
		l.commands[name] = has
	}
	return has
}

func commandPlace(b *scriptBlock) hcl.Range {
	if b.command == nil {
		return b.label
	}
	if tuple, ok := b.command.(*hclsyntax.TupleConsExpr); ok && len(tuple.Exprs) > 0 {
		return tuple.Exprs[0].Range()
	}
	return b.command.Range()
}
