package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sited/supervisor/config"
)

func validateCommand(e *env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check FILE and say everything that is wrong with it",
		Long: `Check FILE (sites.hcl): all errors and warnings at once, each with its place and
the remedy. Nothing is started and nothing that runs is asked.

Exit status: 0 when there are no errors (there may be warnings), 1 otherwise.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg := config.Load(file(args), e.lookup)
			if asJSON {
				if err := printJSON(e.stdout, validation(cfg)); err != nil {
					return err
				}
			} else {
				writeDiagnostics(e.stderr, cfg)
				fmt.Fprintf(e.stdout, "%s: %s\n", cfg.Path, verdict(cfg))
			}
			if cfg.HasErrors() {
				return exit(1)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

// validated is the JSON form of the result.
type validated struct {
	FormatVersion int                 `json:"format_version"`
	Valid         bool                `json:"valid"`
	Sites         []string            `json:"sites"`
	Refused       []string            `json:"refused"`
	Diagnostics   []config.Diagnostic `json:"diagnostics"`
}

func validation(cfg *config.Config) validated {
	v := validated{FormatVersion: 1, Valid: !cfg.HasErrors(), Sites: []string{}, Refused: []string{}, Diagnostics: cfg.Diagnostics()}
	for _, s := range cfg.Sites {
		v.Sites = append(v.Sites, s.Name)
	}
	v.Refused = append(v.Refused, cfg.Refused...)
	return v
}

func verdict(cfg *config.Config) string {
	errors := 0
	for _, d := range cfg.Diagnostics() {
		if d.Severity == "error" {
			errors++
		}
	}
	warnings := len(cfg.Diags) - errors
	if errors == 0 {
		return fmt.Sprintf("valid, %s, %s", count(len(cfg.Sites), "site"), count(warnings, "warning"))
	}
	return fmt.Sprintf("not valid: %s, %s", count(errors, "error"), count(warnings, "warning"))
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// writeDiagnostics writes them for a person, in colour on a terminal.
func writeDiagnostics(w io.Writer, cfg *config.Config) {
	_ = cfg.WriteDiagnostics(w, isTerminal(w)) // when w is gone there is nobody to tell
}

func printJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}
