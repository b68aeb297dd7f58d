package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"ctr/netns/lease"
	"ctr/netns/network"
)

// element is a key in one of the tables' sets, or a range of keys in an interval set.
type element struct {
	set      *nftables.Set
	key      []byte
	upTo     []byte // first key after the range
	mappedTo []byte
}

// networkElements are those of a bridge.
func networkElements(t *tables, n *network.Network) (all []element) {
	bridge := ifname(n.BridgeName())
	add := func(s *nftables.Set, key []byte) { all = append(all, element{set: s, key: key}) }
	add(t.bridges, bridge)
	if n.ICC() { // else they could meet by way of the gateway
		add(t.paths, append(ifname(n.BridgeName()), bridge...))
	}
	for _, trusted := range n.TrustedHostInterfaces() {
		add(t.paths, append(ifname(trusted), bridge...))
	}
	if n.Internal {
		add(t.internal, bridge)
	}
	if n.GatewayMode(false) == network.NATUnprotected || n.GatewayMode(true) == network.NATUnprotected {
		add(t.open, bridge)
	}
	for _, s := range n.Subnets {
		if s.Gateway.IsValid() {
			all = append(all, taken(t, s.Gateway))
		}
		if e, ok := hidden(t, n, s.Subnet); ok {
			all = append(all, e)
		}
	}
	if n.IPv6 {
		all = append(all, taken(t, linkLocal(bridgeMAC(n))))
	}
	return all
}

// hidden says how packets from the subnet look outside.
func hidden(t *tables, n *network.Network, subnet netip.Prefix) (element, bool) {
	ipv6 := subnet.Addr().Is6()
	if n.Internal || !n.Masquerade() || n.GatewayMode(ipv6) == network.Routed {
		return element{}, false
	}
	set, mapped := t.hidden4, t.snat4
	if ipv6 {
		set, mapped = t.hidden6, t.snat6
	}
	e := element{set: set, key: subnet.Masked().Addr().AsSlice(), upTo: after(subnet)}
	if a := n.HostAddress(ipv6); a.IsValid() {
		e.set, e.mappedTo = mapped, a.AsSlice()
	}
	return e, true
}

// after is the first address behind p, or all zeros, which nft takes for the end.
func after(p netip.Prefix) []byte {
	b := p.Masked().Addr().AsSlice()
	for i, carry := (p.Bits()-1)/8, 1<<(7-(p.Bits()-1)%8); i >= 0 && carry > 0; i-- {
		sum := int(b[i]) + carry
		b[i], carry = byte(sum), sum>>8
	}
	return b
}

func taken(t *tables, a netip.Addr) element {
	if a.Is4() {
		return element{set: t.taken4, key: a.AsSlice()}
	}
	return element{set: t.taken6, key: a.AsSlice()}
}

// memberElements are those of a container on a bridge.
func memberElements(t *tables, l lease.Lease) ([]element, error) {
	mac, err := net.ParseMAC(l.MAC)
	if err != nil || len(mac) != 6 {
		return nil, fmt.Errorf("lease of container %.12s: %q is no MAC address", l.Container, l.MAC)
	}
	port := append(append(ifname(portName(l)), mac...), 0, 0) // registers have four bytes
	all := []element{{set: t.ports, key: port}}
	add := func(s *nftables.Set, a netip.Addr) {
		key := append(append([]byte(nil), port...), a.AsSlice()...)
		all = append(all, element{set: s, key: key}, taken(t, a))
	}
	if l.IPv4.IsValid() {
		add(t.own4, l.IPv4)
	}
	if l.IPv6.IsValid() {
		add(t.own6, l.IPv6)
		add(t.own6, linkLocal(mac))
	}
	return all, nil
}

// portName is the name of the hub's end of the lease's veth pair.
func portName(l lease.Lease) string {
	return portPrefix + l.Endpoint[:min(len(l.Endpoint), unix.IFNAMSIZ-1-len(portPrefix))]
}

// linkLocal is the address that an interface with this MAC gives itself, RFC 4291 appendix A.
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}

// change puts the elements that pass into their sets, or takes them out; apply is
// SetAddElements or SetDeleteElements of a connection.
func change(apply func(*nftables.Set, []nftables.SetElement) error, all []element, pass func(*nftables.Set) bool) error {
	const most = 200 // of a message, whose lists end at 64 KB
	var order []*nftables.Set
	bySet := map[*nftables.Set][]nftables.SetElement{}
	for _, e := range all {
		if !pass(e.set) {
			continue
		}
		if bySet[e.set] == nil {
			order = append(order, e.set)
		}
		bySet[e.set] = append(bySet[e.set], nftables.SetElement{Key: e.key, Val: e.mappedTo})
		if e.upTo != nil {
			bySet[e.set] = append(bySet[e.set], nftables.SetElement{Key: e.upTo, IntervalEnd: true})
		}
	}
	for _, s := range order {
		for list := bySet[s]; len(list) > 0; list = list[min(most, len(list)):] {
			if err := apply(s, list[:min(most, len(list))]); err != nil {
				return err
			}
		}
	}
	return nil
}

// admit lets a container's frames and packets pass.
func (h *Hub) admit(n *network.Network, l lease.Lease) error {
	t := newTables()
	elements, err := memberElements(t, l)
	if err != nil {
		return err
	}
	elements = append(networkElements(t, n), elements...)
	return h.transaction(func(c *nftables.Conn) error { return change(c.SetAddElements, elements, h.has) })
}

// remove takes elements out, one by one if some are not there.
func (h *Hub) remove(elements []element) error {
	all := func(list []element) error {
		return h.transaction(func(c *nftables.Conn) error { return change(c.SetDeleteElements, list, h.has) })
	}
	err := all(elements)
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	for _, e := range elements {
		if err := ignore(all([]element{e}), unix.ENOENT); err != nil {
			return err
		}
	}
	return nil
}

// elements are those of all networks that have leases.
func (h *Hub) elements(t *tables) (all []element, err error) {
	leases, err := h.leases.All()
	if err != nil && len(leases) == 0 {
		return nil, err
	}
	if err != nil {
		h.note(fmt.Sprintf("some containers have no rules: %v", err))
	}
	for id, of := range leases {
		n, err := h.networks.Lookup(id)
		if err != nil || n.Driver != network.Bridge || len(of) == 0 {
			continue
		}
		all = append(all, networkElements(t, n)...)
		for _, l := range of {
			if !l.Holder.Alive() {
				continue
			}
			e, err := memberElements(t, l)
			if err != nil {
				return nil, err
			}
			all = append(all, e...)
		}
	}
	return all, nil
}

// active are the bridge networks with a container.
func (h *Hub) active() (some []*network.Network, err error) {
	leases, err := h.leases.All()
	if err != nil && len(leases) == 0 {
		return nil, err
	}
	for id, of := range leases {
		n, err := h.networks.Lookup(id)
		if err == nil && n.Driver == network.Bridge && anyAlive(of) {
			some = append(some, n)
		}
	}
	return some, nil
}

func anyAlive(leases []lease.Lease) bool {
	for _, l := range leases {
		if l.Holder.Alive() {
			return true
		}
	}
	return false
}

// locked runs f under the lock that keeps the rules and the leases in step: whoever
// adds a member shares it, whoever writes all rules or removes a bridge has it alone.
func (h *Hub) locked(how int, f func() error) error {
	unlock, err := lock(filepath.Join(h.dir, "rules.lock"), how)
	if err != nil {
		return err
	}
	defer unlock()
	return f()
}
