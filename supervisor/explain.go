package supervisor

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"sited/instance"
	"sited/protocol"
)

// Explain says what one of sites would answer to a request, without asking
// anything that runs. target is an absolute http URL, whose authority picks the
// site by address, by one of its hosts or by its label; when site names one,
// target may be any request-target.
func Explain(sites []instance.Spec, site, method, target string) (*instance.Explanation, error) {
	authority, rest := splitURL(target)
	var spec *instance.Spec
	for i := range sites {
		if sites[i].Name == site || site == "" && answersTo(&sites[i], authority) {
			spec = &sites[i]
			break
		}
	}
	if spec == nil {
		return nil, fmt.Errorf("no site answers to %s; there are: %s", target, listSites(sites))
	}
	if authority == "" {
		authority = spec.Addr.String()
	}
	head := method + " " + rest + " HTTP/1.1\r\nHost: " + authority + "\r\n"
	if method == protocol.MethodPost || method == protocol.MethodPut {
		head += "Content-Length: 1\r\n"
	}
	return instance.Explain(*spec, head+"\r\n")
}

// splitURL takes a URL apart without changing how its path is spelt. A target
// that is no http URL has no authority.
func splitURL(target string) (authority, rest string) {
	scheme, after, ok := strings.Cut(target, "://")
	if !ok || !strings.EqualFold(scheme, "http") {
		return "", target
	}
	end := strings.IndexAny(after, "/?")
	if end < 0 {
		return after, "/"
	}
	if after[end] == '?' {
		return after[:end], "/" + after[end:]
	}
	return after[:end], after[end:]
}

func answersTo(spec *instance.Spec, authority string) bool {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		host, port = strings.Trim(authority, "[]"), "80"
	}
	if host == spec.Name && err != nil { // http://label/
		return true
	}
	if port != fmt.Sprint(spec.Addr.Port()) {
		return false
	}
	addr, err := netip.ParseAddr(host)
	if err == nil {
		return addr.Unmap() == spec.Addr.Addr().Unmap() || spec.Addr.Addr().IsUnspecified()
	}
	if strings.EqualFold(host, "localhost") {
		return spec.Addr.Addr().IsLoopback() || spec.Addr.Addr().IsUnspecified()
	}
	return len(spec.Hosts) == 0 || hasHost(spec.Hosts, strings.ToLower(host))
}

func hasHost(hosts []string, name string) bool {
	for _, h := range hosts {
		below, wild := strings.CutPrefix(h, "*")
		if h == name || wild && strings.HasSuffix(name, below) && len(name) > len(below) {
			return true
		}
	}
	return false
}

func listSites(sites []instance.Spec) string {
	if len(sites) == 0 {
		return "no valid sites"
	}
	all := make([]string, len(sites))
	for i, s := range sites {
		all[i] = fmt.Sprintf("%s (http://%s/)", s.Name, s.Addr)
	}
	return strings.Join(all, ", ")
}
