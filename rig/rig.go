package rig

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Patience is how long anything may take that is waited for.
const Patience = 20 * time.Second

// Eventually polls until ok, and fails the test when that takes too long.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}

// Must fails the test for an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Rig is a temporary folder with a sites.hcl, what it serves, and free addresses
// for its sites and "admin". They are in a network of the rig's own in
// 127.0.0.0/8, so that they stay free whatever others do while nothing listens.
type Rig struct {
	T     testing.TB
	Dir   string
	IP    string
	Addrs map[string]string // site (or "admin") -> ip:port

	Binary string              // the sited it runs
	User   *syscall.Credential // whom it runs as; nil for whoever runs the tests
}

// last numbers the rigs of this process, whose networks must differ.
var last atomic.Uint32

// New makes a rig that runs binary, which Build has made, with an address for each
// of the sites. Any other names that an address is wanted for may be among them.
func New(t testing.TB, binary string, sites ...string) *Rig {
	t.Helper()
	n := last.Add(1)
	if n > 255 {
		t.Fatal("more rigs than addresses")
	}
	r := &Rig{T: t, Dir: t.TempDir(), Binary: binary, Addrs: map[string]string{}}
	r.IP = fmt.Sprintf("127.%d.%d.%d", 128+os.Getpid()>>8&63, os.Getpid()&255, n)
	var held []net.Listener
	for _, name := range append(slices.Clip(sites), "admin") {
		ln, err := net.Listen("tcp", r.IP+":0")
		Must(t, err)
		held = append(held, ln)
		r.Addrs[name] = ln.Addr().String()
	}
	for _, ln := range held {
		ln.Close()
	}
	return r
}

// URL is that of a path on a site, or on "admin".
func (r *Rig) URL(site, path string) string {
	r.T.Helper()
	if r.Addrs[site] == "" {
		r.T.Fatalf("no address for %q", site)
	}
	return "http://" + r.Addrs[site] + path
}

// Path is that of a file in the rig's folder.
func (r *Rig) Path(name string) string { return filepath.Join(r.Dir, name) }

// Fill puts addresses into a configuration: @name becomes the ip and port
// arguments of that site.
func (r *Rig) Fill(text string) string {
	var names, pairs []string
	for name := range r.Addrs {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	for _, name := range names {
		_, port, _ := net.SplitHostPort(r.Addrs[name])
		pairs = append(pairs, "@"+name, fmt.Sprintf("ip = %q\n  port = %s", r.IP, port))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// Config writes sites.hcl in place, as many editors do, and returns what is in it.
func (r *Rig) Config(text string) string {
	r.T.Helper()
	text = r.Fill(text)
	r.Write("sites.hcl", text)
	return text
}

// ReplaceConfig renames a new sites.hcl into place, as the others do, and returns
// what is in it.
func (r *Rig) ReplaceConfig(text string) string {
	r.T.Helper()
	text = r.Fill(text)
	r.Write("sites.hcl.new", text)
	Must(r.T, os.Rename(r.Path("sites.hcl.new"), r.Path("sites.hcl")))
	return text
}

// Write writes a file, and makes its folder.
func (r *Rig) Write(name, content string) {
	r.T.Helper()
	Must(r.T, os.MkdirAll(filepath.Dir(r.Path(name)), 0o755))
	Must(r.T, os.WriteFile(r.Path(name), []byte(content), 0o644))
}

// Read is what a file holds.
func (r *Rig) Read(name string) string {
	r.T.Helper()
	b, err := os.ReadFile(r.Path(name))
	Must(r.T, err)
	return string(b)
}

// Command is sited with these arguments, not started.
func (r *Rig) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(r.Binary, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C", "GORACE=atexit_sleep_ms=0"}
	if r.User != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: r.User}
	}
	return cmd
}

// Sited runs another command of it, and returns its exit status and what it said.
func (r *Rig) Sited(args ...string) (status int, said string) {
	r.T.Helper()
	cmd := r.Command(args...)
	out, err := cmd.CombinedOutput()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		r.T.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}
