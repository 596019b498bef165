package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sited/supervisor"
	"sited/supervisor/config"
)

func explainCommand(e *env) *cobra.Command {
	var site string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain METHOD URL [FILE]",
		Short: "Say what a request would get, and why",
		Long: `Say what a request would get from the sites of FILE (sites.hcl), and why: the path
as sited reads it, whether it is protected and for whom, which script runs or
which file is sent. Nothing that runs is asked and nothing is changed.

The address in URL picks the site; a site's label works too (http://app/x.php).
With --site, URL may be any request-target, such as example.org:443 for CONNECT.`,
		Example: `  sited explain GET http://127.0.0.1:8082/private/
  sited explain PUT http://127.0.0.1:8083/files/note.txt
  sited explain --site app CONNECT example.org:443`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg := config.Load(file(args[2:]), e.lookup)
			if cfg.HasErrors() {
				writeDiagnostics(e.stderr, cfg)
			}
			x, err := supervisor.Explain(cfg.Sites, site, args[0], args[1])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(e.stdout, x)
			}
			fmt.Fprintf(e.stdout, "site %s\n", x.Site)
			for _, step := range x.Steps {
				fmt.Fprintf(e.stdout, "  %s\n", step)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&site, "site", "", "`LABEL` of the site")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}
