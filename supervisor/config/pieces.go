package config

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// parsePieces parses a file block by block, or returns nil when there is anything
// to be said about it, which parsing it as a whole says better. The tokens of a
// file take a hundred times its size in memory; those of a block are soon
// forgotten.
//
// A piece ends with a line that is nothing but a closing brace. What parses
// without a word from there on leaves the lexer and the parser as they are at the
// beginning of a file, so that the pieces are what the whole is; a line in a
// heredoc, say, that only looks like an end leaves a piece that does not parse.
//
// A piece that found remembers is not parsed.
func parsePieces(src []byte, name string, found *pieces) *hcl.File {
	whole, _ := hclsyntax.ParseConfig(nil, name, hcl.InitialPos)
	body, ok := whole.Body.(*hclsyntax.Body)
	if !ok {
		return nil
	}
	start := hcl.InitialPos
	for first := true; start.Byte < len(src); first = false {
		piece := src[start.Byte:]
		piece = piece[:pieceEnd(piece)]
		if !first && bytes.HasPrefix(piece, []byte("\ufeff")) {
			return nil // a byte order mark, which only the beginning of a file may have
		}
		if b := found.recall(piece, name, start); b != nil {
			body.Blocks = append(body.Blocks, b)
		} else if part := parsePiece(piece, name, start); part == nil || !join(body, part) {
			return nil
		} else {
			found.parsed(part, piece)
		}
		start.Byte += len(piece)
		start.Line += bytes.Count(piece, []byte{'\n'})
	}
	whole.Bytes = src
	return whole
}

// parsePiece parses a piece, or returns nil when there is anything to be said about
// it.
func parsePiece(piece []byte, name string, start hcl.Pos) *hclsyntax.Body {
	if !simple(piece) && checkNesting(piece, name) != nil {
		return nil
	}
	f, diags := hclsyntax.ParseConfig(piece, name, start)
	if len(diags) > 0 {
		return nil
	}
	body, _ := f.Body.(*hclsyntax.Body)
	return body
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
