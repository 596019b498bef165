package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"syscall"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds of the files that are read, in bytes. The one for config files is lower,
// because the parser takes hundreds of times a file's size in memory.
const (
	maxFile   = 8 << 20
	maxConfig = 1 << 20
)

// content is a file that was read, or why it could not be.
type content struct {
	bytes []byte
	err   error
	kinds []Kind
}

// configFile is one file with blocks in it.
type configFile struct {
	name string // for diagnostics
	path string // absolute
	text *text  // until it is parsed; nil when it could not be read
	body *hclsyntax.Body

	broken     bool     // could not be read or parsed
	unreadable bool     // not even read
	labels     []string // of a broken file: the sites that can be recognised in it
	shared     bool     // of a broken file: it has blocks that all sites depend on
	defaults   bool     // of a broken file: it has or may have defaults
	locals     bool     // of a broken file: it has locals
}

// content reads a file once, however often it is asked for.
func (l *loader) content(path string, kind Kind) ([]byte, error) {
	c, ok := l.read[path]
	if !ok {
		c = &content{}
		c.bytes, c.err = readFile(path)
		l.read[path] = c
	}
	if !slices.Contains(c.kinds, kind) {
		c.kinds = append(c.kinds, kind)
	}
	return c.bytes, c.err
}

var errTooLarge = fmt.Errorf("it is larger than %s", sizeText(maxFile))

// readFile reads a regular file of at most maxFile bytes. It waits for nobody: a
// FIFO without a writer is an error.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, plainError(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, plainError(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is %s, not a regular file", typeName(info.Mode()))
	}
	b := bytes.NewBuffer(make([]byte, 0, min(info.Size(), maxFile)+bytes.MinRead))
	if _, err := b.ReadFrom(io.LimitReader(f, maxFile+1)); err != nil {
		return nil, plainError(err)
	}
	if b.Len() > maxFile {
		return nil, errTooLarge
	}
	return b.Bytes(), nil
}

// plainError is err without the path, which the message around it names.
func plainError(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

func typeName(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case m&fs.ModeSocket != 0:
		return "a socket"
	default:
		return "a device"
	}
}

// readFiles reads and parses the config files.
func (l *loader) readFiles() {
	paths, err := configPaths(l.cfg.Path)
	if err != nil {
		l.folder = l.cfg.Path
		l.cfg.broken = append(l.cfg.broken, l.cfg.Path)
		l.read[l.cfg.Path] = &content{err: err, kinds: []Kind{KindConfig}}
		l.failFile(l.cfg.Path, "Unreadable directory", "The directory %s can't be read: %v.", l.name, plainError(err))
		return
	}
	inFolder := len(paths) != 1 || paths[0] != l.cfg.Path
	l.folder = l.cfg.Path
	if !inFolder {
		l.folder = filepath.Dir(l.cfg.Path)
	}
	for _, path := range paths {
		name := l.name
		if inFolder {
			name = filepath.Join(l.name, filepath.Base(path))
		}
		l.readConfig(name, path)
	}
	parseAhead(l.files, runtime.GOMAXPROCS(0))
	for _, f := range l.files {
		if f.text != nil {
			l.parseConfig(f)
		}
	}
	if len(l.files) == 0 {
		l.failFile(l.cfg.Path, "No configuration", "The directory %s has no file whose name ends in .hcl. Put one there, or give the path of a file.", l.name)
	}
}

func (l *loader) readConfig(name, path string) {
	f := &configFile{name: name, path: path}
	l.order[name] = len(l.files)
	l.files = append(l.files, f)
	src, err := l.content(path, KindConfig)
	if err == nil && len(src) > maxConfig || errors.Is(err, errTooLarge) {
		err = errConfigTooLarge
	}
	if err != nil {
		f.broken, f.unreadable = true, true
		l.cfg.broken = append(l.cfg.broken, path)
		l.failFile(path, "Unreadable file", "The configuration file %s can't be read: %v. %s", name, err, readable(err))
		return
	}
	f.text = cut(src, name, &l.pieces)
}

func (l *loader) parseConfig(f *configFile) {
	src := f.text.src
	parsed, diags := f.text.parse(&l.pieces)
	f.text = nil
	l.cfg.sources[f.name] = parsed
	f.body, _ = parsed.Body.(*hclsyntax.Body)
	if slices.ContainsFunc(diags, isSyntaxError) || f.body == nil {
		f.broken = true
		f.recognise(src)
		l.cfg.broken = append(l.cfg.broken, f.path)
	}
	for _, d := range briefly(diags) {
		l.add(d)
	}
}

var errConfigTooLarge = fmt.Errorf("it is larger than %s", sizeText(maxConfig))

// readable says what makes a configuration file readable, after that error.
func readable(err error) string {
	switch {
	case errors.Is(err, errConfigTooLarge):
		return "Put the sites into several files of one directory."
	case errors.Is(err, fs.ErrNotExist):
		return "Put it there, or give the path of another."
	case errors.Is(err, fs.ErrPermission):
		return "Let the user that sited runs as read it, and enter the folders on the way to it."
	case errors.Is(err, syscall.ENOTDIR):
		return "What is named as a folder in its path has to be one."
	case errors.Is(err, syscall.ELOOP):
		return "Have the links lead to a file."
	default:
		return "Put a file that can be read in its place."
	}
}

// parse is hclsyntax.ParseConfig for input that nobody vouches for. The file it
// returns is never nil, but its Body may be. found is told what there is. It is
// called once.
func (t *text) parse(found *pieces) (*hcl.File, hcl.Diagnostics) {
	if f := t.join(found); f != nil {
		return f, nil
	}
	d := checkText(t.src, t.name)
	if d == nil {
		found.whole(t.src)
		d = checkNesting(t.src, t.name)
	}
	if d != nil {
		return &hcl.File{Bytes: t.src}, hcl.Diagnostics{d}
	}
	f, diags := hclsyntax.ParseConfig(t.src, t.name, hcl.InitialPos)
	if f == nil {
		f = &hcl.File{Bytes: t.src}
	}
	return f, diags
}

const (
	redefined = "Attribute redefined"       // hclsyntax says so of an argument given twice
	multiLine = "Invalid multi-line string" // and so of every line after a forgotten quote
)

// isSyntaxError reports whether the body of the file can't be relied on. An
// argument that is given twice is wrong, but clear.
func isSyntaxError(d *hcl.Diagnostic) bool {
	return d.Severity == hcl.DiagError && d.Summary != redefined
}

// briefly leaves out what only follows from an earlier error.
func briefly(diags hcl.Diagnostics) hcl.Diagnostics {
	const most = 20
	var kept hcl.Diagnostics
	quotes, others := 0, 0
	for _, d := range diags {
		switch d.Summary {
		case multiLine:
			if quotes++; quotes > 1 {
				continue
			}
		case redefined:
		default:
			if others++; others > most {
				continue
			}
		}
		kept = append(kept, d)
	}
	return kept
}

// header finds the lines that begin a block at the top level. It goes by lines,
// because a forgotten quote makes the rest of the file a string to the lexer.
var header = regexp.MustCompile(`(?m)^[ \t]*(site|admin|defaults|locals)\b[ \t]*(?:"?([A-Za-z0-9][A-Za-z0-9._-]*)|\{)`)

// recognise finds out what a file that can't be parsed is about.
func (f *configFile) recognise(src []byte) {
	for _, m := range header.FindAllSubmatch(src, -1) {
		kind, label := string(m[1]), string(m[2])
		switch {
		case kind == blockSite:
			f.labels = append(f.labels, label)
		case label == "":
			f.found(kind)
		}
	}
	if f.body == nil {
		return
	}
	for _, b := range f.body.Blocks {
		switch {
		case b.Type != blockSite:
			f.found(b.Type)
		case len(b.Labels) > 0:
			f.labels = append(f.labels, b.Labels[0])
		}
	}
	f.labels = slices.DeleteFunc(f.labels, func(s string) bool { return s == "" })
	slices.Sort(f.labels)
	f.labels = slices.Compact(f.labels)
}

// found takes down a block that is no site; one that nobody knows may be meant to
// be defaults.
func (f *configFile) found(kind string) {
	f.locals = f.locals || kind == blockLocals
	f.shared = f.shared || kind != blockLocals
	f.defaults = f.defaults || kind != blockLocals && kind != blockAdmin
}

func fileStart(name string) hcl.Range {
	return hcl.Range{Filename: name, Start: hcl.InitialPos, End: hcl.InitialPos}
}

// listFiles fills in Config.Files.
func (l *loader) listFiles() {
	for path, c := range l.read {
		hash := ""
		if c.err == nil {
			hash = hashOf(c.bytes)
		}
		for _, kind := range c.kinds {
			l.cfg.Files = append(l.cfg.Files, File{Path: path, Kind: kind, Hash: hash})
		}
	}
	slices.SortFunc(l.cfg.Files, func(a, b File) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Kind, b.Kind))
	})
}
