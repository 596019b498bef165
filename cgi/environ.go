package cgi

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"sited/protocol"
)

// environ is the environment of a script (RFC 3875, section 4.1, and what
// servers commonly add), but for CONTENT_LENGTH, which is known only when the
// body was read. path is the value of PATH; nothing else of our own environment
// is passed on. It fails with a 400 when the request can't be told truthfully.
func environ(call *Call, path string) ([]string, error) {
	req := call.Request
	env := make([]string, 0, 32+len(req.Header))
	add := func(name, value string) { env = append(env, name+"="+value) }

	add("PATH", path)
	add("GATEWAY_INTERFACE", "CGI/1.1")
	add("SERVER_SOFTWARE", "sited")
	add("SERVER_PROTOCOL", "HTTP/1."+strconv.Itoa(req.Minor))
	add("SERVER_NAME", serverName(req.Host, req.Local.Addr()))
	add("SERVER_PORT", strconv.Itoa(int(req.Local.Port())))
	add("SERVER_ADDR", hostNumber(req.Local.Addr()))
	add("REQUEST_METHOD", req.Method)
	add("REQUEST_SCHEME", "http")
	add("REQUEST_URI", requestURI(req.Target))
	add("QUERY_STRING", req.Query)
	add("DOCUMENT_ROOT", call.Root)
	add("DOCUMENT_URI", call.ScriptName+call.PathInfo)
	add("SCRIPT_NAME", call.ScriptName)
	add("SCRIPT_FILENAME", call.Filename)
	if call.PathInfo != "" {
		add("PATH_INFO", call.PathInfo)
		add("PATH_TRANSLATED", strings.TrimSuffix(call.Root, "/")+call.PathInfo)
	}
	add("REMOTE_ADDR", hostNumber(req.Remote.Addr()))
	add("REMOTE_HOST", hostNumber(req.Remote.Addr())) // RFC 3875, section 4.1.9: the address where no name is known
	add("REMOTE_PORT", strconv.Itoa(int(req.Remote.Port())))
	if call.AuthType != "" {
		add("AUTH_TYPE", call.AuthType)
		add("REMOTE_USER", req.User)
	}
	// Without it php-cgi takes itself to be called around the server's rules
	// (its cgi.force_redirect).
	add("REDIRECT_STATUS", "200")
	if call.ID != 0 { // as mod_unique_id of the Apache HTTP server has it
		add("UNIQUE_ID", call.ID.String())
	}

	fields, err := fieldVariables(req, call.AuthType != "")
	if err != nil {
		return nil, err
	}
	env = append(env, fields...)
	for _, e := range env {
		if strings.IndexByte(e, 0) >= 0 {
			name, _, _ := strings.Cut(e, "=")
			return nil, protocol.Failf(400, "%s would hold a NUL byte, which no environment can", name)
		}
	}
	return env, nil
}

// fieldVariables turns the request's fields into CONTENT_TYPE and HTTP_*
// (RFC 3875, section 4.1.18).
func fieldVariables(req *protocol.Request, authenticated bool) ([]string, error) {
	if err := foldsApart(req.Header); err != nil {
		return nil, err
	}
	env := make([]string, 0, len(req.Header)+1)
	at := make(map[string]int, len(req.Header)) // variable -> its place in env
	if req.Host != "" {
		// From the target when it is in absolute form: the Host field is then
		// to be ignored (RFC 9112, section 3.2.2).
		env = append(env, "HTTP_HOST="+req.Host)
	}
	for _, f := range req.Header {
		name, ok := variable(f.Name)
		if !ok || withheld(name, authenticated) {
			continue
		}
		if name == "HTTP_CONTENT_TYPE" {
			name = "CONTENT_TYPE"
		}
		i, again := at[name]
		if !again {
			at[name] = len(env)
			env = append(env, name+"="+f.Value)
			continue
		}
		separator := ", "
		if name == "HTTP_COOKIE" {
			separator = "; "
		}
		env[i] += separator + f.Value
	}
	return env, nil
}

// variable is the name of the variable for a field; ok is false when the field
// is not passed, because another field's variable could have the same name.
func variable(field string) (name string, ok bool) {
	b := make([]byte, 0, len("HTTP_")+len(field))
	b = append(b, "HTTP_"...)
	for i := 0; i < len(field); i++ {
		switch c := field[i]; {
		case 'a' <= c && c <= 'z':
			b = append(b, c-('a'-'A'))
		case 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			b = append(b, c)
		case c == '-':
			b = append(b, '_')
		default:
			return "", false
		}
	}
	return string(b), field != ""
}

// withheld reports whether a script must not see a field: credentials that were
// meant for us, fields that are about the connection, and Proxy, whose variable
// many programs take for their proxy setting (CVE-2016-5385, "httpoxy").
func withheld(variable string, authenticated bool) bool {
	switch variable {
	case "HTTP_HOST", "HTTP_CONTENT_LENGTH":
		return true // from Request.Host and from the body itself
	case "HTTP_PROXY", "HTTP_PROXY_AUTHORIZATION":
		return true
	case "HTTP_AUTHORIZATION":
		return authenticated
	case "HTTP_CONNECTION", "HTTP_KEEP_ALIVE", "HTTP_TE", "HTTP_TRANSFER_ENCODING",
		"HTTP_UPGRADE", "HTTP_PROXY_CONNECTION":
		return true
	}
	return false
}

// foldsApart refuses a request with two fields whose names differ but would be
// the same variable in a server that folds "_" too: somebody is trying to slip
// one past a proxy that sets the other.
func foldsApart(h protocol.Header) error {
	for i := range h {
		if strings.IndexByte(h[i].Name, '_') < 0 {
			continue
		}
		for j := range h {
			if !sameFolded(h[i].Name, h[j].Name) || strings.EqualFold(h[i].Name, h[j].Name) {
				continue
			}
			return protocol.Failf(400, "fields %q and %q would be one variable of a script's environment", h[j].Name, h[i].Name)
		}
	}
	return nil
}

func sameFolded(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if folded(a[i]) != folded(b[i]) {
			return false
		}
	}
	return true
}

func folded(c byte) byte {
	switch {
	case c == '_':
		return '-'
	case 'A' <= c && c <= 'Z':
		return c + ('a' - 'A')
	}
	return c
}

// serverName is the host part of host, or the address the request came in on;
// an IPv6 address is in brackets (RFC 3875, section 4.1.14).
func serverName(host string, local netip.Addr) string {
	if strings.HasPrefix(host, "[") {
		if end := strings.IndexByte(host, ']'); end > 0 {
			return host[:end+1]
		}
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host != "" {
		return host
	}
	if number := hostNumber(local); strings.Contains(number, ":") {
		return "[" + number + "]"
	} else {
		return number
	}
}

// hostNumber is an address as REMOTE_ADDR has it (RFC 3875, section 4.1.8):
// without brackets and zone.
func hostNumber(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

// requestURI is path and query of a request-target, as sent: of the absolute
// form (RFC 9112, section 3.2.2) what follows the authority.
func requestURI(target string) string {
	if strings.HasPrefix(target, "/") {
		return target
	}
	_, rest, ok := strings.Cut(target, "://")
	if !ok {
		return target
	}
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + rest[i:]
	}
	return rest[i:]
}
