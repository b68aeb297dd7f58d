package bridge

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns/network"
)

// The MTU of bridges in a made hub, which a packet can have at most there.
const hubMTU = 65520

// aliasPrefix and a network's ID are the alias of the interfaces that we made, see ip-link(8).
const aliasPrefix = "ctr network "

// errAbsent says that something must be made first, which takes the exclusive lock.
var errAbsent = errors.New("not there yet")

// bridgeOf finds the network's bridge, or errAbsent when it must be made or finished:
// to be up is the last that happens to it.
func (h *Hub) bridgeOf(n *network.Network) (netlink.Link, error) {
	route, err := h.links()
	if err != nil {
		return nil, err
	}
	name := n.BridgeName()
	link, err := route.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, errAbsent
	}
	if err != nil {
		return nil, fmt.Errorf("looking for bridge %q: %w", name, err)
	}
	if link.Type() != "bridge" {
		return nil, fmt.Errorf("network %s: interface %q exists and is no bridge; choose another name for the network's bridge", n.Name, name)
	}
	alias := link.Attrs().Alias
	if link.Attrs().Flags&net.FlagUp == 0 || strings.HasPrefix(alias, aliasPrefix) && alias != aliasPrefix+n.ID {
		return nil, errAbsent
	}
	return link, nil
}

// makeBridge makes the network's bridge, or finishes one that somebody was killed
// over. One that the user made is used as it is, with the network's addresses
// besides its own. Needs the exclusive lock.
func (h *Hub) makeBridge(n *network.Network) (netlink.Link, error) {
	if err := h.clearStale(n); err != nil {
		return nil, err
	}
	route, err := h.links()
	if err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = n.BridgeName(), bridgeMAC(n), h.mtu(n)
	snooping := false
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	err = route.LinkAdd(bridge)
	made := err == nil
	if err := ignore(err, unix.EEXIST); err != nil {
		return nil, fmt.Errorf("making bridge %q of network %s: %w", attrs.Name, n.Name, err)
	}
	link, err := route.LinkByName(attrs.Name)
	if err != nil {
		return nil, fmt.Errorf("looking for bridge %q: %w", attrs.Name, err)
	}
	if made {
		err = route.LinkSetAlias(link, aliasPrefix+n.ID)
	}
	if err == nil && (made || link.Attrs().Alias != "") {
		err = h.do(func() error { return bridgeSettings(attrs.Name, n.IPv6) })
	}
	if err == nil {
		err = addGateways(route, link, n)
	}
	if err == nil {
		err = h.letThrough(n)
	}
	if err == nil {
		err = route.LinkSetUp(link)
	}
	if err != nil {
		return nil, fmt.Errorf("setting up bridge %q of network %s: %w", attrs.Name, n.Name, err)
	}
	return link, nil
}

// bridgeSettings are made before the bridge is up, so that it never has an address
// of a family that the network has not.
func bridgeSettings(name string, ipv6 bool) error {
	settings := [][2]string{{"disable_ipv6", "1"}}
	if ipv6 {
		settings = [][2]string{{"accept_ra", "0"}, {"accept_dad", "0"}, {"addr_gen_mode", "0"}, {"disable_ipv6", "0"}}
	}
	for _, s := range settings {
		if err := tolerable(sysctl("ipv6/conf/"+name+"/"+s[0], s[1])); err != nil {
			return err
		}
	}
	return nil
}

// tolerable is err unless the kernel has no such setting, or /proc/sys is read-only.
func tolerable(err error) error { return ignore(optional(err), unix.EROFS) }

func addGateways(route *netlink.Handle, link netlink.Link, n *network.Network) error {
	for _, s := range n.Subnets {
		ipv6 := s.Subnet.Addr().Is6()
		if !s.Gateway.IsValid() || n.GatewayMode(ipv6) == network.Isolated || !ipv6 && n.InhibitIPv4() {
			continue
		}
		if err := addAddress(route, link, netip.PrefixFrom(s.Gateway, s.Subnet.Bits())); err != nil {
			return err
		}
	}
	return nil
}

// addAddress gives the interface an address, at once and without looking for others that have it.
func addAddress(route *netlink.Handle, link netlink.Link, a netip.Prefix) error {
	err := route.AddrAdd(link, &netlink.Addr{IPNet: ipNet(a), Flags: unix.IFA_F_NODAD})
	if err := ignore(err, unix.EEXIST); err != nil {
		return fmt.Errorf("giving %q the address %v: %w", link.Attrs().Name, a, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// bridgeMAC is always the same for a network, so that containers' neighbour entries
// outlive the bridge.
func bridgeMAC(n *network.Network) net.HardwareAddr {
	sum := sha256.Sum256([]byte("bridge " + n.ID))
	sum[0] = 2 // locally administered
	return sum[:6]
}

// mtu is the MTU of the network's interfaces.
func (h *Hub) mtu(n *network.Network) int {
	if mtu := n.MTU(); mtu != 0 {
		return mtu
	}
	if !h.root {
		return hubMTU
	}
	if link := h.uplink(); link != nil {
		return link.Attrs().MTU
	}
	return 1500
}

// uplink is the interface of the host's default route, nil if there is none.
func (h *Hub) uplink() netlink.Link {
	route, err := h.links()
	if err != nil {
		return nil
	}
	for _, family := range families() {
		routes, err := route.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		if err != nil {
			continue
		}
		for _, r := range routes {
			if r.Dst != nil && r.Dst.IP != nil && !r.Dst.IP.IsUnspecified() || r.LinkIndex == 0 {
				continue
			}
			if link, err := route.LinkByIndex(r.LinkIndex); err == nil {
				return link
			}
		}
	}
	return nil
}

// clearStale removes bridges of networks that are no more, whose addresses this
// network may have got; and one in the way of its name. One with containers stays.
func (h *Hub) clearStale(n *network.Network) error {
	route, err := h.links()
	if err != nil {
		return err
	}
	links, err := route.LinkList()
	if err != nil {
		return fmt.Errorf("listing interfaces of the containers' network: %w", err)
	}
	ports := map[int]bool{}
	for _, l := range links {
		ports[l.Attrs().MasterIndex] = true
	}
	for _, l := range links {
		a := l.Attrs()
		id, ours := strings.CutPrefix(a.Alias, aliasPrefix)
		if !ours || id == n.ID || l.Type() != "bridge" {
			continue
		}
		if _, err := h.networks.Lookup(id); err == nil && a.Name != n.BridgeName() {
			continue
		}
		if ports[a.Index] {
			if a.Name == n.BridgeName() {
				return fmt.Errorf("network %s: bridge %q is in use by network %.12s", n.Name, a.Name, id)
			}
			continue
		}
		if err := ignore(route.LinkDel(l), unix.ENODEV); err != nil {
			return fmt.Errorf("removing bridge %q of a network that is no more: %w", a.Name, err)
		}
	}
	return nil
}
