package config

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// text is a config file cut into pieces, which are parsed one by one. The tokens of
// a file take a hundred times its size in memory; those of a piece are soon
// forgotten, and several processors can be at several pieces.
//
// A piece ends with a line that is nothing but a closing brace. What parses
// without a word from there on leaves the lexer and the parser as they are at the
// beginning of a file, so that the pieces are what the whole is; a line in a
// heredoc, say, that only looks like an end leaves a piece that does not parse.
type text struct {
	src    []byte
	name   string // for diagnostics
	pieces []*piece
	failed atomic.Bool // there is something to be said about it, which parsing it as a whole says better
}

type piece struct {
	of     *text
	src    []byte
	start  hcl.Pos
	known  *hclsyntax.Block // stands for a piece that is remembered, which is not parsed
	parsed *hcl.File        // nil as long as it is not
}

// cut makes pieces of a file, and finds out which are remembered.
func cut(src []byte, name string, found *pieces) *text {
	t := &text{src: src, name: name}
	if checkText(src, name) != nil {
		t.failed.Store(true)
		return t
	}
	start := hcl.InitialPos
	for start.Byte < len(src) {
		part := src[start.Byte:]
		part = part[:pieceEnd(part)]
		if start.Byte > 0 && bytes.HasPrefix(part, []byte("\ufeff")) {
			t.failed.Store(true) // a byte order mark, which only the beginning of a file may have
			break
		}
		t.pieces = append(t.pieces, &piece{of: t, src: part, start: start, known: found.recall(part, name, start)})
		start.Byte += len(part)
		start.Line += bytes.Count(part, []byte{'\n'})
	}
	return t
}

// fewPieces are parsed sooner than goroutines are started for them.
const fewPieces = 16

// parseAhead parses the pieces of files by so many goroutines, unless there are
// few. What it leaves is for join to parse.
func parseAhead(files []*configFile, workers int) {
	var todo []*piece
	for _, f := range files {
		if f.text == nil {
			continue
		}
		for _, p := range f.text.pieces {
			if p.known == nil {
				todo = append(todo, p)
			}
		}
	}
	if workers > 1 && len(todo) >= fewPieces {
		parseAll(todo, workers)
	}
}

// parseAll parses pieces by so many goroutines, which are gone when it returns.
func parseAll(todo []*piece, workers int) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			// The parser panics again when join comes to the piece, which is not parsed then.
			defer func() { _ = recover() }()
			for i := next.Add(1) - 1; i < int64(len(todo)); i = next.Add(1) - 1 {
				todo[i].parse()
			}
		})
	}
	all.Wait()
}

// parse parses a piece, unless that is done, or of no use.
func (p *piece) parse() {
	if p.parsed != nil || p.known != nil || p.of.failed.Load() {
		return
	}
	if !simple(p.src) && checkNesting(p.src, p.of.name) != nil {
		p.of.failed.Store(true)
		return
	}
	f, diags := hclsyntax.ParseConfig(p.src, p.of.name, p.start)
	if len(diags) > 0 {
		p.of.failed.Store(true)
		return
	}
	p.parsed = f
}

// join makes a file of its pieces, and parses those that are not yet. It returns
// nil when there is anything to be said about it. It is called once.
func (t *text) join(found *pieces) *hcl.File {
	for _, p := range t.pieces {
		p.parse()
	}
	if t.failed.Load() {
		return nil
	}
	var whole *hcl.File
	var body *hclsyntax.Body
	if len(t.pieces) == 0 || t.pieces[0].known != nil {
		whole, _ = hclsyntax.ParseConfig(nil, t.name, hcl.InitialPos)
		body, _ = whole.Body.(*hclsyntax.Body)
	}
	for _, p := range t.pieces {
		if p.known != nil {
			body.Blocks = append(body.Blocks, p.known)
			continue
		}
		part, _ := p.parsed.Body.(*hclsyntax.Body)
		found.parsed(part, p.src)
		if whole == nil {
			whole, body = p.parsed, part
		} else if !join(body, part) {
			return nil
		}
	}
	whole.Bytes = t.src
	return whole
}

// pieceEnd is where the first piece of src ends.
func pieceEnd(src []byte) int {
	for at := 0; ; {
		n := bytes.IndexByte(src[at:], '\n')
		if n < 0 {
			return len(src)
		}
		line := bytes.TrimSuffix(src[at:at+n], []byte{'\r'})
		at += n + 1
		if len(line) == 1 && line[0] == '}' {
			return at
		}
	}
}

// join adds what part has to body, unless both have an argument of one name.
func join(body, part *hclsyntax.Body) bool {
	for name, attr := range part.Attributes {
		if body.Attributes[name] != nil {
			return false
		}
		body.Attributes[name] = attr
	}
	body.Blocks = append(body.Blocks, part.Blocks...)
	body.SrcRange.End, body.EndRange = part.SrcRange.End, part.EndRange
	return true
}

// simple reports whether checkNesting can have nothing against src, at a glance:
// whatever it counts has at least one of these characters.
func simple(src []byte) bool {
	brackets, operators := 0, 1
	for _, c := range src {
		switch {
		case c == '{' || c == '[' || c == '(' || c == '"' || c == '<':
			brackets++
			operators++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == ' ', c == '\n':
		default:
			operators++
		}
	}
	return brackets < maxNesting && operators <= maxOperators
}
