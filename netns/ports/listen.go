package ports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"ctr/libpod/config"
)

// everywhere are the addresses that stand for all of the host's.
var everywhere = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}

// freeTries bounds the search for a number that is free for IPv4 and IPv6.
const freeTries = 64

// readBuffer is asked of the kernel for all clients of a UDP port together, in bytes;
// it grants what net.core.rmem_max allows.
const readBuffer = 1 << 20

// Listen takes the ports on the host, all of them or, with an error, none. Without an
// address a port is taken on all of them, IPv4 and, where the host has it, IPv6; a free
// port has the same number for both. owner names the container of ctr that has published
// what is taken, "" when it knows none; nil knows none ever. Nothing is accepted before
// [Listeners.Serve]. The caller closes the Listeners.
func Listen(want []config.PortMapping, owner func(config.PortMapping) string) (*Listeners, error) {
	b := binder{owner: owner, bound: make([][]socketAt, len(want))}
	// What is chosen must not take what another asked for.
	order := make([]int, len(want))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(freedom(want[i]), freedom(want[j])) })
	for _, i := range order {
		if err := b.bind(i, want[i]); err != nil {
			b.close()
			return nil, err
		}
	}
	l := &Listeners{}
	for _, s := range slices.Concat(b.bound...) {
		l.ports = append(l.ports, s.port)
		l.bound = append(l.bound, s.as)
	}
	l.bounds()
	return l, nil
}

// freedom is how many host ports would do.
func freedom(m config.PortMapping) int {
	switch {
	case m.HostPort == 0:
		return 1 << 16
	case m.HostLast == 0:
		return 1
	}
	return int(m.HostLast) - int(m.HostPort) + 1
}

type socketAt struct {
	port port
	as   config.PortMapping
}

type binder struct {
	owner func(config.PortMapping) string
	bound [][]socketAt // by the place in what is wanted
}

func (b *binder) close() {
	for _, s := range slices.Concat(b.bound...) {
		s.port.Close()
	}
}

// bind takes the i-th port.
func (b *binder) bind(i int, m config.PortMapping) error {
	if err := config.CheckPort(m); err != nil {
		return err
	}
	addresses := everywhere
	if m.HostIP != "" {
		addresses = []netip.Addr{netip.MustParseAddr(m.HostIP)}
	}
	var err error
	if m.HostPort == 0 {
		b.bound[i], err = b.free(m, addresses)
		return err
	}
	for port := int(m.HostPort); port <= max(int(m.HostPort), int(m.HostLast)); port++ {
		if b.bound[i], err = b.all(m, addresses, uint16(port)); err == nil {
			return nil
		}
		if !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EACCES) {
			break
		}
	}
	if m.HostLast > m.HostPort && errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("no port of %d-%d/%s is free on the host: %w", m.HostPort, m.HostLast, m.Protocol, err)
	}
	return err
}

// free takes a port that the kernel chooses, see ip_local_port_range in ip(7).
func (b *binder) free(m config.PortMapping, addresses []netip.Addr) (sockets []socketAt, err error) {
	for range freeTries {
		sockets, err = b.all(m, addresses, 0)
		if !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	return sockets, err
}

// all takes one port on all addresses or on none. The first decides which a free one is.
func (b *binder) all(m config.PortMapping, addresses []netip.Addr, port uint16) (sockets []socketAt, err error) {
	for _, address := range addresses {
		at := netip.AddrPortFrom(address, port)
		s, err := listen(m, at)
		if err != nil {
			if len(sockets) > 0 && noIPv6(err) {
				break
			}
			for _, s := range sockets {
				s.port.Close()
			}
			return nil, b.explain(m, at, err)
		}
		sockets = append(sockets, s)
		port = s.as.HostPort
	}
	return sockets, nil
}

// noIPv6 reports whether the error says that this host has no IPv6.
func noIPv6(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EPROTONOSUPPORT)
}

// listen takes one port on one address.
func listen(m config.PortMapping, at netip.AddrPort) (socketAt, error) {
	m.HostIP, m.HostLast = at.Addr().String(), 0
	family := "6"
	if at.Addr().Is4() {
		family = "4"
	}
	s := socketAt{as: m}
	var address net.Addr
	if m.Protocol == "tcp" {
		lc := net.ListenConfig{KeepAliveConfig: keepAlive}
		lc.SetMultipathTCP(false) // whose sockets do not splice
		l, err := lc.Listen(context.Background(), "tcp"+family, at.String())
		if err != nil {
			return s, err
		}
		s.port, address = &tcpPort{TCPListener: l.(*net.TCPListener), target: m.Port}, l.Addr()
	} else {
		lc := net.ListenConfig{Control: tellDestinations(family)}
		c, err := lc.ListenPacket(context.Background(), "udp"+family, at.String())
		if err != nil {
			return s, err
		}
		c.(*net.UDPConn).SetReadBuffer(readBuffer)
		s.port, address = &udpPort{UDPConn: c.(*net.UDPConn), target: m.Port}, c.LocalAddr()
	}
	_, number, _ := net.SplitHostPort(address.String())
	n, _ := strconv.ParseUint(number, 10, 16)
	s.as.HostPort = uint16(n)
	return s, nil
}

// tellDestinations has a socket say with every datagram which address it was sent to.
func tellDestinations(family string) func(string, string, syscall.RawConn) error {
	level, option := unix.IPPROTO_IP, unix.IP_PKTINFO
	if family == "6" {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
	}
	return func(_, _ string, raw syscall.RawConn) error {
		var err error
		if failed := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }); failed != nil {
			return failed
		}
		return err
	}
}
