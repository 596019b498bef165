package protocol

import (
	"net/netip"
	"testing"
)

func TestClientOf(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1":                 "127.0.0.1",
		"::ffff:192.0.2.7":          "192.0.2.7",
		"2001:db8:1:2:3:4:5:6":      "2001:db8:1:2::",
		"2001:db8:1:2:ffff:4:5:6":   "2001:db8:1:2::",
		"2001:db8:1:3::6":           "2001:db8:1:3::",
		"2001:db8:1:2::":            "2001:db8:1:2::",
		"::1":                       "::",
		"fe80::1:2:3:4%eth0":        "fe80::1:2:3:4%eth0",
		"fe80::1:2:3:4%eth1":        "fe80::1:2:3:4%eth1",
		"fd00:1:2:3:4:5:6:7%ignore": "fd00:1:2:3::",
	} {
		if got := clientOf(netip.MustParseAddr(addr)); got != netip.MustParseAddr(want) {
			t.Errorf("%s is counted as %s, want %s", addr, got, want)
		}
	}
	if got := clientOf(netip.Addr{}); got.IsValid() { // of a connection that can't tell where it comes from
		t.Errorf("no address is counted as %s", got)
	}
}

func TestClientTable(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	table := clientTable{}
	table.add(a)
	table.add(b)
	table.add(a)
	if table[a] != 2 || table[b] != 1 {
		t.Errorf("%v", table)
	}
	table.remove(a)
	table.remove(b)
	if _, there := table[b]; there || table[a] != 1 {
		t.Errorf("after two ended: %v", table)
	}
	table.remove(a)
	if len(table) != 0 {
		t.Errorf("after all ended: %v", table)
	}
}
