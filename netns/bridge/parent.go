package bridge

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/lease"
	"ctr/netns/network"
)

// attachParent gives the container a macvlan or ipvlan interface on the network's parent.
func (h *Hub) attachParent(container *os.File, n *network.Network, l lease.Lease, o Attachment) error {
	if !h.root {
		return fmt.Errorf("a %s network needs an interface of the host, which only root may use; run as root, or use a bridge network", n.Driver)
	}
	parent, err := h.parent(n)
	if err != nil {
		return err
	}
	link, err := child(n, l, o.Interface, parent, container)
	if err != nil {
		return err
	}
	route, err := h.links()
	if err != nil {
		return err
	}
	return netns.Do(container, func() error {
		if err := quietIPv6(); err != nil {
			return err
		}
		if err := route.LinkAdd(link); err != nil {
			return fmt.Errorf("making a %s interface on %q: %w", n.Driver, parent.Attrs().Name, err)
		}
		direct := n.Driver == network.IPvlan && n.Mode() != "l2"
		err := configure(n, l, o, !direct, nil)
		if err == nil && direct && !n.Internal {
			err = throughInterface(l, o)
		}
		if err != nil {
			removeInterface(o.Interface)
		}
		return err
	})
}

// child is the container's interface, to be made in its namespace.
func child(n *network.Network, l lease.Lease, name string, parent netlink.Link, container *os.File) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.Namespace, attrs.MTU = name, parent.Attrs().Index, netlink.NsFd(container.Fd()), n.MTU()
	if n.Driver == network.IPvlan { // has its parent's MAC
		link := &netlink.IPVlan{LinkAttrs: attrs, Mode: netlink.IPVLAN_MODE_L2, Flag: netlink.IPVLAN_FLAG_BRIDGE}
		switch n.Mode() {
		case "l3":
			link.Mode = netlink.IPVLAN_MODE_L3
		case "l3s":
			link.Mode = netlink.IPVLAN_MODE_L3S
		}
		switch n.Flag() {
		case "private":
			link.Flag = netlink.IPVLAN_FLAG_PRIVATE
		case "vepa":
			link.Flag = netlink.IPVLAN_FLAG_VEPA
		}
		return link, nil
	}
	mac, err := net.ParseMAC(l.MAC)
	if err != nil {
		return nil, err
	}
	attrs.HardwareAddr = mac
	link := &netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}
	switch n.Mode() {
	case "private":
		link.Mode = netlink.MACVLAN_MODE_PRIVATE
	case "vepa":
		link.Mode = netlink.MACVLAN_MODE_VEPA
	case "passthru":
		link.Mode = netlink.MACVLAN_MODE_PASSTHRU
	}
	return link, nil
}

// parent finds the network's parent interface. Two kinds are made when they are not
// there: that of a VLAN, whose name is its interface's, a dot and the VLAN's number;
// and for a network without parent, whose containers reach only each other, a dummy.
func (h *Hub) parent(n *network.Network) (netlink.Link, error) {
	route, err := h.links()
	if err != nil {
		return nil, err
	}
	name := parentName(n)
	link, err := route.LinkByName(name)
	if err == nil || !errors.As(err, new(netlink.LinkNotFoundError)) {
		return link, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	var made netlink.Link = &netlink.Dummy{LinkAttrs: attrs}
	if n.Parent() != "" {
		under, id, _ := strings.Cut(name, ".")
		vlan, err := strconv.Atoi(id)
		base, missing := route.LinkByName(under)
		if err != nil || vlan < 1 || vlan > 4094 || missing != nil {
			return nil, fmt.Errorf("the host has no interface %q, which the network names as its parent", name)
		}
		attrs.ParentIndex = base.Attrs().Index
		made = &netlink.Vlan{LinkAttrs: attrs, VlanId: vlan}
	}
	if err := route.LinkAdd(made); err != nil {
		if ignore(err, unix.EOPNOTSUPP) == nil {
			return nil, fmt.Errorf("making the parent interface %q: this kernel has no %s interfaces; load the module, or name another with -o parent", name, made.Type())
		}
		return nil, fmt.Errorf("making the parent interface %q: %w", name, err)
	}
	if err := errors.Join(route.LinkSetAlias(made, aliasPrefix+n.ID), route.LinkSetUp(made)); err != nil {
		route.LinkDel(made)
		return nil, fmt.Errorf("setting up the parent interface %q: %w", name, err)
	}
	return route.LinkByName(name)
}

func parentName(n *network.Network) string {
	if n.Parent() != "" {
		return n.Parent()
	}
	return "dm-" + n.ID[:min(len(n.ID), 12)]
}

// removeParent removes a parent interface that we made.
func (h *Hub) removeParent(n *network.Network) error {
	route, err := h.links()
	if err != nil {
		return err
	}
	link, err := route.LinkByName(parentName(n))
	if err != nil || link.Attrs().Alias != aliasPrefix+n.ID {
		return nil
	}
	if err := ignore(route.LinkDel(link), unix.ENODEV); err != nil {
		return fmt.Errorf("removing the parent interface %q: %w", parentName(n), err)
	}
	return nil
}

// throughInterface makes the interface itself the way outside, as an ipvlan that
// routes has it; in the calling thread's namespace.
func throughInterface(l lease.Lease, o Attachment) error {
	route, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening route netlink in the container: %w", err)
	}
	defer route.Close()
	link, err := route.LinkByName(o.Interface)
	if err != nil {
		return fmt.Errorf("looking for the container's interface %q: %w", o.Interface, err)
	}
	return setDefaultDirect(route, link, l, o)
}

func setDefaultDirect(route *netlink.Handle, link netlink.Link, l lease.Lease, o Attachment) error {
	for family, want := range map[int]bool{
		unix.AF_INET:  o.Default4 && l.IPv4.IsValid(),
		unix.AF_INET6: o.Default6 && l.IPv6.IsValid(),
	} {
		if !want {
			continue
		}
		if err := route.RouteReplace(directRoute(family, link)); err != nil {
			return fmt.Errorf("making %q the container's way outside: %w", o.Interface, err)
		}
	}
	return nil
}

// directRoute is a default route to neighbours on the link.
func directRoute(family int, link netlink.Link) *netlink.Route {
	r := localRoute(family)
	r.Table, r.Type, r.LinkIndex, r.Scope = unix.RT_TABLE_MAIN, unix.RTN_UNICAST, link.Attrs().Index, unix.RT_SCOPE_LINK
	if family == unix.AF_INET6 {
		r.Scope = unix.RT_SCOPE_UNIVERSE
	}
	return r
}
