package instance

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"sited/protocol"
)

// policy is what a Spec says about requests, made ready to decide. It is
// immutable and does no I/O.
type policy struct {
	spec       Spec
	allow      string         // the site's methods, for the Allow field
	scripts    map[string]int // extension -> index in spec.Scripts
	targets    Targets        // of CONNECT
	redirects  []redirect
	headers    []headerRule
	errorPages map[int]string // status, or its first digit for a class -> canonical path
}

func newPolicy(spec Spec) (*policy, error) {
	p := &policy{spec: spec, allow: strings.Join(spec.Methods, ", ")}
	if len(spec.Scripts) > 0 {
		p.scripts = map[string]int{}
	}
	for i, s := range spec.Scripts {
		p.scripts[strings.ToLower(s.Ext)] = i
	}
	for _, r := range spec.Protect {
		if err := checkGlob(r.Glob); err != nil {
			return nil, fmt.Errorf("protect %q: %w", r.Glob, err)
		}
	}
	for _, s := range spec.Connect {
		t, err := ParseTarget(s)
		if err != nil {
			return nil, err
		}
		p.targets = append(p.targets, t)
	}
	if err := p.prepareAnswers(); err != nil {
		return nil, err
	}
	return p, nil
}

// prepareAnswers makes ready what is said about other answers than the file that
// was asked for.
func (p *policy) prepareAnswers() error {
	for _, entry := range p.spec.Try {
		if err := checkTry(entry); err != nil {
			return err
		}
	}
	for _, r := range p.spec.Redirects {
		made, err := newRedirect(r)
		if err != nil {
			return err
		}
		p.redirects = append(p.redirects, made)
	}
	for _, r := range p.spec.Headers {
		made, err := newHeaderRule(r)
		if err != nil {
			return err
		}
		if p.spec.RequestID {
			made.withoutRequestID()
		}
		p.headers = append(p.headers, made)
	}
	return p.prepareErrorPages()
}

// checkGlob says why a pattern would match no path.
func checkGlob(glob string) error {
	switch {
	case !strings.HasPrefix(glob, "/"):
		return errors.New("a pattern begins with a slash")
	case !doublestar.ValidatePattern(glob):
		return errors.New("not a valid pattern")
	}
	return nil
}

// protectFor returns the protect block that decides for a path and method: the
// first that matches; nil when none does. A slash at the end of the path makes no
// difference, so that "/a.txt/" is not asked for less than "/a.txt"; and a block
// for GET is one for HEAD, which tells nearly as much and runs the same scripts.
func (p *policy) protectFor(method, path string) *Protect {
	for i := range p.spec.Protect {
		r := &p.spec.Protect[i]
		if len(r.Methods) > 0 && !slices.Contains(r.Methods, method) &&
			!(method == protocol.MethodHead && slices.Contains(r.Methods, protocol.MethodGet)) {
			continue
		}
		if doublestar.MatchUnvalidated(r.Glob, path) || path != "/" && doublestar.MatchUnvalidated(r.Glob, strings.TrimSuffix(path, "/")) {
			return r
		}
	}
	return nil
}

// script returns the index of the script block for a file name, and whether the
// name is a script's at all: one with a block, or one that would be a script
// elsewhere, whose source must not be shown. The case of extensions is ignored,
// so that "A.PHP" is no way round.
func (p *policy) script(name string) (block int, isScript bool) {
	ext := strings.ToLower(path.Ext(name))
	if i, ok := p.scripts[ext]; ok {
		return i, true
	}
	return -1, scriptExtensions[ext]
}

// scriptExtensions are those of files that are programs for a server and nothing
// else: without a script block they are refused, never shown.
var scriptExtensions = map[string]bool{
	".php": true, ".php3": true, ".php4": true, ".php5": true, ".php7": true, ".php8": true,
	".phtml": true, ".pht": true, ".phps": true, ".phar": true, ".inc": true,
	".cgi": true, ".fcgi": true, ".fpl": true,
	".asp": true, ".aspx": true, ".ashx": true, ".jsp": true, ".jspx": true, ".cfm": true, ".shtml": true,
}

// hidden reports whether a path names a dotfile, or a file in a folder that is
// one. The folder /.well-known/ is meant to be seen (RFC 8615).
func hidden(path string) bool {
	if rest, ok := strings.CutPrefix(path, "/.well-known"); ok && (rest == "" || rest[0] == '/') {
		path = rest
	}
	return strings.Contains(path, "/.")
}

// allowFor lists the site's methods that the resource can take.
func (p *policy) allowFor(isScript bool) string {
	if isScript {
		return p.allow
	}
	return strings.Join(slices.DeleteFunc(slices.Clone(p.spec.Methods), func(m string) bool {
		return m == protocol.MethodPost || m == protocol.MethodPatch
	}), ", ")
}
