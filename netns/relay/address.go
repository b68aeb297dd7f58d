package relay

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// HostAddress is the host as containers see it; it leads to [Config.Host].
var HostAddress = netip.AddrFrom4([4]byte{169, 254, 1, 2})

var (
	thisNetwork     = netip.PrefixFrom(netip.AddrFrom4([4]byte{}), 8)
	limitedHosts    = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	compatible      = netip.PrefixFrom(netip.IPv6Unspecified(), 96)
	errNoHost       = errors.New("the host has no address but loopback")
	errForbidden    = errors.New("no container may go there")
	errUnanswerable = errors.New("no answer can be sent there")
)

// forbidden reports whether a is nothing to connect to: what reaches the host's
// loopback in any spelling (127/8, 0/8, ::1, ::, and both in the IPv4-mapped and the
// IPv4-compatible forms of IPv6, which are forbidden altogether: nobody has such an
// address on a wire), and what is not one machine's.
func forbidden(a netip.Addr) bool {
	return !a.IsValid() || a.Is4In6() || a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() ||
		a.Is4() && thisNetwork.Contains(a) || a == limitedHosts || a.Is6() && compatible.Contains(a)
}

// answerable reports whether a packet from src to dst may be answered: never one to or
// from many (RFC 1122, 3.2.2).
func answerable(src, dst netip.Addr) bool {
	return !forbidden(src) && !dst.IsMulticast() && dst != limitedHosts
}

// target is where a packet to dst is to go in truth.
func (e *engine) target(src, dst netip.Addr) (netip.Addr, error) {
	if !answerable(src, dst) {
		return netip.Addr{}, errUnanswerable
	}
	if dst == HostAddress {
		host := e.Host().Unmap().WithZone("")
		if forbidden(host) {
			return netip.Addr{}, errNoHost
		}
		return host, nil
	}
	if forbidden(dst) {
		return netip.Addr{}, errForbidden
	}
	return dst, nil
}

// sockaddr is for the system calls, and the socket's family with it.
func sockaddr(a netip.AddrPort) (unix.Sockaddr, int) {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, unix.AF_INET
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}, unix.AF_INET6
}

// addrPort is the reverse of sockaddr; not valid for other families.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
