package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sited/supervisor"
	"sited/supervisor/config"
)

// The commands that ask a running sited: plan, reload, upgrade and status. Where its
// admin endpoint is they read in the file, or are told.

// asking are the flags these commands share. A timeout that is set before flags
// is called is the default.
type asking struct {
	admin   string
	timeout time.Duration
	json    bool
}

func (a *asking) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.admin, "admin", "", "`ADDRESS` of the admin endpoint, ip:port, when it is not the one FILE says")
	cmd.Flags().DurationVar(&a.timeout, "timeout", cmp.Or(a.timeout, time.Minute), "how long to wait for the answer")
	cmd.Flags().BoolVar(&a.json, "json", false, "print the result as JSON")
}

func (a *asking) client(e *env, args []string) (supervisor.Client, error) {
	if a.admin != "" {
		addr, err := netip.ParseAddrPort(strings.Replace(a.admin, "localhost:", "127.0.0.1:", 1))
		if err != nil {
			return supervisor.Client{}, fmt.Errorf("--admin %q: write ip:port, as in 127.0.0.1:9180", a.admin)
		}
		return supervisor.Client{Addr: addr}, nil
	}
	cfg := config.Load(file(args), e.lookup)
	if !cfg.AdminKnown() {
		writeDiagnostics(e.stderr, cfg)
		return supervisor.Client{}, fmt.Errorf("%s does not tell where the admin endpoint is, as it can't be read: name it with --admin ip:port", cfg.Path)
	}
	return supervisor.Client{Addr: cfg.Admin.Addr}, nil
}

// reach finds the running sited, makes sure that it is about the file that was
// named, and calls ask with its status and the time there is.
func (a *asking) reach(e *env, args []string, ask func(context.Context, supervisor.Client, *supervisor.Status) error) error {
	c, err := a.client(e, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.timeout)
	defer cancel()
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if err := a.sameFile(status, c, args); err != nil {
		return err
	}
	return ask(ctx, c, status)
}

// answer prints what came back, as JSON or as text, and turns it into an exit
// status.
func (a *asking) answer(e *env, value any, text string, status int) error {
	var err error
	if a.json {
		err = printJSON(e.stdout, value)
	} else {
		_, err = fmt.Fprint(e.stdout, text)
	}
	if err == nil && status != 0 {
		return exit(status)
	}
	return err
}

// sameFile makes sure that the running sited is about the file that was named:
// the one in this folder, unless only an address was.
func (a *asking) sameFile(status *supervisor.Status, c supervisor.Client, args []string) error {
	if len(args) == 0 && a.admin != "" {
		return nil
	}
	asked, err := filepath.Abs(file(args))
	if err != nil {
		return err
	}
	if asked != status.Config.Path {
		return fmt.Errorf("the sited at %s serves %s, not %s; to ask it all the same, use --admin %s", c.Addr, status.Config.Path, asked, c.Addr)
	}
	return nil
}

func planCommand(e *env) *cobra.Command {
	var a asking
	cmd := &cobra.Command{
		Use:   "plan [FILE]",
		Short: "Ask the running sited what a reload would change",
		Long: `Ask the running sited to read its file and say what each site would see: nothing,
a swap on its open socket (with what changes), a new address, a start, a stop, or
a refusal. Nothing is changed.

Exit status: 0 no changes, 2 changes, 1 something is wrong.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.report(e, args, supervisor.Client.Plan, (*supervisor.Report).ExitCode)
		},
	}
	a.flags(cmd)
	return cmd
}

func reloadCommand(e *env) *cobra.Command {
	var a asking
	var allOrNothing bool
	cmd := &cobra.Command{
		Use:   "reload [FILE]",
		Short: "Have the running sited take its file in, and say what came of it",
		Long: `Have the running sited take its file in. It returns when that is done and prints
the plan with what became of each step.

Exit status: 0 when all of the file is in force, 1 when something was refused.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			ask := func(c supervisor.Client, ctx context.Context) (*supervisor.Report, error) {
				return c.Reload(ctx, allOrNothing)
			}
			return a.report(e, args, ask, func(r *supervisor.Report) int {
				if r.ExitCode() == 1 {
					return 1
				}
				return 0
			})
		},
	}
	a.flags(cmd)
	cmd.Flags().BoolVar(&allOrNothing, "all-or-nothing", false, "change nothing unless every site can be taken in")
	return cmd
}

// report asks for a report and prints it.
func (a *asking) report(e *env, args []string, ask func(supervisor.Client, context.Context) (*supervisor.Report, error), status func(*supervisor.Report) int) error {
	return a.reach(e, args, func(ctx context.Context, c supervisor.Client, _ *supervisor.Status) error {
		r, err := ask(c, ctx)
		if err != nil {
			return err
		}
		return a.answer(e, r, r.Text(), status(r))
	})
}

func statusCommand(e *env) *cobra.Command {
	var a asking
	cmd := &cobra.Command{
		Use:   "status [FILE]",
		Short: "Ask the running sited how its sites are",
		Long: `Ask the running sited how its sites are: state, generation, connections,
requests in flight, tunnels and script processes.

Exit status: 0 when every site that ought to serve does, 2 when one doesn't,
1 when no sited answers.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.reach(e, args, func(_ context.Context, _ supervisor.Client, s *supervisor.Status) error {
				status := 0
				if len(s.NotReady()) > 0 {
					status = 2
				}
				return a.answer(e, s, s.Text(), status)
			})
		},
	}
	a.flags(cmd)
	return cmd
}
