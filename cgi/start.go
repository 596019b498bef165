package cgi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sited/protocol"
)

// Missing says why the interpreter can't be run and what helps, or nil when it
// can, or when the scripts are to be executed themselves. It looks anew each
// time it is called, as Run does.
func (r *Runner) Missing() error {
	if len(r.cfg.Command) == 0 {
		return nil
	}
	_, err := r.program("")
	return err
}

// program is the absolute path of what is to be executed.
func (r *Runner) program(filename string) (string, error) {
	if len(r.cfg.Command) == 0 {
		return filename, nil
	}
	name := r.cfg.Command[0]
	dirs := filepath.SplitList(r.path)
	if strings.Contains(name, "/") {
		dirs = []string{""}
	}
	denied := ""
	for _, dir := range dirs {
		if dir == "" && len(dirs) > 1 {
			continue // "here", which is nowhere in particular
		}
		file, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			return "", fmt.Errorf("script %q: find %s: %w", r.cfg.Name, name, err)
		}
		_, err = exec.LookPath(file)
		switch {
		case err == nil:
			return file, nil
		case errors.Is(err, fs.ErrPermission) && denied == "":
			denied = file
		}
	}
	if denied != "" {
		return "", fmt.Errorf("script %q: %s is not executable: chmod +x it", r.cfg.Name, denied)
	}
	if strings.Contains(name, "/") {
		return "", fmt.Errorf("script %q: there is no %s: install it, or correct \"command\"", r.cfg.Name, name)
	}
	return "", fmt.Errorf("script %q: %s is not in PATH (%s): install it, or give its full path in \"command\"", r.cfg.Name, name, r.path)
}

// start starts the process. The words of its command line never come from the
// request (RFC 3875, section 4.4, lets a server do without; see CVE-2012-1823).
func (r *Runner) start(call *Call, program string, env []string, in *input) (*execution, *failure) {
	x := &execution{runner: r, id: call.ID, filename: call.Filename, parts: executionParts}
	if !r.enter() {
		return nil, r.noSlot(errClosed)
	}
	cmd := &exec.Cmd{
		Path: program,
		Args: append(r.cfg.Command[:len(r.cfg.Command):len(r.cfg.Command)], call.Filename),
		Env:  env,
		Dir:  filepath.Dir(call.Filename),
	}
	if in.length > 0 {
		cmd.Env = append(cmd.Env, "CONTENT_LENGTH="+strconv.FormatInt(in.length, 10))
	}
	stdin, err := in.stdin()
	if err != nil {
		r.going.Done()
		return nil, requestFailure(err)
	}
	if stdin != nil {
		cmd.Stdin = stdin
	}
	x.process, err = start(cmd)
	if err != nil {
		r.going.Done()
		return nil, x.startFailure(program, err)
	}
	r.processes.Add(1)
	r.observer.Started()
	return x, nil
}

// startFailure says why program could not be started, and what helps.
func (x *execution) startFailure(program string, err error) *failure {
	itself := program == x.filename
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case shortage(err), is(unix.ETXTBSY):
		fail := x.fail(ResultBusy, 503, "the system can't start it now: %w", err)
		fail.err.Header.Add("Retry-After", "1")
		return fail
	case is(unix.ENOENT) && gone(x.filename):
		return &failure{ResultError, protocol.Failf(404, "script %q: %s is gone", x.runner.cfg.Name, x.filename)}
	case is(unix.ENOENT):
		if interpreter := shebang(program); interpreter != "" {
			return x.fail(ResultUnavailable, 503, "the #! line of %s names %q, which does not exist: install it", program, interpreter)
		}
		return x.fail(ResultUnavailable, 503, "%s needs a program that does not exist: install it: %w", program, err)
	case is(unix.EACCES) && itself:
		return x.fail(ResultError, 502, "it is not executable: chmod +x it: %w", err)
	case is(unix.EACCES):
		return x.fail(ResultError, 502, "%s may not be executed there: %w", program, err)
	case is(unix.ENOEXEC) && itself:
		return x.fail(ResultError, 502, "it needs a #! line that names its interpreter: %w", err)
	case is(unix.E2BIG):
		return x.fail(ResultAborted, 431, "the request's head is too large for an environment: %w", err)
	}
	return x.fail(ResultError, 502, "%s can't be started: %w", program, err)
}

// shortage reports whether err says that the system is short of something now.
func shortage(err error) bool {
	for _, target := range []error{unix.EAGAIN, unix.ENOMEM, unix.EMFILE, unix.ENFILE} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func gone(filename string) bool {
	_, err := os.Stat(filename)
	return errors.Is(err, fs.ErrNotExist)
}

// shebang is the interpreter that a file's #! line names, or "".
func shebang(filename string) string {
	f, err := os.Open(filename)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 256))
	line, _, _ := bytes.Cut(b, []byte{'\n'})
	interpreter, ok := bytes.CutPrefix(line, []byte("#!"))
	if !ok {
		return ""
	}
	interpreter = bytes.TrimLeft(interpreter, " \t")
	if i := bytes.IndexAny(interpreter, " \t"); i >= 0 {
		interpreter = interpreter[:i]
	}
	return string(interpreter)
}
