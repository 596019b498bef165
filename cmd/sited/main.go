// Command sited hosts many web sites from one process. It only translates the
// operating system into values; `sited help` lists what it can do.
package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sited/supervisor"
)

func main() {
	// What whoever started us left open is for `sited run`, never for scripts.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // an old kernel: as before
	os.Exit(run(os.Args[1:], &env{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		lookup: os.LookupEnv, signals: signals, version: version(),
		inherit: supervisor.Inherit, program: program,
	}))
}

func signals() <-chan os.Signal {
	c := make(chan os.Signal, 8)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	return c
}

// env is what the operating system gives.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookup         func(name string) (string, bool)
	signals        func() <-chan os.Signal // until it is called, signals do what they do by default
	version        string

	inherit func(*slog.Logger) *supervisor.Inherited
	program func() supervisor.Program // to be called after inherit, which removes variables
}

// exit is an exit status that says all there is to say.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// run is main as a function: it returns the exit status.
func run(args []string, e *env) int {
	root := command(e)
	root.SetArgs(doubleDashes(args))
	err := root.Execute()
	if status, ok := errors.AsType[exit](err); ok {
		return int(status)
	}
	if err != nil {
		fmt.Fprintln(e.stderr, "sited:", err)
		return 1
	}
	return 0
}

func command(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "sited",
		Short: "Hosts many web sites from one process",
		Long: `sited hosts many web sites from one process. It reads a file of site blocks,
runs an isolated server for each, takes a changed file in without dropping a
request, and exports Prometheus metrics for every site.

  sited run                 serve what sites.hcl says
  sited validate            is the file right?
  sited plan                what would a reload change?
  sited upgrade             run the binary as it is now, without losing a request
  sited failures app        what went wrong at a site, and what was slow?
  sited explain GET http://127.0.0.1:8082/private/
                            what does a request get, and why?

The file is sites.hcl in the current folder unless another, or a folder of
*.hcl files, is given. Flags may be written with one dash or two.`,
		SilenceUsage: true, SilenceErrors: true,
		SuggestionsMinimumDistance: 2,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownCommand(args[0], cmd.SuggestionsFor(args[0]))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		runCommand(e), validateCommand(e), planCommand(e), fmtCommand(e), reloadCommand(e),
		upgradeCommand(e), statusCommand(e), failuresCommand(e), logsCommand(e), explainCommand(e), passwdCommand(e), versionCommand(e),
	)
	return root
}

func unknownCommand(name string, suggestions []string) error {
	if len(suggestions) == 0 {
		return fmt.Errorf("there is no command %q; `sited help` lists them", name)
	}
	return fmt.Errorf("there is no command %q; did you mean %q? `sited help` lists them", name, suggestions[0])
}

// doubleDashes makes -json of Go's and Terraform's users the --json of cobra's.
// What stands alone, or behind "--", is left as it is, and so is -n5, as tail has it.
func doubleDashes(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		if a == "--" {
			copy(out[i:], args[i:])
			break
		}
		out[i] = a
		if len(a) > 2 && a[0] == '-' && a[1] != '-' && !strings.HasPrefix(a[2:], "=") && strings.Trim(a[2:], "0123456789") != "" {
			out[i] = "-" + a
		}
	}
	return out
}

// file is the configuration that a command is about.
func file(args []string) string {
	if len(args) == 0 {
		return "sites.hcl"
	}
	return args[0]
}

// release is set by the linker for a release: -ldflags "-X main.release=1.2.3".
var release string

func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
