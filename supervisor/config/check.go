package config

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sited/instance"
)

// siteMethods are the methods a site can allow: those of RFC 9110, section 9,
// and RFC 5789, but TRACE.
func siteMethods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "PATCH"}
}

func ipArg[T any](field func(*T) *netip.AddrPort) argument[T] {
	return argument[T]{"ip", func(l *loader, to *T, e hcl.Expression) bool {
		v, said, ok := l.value(e)
		if !ok {
			return said
		}
		if s, ok := l.text(v); ok {
			if ip, ok := l.ip(s, v.at); ok {
				addr := field(to)
				*addr = netip.AddrPortFrom(ip, addr.Port())
			}
		}
		return true
	}}
}

func portArg[T any](field func(*T) *netip.AddrPort) argument[T] {
	return argument[T]{"port", func(l *loader, to *T, e hcl.Expression) bool {
		v, said, ok := l.value(e)
		if !ok {
			return said
		}
		if n, ok := l.integer(v, "port", 1, 65535); ok {
			addr := field(to)
			*addr = netip.AddrPortFrom(addr.Addr(), uint16(n))
		}
		return true
	}}
}

func (l *loader) ip(s string, at hcl.Range) (netip.Addr, bool) {
	const every = `"0.0.0.0" is every IPv4 address of this host, "::" every address.`
	ip, err := netip.ParseAddr(strings.Trim(s, "[]"))
	switch {
	case strings.EqualFold(s, "localhost"):
		l.fail(at, "Invalid IP address", `ip must be an address, not a name. Write "127.0.0.1", or "::1" for IPv6.`)
	case s == "" || s == "*":
		l.fail(at, "Invalid IP address", "ip must be one address. %s", every)
	case err != nil && hasPort(s):
		l.fail(at, "Invalid IP address", "%s has a port in it. Write the address into ip, and the port into port.", quote(s))
	case err != nil:
		l.fail(at, "Invalid IP address", `%s is not an IP address. Write it like "127.0.0.1" or "::1"; %s`, quote(s), every)
	case ip.Zone() != "":
		l.fail(at, "Invalid IP address", `An address with a zone can't be listened on. Leave out the %q.`, "%"+ip.Zone())
	case strings.HasPrefix(s, "["):
		l.fail(at, "Invalid IP address", "ip is written without brackets: %q.", ip)
	case ip.IsMulticast():
		l.fail(at, "Invalid IP address", "%s is a multicast address; a site can't listen there.", ip)
	default:
		return ip.Unmap(), true
	}
	return netip.Addr{}, false
}

func hasPort(s string) bool {
	_, err := netip.ParseAddrPort(s)
	return err == nil
}

// pathArg reads the path of a file; off says that "" is one, and means none.
func pathArg[T any](name string, field func(*T) *string, off bool) argument[T] {
	return textArg(name, field, func(l *loader, s string, at hcl.Range) (string, bool) {
		switch {
		case s == "" && off:
			return "", true
		case s == "":
			l.fail(at, "Empty path", "%s must name a file or folder.", name)
			return "", false
		case strings.HasPrefix(s, "~"):
			l.fail(at, "Invalid path", `"~" is not a home folder here. Write the whole path, or env("HOME").`)
			return "", false
		}
		return absolute(l.folder, s), true
	})
}

var labelPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// hostPattern is a DNS name in lower case (RFC 1123, section 2.1), which may be
// that of a whole level of names.
var hostPattern = regexp.MustCompile(`^(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

func checkHost(l *loader, s string, at hcl.Range) (string, bool) {
	return l.hostName(s, at, `Write it like "example.org", or "*.example.org" for all names below it.`)
}

// hostName is s in lower case, if it is a host name; remedy says how else to
// write it where nothing better is known.
func (l *loader) hostName(s string, at hcl.Range, remedy string) (string, bool) {
	host := strings.ToLower(s)
	if hostPattern.MatchString(host) && len(host) <= 253 {
		return host, true
	}
	switch {
	case strings.Contains(s, "://"):
		remedy = "Leave out what is before and after the name."
	case strings.Contains(s, ":"):
		remedy = "Leave out the port: it is the port argument."
	case strings.HasSuffix(s, "."):
		remedy = "Leave out the dot at the end."
	case strings.ContainsFunc(s, func(r rune) bool { return r > 127 }):
		remedy = "Write the form that is in the DNS, which begins with xn--."
	}
	l.fail(at, "Invalid host name", "%s is not a DNS name. %s", quote(s), remedy)
	return "", false
}

// checkAdminHost is checkHost for a name that must not stand for others: any of
// those could be made to lead here (DNS rebinding).
func checkAdminHost(l *loader, s string, at hcl.Range) (string, bool) {
	if strings.HasPrefix(s, "*") {
		l.fail(at, "Invalid host name", "%s stands for many names, and each that the admin endpoint answers to is a way to it. Write out those that are used.", quote(s))
		return "", false
	}
	return l.hostName(s, at, `Write it like "sited" or "sited.example.org".`)
}

func checkIndex(l *loader, s string, at hcl.Range) (string, bool) {
	switch {
	case s == "" || strings.Contains(s, "/"):
		l.fail(at, "Invalid index", "%s is not a plain file name. An index is looked for in the folder that was asked for.", quote(s))
	case strings.HasPrefix(s, "."):
		l.fail(at, "Invalid index", "%s begins with a dot; such files are never served.", quote(s))
	default:
		return s, true
	}
	return "", false
}

func checkMethod(l *loader, s string, at hcl.Range) (string, bool) {
	if strings.EqualFold(s, "TRACE") {
		l.fail(at, "Refused method", "TRACE can't be allowed: it would send a request's cookies and credentials back to whoever makes a browser ask. Remove it.")
		return "", false
	}
	return s, l.oneOf(s, at, "method", siteMethods())
}

func checkKnownMethod(l *loader, s string, at hcl.Range) (string, bool) {
	return s, l.oneOf(s, at, "method", append(siteMethods(), "TRACE"))
}

func checkVersion(l *loader, s string, at hcl.Range) (string, bool) {
	versions := instance.Defaults().Versions
	if slices.Contains(versions, s) {
		return s, true
	}
	l.fail(at, "Unknown version", `%s is not a version that is served: only HTTP/1.x is. Write "1.1" or "1.0".`, quote(s))
	return "", false
}

func checkFormat(l *loader, s string, at hcl.Range) (string, bool) {
	return s, l.oneOf(s, at, "log format", []string{"json", "combined"})
}

func checkUser(l *loader, s string, at hcl.Range) (string, bool) {
	if s == "" || strings.ContainsAny(s, ":\r\n") {
		l.fail(at, "Invalid user", "%s can't be a user's name: it must not be empty, and has no colon (RFC 7617).", quote(s))
		return "", false
	}
	return s, true
}

func checkTarget(l *loader, s string, at hcl.Range) (string, bool) {
	if _, err := instance.ParseTarget(s); err != nil {
		l.fail(at, "Invalid target", "%s", sentence(err))
		return "", false
	}
	return s, true
}

// checkGlob checks the label of a block that is a path pattern.
func (l *loader) checkGlob(b *hclsyntax.Block) bool {
	glob, at := b.Labels[0], b.LabelRanges[0]
	switch {
	case !strings.HasPrefix(glob, "/"):
		l.fail(at, "Invalid path pattern", "The pattern of a %s block begins with a slash: %q.", b.Type, "/"+glob)
	case !doublestar.ValidatePattern(glob):
		l.fail(at, "Invalid path pattern", `%s has a bracket or brace that is not closed. "*" stands for anything but a slash, "**" for anything, {a,b} for either, [a-z] for one character.`, quote(glob))
	default:
		return true
	}
	return false
}

// warnNarrow warns of a pattern that is one path, which ends in a slash.
func (l *loader) warnNarrow(at hcl.Range, glob, does string) {
	l.warn(at, "Narrow pattern", "This %s %q alone, and nothing below it. For everything below write %q.", does, glob, glob+"**")
}

// wildcards are the bytes that a pattern's fixed beginning ends before.
const wildcards = `*?[{\`

var extensionPattern = regexp.MustCompile(`^\.[a-z0-9_+-]{1,31}$`)

func (l *loader) checkExtension(ext string, at hcl.Range) bool {
	lower := strings.ToLower(ext)
	switch {
	case extensionPattern.MatchString(ext):
		return true
	case extensionPattern.MatchString(lower):
		l.fail(at, "Invalid extension", "An extension is written in lower case, and stands for every case: %q.", lower)
	case extensionPattern.MatchString("." + lower):
		l.fail(at, "Invalid extension", "An extension begins with its dot: %q.", "."+lower)
	default:
		l.fail(at, "Invalid extension", `%s is not a file name extension. Write it like ".php": a dot, then lower-case letters, digits, "_", "+" or "-".`, quote(ext))
	}
	return false
}

// commandArg reads an interpreter and its arguments. A name with a slash is a
// path, and made absolute; any other is looked for in PATH.
func commandArg(name string, field func(*instance.Script) *[]string) argument[instance.Script] {
	return argument[instance.Script]{name, func(l *loader, to *instance.Script, e hcl.Expression) bool {
		items, said, ok := l.items(e)
		if !ok {
			return said
		}
		var command []string
		for _, v := range items {
			s, ok := l.text(v)
			if ok && s == "" && len(command) == 0 {
				l.fail(v.at, "Empty command", "The first word of a command names the program.")
			}
			command = append(command, s)
		}
		if len(command) == 0 {
			l.fail(e.Range(), "Empty command", `%s names the program that runs the files: ["php-cgi"]. Leave it out to execute the files themselves.`, name)
			return true
		}
		if strings.Contains(command[0], "/") {
			command[0] = absolute(l.folder, command[0])
		}
		*field(to) = command
		return true
	}}
}

// sentence is an error's text with a capital letter and a stop, unless it ends
// in one or asks.
func sentence(err error) string {
	s := err.Error()
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
