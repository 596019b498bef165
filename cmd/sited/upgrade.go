package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"sited/supervisor"
)

func upgradeCommand(e *env) *cobra.Command {
	a := asking{timeout: 90 * time.Second}
	cmd := &cobra.Command{
		Use:   "upgrade [FILE]",
		Short: "Have the binary as it is now take over from the running sited",
		Long: `Have the running sited start its binary anew, from where it was started, with the
same arguments and environment. The new process takes the listening sockets over
and reads the file; once it serves all that is served, the old one drains and
ends. No connection is refused meanwhile. When the new process ends, is not there
within a minute, or does not serve a site that is served now, it is ended and the
old one goes on. The command returns when that is decided.

Reloads that are asked for meanwhile wait; a second upgrade is refused. SIGUSR2
does the same, and logs what came of it.

Exit status: 0 when the new process serves, 1 when the old one goes on.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.reach(e, args, func(ctx context.Context, c supervisor.Client, _ *supervisor.Status) error {
				u, err := c.Upgrade(ctx)
				if err != nil {
					return err
				}
				status := 0
				if u.Result != supervisor.Upgraded {
					status = 1
				}
				return a.answer(e, u, u.Text(), status)
			})
		},
	}
	a.flags(cmd)
	return cmd
}

// program is what an upgrade starts: this program by the path that it was
// started by, so that a link in it may lead elsewhere by then, and by the path of
// its file when that one can't be told.
func program() supervisor.Program {
	p := supervisor.Program{Args: os.Args, Env: os.Environ()}
	self, err := os.Executable()
	if err != nil {
		return p
	}
	p.Path = self
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return p
	}
	if path, err = filepath.Abs(path); err == nil && sameFile(path, self) {
		p.Path = path
	}
	return p
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
