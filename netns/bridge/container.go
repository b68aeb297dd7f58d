package bridge

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/lease"
	"ctr/netns/network"
)

// quietIPv6 makes IPv6 off in interfaces yet to come of the calling thread's
// namespace, so that none ever has an address that nobody gave it. Loopback keeps its own.
func quietIPv6() error { return tolerable(sysctl("ipv6/conf/default/disable_ipv6", "1")) }

// configure sets up the interface in the calling thread's namespace. connected, if
// not nil, returns when frames pass; only then the neighbours can be told of its MAC.
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
	if err := setUp(link); err != nil {
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
	if !surprising(l) {
		return nil
	}
	// to set the MAC it has is how to make the kernel announce it, see arp_notify
	if err := route.LinkSetHardwareAddr(link, link.Attrs().HardwareAddr); err != nil {
		return fmt.Errorf("announcing %q to its neighbours: %w", o.Interface, err)
	}
	return nil
}

// surprising reports whether neighbours may know another MAC for the lease's address
// from its owner before. That is not so when the MAC is made of the address, which
// spares a broadcast to all containers of the network.
func surprising(l lease.Lease) bool {
	if !l.IPv4.IsValid() || l.IPv6.IsValid() {
		return true
	}
	return l.MAC != net.HardwareAddr(append([]byte{0x02, 0x42}, l.IPv4.AsSlice()...)).String()
}

// setUp sets the interface of the calling thread's namespace up, with arp_notify on.
// To look a setting up in /proc/sys takes the longer the more namespaces there are.
func setUp(link netlink.Link) error {
	const arpNotify = 22 // IPV4_DEVCONF_ARP_NOTIFY
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index, msg.Flags, msg.Change = int32(link.Attrs().Index), unix.IFF_UP, unix.IFF_UP
	req.AddData(msg)
	families := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	families.AddRtAttr(unix.AF_INET, nil).AddRtAttr(unix.IFLA_INET_CONF, nil).AddRtAttr(arpNotify, nl.Uint32Attr(1))
	req.AddData(families)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
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
	if ipv6 {
		for _, s := range [...][2]string{{"accept_ra", "0"}, {"accept_dad", "0"}, {"ndisc_notify", "1"}, {"disable_ipv6", "0"}} {
			if err := tolerable(sysctl("ipv6/conf/"+o.Interface+"/"+s[0], s[1])); err != nil {
				return err
			}
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
