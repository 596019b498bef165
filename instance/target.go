package instance

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Target is one entry of the list of ends that a CONNECT tunnel may have: a
// name, a family of names, an address or a block of addresses, with a port.
// Targets are comparable: two that allow the same thing are equal.
type Target struct {
	name   string       // in lower case, without the trailing dot; "" when prefix is set
	below  bool         // all names below name, at any depth; with name "" every name
	prefix netip.Prefix // an address has all its bits
	port   uint16       // 0: every port
}

const targetForms = `write "host:port" ("db.example.org:5432", "*.example.org:443", "*:443", "10.0.0.5:5432", "10.0.0.0/8:5432", "[2001:db8::1]:443" or "[fd00::/8]:443")`

// ParseTarget reads an entry: host:port, where host is a DNS name, "*." and a
// name (any name below it, not itself), "*" (any name), an IP address or a CIDR
// block, those of IPv6 in brackets; port is a number from 1 to 65535, or "*".
// The error says what is wrong and shows a right form.
func ParseTarget(s string) (Target, error) {
	t, err := parseTarget(s)
	if err != nil {
		return Target{}, fmt.Errorf("tunnel target %q: %w", s, err)
	}
	return t, nil
}

func parseTarget(s string) (Target, error) {
	host, port, bracketed, err := splitTarget(s)
	if err != nil {
		return Target{}, err
	}
	var t Target
	if port != "*" {
		if t.port, err = parsePort(port); err != nil {
			return Target{}, fmt.Errorf(`%w; write a number from 1 to 65535, or "*" for every port, as in "example.org:443"`, err)
		}
	}
	switch {
	case strings.Contains(host, "%"):
		return Target{}, errors.New(`a zone means nothing to others than this host; leave out "%" and what follows, as in "[fe80::1]:443"`)
	case strings.Contains(host, "/"):
		t.prefix, err = parseBlock(host, bracketed)
	case bracketed:
		t.prefix, err = parseBracketed(host)
	default:
		err = t.setHost(host)
	}
	return t, err
}

// splitTarget takes host:port or [host]:port apart.
func splitTarget(s string) (host, port string, bracketed bool, err error) {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		host, port, ok = strings.Cut(rest, "]:")
		if !ok {
			return "", "", false, errors.New(`the brackets must be followed by a port, as in "[2001:db8::1]:443"`)
		}
		return host, port, true, nil
	}
	colon := strings.LastIndexByte(s, ':')
	switch {
	case colon < 0:
		return "", "", false, fmt.Errorf("the port is missing; %s", targetForms)
	case strings.IndexByte(s, ':') != colon:
		return "", "", false, errors.New(`too many colons; an IPv6 address needs brackets, as in "[2001:db8::1]:443" or "[fd00::/8]:443"`)
	case colon == 0:
		return "", "", false, fmt.Errorf("the host is missing; %s", targetForms)
	}
	return s[:colon], s[colon+1:], false, nil
}

// parsePort reads a port from 1 to 65535 written in plain decimal digits.
func parsePort(s string) (uint16, error) {
	if s == "" {
		return 0, errors.New("the port is missing")
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || '9' < s[i] {
			return 0, fmt.Errorf("port %q is not a number", s)
		}
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("port %q is out of range", s)
	}
	return uint16(n), nil
}

func parseBlock(s string, bracketed bool) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf(`%q is not a block of addresses; write one as in "10.0.0.0/8:5432" or "[fd00::/8]:443"`, s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits set to the right of the prefix length; did you mean %q, or %q alone?", s, p.Masked(), p.Addr())
	}
	if bracketed != p.Addr().Is6() {
		return netip.Prefix{}, errBrackets
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, nil
}

var errBrackets = errors.New(`brackets are for IPv6 addresses alone; write "10.0.0.5:5432" or "[2001:db8::1]:443"`)

func parseBracketed(s string) (netip.Prefix, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf(`%q is not an IPv6 address; write one as in "[2001:db8::1]:443"`, s)
	}
	if !addr.Is6() {
		return netip.Prefix{}, errBrackets
	}
	return wholePrefix(addr), nil
}

func wholePrefix(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	return netip.PrefixFrom(addr, addr.BitLen())
}

func (t *Target) setHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		t.prefix = wholePrefix(addr)
		return nil
	}
	if host == "*" {
		t.below = true
		return nil
	}
	name, below := strings.CutPrefix(host, "*.")
	name = canonicalName(name)
	if err := checkName(name); err != nil {
		return err
	}
	t.name, t.below = name, below
	return nil
}

// canonicalName is name in the form in which names are compared: ASCII letters
// in lower case, no trailing dot.
func canonicalName(name string) string {
	return strings.Map(lowerASCII, strings.TrimSuffix(name, "."))
}

// lowerASCII leaves what is not ASCII alone: U+212A is not a "k" in a name.
func lowerASCII(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + ('a' - 'A')
	}
	return r
}

// checkName says what keeps name, in canonical form, from being a host name
// (RFC 1123, section 2.1; underscores are let through, as DNS has them).
func checkName(name string) error {
	if name == "" {
		return fmt.Errorf("the host is missing; %s", targetForms)
	}
	if len(name) > 253 {
		return errors.New("the name is longer than 253 bytes")
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return fmt.Errorf("%w; %s", err, targetForms)
		}
	}
	if last := name[strings.LastIndexByte(name, '.')+1:]; strings.Trim(last, "0123456789") == "" {
		return fmt.Errorf(`%q is neither an IP address nor a name, whose last part is never a number; write an address as in "10.0.0.5:5432"`, name)
	}
	return nil
}

func checkLabel(label string) error {
	switch {
	case label == "":
		return errors.New("the name has an empty part")
	case len(label) > 63:
		return fmt.Errorf("%q is longer than the 63 bytes that a part of a name may have", label)
	case label[0] == '-' || label[len(label)-1] == '-':
		return fmt.Errorf("%q begins or ends with a hyphen", label)
	}
	for _, c := range label {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '*':
			return errors.New(`"*" stands for a whole name, or for all that comes before a name ("*.example.org")`)
		case c > 0x7f:
			return fmt.Errorf(`%q is not ASCII: write the "xn--" form of the name`, label)
		default:
			return fmt.Errorf("%q can't be part of a name", c)
		}
	}
	return nil
}

// String is the entry in the form that ParseTarget reads.
func (t Target) String() string {
	port := "*"
	if t.port != 0 {
		port = strconv.Itoa(int(t.port))
	}
	switch {
	case t.prefix.IsValid():
		host := t.prefix.String()
		if t.prefix.IsSingleIP() {
			host = t.prefix.Addr().String()
		}
		if t.prefix.Addr().Is6() {
			host = "[" + host + "]"
		}
		return host + ":" + port
	case t.below && t.name == "":
		return "*:" + port
	case t.below:
		return "*." + t.name + ":" + port
	}
	return t.name + ":" + port
}

// Targets is the list of what is allowed; an empty one allows nothing.
type Targets []Target

// AllowsName reports whether a name entry covers host, a DNS name. Case and a
// trailing dot don't matter. Entries with addresses never match a name.
func (t Targets) AllowsName(host string, port uint16) bool {
	host = canonicalName(host)
	if host == "" {
		return false
	}
	for _, e := range t {
		if !e.prefix.IsValid() && e.hasPort(port) && e.hasName(host) {
			return true
		}
	}
	return false
}

// AllowsAddr reports whether an address or block that is written out covers
// addr, special-purpose or not. An IPv4-mapped address is taken for the IPv4
// address; one with a zone is never allowed.
func (t Targets) AllowsAddr(addr netip.Addr, port uint16) bool {
	addr = addr.Unmap()
	for _, e := range t {
		if e.prefix.IsValid() && e.hasPort(port) && e.prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// allowsAnyName reports whether "*" is allowed with that port.
func (t Targets) allowsAnyName(port uint16) bool {
	for _, e := range t {
		if e.below && e.name == "" && e.hasPort(port) {
			return true
		}
	}
	return false
}

func (t *Target) hasPort(port uint16) bool { return port != 0 && (t.port == 0 || t.port == port) }

func (t *Target) hasName(host string) bool {
	if !t.below {
		return host == t.name
	}
	if t.name == "" {
		return true
	}
	head, ok := strings.CutSuffix(host, t.name)
	return ok && len(head) > 1 && head[len(head)-1] == '.'
}

// SpecialPurpose reports whether addr is not a plain address of a host on the
// public Internet: the blocks of the IANA IPv4 and IPv6 special-purpose address
// registries (RFC 6890), multicast, and the blocks that carry an IPv4 address in
// an IPv6 one. An IPv4-mapped address is judged as the IPv4 address. The invalid
// address, and one with a zone, are special.
func SpecialPurpose(addr netip.Addr) bool {
	if !addr.IsValid() || addr.Zone() != "" {
		return true
	}
	addr = addr.Unmap()
	for _, p := range specialPurpose {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

var specialPurpose = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network (RFC 791)
	netip.MustParsePrefix("10.0.0.0/8"),      // private use (RFC 1918)
	netip.MustParsePrefix("100.64.0.0/10"),   // shared address space (RFC 6598)
	netip.MustParsePrefix("127.0.0.0/8"),     // loopback (RFC 1122)
	netip.MustParsePrefix("169.254.0.0/16"),  // link-local (RFC 3927)
	netip.MustParsePrefix("172.16.0.0/12"),   // private use (RFC 1918)
	netip.MustParsePrefix("192.0.0.0/24"),    // IETF protocol assignments (RFC 6890)
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation (RFC 5737)
	netip.MustParsePrefix("192.31.196.0/24"), // AS112 (RFC 7535)
	netip.MustParsePrefix("192.52.193.0/24"), // automatic multicast tunneling (RFC 7450)
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relay anycast (RFC 7526)
	netip.MustParsePrefix("192.168.0.0/16"),  // private use (RFC 1918)
	netip.MustParsePrefix("192.175.48.0/24"), // AS112 (RFC 7534)
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarking (RFC 2544)
	netip.MustParsePrefix("198.51.100.0/24"), // documentation (RFC 5737)
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation (RFC 5737)
	netip.MustParsePrefix("224.0.0.0/4"),     // multicast (RFC 5771)
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast (RFC 1112, RFC 8190)

	netip.MustParsePrefix("::/96"),             // unspecified, loopback, IPv4-compatible (RFC 4291)
	netip.MustParsePrefix("::ffff:0:0/96"),     // IPv4-mapped (RFC 4291)
	netip.MustParsePrefix("64:ff9b::/96"),      // NAT64 (RFC 6052)
	netip.MustParsePrefix("64:ff9b:1::/48"),    // NAT64, local use (RFC 8215)
	netip.MustParsePrefix("100::/64"),          // discard-only (RFC 6666)
	netip.MustParsePrefix("100:0:0:1::/64"),    // dummy prefix (RFC 9780)
	netip.MustParsePrefix("2001::/23"),         // IETF protocol assignments, Teredo among them (RFC 2928, RFC 4380)
	netip.MustParsePrefix("2001:db8::/32"),     // documentation (RFC 3849)
	netip.MustParsePrefix("2002::/16"),         // 6to4 (RFC 3056)
	netip.MustParsePrefix("2620:4f:8000::/48"), // AS112 (RFC 7534)
	netip.MustParsePrefix("3fff::/20"),         // documentation (RFC 9637)
	netip.MustParsePrefix("5f00::/16"),         // segment routing identifiers (RFC 9602)
	netip.MustParsePrefix("fc00::/7"),          // unique local (RFC 4193)
	netip.MustParsePrefix("fe80::/10"),         // link-local (RFC 4291)
	netip.MustParsePrefix("fec0::/10"),         // site-local, deprecated (RFC 3879)
	netip.MustParsePrefix("ff00::/8"),          // multicast (RFC 4291)
}
