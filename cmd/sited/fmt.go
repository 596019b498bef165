package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"sited/supervisor/config"
)

func fmtCommand(e *env) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "fmt [FILE...]",
		Short: "Bring files into the canonical style",
		Long: `Bring files, or all *.hcl files of folders, into the canonical style, and print
the names of those that changed. With - the standard input is formatted onto the
standard output.

Exit status: 0; 1 when a file can't be read, parsed or written; 3 when --check
found files that are not formatted.`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{file(nil)}
			}
			if len(args) == 1 && args[0] == "-" {
				return formatStream(e)
			}
			unformatted := false
			for _, arg := range args {
				names, err := hclFiles(arg)
				if err != nil {
					return err
				}
				for _, name := range names {
					changed, err := formatFile(e, name, !check)
					if err != nil {
						return err
					}
					unformatted = unformatted || changed
				}
			}
			if check && unformatted {
				return exit(3)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "only print what is not formatted")
	return cmd
}

// hclFiles is the file itself, or the *.hcl files of a folder.
func hclFiles(name string) ([]string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	return filepath.Glob(filepath.Join(name, "*.hcl"))
}

// formatFile reports whether the file's style was not canonical.
func formatFile(e *env, name string, write bool) (changed bool, err error) {
	err = replaceFile(name, 0o644, func(before []byte) ([]byte, error) {
		if before == nil {
			return nil, fmt.Errorf("there is no file %s", name)
		}
		after, diags := config.Format(before, name)
		if diags.HasErrors() {
			return nil, notParsed(e, name, before, diags)
		}
		if changed = !bytes.Equal(before, after); changed {
			fmt.Fprintln(e.stdout, name)
		}
		if !changed || !write {
			return nil, nil
		}
		return after, nil
	})
	return changed, err
}

func formatStream(e *env) error {
	before, err := io.ReadAll(e.stdin)
	if err != nil {
		return err
	}
	after, diags := config.Format(before, "-")
	if diags.HasErrors() {
		return notParsed(e, "-", before, diags)
	}
	_, err = e.stdout.Write(after)
	return err
}

func notParsed(e *env, name string, src []byte, diags hcl.Diagnostics) error {
	files := map[string]*hcl.File{name: {Bytes: src}}
	if err := hcl.NewDiagnosticTextWriter(e.stderr, files, 78, isTerminal(e.stderr)).WriteDiagnostics(diags); err != nil {
		return err
	}
	return exit(1)
}
