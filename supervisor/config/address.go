package config

import (
	"net/netip"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// checkLabels reports sites of one name. Neither is served: which one the
// running site of that name should follow is not for sited to guess.
func (l *loader) checkLabels() {
	first := make(map[string]*hcl.Range, len(l.sites))
	for _, f := range l.files {
		if f.broken {
			for _, label := range f.labels {
				start := fileStart(f.name)
				first[label] = &start
			}
		}
	}
	for _, s := range l.sites {
		at := &s.block.LabelRanges[0]
		if before, twice := first[s.spec.Name]; twice {
			l.fail(*at, "Repeated site", "There is a site %q at %s already. Give each site a name of its own; until then none of that name is changed.",
				s.spec.Name, place(*before))
			continue
		}
		first[s.spec.Name] = at
	}
}

// checkAddresses reports sites that want an address which an earlier site, or
// the admin endpoint, has. An earlier site that has other errors keeps its claim:
// it may be running.
func (l *loader) checkAddresses() {
	taken := map[uint16][]*site{}
	for _, s := range l.sites {
		addr := s.spec.Addr
		if !addr.IsValid() || addr.Port() == 0 {
			continue
		}
		at := s.where("port")
		if admin := l.cfg.Admin.Addr; overlap(addr, admin) {
			l.fail(at, "Address in use", "Site %q can't listen on %s, because the admin endpoint listens on %s. Give the site another port, or write admin { port = … }.",
				s.spec.Name, addr, admin)
			continue
		}
		i := slices.IndexFunc(taken[addr.Port()], func(o *site) bool {
			return o.spec.Name != s.spec.Name && overlap(addr, o.spec.Addr)
		})
		if i >= 0 {
			o := taken[addr.Port()][i]
			l.fail(at, "Address in use",
				"Site %q can't listen on %s, because site %q at %s listens on %s. Give it another port or ip; sharing an address by hosts comes with a later release.",
				s.spec.Name, addr, o.spec.Name, place(o.where("port")), o.spec.Addr)
			continue
		}
		taken[addr.Port()] = append(taken[addr.Port()], s)
	}
}

// overlap reports whether two listeners can't be open at once: one port, and one
// address or an unspecified one that includes the other. "::" includes IPv4.
func overlap(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && (a.Addr() == b.Addr() || includes(a.Addr(), b.Addr()) || includes(b.Addr(), a.Addr()))
}

func includes(any, one netip.Addr) bool {
	return any == netip.IPv6Unspecified() || any == netip.IPv4Unspecified() && one.Is4()
}
