package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns src in the canonical style: indented by two, equals signs
// aligned. It refuses what does not parse, with diagnostics that name filename.
func Format(src []byte, filename string) ([]byte, hcl.Diagnostics) {
	if _, diags := cut(src, filename, &pieces{}).parse(&pieces{}); diags.HasErrors() {
		return nil, diags
	}
	return hclwrite.Format(src), nil
}
