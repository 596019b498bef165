package instance

import (
	"fmt"
	"os"
	"strings"

	"sited/protocol"
)

const pathPlaceholder = "{path}"

// checkTry says what is wrong with an entry of Spec.Try.
func checkTry(entry string) error {
	if strings.Contains(strings.ReplaceAll(entry, pathPlaceholder, ""), "{") {
		return fmt.Errorf(`try %q: there is no placeholder but "{path}"`, entry)
	}
	if !strings.HasPrefix(entry, "/") && !strings.HasPrefix(entry, pathPlaceholder) {
		return fmt.Errorf(`try %q: a path begins with a slash, or with "{path}"`, entry)
	}
	if _, ok := tryPath(entry, "/x"); !ok {
		return fmt.Errorf("try %q: leads out of the root", entry)
	}
	return nil
}

// tryPath is the canonical path that an entry stands for when path was asked for;
// ok is false when it leads out of the root or is no path, as ".html" for the
// root itself.
func tryPath(entry, path string) (to string, ok bool) {
	to = strings.ReplaceAll(entry, pathPlaceholder, strings.TrimSuffix(path, "/"))
	to, _, err := protocol.SplitPath(escapePath(to)) // escaped, because path was decoded once and for all
	return to, err == nil
}

// fallback looks for what answers instead of a path that led to nothing: the
// first entry that is a file, or a folder's index file where it ends with a
// slash. missed is what was looked at for the path itself and err what came of
// it, which is the answer when no entry is there either.
func (p *policy) fallback(root *os.Root, path string, missed []string, err error, t *trace) (found, error) {
	for _, entry := range p.spec.Try {
		to, ok := tryPath(entry, path)
		if !ok || p.refusedName(to) {
			t.sayTried(entry, to, "can't be served")
			continue
		}
		f, failed := p.lookUp(root, to)
		missed = append(missed, f.absent...)
		switch {
		case protocol.StatusOf(failed) == 404:
			t.sayTried(entry, to, "not there")
			continue
		case failed != nil:
			return found{}, failed
		case f.redirect:
			t.sayTried(entry, to, "a folder, and the entry does not end with a slash")
		case f.listing:
			t.sayTried(entry, to, "no index file in the folder")
		case f.pathInfo != "":
			t.sayTried(entry, to, "a script has no path below it here")
		default:
			t.sayTried(entry, to, "found")
			f.absent = missed
			return f, nil
		}
		f.close()
		missed = append(missed, relative(to))
	}
	return found{absent: missed}, err
}

// refusedName reports whether a path is never looked up: a dotfile, or a script
// without a block.
func (p *policy) refusedName(path string) bool {
	block, isScript := p.script(strings.TrimSuffix(path, "/"))
	return hidden(path) || isScript && block < 0
}

func (t *trace) sayTried(entry, to, what string) {
	if t != nil {
		t.say("try %q: %s: %s", entry, to, what)
	}
}
