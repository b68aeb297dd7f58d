package bridge

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/lease"
	"ctr/netns/network"
)

// quietIPv6 makes IPv6 off in interfaces yet to come of the calling thread's
// namespace, so that none ever has an address that nobody gave it. Loopback keeps its own.
func quietIPv6() error { return tolerable(sysctl("ipv6/conf/default/disable_ipv6", "1")) }

// configure sets up the interface in the calling thread's namespace. connected, if
// not nil, returns when frames pass; only then the neighbours are told of its MAC,
// since they may know another for the address.
func configure(n *network.Network, l lease.Lease, o Attachment, gateways bool, connected func() error) error {
	if err := interfaceSettings(o, l.IPv6.IsValid()); err != nil {
		return err
	}
	route, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening route netlink in the container: %w", err)
	}
	defer route.Close()
	link, err := route.LinkByName(o.Interface)
	if err != nil {
		return fmt.Errorf("looking for the container's interface %q: %w", o.Interface, err)
	}
	if err := addAddresses(route, link, n, l); err != nil {
		return err
	}
	if err := route.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting the container's interface %q up: %w", o.Interface, err)
	}
	if gateways {
		if err := setDefault(route, link, n, l, o); err != nil {
			return err
		}
	}
	if err := addRoutes(route, link, n, l); err != nil {
		return err
	}
	if connected == nil {
		return nil
	}
	if err := connected(); err != nil {
		return err
	}
	awaitSolicited(o.Interface, l.IPv6)
	// to set the MAC it has is how to make the kernel announce it, see arp_notify
	if err := route.LinkSetHardwareAddr(link, link.Attrs().HardwareAddr); err != nil {
		return fmt.Errorf("announcing %q to its neighbours: %w", o.Interface, err)
	}
	return nil
}

// awaitSolicited returns when the interface of the calling thread's namespace listens
// for neighbours that look for the IPv6 address. The kernel arranges that some time
// after address and interface are there; who asks before asks again after a second.
func awaitSolicited(iface string, a netip.Addr) {
	if !a.Is6() {
		return
	}
	b := a.As16()
	group := fmt.Sprintf("ff0200000000000000000001ff%x ", b[13:]) // RFC 4291, 2.7.1
	const tries = 100                                             // of a millisecond
	for range tries {
		groups, err := os.ReadFile("/proc/thread-self/net/igmp6")
		if err != nil {
			return
		}
		for line := range strings.Lines(string(groups)) {
			if f := strings.Fields(line); len(f) > 2 && f[1] == iface && strings.Contains(line, group) {
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
}

func addAddresses(route *netlink.Handle, link netlink.Link, n *network.Network, l lease.Lease) error {
	for _, a := range []netip.Addr{l.IPv4, l.IPv6} {
		if !a.IsValid() {
			continue
		}
		s := subnetOf(n, a)
		if s == nil {
			return fmt.Errorf("no subnet of the network holds the address %v", a)
		}
		if err := addAddress(route, link, netip.PrefixFrom(a, s.Subnet.Bits())); err != nil {
			return err
		}
	}
	return nil
}

// interfaceSettings are those of the container's interface, our own and the user's.
func interfaceSettings(o Attachment, ipv6 bool) error {
	own := [][2]string{{"ipv4/conf/%/arp_notify", "1"}}
	if ipv6 {
		own = append(own,
			[2]string{"ipv6/conf/%/accept_ra", "0"}, [2]string{"ipv6/conf/%/accept_dad", "0"},
			[2]string{"ipv6/conf/%/ndisc_notify", "1"}, [2]string{"ipv6/conf/%/disable_ipv6", "0"})
	}
	for _, s := range own {
		if err := tolerable(sysctl(strings.Replace(s[0], "%", o.Interface, 1), s[1])); err != nil {
			return err
		}
	}
	for name, value := range o.Sysctls {
		path := strings.Split(name, ".")
		if len(path) != 5 || path[0] != "net" || path[3] != "IFNAME" || strings.Contains(name, "/") || path[1] == "" || path[2] == "" || path[4] == "" {
			return fmt.Errorf("setting %q is none of an interface; it looks like net.ipv4.conf.IFNAME.log_martians", name)
		}
		path[3] = o.Interface
		if err := sysctl(strings.Join(path[1:], "/"), value); err != nil {
			return err
		}
	}
	return nil
}

// subnetOf is the network's subnet that holds a, nil if none does.
func subnetOf(n *network.Network, a netip.Addr) *network.Subnet {
	for i := range n.Subnets {
		if n.Subnets[i].Subnet.Contains(a) {
			return &n.Subnets[i]
		}
	}
	return nil
}

// setDefault makes the network's gateway the way outside, for the families asked for.
func setDefault(route *netlink.Handle, link netlink.Link, n *network.Network, l lease.Lease, o Attachment) error {
	if n.Internal {
		return nil
	}
	for _, want := range []struct {
		on      bool
		address netip.Addr
	}{{o.Default4, l.IPv4}, {o.Default6, l.IPv6}} {
		if !want.on || !want.address.IsValid() {
			continue
		}
		s := subnetOf(n, want.address)
		if s == nil || !s.Gateway.IsValid() || s.Gateway == want.address {
			continue
		}
		r := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: s.Gateway.AsSlice()}
		if err := route.RouteReplace(r); err != nil {
			return fmt.Errorf("making %v the container's gateway: %w", s.Gateway, err)
		}
	}
	return nil
}

// addRoutes adds the network's own routes of the families that the container has here.
func addRoutes(route *netlink.Handle, link netlink.Link, n *network.Network, l lease.Lease) error {
	for _, r := range n.Routes {
		if r.Destination.Addr().Is4() && !l.IPv4.IsValid() || r.Destination.Addr().Is6() && !l.IPv6.IsValid() {
			continue
		}
		add := &netlink.Route{
			LinkIndex: link.Attrs().Index, Dst: ipNet(r.Destination.Masked()), Gw: net.IP(r.Gateway.AsSlice()), Priority: int(r.Metric),
		}
		if err := ignore(route.RouteAdd(add), unix.EEXIST); err != nil {
			return fmt.Errorf("adding the route to %v by %v: %w", r.Destination, r.Gateway, err)
		}
	}
	return nil
}

// SetDefault makes the network's gateway the container's way outside, in place of
// any other, for the families that o asks for; o.Interface is the container's
// interface in the network. A default route over an interface that goes away needs
// no removing. Idempotent.
func (h *Hub) SetDefault(container *os.File, n *network.Network, l lease.Lease, o Attachment) error {
	return netns.Do(container, func() error {
		route, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("opening route netlink in the container: %w", err)
		}
		defer route.Close()
		link, err := route.LinkByName(o.Interface)
		if err != nil {
			return fmt.Errorf("looking for the container's interface %q: %w", o.Interface, err)
		}
		if n.Driver == network.IPvlan && n.Mode() != "l2" {
			return setDefaultDirect(route, link, l, o)
		}
		return setDefault(route, link, n, l, o)
	})
}
