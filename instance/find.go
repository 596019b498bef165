package instance

import (
	"io/fs"
	"os"
	"strings"

	"sited/protocol"
)

// found is what a path leads to on disk: a file, a folder that wants its slash or
// is to be listed, or a script.
type found struct {
	file     *os.File // of a file or a folder to be listed: open, the caller closes it; nil for the others
	info     fs.FileInfo
	redirect bool   // a folder that was asked for without its slash
	listing  bool   // a folder without an index file
	script   int    // index of the script block; -1 when it is none
	path     string // of what was found: differs from what was asked for by an index file, a fallback or path info
	pathInfo string // what follows the script's name

	// absent are the names, relative to the root, that were looked at before and
	// led to nothing: the path itself, index files, fallbacks. What was found is
	// the answer only as long as there is nothing of any of these names.
	absent []string
}

// close closes the file, if there is one.
func (f *found) close() {
	if f.file != nil {
		f.file.Close()
	}
}

// find looks a canonical path up, and what answers instead where there is
// nothing. Errors are *protocol.Error.
func (p *policy) find(root *os.Root, path string) (found, error) {
	return p.search(root, path, nil)
}

func (p *policy) search(root *os.Root, path string, t *trace) (found, error) {
	f, err := p.lookUp(root, path)
	if len(p.spec.Try) == 0 || protocol.StatusOf(err) != 404 {
		return f, err
	}
	return p.fallback(root, path, f.absent, err, t)
}

// lookUp looks a canonical path up. With a 404, absent says what was looked at.
func (p *policy) lookUp(root *os.Root, path string) (found, error) {
	if f, ok := p.findScript(root, path); ok {
		return f, nil
	}
	file, info, err := openFile(root, relative(path))
	if err != nil {
		return found{absent: []string{relative(path)}}, err
	}
	slash := strings.HasSuffix(path, "/")
	if !info.IsDir() {
		if slash {
			file.Close()
			return found{absent: []string{relative(path)}}, protocol.Failf(404, "a file has no path below it")
		}
		if _, isScript := p.script(path); isScript { // findScript saw none: it has just been put there
			file.Close()
			return found{absent: []string{relative(path)}}, protocol.Failf(404, "the script was not there a moment ago")
		}
		return found{file: file, info: info, script: -1, path: path}, nil
	}
	if !slash {
		file.Close()
		return found{redirect: true, script: -1, path: path}, nil
	}
	f, err := p.findIndex(root, path)
	if p.spec.Listing && protocol.StatusOf(err) == 404 {
		return found{file: file, info: info, listing: true, script: -1, path: path, absent: f.absent}, nil
	}
	file.Close()
	return f, err
}

// findScript splits a path on disk (RFC 3875, section 4.1.5): the script is the
// first regular file on the way that has a script's extension.
func (p *policy) findScript(root *os.Root, path string) (found, bool) {
	if len(p.scripts) == 0 {
		return found{}, false
	}
	for end := 1; end < len(path); {
		next := strings.IndexByte(path[end:], '/')
		if next < 0 {
			next = len(path)
		} else {
			next += end
		}
		name := path[:next]
		if block, _ := p.script(name); block >= 0 {
			info, err := root.Stat(relative(name))
			if err != nil {
				return found{}, false
			}
			if info.Mode().IsRegular() {
				return found{script: block, path: name, pathInfo: path[next:], info: info}, true
			}
		}
		end = next + 1
	}
	return found{}, false
}

func (p *policy) findIndex(root *os.Root, folder string) (found, error) {
	var absent []string
	for _, name := range p.spec.Index {
		path := folder + name
		block, isScript := p.script(name)
		if isScript && block < 0 {
			continue // it would be refused
		}
		if block >= 0 {
			if f, ok := p.findScript(root, path); ok {
				f.absent = absent
				return f, nil
			}
			absent = append(absent, relative(path))
			continue
		}
		file, info, err := openFile(root, relative(path))
		if protocol.StatusOf(err) == 404 {
			absent = append(absent, relative(path))
			continue
		}
		if err != nil {
			return found{}, err
		}
		if info.Mode().IsRegular() {
			return found{file: file, info: info, script: -1, path: path, absent: absent}, nil
		}
		file.Close()
		absent = append(absent, relative(path))
	}
	return found{absent: absent}, protocol.Failf(404, "no index file in the folder")
}
