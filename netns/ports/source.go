package ports

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// route is the way of one client to the container.
type route struct {
	to      netip.Addr
	gateway netip.Addr // source for want of the client's own; invalid leaves it to the kernel
	keep    bool       // the client's address can be the source

	transparent bool
}

// route finds the client's way; false when the container cannot be reached.
func (t Target) route(client netip.Addr) (route, bool) {
	four := route{to: t.IPv4, gateway: t.Gateway4, transparent: t.Transparent}
	six := route{to: t.IPv6, gateway: t.Gateway6, transparent: t.Transparent}
	own, other := four, six
	if client.Is6() {
		own, other = six, four
	}
	if own.to.IsValid() {
		own.keep = t.Transparent && t.answersThroughHub(client)
		return own, true
	}
	return other, other.to.IsValid()
}

// answersThroughHub reports whether the container sends its replies to the address by the
// hub: not to its own loopback, nor to what it thinks to be on its own link.
func (t Target) answersThroughHub(client netip.Addr) bool {
	if client.IsLoopback() || client.IsUnspecified() || client.IsMulticast() || client.IsLinkLocalUnicast() || client == t.Gateway4 || client == t.Gateway6 {
		return false
	}
	for _, p := range t.Subnets {
		if p.Contains(client) {
			return false
		}
	}
	return true
}

// sources are what a socket for the client is bound to, best first. The client's port
// may be taken in the hub: by the same client at another port of the same container, or by a
// connection that has just ended.
func (r route) sources(client netip.AddrPort) []netip.AddrPort {
	var all []netip.AddrPort
	if r.keep {
		all = append(all, client, netip.AddrPortFrom(client.Addr(), 0))
	}
	if r.gateway.IsValid() {
		all = append(all, netip.AddrPortFrom(r.gateway, 0))
	}
	return append(all, netip.AddrPort{}) // the kernel's choice
}

// socket makes a socket in the hub, not connected yet, that is bound to source. It does not
// block. The hub delivers a container's replies to transparent sockets only.
func socket(d Dialer, typ int, to netip.Addr, source netip.AddrPort, transparent bool) (int, error) {
	domain := unix.AF_INET
	if to.Is6() {
		domain = unix.AF_INET6
	}
	return d.Socket(domain, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, func(fd int) error {
		if err := unix.SetNonblock(fd, true); err != nil {
			return fmt.Errorf("setting a socket of the hub: %w", err)
		}
		if transparent {
			if err := beTransparent(fd, domain); err != nil {
				return fmt.Errorf("taking a client's address in the hub: %w", err)
			}
		}
		if !source.Addr().IsValid() {
			return nil
		}
		// For TCP several sockets may share a client's port: connections differ by their other
		// end. UDP would deliver one's datagrams to the other.
		if typ == unix.SOCK_STREAM && source.Port() != 0 {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		}
		if source.Port() == 0 {
			unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		}
		return unix.Bind(fd, sockaddr(source))
	})
}

func beTransparent(fd, domain int) error {
	if domain == unix.AF_INET6 {
		return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
}

// taken reports whether err means that another source may do.
func taken(err error) bool {
	return errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EADDRNOTAVAIL)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}
