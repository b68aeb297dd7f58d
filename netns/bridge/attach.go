package bridge

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/lease"
	"ctr/netns/network"
)

// Attachment says how a container is to be attached to a network.
type Attachment struct {
	Interface string // its name in the container
	// Default4 and Default6 make the network's gateway the container's way outside. An
	// internal network has none.
	Default4, Default6 bool
	// Sysctls are settings of the interface, by their name with IFNAME in place of the
	// interface's: net.ipv4.conf.IFNAME.log_martians.
	Sysctls map[string]string
}

// Attach connects the container's network namespace to the network: the bridge, if
// it is not there, the rules, an interface with the lease's addresses, routes. The
// lease must be on disk. Families that no network of the container has are off in
// it. When Attach fails it leaves nothing behind. macvlan and ipvlan need root.
func (h *Hub) Attach(container *os.File, n *network.Network, l lease.Lease, o Attachment) (err error) {
	if len(l.Endpoint) < unix.IFNAMSIZ || o.Interface == "" {
		return fmt.Errorf("attaching to network %s: the endpoint has no ID or the interface no name", n.Name)
	}
	switch n.Driver {
	case network.Bridge:
		err = h.locked(unix.LOCK_SH, func() error { return h.attach(container, n, l, o, false) })
		if errors.Is(err, errAbsent) {
			err = h.locked(unix.LOCK_EX, func() error { return h.attach(container, n, l, o, true) })
		}
	case network.Macvlan, network.IPvlan:
		err = h.locked(unix.LOCK_EX, func() error { return h.attachParent(container, n, l, o) })
	default:
		err = fmt.Errorf("its driver %q has no interfaces", n.Driver)
	}
	if err != nil {
		return fmt.Errorf("attaching to network %s: %w", n.Name, err)
	}
	return nil
}

// attach does one attempt. Only one that may build makes what all containers share.
func (h *Hub) attach(container *os.File, n *network.Network, l lease.Lease, o Attachment, build bool) error {
	bridge, err := h.bridgeOf(n)
	if errors.Is(err, errAbsent) && build {
		bridge, err = h.makeBridge(n)
	}
	if err != nil {
		return err
	}
	err = h.admit(n, l)
	if errors.Is(err, unix.ENOENT) {
		if !build {
			return errAbsent
		}
		if err = h.rebuild(); err == nil {
			err = h.admit(n, l)
		}
	}
	if err != nil {
		return fmt.Errorf("writing firewall rules: %w", err)
	}
	err = netns.Do(container, func() error { return h.connect(container, bridge, n, l, o) })
	if err != nil {
		h.expel(l)
		return err
	}
	if s := n.Subnet6(); s != nil && n.GatewayMode(true) != network.Isolated {
		return h.do(func() error { awaitSolicited(n.BridgeName(), s.Gateway); return nil })
	}
	return nil
}

// connect makes and configures the veth pair; it runs in the container's namespace.
func (h *Hub) connect(container *os.File, bridge netlink.Link, n *network.Network, l lease.Lease, o Attachment) error {
	if err := quietIPv6(); err != nil {
		return err
	}
	mac, err := net.ParseMAC(l.MAC)
	if err != nil {
		return err
	}
	if err := h.addPair(container, bridge, portName(l), o.Interface, mac); err != nil {
		return err
	}
	err = h.settlePort(portName(l), n.ICC())
	if err == nil {
		err = configure(n, l, o, true, func() error { return h.awaitUp(portName(l), bridge.Attrs().Name) })
	}
	if err != nil {
		h.removePort(portName(l))
	}
	return err
}

// awaitUp returns when the interfaces of the hub pass frames, which the kernel
// arranges some time after they are set up: what is sent before is lost, and sent
// again only after a second. To ask for the interface hurries newer kernels.
func (h *Hub) awaitUp(names ...string) error {
	route, err := h.links()
	if err != nil {
		return err
	}
	for tries := 100; len(names) > 0 && tries > 0; tries-- { // of a millisecond
		link, err := route.LinkByName(names[0])
		if err != nil {
			return fmt.Errorf("looking for %q: %w", names[0], err)
		}
		if link.Attrs().OperState == netlink.OperUp {
			names = names[1:]
			continue
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// addPair makes a veth pair in one step: one end on the bridge, up, the other in the
// container. The netlink library would ask three times.
func (h *Hub) addPair(container *os.File, bridge netlink.Link, port, iface string, mac net.HardwareAddr) error {
	if _, err := h.links(); err != nil {
		return err
	}
	mtu := nl.Uint32Attr(uint32(bridge.Attrs().MTU))
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.Sockets = h.sockets
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Flags, msg.Change = unix.IFF_UP, unix.IFF_UP
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(port)))
	req.AddData(nl.NewRtAttr(unix.IFLA_MTU, mtu))
	req.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(bridge.Attrs().Index))))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	nl.NewIfInfomsgChild(peer, unix.AF_UNSPEC)
	peer.AddRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(iface))
	peer.AddRtAttr(unix.IFLA_MTU, mtu)
	peer.AddRtAttr(unix.IFLA_ADDRESS, mac)
	peer.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(container.Fd())))
	req.AddData(info)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("the container already has an interface %q, or is attached already", iface)
	}
	if err != nil {
		return fmt.Errorf("making the interface %q: %w", iface, err)
	}
	return nil
}

// settlePort keeps containers from each other where they are not to meet and, as
// root, IPv6 off the hub's end of a pair; a made hub has it off by default.
func (h *Hub) settlePort(port string, icc bool) error {
	if icc && !h.root {
		return nil
	}
	route, err := h.links()
	if err != nil {
		return err
	}
	link, err := route.LinkByName(port)
	if err != nil {
		return fmt.Errorf("looking for %q: %w", port, err)
	}
	if h.root {
		const none = 1 // IN6_ADDR_GEN_MODE_NONE
		if err := ignore(route.LinkSetIP6AddrGenMode(link, none), unix.EAFNOSUPPORT, unix.EOPNOTSUPP, unix.EINVAL); err != nil {
			return fmt.Errorf("turning IPv6 off on %q: %w", port, err)
		}
	}
	if icc {
		return nil
	}
	if err := route.LinkSetIsolated(link, true); err != nil {
		return fmt.Errorf("isolating %q from other containers: %w", port, err)
	}
	return nil
}

// expel takes back what [Hub.admit] gave to the container.
func (h *Hub) expel(l lease.Lease) error {
	elements, err := memberElements(newTables(), l)
	if err != nil {
		return err
	}
	if err := h.remove(elements); err != nil {
		return fmt.Errorf("removing firewall rules of container %.12s: %w", l.Container, err)
	}
	return nil
}

func (h *Hub) removePort(port string) error {
	route, err := h.links()
	if err != nil {
		return err
	}
	link, err := route.LinkByName(port)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err == nil {
		err = ignore(route.LinkDel(link), unix.ENODEV)
	}
	if err != nil {
		return fmt.Errorf("removing interface %q: %w", port, err)
	}
	return nil
}

// Detach takes the container off the network: the interface, with all routes over
// it, and its part of the rules. Call it before the lease is released. Without a
// container, nil, the interface is left to end with the container's namespace, which
// saves the wait for it. Idempotent.
func (h *Hub) Detach(container *os.File, n *network.Network, l lease.Lease, iface string) error {
	if n.Driver != network.Bridge {
		if container == nil {
			return nil
		}
		return netns.Do(container, func() error { return removeInterface(iface) })
	}
	return h.locked(unix.LOCK_SH, func() error {
		err := h.expel(l)
		if container != nil {
			err = errors.Join(h.removePort(portName(l)), err)
		}
		return err
	})
}

// removeInterface removes an interface of the calling thread's namespace.
func removeInterface(iface string) error {
	link, err := netlink.LinkByName(iface)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err == nil {
		err = ignore(netlink.LinkDel(link), unix.ENODEV)
	}
	if err != nil {
		return fmt.Errorf("removing the container's interface %q: %w", iface, err)
	}
	return nil
}
