package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkLoad reads 1,000 sites: from one file, and from a file each.
func BenchmarkLoad(b *testing.B) {
	const sites = 1000
	var all strings.Builder
	files := map[string]string{}
	for i := range sites {
		name := fmt.Sprintf("s%d", i)
		block := siteText(name, 10_000+i, "  script \".php\" {\n    command = [\"/bin/sh\"]\n  }\n  limits { max_body = \"2MiB\" }\n")
		all.WriteString(block)
		files["sites.d/"+name+".hcl"] = block
	}
	files["sites.hcl"] = all.String()
	dir := write(b, files)
	for _, name := range []string{"sites.hcl", "sites.d"} {
		b.Run("again/"+name, func(b *testing.B) {
			b.ReportAllocs()
			var r Reloader
			for b.Loop() {
				if c := r.Load(filepath.Join(dir, name), noEnv); c.HasErrors() || len(c.Sites) != sites {
					b.Fatal(len(c.Sites), c.Diags)
				}
			}
		})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c := Load(filepath.Join(dir, name), noEnv); c.HasErrors() || len(c.Sites) != sites {
					b.Fatal(len(c.Sites), c.Diags)
				}
			}
		})
	}
}
