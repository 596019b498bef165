package instance

import (
	"net/netip"
	"strings"
	"testing"
)

func mustTargets(t testing.TB, entries ...string) Targets {
	t.Helper()
	var all Targets
	for _, s := range entries {
		target, err := ParseTarget(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, target)
	}
	return all
}

func TestParseTarget(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"example.org:443", "example.org:443"},
		{"Example.ORG.:443", "example.org:443"},
		{"localhost:8080", "localhost:8080"},
		{"_sip.example.org:5060", "_sip.example.org:5060"},
		{"xn--bcher-kva.example:443", "xn--bcher-kva.example:443"},
		{"4.example.org:1", "4.example.org:1"},
		{"*.example.org:443", "*.example.org:443"},
		{"*:443", "*:443"},
		{"*:*", "*:*"},
		{"example.org:*", "example.org:*"},
		{"10.0.0.5:5432", "10.0.0.5:5432"},
		{"10.0.0.0/8:5432", "10.0.0.0/8:5432"},
		{"10.0.0.5/32:5432", "10.0.0.5:5432"},
		{"0.0.0.0/0:*", "0.0.0.0/0:*"},
		{"[2001:db8::1]:443", "[2001:db8::1]:443"},
		{"[2001:DB8:0::1]:443", "[2001:db8::1]:443"},
		{"[fd00::/8]:443", "[fd00::/8]:443"},
		{"[::ffff:10.0.0.1]:443", "10.0.0.1:443"},
		{"[::ffff:10.0.0.0/104]:443", "10.0.0.0/8:443"},
		{"[::/0]:443", "[::/0]:443"},
		{"example.org:65535", "example.org:65535"},
	} {
		got, err := ParseTarget(c.in)
		if err != nil {
			t.Errorf("ParseTarget(%q): %v", c.in, err)
		} else if got.String() != c.want {
			t.Errorf("ParseTarget(%q) = %v, want %v", c.in, got, c.want)
		}
	}
}

func TestParseTargetErrors(t *testing.T) {
	for _, c := range []struct{ in, says string }{
		{"", "the port is missing"},
		{"example.org", "the port is missing; write \"host:port\""},
		{":443", "the host is missing"},
		{".:443", "the host is missing"},
		{"example.org:", "the port is missing; write a number"},
		{"example.org:0", "out of range"},
		{"example.org:65536", "out of range"},
		{"example.org:99999999999999999999", "out of range"},
		{"example.org:https", "not a number"},
		{"example.org:+443", "not a number"},
		{"example.org:44 3", "not a number"},
		{"2001:db8::1:443", "needs brackets"},
		{"[2001:db8::1]", "followed by a port"},
		{"[2001:db8::1]443", "followed by a port"},
		{"[10.0.0.1]:443", "brackets are for IPv6"},
		{"[10.0.0.0/8]:443", "brackets are for IPv6"},
		{"[example.org]:443", "not an IPv6 address"},
		{"[]:443", "not an IPv6 address"},
		{"[fe80::1%eth0]:443", "zone"},
		{"[fe80::%eth0/64]:443", "zone"},
		{"10.0.0.5/8:443", `did you mean "10.0.0.0/8", or "10.0.0.5" alone`},
		{"10.0.0.0/33:443", "not a block"},
		{"10.0.0.0/:443", "not a block"},
		{"example.org/8:443", "not a block"},
		{"10.0.0.256:443", "neither an IP address nor a name"},
		{"127.1:443", "neither an IP address nor a name"},
		{"0x7f.1:443", "neither an IP address nor a name"},
		{"a..example.org:443", "empty part"},
		{"*.*.example.org:443", "stands for a whole name"},
		{"ex*mple.org:443", "stands for a whole name"},
		{"*example.org:443", "stands for a whole name"},
		{"*.:443", "the host is missing"},
		{"-a.example.org:443", "hyphen"},
		{"a-.example.org:443", "hyphen"},
		{"bücher.example:443", `"xn--"`},
		{"\u212Aelvin.example:443", `"xn--"`},
		{"user@example.org:443", "can't be part of a name"},
		{"exam ple.org:443", "can't be part of a name"},
		{"https://example.org:443", "too many colons"},
		{strings.Repeat("a", 64) + ".org:443", "63 bytes"},
		{strings.Repeat("abcdefg.", 32) + "org:443", "253 bytes"},
	} {
		_, err := ParseTarget(c.in)
		if err == nil {
			t.Errorf("ParseTarget(%q) succeeded", c.in)
		} else if !strings.Contains(err.Error(), c.says) {
			t.Errorf("ParseTarget(%q): %q does not say %q", c.in, err, c.says)
		}
	}
}

func TestAllowsName(t *testing.T) {
	list := mustTargets(t, "example.org:443", "*.example.net:443", "db.example.org:*", "*:8443", "10.0.0.5:5432")
	for _, c := range []struct {
		host string
		port uint16
		want bool
	}{
		{"example.org", 443, true},
		{"EXAMPLE.org.", 443, true},
		{"example.org", 80, false},
		{"www.example.org", 443, false},
		{"a.example.net", 443, true},
		{"a.b.c.Example.NET", 443, true},
		{"example.net", 443, false},
		{".example.net", 443, false},
		{"evilexample.net", 443, false},
		{"example.net.evil.test", 443, false},
		{"a.example.net", 80, false},
		{"db.example.org", 1, true},
		{"db.example.org", 65535, true},
		{"db.example.org", 0, false},
		{"anything.test", 8443, true},
		{"", 8443, false},
		{"10.0.0.5", 5432, false},
		{"e\u212Aample.org", 443, false},
	} {
		if got := list.AllowsName(c.host, c.port); got != c.want {
			t.Errorf("AllowsName(%q, %d) = %v", c.host, c.port, got)
		}
	}
	if Targets(nil).AllowsName("example.org", 443) {
		t.Error("an empty list allows a name")
	}
	if mustTargets(t, "k.example:443").AllowsName("\u212A.example", 443) {
		t.Error("U+212A is taken for a k")
	}
}

func TestAllowsAddr(t *testing.T) {
	list := mustTargets(t, "10.0.0.5:5432", "192.168.0.0/16:443", "[fd00::/8]:443", "[2001:db8::1]:*", "*:80", "example.org:22")
	for _, c := range []struct {
		addr string
		port uint16
		want bool
	}{
		{"10.0.0.5", 5432, true},
		{"::ffff:10.0.0.5", 5432, true},
		{"10.0.0.5", 443, false},
		{"10.0.0.6", 5432, false},
		{"192.168.255.255", 443, true},
		{"192.169.0.0", 443, false},
		{"fd12:3456::1", 443, true},
		{"fe00::1", 443, false},
		{"2001:db8::1", 7, true},
		{"2001:db8::1", 0, false},
		{"2001:db8::2", 7, false},
		{"fd00::1%eth0", 443, false},
		{"93.184.216.34", 80, false}, // "*" is not an address written out
		{"10.0.0.5", 22, false},
	} {
		if got := list.AllowsAddr(netip.MustParseAddr(c.addr), c.port); got != c.want {
			t.Errorf("AllowsAddr(%s, %d) = %v", c.addr, c.port, got)
		}
	}
	if list.AllowsAddr(netip.Addr{}, 443) {
		t.Error("the invalid address is allowed")
	}
}

func TestSpecialPurpose(t *testing.T) {
	for _, s := range []string{
		"0.0.0.0", "0.255.255.255", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255",
		"169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.9", "192.0.2.1", "192.31.196.1", "192.52.193.1",
		"192.88.99.1", "192.168.1.1", "192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7",
		"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::1",
		"100::1", "100:0:0:1::1", "2001::1", "2001:1::1", "2001:20::1", "2001:1ff:ffff::1", "2001:db8::1", "2002:7f00:1::1",
		"2620:4f:8000::1", "3fff::1", "3fff:fff::1", "5f00::1", "fc00::1", "fdff::1", "fe80::1", "febf::1", "fec0::1",
		"ff02::1", "ff0e::1", "2606:4700::1%eth0", "fe80::1%eth0",
	} {
		if !SpecialPurpose(netip.MustParseAddr(s)) {
			t.Errorf("%s is not special", s)
		}
	}
	if !SpecialPurpose(netip.Addr{}) {
		t.Error("the invalid address is not special")
	}
	for _, s := range []string{
		"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
		"169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.0.3.1", "198.17.255.255", "198.20.0.0",
		"203.0.112.1", "203.0.114.1", "223.255.255.255", "::ffff:1.1.1.1",
		"2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700::1111", "2620:4f:8001::1", "3ffe::1", "3fff:1000::1", "2a00::1",
	} {
		if SpecialPurpose(netip.MustParseAddr(s)) {
			t.Errorf("%s is special", s)
		}
	}
}

// An entry that parses can be written and read back, and it allows what it
// names.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{
		"example.org:443", "*.example.org:443", "*:443", "a:*", "10.0.0.5:5432", "10.0.0.0/8:5432", "[2001:db8::1]:443",
		"[fd00::/8]:443", "[::ffff:10.0.0.0/104]:1", "[fe80::1%eth0]:443", "127.1:80", "x:0", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := ParseTarget(s)
		if err != nil {
			if target != (Target{}) {
				t.Errorf("ParseTarget(%q) failed and returned %+v", s, target)
			}
			return
		}
		again, err := ParseTarget(target.String())
		if err != nil || again != target {
			t.Errorf("ParseTarget(%q) = %v, read back as %v, %v", s, target, again, err)
		}
		port := max(target.port, 1)
		list := Targets{target}
		switch {
		case target.prefix.IsValid():
			if !list.AllowsAddr(target.prefix.Addr(), port) || list.AllowsName("a.example", port) {
				t.Errorf("%v does not allow its own address alone", target)
			}
		case target.below:
			if !list.AllowsName("below."+target.name, port) || target.name != "" && list.AllowsName(target.name, port) {
				t.Errorf("%v does not allow just what is below it", target)
			}
		case !list.AllowsName(target.name, port):
			t.Errorf("%v does not allow its own name", target)
		}
	})
}
