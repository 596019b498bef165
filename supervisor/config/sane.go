package config

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// checkText returns an error for what is not UTF-8 text, or nil.
func checkText(src []byte, name string) *hcl.Diagnostic {
	if utf8.Valid(src) && bytes.IndexByte(src, 0) < 0 {
		return nil
	}
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n == 1 || r == 0 {
			at := hcl.Range{Filename: name, Start: position(src, i), End: position(src, i)}
			at.End.Byte, at.End.Column = at.End.Byte+1, at.End.Column+1
			return &hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Not a text file",
				Detail:   fmt.Sprintf("There is a byte %#02x here, which is not text in UTF-8. Save the file as UTF-8, or move it away.", src[i]),
				Subject:  &at,
			}
		}
		i += n
	}
	return nil
}

func position(src []byte, offset int) hcl.Pos {
	line := bytes.LastIndexByte(src[:offset], '\n') + 1
	return hcl.Pos{
		Line:   bytes.Count(src[:offset], []byte("\n")) + 1,
		Column: utf8.RuneCount(src[line:offset]) + 1,
		Byte:   offset,
	}
}

// The parser and the evaluator are recursive: a file of nothing but opening
// parentheses, or one sum of a million terms, would use up the process's stack,
// which no Go program survives.
const (
	maxNesting   = 200  // brackets and interpolations inside each other
	maxOperators = 1000 // operators, dots and directives in one expression
)

// checkNesting returns an error for a file that goes beyond them, or nil.
func checkNesting(src []byte, name string) *hcl.Diagnostic {
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos) // ParseConfig reports what is wrong here
	open := []level{{block: true}}
	for _, t := range tokens {
		top := &open[len(open)-1]
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp,
			hclsyntax.TokenTemplateControl, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			top.operators++
			if len(open) > maxNesting {
				return tooComplex(t.Range, "brackets inside each other", maxNesting)
			}
			open = append(open, level{block: t.Type == hclsyntax.TokenOBrace})
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd,
			hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			if len(open) > 1 {
				open = open[:len(open)-1]
			}
		case hclsyntax.TokenComma:
			top.operators = 0
		case hclsyntax.TokenNewline:
			if top.block {
				top.operators = 0
			}
		case hclsyntax.TokenIdent, hclsyntax.TokenNumberLit, hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit,
			hclsyntax.TokenComment, hclsyntax.TokenQuotedNewline, hclsyntax.TokenEqual:
		default:
			top.operators++
		}
		if top.operators > maxOperators {
			return tooComplex(t.Range, "operators in one expression", maxOperators)
		}
	}
	return nil
}

// level is what was counted since the last bracket that is still open.
type level struct {
	block     bool // a newline ends an expression here
	operators int
}

func tooComplex(at hcl.Range, what string, most int) *hcl.Diagnostic {
	return &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  "Too complex",
		Detail:   fmt.Sprintf("There are more than %d %s here. This does not look like a configuration file.", most, what),
		Subject:  &at,
	}
}
