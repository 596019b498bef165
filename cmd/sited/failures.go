package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"sited/supervisor"
)

func failuresCommand(e *env) *cobra.Command {
	var a asking
	var most int
	cmd := &cobra.Command{
		Use:   "failures NAME [FILE]",
		Short: "Ask the running sited for a site's last failed and slowest requests",
		Long: `Ask the running sited what the flight recorder of the site NAME holds: its last
failed requests, newest first (up to 32 answers of 500 and above and answers that
broke off, and up to 32 from 400 to 499 and requests that are not HTTP), and its 16
slowest of the last five to ten minutes.

Of each there are: the id, by which the access logs name it too, the time, the
request line, the status and its cause, what its time went into, the steps that
sited explain has for it, its header fields without what may be secret, and what
its script wrote last to standard error.

Under a flood not every failure is recorded: but for the first few, one each 5 ms
of those of 500 and above, one each 20 ms of the others. The access logs have all.

Exit status: 0, or 1 when there is no such site or no sited answers.`,
		Example: `  sited failures app
  sited failures app -n 1
  sited failures app --json | jq '.failed[] | .error'`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if most < 0 {
				return errors.New("-n takes the number of requests to show of each kind, 0 for all")
			}
			return a.reach(e, args[1:], func(ctx context.Context, c supervisor.Client, s *supervisor.Status) error {
				failures, err := askFailures(ctx, c, s, args[0])
				if err != nil {
					return err
				}
				if a.json && most > 0 && cmd.Flags().Changed("number") {
					failures.Failed = failures.Failed[:min(most, len(failures.Failed))]
					failures.Slowest = failures.Slowest[:min(most, len(failures.Slowest))]
				}
				return a.answer(e, failures, failures.Text(most), 0)
			})
		},
	}
	a.flags(cmd)
	cmd.Flags().IntVarP(&most, "number", "n", 10, "show at most `N` of each kind, 0 for all; with --json all, unless given")
	return cmd
}

// askFailures asks for a site's failures, if the process knows it.
func askFailures(ctx context.Context, c supervisor.Client, s *supervisor.Status, site string) (*supervisor.SiteFailures, error) {
	names := make([]string, len(s.Sites))
	for i := range s.Sites {
		names[i] = s.Sites[i].Name
	}
	if !slices.Contains(names, site) {
		return nil, &supervisor.UnknownSite{Name: site, Known: names}
	}
	return c.Failures(ctx, site)
}
