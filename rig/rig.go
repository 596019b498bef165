package rig

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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
// for its sites and "admin". They are at an IP address of the rig's own in
// 127.0.0.0/8, so that they stay free whatever others do while nothing listens.
type Rig struct {
	T     testing.TB
	Dir   string
	IP    string
	Addrs map[string]string // site (or "admin") -> ip:port

	Binary string              // the sited it runs
	Env    []string            // its environment variables beside those of Environment
	User   *syscall.Credential // whom it runs as; nil for whoever runs the tests
}

// New makes a rig that runs binary, which Build has made, with an address for each
// of the sites. Any other names that an address is wanted for may be among them.
func New(t testing.TB, binary string, sites ...string) *Rig {
	t.Helper()
	Must(t, readSources())
	r := &Rig{T: t, Dir: t.TempDir(), IP: ownIP(t), Binary: binary, Addrs: map[string]string{}}
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

// ownIP is an address that no other test gets, in whichever process it runs, until
// this one is over.
func ownIP(t testing.TB) string {
	t.Helper()
	for {
		ip := fmt.Sprintf("127.%d.%d.%d", 128+rand.IntN(64), rand.IntN(256), 1+rand.IntN(254))
		if reserve(t, ip) {
			return ip
		}
	}
}

// Addr is the ip:port of a site, or of "admin".
func (r *Rig) Addr(site string) string {
	r.T.Helper()
	if r.Addrs[site] == "" {
		r.T.Fatalf("no address for %q", site)
	}
	return r.Addrs[site]
}

// Port is that of Addr.
func (r *Rig) Port(site string) string {
	r.T.Helper()
	_, port, err := net.SplitHostPort(r.Addr(site))
	Must(r.T, err)
	return port
}

// URL is that of a path on a site, or on "admin".
func (r *Rig) URL(site, path string) string {
	r.T.Helper()
	return "http://" + r.Addr(site) + path
}

// Path is that of a file in the rig's folder.
func (r *Rig) Path(name string) string { return filepath.Join(r.Dir, name) }

// Fill puts addresses into a configuration: @name becomes the ip and port
// arguments of that site, @@name its ip:port.
func (r *Rig) Fill(text string) string {
	var names, pairs []string
	for name := range r.Addrs {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	for _, name := range names {
		pairs = append(pairs, "@@"+name, r.Addrs[name], "@"+name, fmt.Sprintf("ip = %q\n  port = %s", r.IP, r.Port(name)))
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

// Write writes a file, and makes its folder. A name that ends in .cgi gets the x
// bit.
func (r *Rig) Write(name, content string) {
	r.T.Helper()
	Must(r.T, os.MkdirAll(filepath.Dir(r.Path(name)), 0o755))
	mode := os.FileMode(0o644)
	if strings.HasSuffix(name, ".cgi") {
		mode = 0o755
	}
	// No process may be forked while an executable is open for writing: it could
	// not be executed until that process has made its exec (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	Must(r.T, os.WriteFile(r.Path(name), []byte(content), mode))
}

// Read is what a file holds.
func (r *Rig) Read(name string) string {
	r.T.Helper()
	b, err := os.ReadFile(r.Path(name))
	Must(r.T, err)
	return string(b)
}

// Environment is that of the tests without what would change how programs behave.
// The race detector is told not to wait a second before each exit.
func Environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C", "GORACE=atexit_sleep_ms=0"}
}

// Command is sited with these arguments, not started.
func (r *Rig) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(r.Binary, args...)
	cmd.Env = append(Environment(), r.Env...)
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
