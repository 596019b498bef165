package config

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sited/instance"
)

// statusPattern is what an error page is for: a status from 400 to 599, or all
// of a class.
var statusPattern = regexp.MustCompile(`^[45]([0-9][0-9]|xx)$`)

func (l *loader) checkStatus(s string, at hcl.Range) bool {
	const forms = `Write a status from 400 to 599 such as "404", or "4xx" or "5xx" for all others of that class.`
	switch {
	case statusPattern.MatchString(s):
		return true
	case statusPattern.MatchString(strings.ToLower(s)):
		l.fail(at, "Invalid status", "A class is written in lower case: %q.", strings.ToLower(s))
	case strings.ContainsAny(s, ", "):
		l.fail(at, "Invalid status", "%s is not one status. Write one error_page block for each.", quote(s))
	default:
		l.fail(at, "Invalid status", "%s is no status of an error. %s", quote(s), forms)
	}
	return false
}

func checkPageFile(l *loader, s string, at hcl.Range) (string, bool) {
	const summary = "Invalid error page"
	switch {
	case strings.Contains(s, "://"):
		l.fail(at, summary, "%s is a URL; an error page is a file of the site, and is sent with the status of the error. Give its path from the root on.", quote(s))
	case s == "":
		l.fail(at, summary, `file must name a file, by its path from the root on: "/errors/404.html".`)
	case !strings.HasPrefix(s, "/"):
		l.fail(at, summary, "%s is not a path from the root on. Write %q.", quote(s), "/"+s)
	case strings.HasSuffix(s, "/"):
		l.fail(at, summary, "%s is a folder's path. Name the file in it: %q.", quote(s), s+"index.html")
	default:
		return s, l.checkURLPath(s, s, summary, at)
	}
	return "", false
}

func checkCoding(l *loader, s string, at hcl.Range) (string, bool) {
	names := slices.Sorted(maps.Keys(instance.Codings))
	if meant := map[string]string{"brotli": "br", "gz": "gzip", "zst": "zstd", "zstandard": "zstd"}[strings.ToLower(s)]; meant != "" {
		l.fail(at, "Unknown content coding", "%s is not the name of a content coding.%s", quote(s), didYouMean(meant))
		return "", false
	}
	return s, l.oneOf(s, at, "content coding", names)
}

// decodeErrorPages replaces inherited error pages for the same statuses.
func (l *loader) decodeErrorPages(s *site, blocks []*hclsyntax.Block) {
	here := map[string]hcl.Range{}
	for _, b := range blocks {
		p := instance.ErrorPage{Status: b.Labels[0]}
		at := b.LabelRanges[0]
		given := said{}
		decode(l, b.Body, errorPageArgs, &p, "", given)
		if given["file"] == nil && !misspelt(b.Body, argNames(errorPageArgs), "file") {
			l.fail(b.TypeRange, missingArgument, `An error_page block needs file, the page's path from the root on: file = "/errors/404.html".`)
		}
		if !l.checkStatus(p.Status, at) {
			continue
		}
		if first, twice := here[p.Status]; twice {
			l.fail(at, "Repeated error page", "There is one error_page block for %q at %s already. Remove one of them.", p.Status, place(first))
			continue
		}
		here[p.Status] = at
		if p.File == "" {
			continue // reported
		}
		s.pages[p.Status] = given["file"].Range()
		i := slices.IndexFunc(s.spec.ErrorPages, func(old instance.ErrorPage) bool { return old.Status == p.Status })
		if i < 0 {
			s.spec.ErrorPages = append(s.spec.ErrorPages, p)
		} else {
			s.spec.ErrorPages[i] = p
		}
	}
}

// checkPages warns of the site's own error pages that can't be sent. Those of
// defaults are for the sites that have such a file.
func (l *loader) checkPages(s *site) {
	var root *os.Root
	for _, p := range s.spec.ErrorPages {
		at := s.pages[p.Status]
		if !s.has(at) {
			continue
		}
		if root == nil {
			var err error
			if root, err = os.OpenRoot(s.spec.Root); err != nil {
				return // its folder can be listed, but not entered: the running site says so
			}
			defer root.Close()
		}
		l.checkPage(s, root, p, at)
	}
}

func (l *loader) checkPage(s *site, root *os.Root, p instance.ErrorPage, at hcl.Range) {
	const then = "Errors are answered with the built-in page"
	if ext := strings.ToLower(path.Ext(p.File)); slices.ContainsFunc(s.spec.Scripts, func(x instance.Script) bool { return x.Ext == ext }) {
		l.warn(at, "Script as an error page", "%s is a script, which is neither run nor sent for an error. %s; name a plain file.", quote(p.File), then)
		return
	}
	name := filepath.Join(s.spec.Root, filepath.FromSlash(p.File))
	info, err := root.Stat(strings.TrimPrefix(p.File, "/"))
	switch {
	case err != nil:
		l.warn(at, "No such error page", "%s: %v. %s until it is there.", name, plainError(err), then)
	case !info.Mode().IsRegular():
		l.warn(at, "No such error page", "%s is %s, not a regular file. %s until it is one.", name, typeName(info.Mode()), then)
	}
}
