package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/term"
)

// passwordCost makes one guess cost about a tenth of a second.
const passwordCost = 11

func passwdCommand(e *env) *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use:   "passwd FILE USER",
		Short: "Set a user's password in a password file",
		Long: `Set a user's password in a password file (htpasswd format, bcrypt), which is made
if it isn't there. The password is asked for on a terminal, and else read from the
first line of standard input. A running sited takes the change in by itself.`,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			name, user := args[0], args[1]
			if err := checkUser(user); err != nil {
				return err
			}
			hash := ""
			if !remove {
				var err error
				if hash, err = askPassword(e, user); err != nil {
					return err
				}
			}
			return replaceFile(name, 0o640, func(before []byte) ([]byte, error) {
				after, had := setUser(string(before), user, hash)
				if remove && !had {
					return nil, fmt.Errorf("%s: there is no user %q", name, user)
				}
				return []byte(after), nil
			})
		},
	}
	cmd.Flags().BoolVar(&remove, "delete", false, "delete the user instead")
	return cmd
}

func checkUser(user string) error {
	if user == "" || strings.ContainsAny(user, ":\r\n\x00") || strings.HasPrefix(user, "#") || strings.TrimSpace(user) != user {
		return fmt.Errorf("%q can't be a user's name: it must not be empty, hold a colon or a line end, begin with # or have blanks around it", user)
	}
	return nil
}

// askPassword returns the hash of the password that was given.
func askPassword(e *env, user string) (string, error) {
	password, err := readPassword(e, user)
	if err != nil {
		return "", err
	}
	switch {
	case len(password) == 0:
		return "", errors.New("the password is empty")
	case len(password) > 72:
		return "", errors.New("the password is over 72 bytes, which is all that bcrypt looks at")
	}
	hash, err := bcrypt.GenerateFromPassword(password, passwordCost)
	return string(hash), err
}

func readPassword(e *env, user string) ([]byte, error) {
	f, ok := e.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(e.stdin).ReadString('\n')
		if err != nil && err != io.EOF {
			return nil, err
		}
		return []byte(strings.TrimRight(line, "\r\n")), nil
	}
	signals := e.signals()
	fmt.Fprintf(e.stderr, "Password for %s: ", user)
	first, err := readUnseen(int(f.Fd()), signals)
	if err != nil {
		return nil, err
	}
	fmt.Fprint(e.stderr, "\nOnce more: ")
	second, err := readUnseen(int(f.Fd()), signals)
	fmt.Fprintln(e.stderr)
	if err == nil && string(first) != string(second) {
		err = errors.New("the two are not the same; nothing was changed")
	}
	return first, err
}

// readUnseen reads a line that the terminal does not show. A signal ends that and
// leaves the terminal as it was.
func readUnseen(terminal int, signals <-chan os.Signal) ([]byte, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return nil, err
	}
	var line []byte
	read := make(chan error, 1)
	go func() {
		var err error
		line, err = term.ReadPassword(terminal)
		read <- err
	}()
	select {
	case err := <-read:
		return line, err
	case sig := <-signals: // whoever reads ends with the process
		return nil, errors.Join(fmt.Errorf("%v; nothing was changed", sig), term.Restore(terminal, before))
	}
}

// setUser replaces a user's line, adds one, or, without a hash, takes it out.
// All other lines stay as they are.
func setUser(file, user, hash string) (after string, had bool) {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSuffix(file, "\n"), "\n") {
		if name, _, ok := strings.Cut(line, ":"); !ok || strings.TrimSpace(name) != user {
			lines = append(lines, line)
			continue
		}
		if !had && hash != "" {
			lines = append(lines, user+":"+hash)
		}
		had = true
	}
	if file == "" {
		lines = nil
	}
	if !had && hash != "" {
		lines = append(lines, user+":"+hash)
	}
	if len(lines) == 0 {
		return "", had
	}
	return strings.Join(lines, "\n") + "\n", had
}
