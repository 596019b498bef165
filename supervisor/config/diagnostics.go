package config

import (
	"io"
	"os"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/term"
)

// missingArgument is the Summary of a diagnostic about an argument that a block
// must have.
const missingArgument = "Missing argument"

// Diagnostic is one error or warning as data.
type Diagnostic struct {
	Severity string `json:"severity"` // "error" or "warning"
	Site     string `json:"site"`     // label of the site block it is in; "" for none
	Summary  string `json:"summary"`  // a short noun phrase
	Detail   string `json:"detail"`   // what is wrong, and the remedy
	File     string `json:"file"`     // absolute path; "" when it is about no file
	Line     int    `json:"line"`     // from 1; 0 when it is about the file as a whole
	Column   int    `json:"column"`   // from 1, in characters
	Text     string `json:"text"`     // all of it with a snippet of the file, 78 columns wide, without colour
}

const plainWidth = 78

// Diagnostics are Diags as data, in the same order.
func (c *Config) Diagnostics() []Diagnostic {
	all := make([]Diagnostic, 0, len(c.located))
	for _, d := range c.located {
		out := Diagnostic{
			Severity: "error", Site: d.site, File: d.path,
			Summary: d.diag.Summary, Detail: d.diag.Detail, Text: renderText(d.diag, c.sources, plainWidth, false),
		}
		if d.diag.Severity == hcl.DiagWarning {
			out.Severity = "warning"
		}
		if at := d.diag.Subject; at != nil {
			out.Line, out.Column = at.Start.Line, at.Start.Column
		}
		all = append(all, out)
	}
	return all
}

// textWidth is the width of the terminal that w is.
func textWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 20 {
			return width
		}
	}
	return plainWidth
}
