package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// manySites are the sites that the servers host in turn, each with its own port,
// root and logs, and what the configurations say of them.
type manySites struct {
	dir   string
	sites []oneSite // the last one is the one that comes and goes
	admin int       // port of sited's admin endpoint
}

type oneSite struct {
	name string
	port int
}

func (s oneSite) addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// newManySites makes n sites, and the one more, in dir.
func newManySites(dir string, n int) (*manySites, error) {
	ports, err := freePorts(n + 2)
	if err != nil {
		return nil, err
	}
	m := &manySites{dir: dir, admin: ports[n+1]}
	for i := range n + 1 {
		s := oneSite{name: fmt.Sprintf("site%05d", i), port: ports[i]}
		for _, folder := range []string{m.root(s), m.logs(s)} {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return nil, err
			}
		}
		if _, err := write(m.root(s), "index.html", "<!doctype html><title>"+s.name+"</title>\n"); err != nil {
			return nil, err
		}
		m.sites = append(m.sites, s)
	}
	return m, nil
}

// freePorts finds ports at which nobody listens, below those that the kernel
// gives to outgoing connections: none of these may take one meanwhile.
func freePorts(n int) ([]int, error) {
	const lowest = 10_000
	highest := 32_767
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		var low int
		if _, err := fmt.Sscan(string(text), &low); err == nil && low > lowest {
			highest = low - 1
		}
	}
	var ports []int
	for port := lowest; port <= highest && len(ports) < n; port++ {
		ln, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))))
		if err != nil {
			continue
		}
		if err := ln.Close(); err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	if len(ports) < n {
		return nil, fmt.Errorf("only %d of %d ports are free from %d to %d", len(ports), n, lowest, highest)
	}
	return ports, nil
}

func (m *manySites) base() []oneSite       { return m.sites[:len(m.sites)-1] }
func (m *manySites) extra() oneSite        { return m.sites[len(m.sites)-1] }
func (m *manySites) root(s oneSite) string { return filepath.Join(m.dir, "roots", s.name) }

// logs is the folder of a site's logs with nginx. sited has the same two, in a
// folder that it makes, without being told.
func (m *manySites) logs(s oneSite) string { return filepath.Join(m.dir, "nginx-logs", s.name) }

// layout is one way to host the sites: a server, and how its configuration is
// put into files.
type layout struct {
	server string // sited or nginx
	folder bool   // a file for each site, else one for all
}

func (l layout) String() string {
	if l.folder {
		return l.server + ", a file each"
	}
	return l.server
}

func (l layout) extension() string {
	if l.server == "nginx" {
		return ".conf"
	}
	return ".hcl"
}

// parts says where the layout has its files: one for what concerns all sites,
// and the one in which the extra site is, or is to be.
func (m *manySites) parts(l layout) (shared, changing string) {
	dir := filepath.Join(m.dir, strings.ReplaceAll(l.String(), ", ", "-"))
	dir = strings.ReplaceAll(dir, " ", "-")
	switch {
	case !l.folder:
		file := filepath.Join(dir, "sites"+l.extension())
		return file, file
	case l.server == "nginx":
		return filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "sites.d", m.extra().name+".conf")
	}
	return filepath.Join(dir, "sites.d", "00-shared.hcl"), filepath.Join(dir, "sites.d", m.extra().name+".hcl")
}

// write writes the configuration without the extra site, and returns the command
// that serves it.
func (m *manySites) write(l layout, binary string) ([]string, error) {
	shared, changing := m.parts(l)
	if err := os.MkdirAll(filepath.Dir(changing), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(shared, []byte(m.shared(l, m.base())), 0o644); err != nil {
		return nil, err
	}
	if l.folder {
		for _, s := range m.base() {
			if _, err := write(filepath.Dir(changing), s.name+l.extension(), m.block(l.server, s)); err != nil {
				return nil, err
			}
		}
	}
	if l.server == "nginx" {
		return []string{binary, "-p", m.dir, "-c", shared}, nil
	}
	if l.folder {
		return []string{binary, "run", filepath.Dir(shared)}, nil
	}
	return []string{binary, "run", shared}, nil
}

// add puts the extra site into force as a deployment does: with one rename.
func (m *manySites) add(l layout) error {
	_, changing := m.parts(l)
	text := m.block(l.server, m.extra())
	if !l.folder {
		text = m.shared(l, m.sites)
	}
	if err := os.WriteFile(changing+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(changing+".new", changing)
}

// remove takes the extra site out again.
func (m *manySites) remove(l layout) error {
	_, changing := m.parts(l)
	if l.folder {
		return os.Remove(changing)
	}
	if err := os.WriteFile(changing+".new", []byte(m.shared(l, m.base())), 0o644); err != nil {
		return err
	}
	return os.Rename(changing+".new", changing)
}

// shared is the file with what concerns all sites, and with the sites themselves
// when they are all in one.
func (m *manySites) shared(l layout, sites []oneSite) string {
	var blocks strings.Builder
	if l.folder {
		if l.server == "nginx" {
			blocks.WriteString("include " + filepath.Dir(second(m.parts(l))) + "/*.conf;\n")
		}
	} else {
		for _, s := range sites {
			blocks.WriteString(m.block(l.server, s))
		}
	}
	if l.server != "nginx" {
		return fmt.Sprintf("admin {\n  port = %d\n}\n%s", m.admin, &blocks)
	}
	return fmt.Sprintf(`
daemon off; user root; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
worker_rlimit_nofile %[2]d;
events { worker_connections %[2]d; }
http {
  include /etc/nginx/mime.types;
  sendfile on; tcp_nopush on; tcp_nodelay on;
  map $status $failed { ~^[45] 1; default 0; }
  map $status $passed { ~^[45] 0; default 1; }
%[3]s}
`, m.dir, 6*len(m.sites)+1000, &blocks)
}

func second(_, b string) string { return b }

func (m *manySites) block(server string, s oneSite) string {
	if server == "nginx" {
		return fmt.Sprintf(`server {
  listen %s;
  root %s;
  access_log %[3]s/passed.log combined if=$passed;
  access_log %[3]s/failed.log combined if=$failed;
}
`, s.addr(), m.root(s), m.logs(s))
	}
	return fmt.Sprintf(`site %q {
  ip   = "127.0.0.1"
  port = %d
  root = %q
}
`, s.name, s.port, m.root(s))
}
