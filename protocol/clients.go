package protocol

import "net/netip"

// clientTable counts open connections by client. It has an entry for each client
// that has one, and none for any other.
type clientTable map[netip.Addr]int

func (t clientTable) add(client netip.Addr) { t[client]++ }

func (t clientTable) remove(client netip.Addr) {
	if t[client]--; t[client] <= 0 {
		delete(t, client)
	}
}

// clientOf is whom a connection from addr is counted for. An IPv4 address is one
// client, also when it is written as an IPv6 one. Of IPv6 a client is a network
// of 64 bits, which is what one subscriber gets at least (RFC 6177): all its
// addresses are one host's to choose from. Link-local addresses, whose network is
// the same for all, are a client each.
func clientOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if !addr.Is6() || addr.IsLinkLocalUnicast() {
		return addr
	}
	network, err := addr.Prefix(64)
	if err != nil { // of IPv4 only
		return addr
	}
	return network.Addr()
}
