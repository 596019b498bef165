package main_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// folder is a temporary folder with a sites.hcl and what it serves. Each has an
// address of its own in 127.0.0.0/8, so that its ports stay free whatever other
// tests and their clients do.
type folder struct {
	t     *testing.T
	dir   string
	ip    string
	addrs map[string]string // site (or "admin") -> ip:port
}

var lastFolder atomic.Uint32

func newFolder(t *testing.T, sites ...string) *folder {
	t.Helper()
	n := lastFolder.Add(1)
	f := &folder{t: t, dir: t.TempDir(), addrs: map[string]string{}}
	f.ip = fmt.Sprintf("127.%d.%d.%d", 64+os.Getpid()>>8&63, os.Getpid()&255, n&255)
	if n > 255 {
		t.Fatal("more folders than addresses")
	}
	var held []net.Listener
	for _, name := range append(sites, "admin") {
		ln, err := net.Listen("tcp", f.ip+":0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, ln)
		f.addrs[name] = ln.Addr().String()
	}
	for _, ln := range held {
		ln.Close()
	}
	return f
}

// addr is where a site, or admin, listens.
func (f *folder) addr(name string) string {
	f.t.Helper()
	if f.addrs[name] == "" {
		f.t.Fatalf("no address for %q", name)
	}
	return f.addrs[name]
}

func (f *folder) port(name string) string {
	_, port, err := net.SplitHostPort(f.addr(name))
	if err != nil {
		f.t.Fatal(err)
	}
	return port
}

// fill puts addresses into a configuration: @name becomes the ip and port
// arguments of that site, @@name its ip:port.
func (f *folder) fill(text string) string {
	names := make([]string, 0, len(f.addrs))
	for name := range f.addrs {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, name := range names {
		pairs = append(pairs, "@@"+name, f.addr(name),
			"@"+name, fmt.Sprintf("ip = %q\n  port = %s", f.ip, f.port(name)))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// config writes sites.hcl in place, as many editors do.
func (f *folder) config(text string) { f.write("sites.hcl", f.fill(text)) }

// replaceConfig renames a new sites.hcl into place, as the others do.
func (f *folder) replaceConfig(text string) {
	f.write("sites.hcl.new", f.fill(text))
	if err := os.Rename(f.path("sites.hcl.new"), f.path("sites.hcl")); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// write writes a file, and makes its folder. A name that ends in .cgi gets the
// x bit.
func (f *folder) write(name, content string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(f.path(name)), 0o755); err != nil {
		f.t.Fatal(err)
	}
	mode := os.FileMode(0o644)
	if strings.HasSuffix(name, ".cgi") {
		mode = 0o755
	}
	// No process may be forked while an executable is open for writing: it could
	// not be executed until that process has made its exec (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(f.path(name), []byte(content), mode); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) read(name string) string {
	f.t.Helper()
	b, err := os.ReadFile(f.path(name))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

func (f *folder) exists(name string) bool {
	_, err := os.Lstat(f.path(name))
	return err == nil
}

// logsOpen waits until the logs of those sites are open, which is a moment after
// the sites serve.
func (f *folder) logsOpen(sites ...string) {
	f.t.Helper()
	for _, site := range sites {
		for _, name := range []string{"passed.log", "failed.log"} {
			eventually(f.t, name+" of "+site+" is open", func() bool { return f.exists("logs/" + site + "/" + name) })
		}
	}
}

// names lists what is in a folder.
func (f *folder) names(folder string) []string {
	f.t.Helper()
	entries, err := os.ReadDir(f.path(folder))
	if err != nil {
		f.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// user is a line of a password file, with a hash that is quick to check.
func user(t *testing.T, name, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return name + ":" + string(hash) + "\n"
}

func symlink(f *folder, target, name string) error { return os.Symlink(target, f.path(name)) }
