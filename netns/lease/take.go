package lease

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"ctr/netns/network"
)

// Take gives a container a place in the network n and returns it: want with
// addresses, MAC and endpoint filled in. IPv4, IPv6 and MAC of want ask for certain
// ones; what Docker would refuse is refused in its words, what is taken with the name
// of its owner. Otherwise the lowest free address is taken, and a MAC made of it.
//
// A container has one lease of a network: an earlier one is replaced. Void leases of
// others give way when what they hold is asked for or nothing else is left; the
// holders of other leases are not looked at, which would cost more than all the rest.
func (l *Leases) Take(n *network.Network, want Lease) (Lease, error) {
	if err := check(n, want); err != nil {
		return Lease{}, err
	}
	unlock, err := l.lock(n.ID)
	if err != nil {
		return Lease{}, err
	}
	defer unlock()
	leases, err := l.Of(n.ID)
	if err != nil {
		return Lease{}, err
	}
	leases = slices.DeleteFunc(leases, func(other Lease) bool { return other.Container == want.Container })
	t := taking{n: n, leases: leases, want: want}
	if err := t.choose(); err != nil {
		return Lease{}, err
	}
	if t.want.Endpoint == "" {
		var b [32]byte
		rand.Read(b[:])
		t.want.Endpoint = hex.EncodeToString(b[:])
	}
	if err := l.write(n.ID, append(t.leases, t.want)); err != nil {
		return Lease{}, err
	}
	return t.want, nil
}

// check is nil when what is wanted can be had in an empty network.
func check(n *network.Network, want Lease) error {
	switch {
	case want.Container == "" || strings.ContainsAny(want.Container+want.Endpoint, " \t\n"):
		return fmt.Errorf("taking a lease: %q is no container's ID", want.Container)
	case n.ConfigOnly:
		return errors.New("cannot create endpoint on configuration-only network")
	case n.Driver == network.Host || n.Driver == network.Null:
		return fmt.Errorf("network %s has no addresses, containers cannot be connected to it", n.Name)
	case n.Driver == network.IPvlan && want.MAC != "":
		return errors.New("ipvlan interfaces do not support custom mac address assignment")
	}
	for i, a := range []netip.Addr{want.IPv4, want.IPv6} {
		if !a.IsValid() {
			continue
		}
		if a.Is4() != (i == 0) || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() {
			return fmt.Errorf("invalid config for network %s: invalid endpoint settings:\ninvalid IPv%d address: %s", n.Name, 4+2*i, a)
		}
		if err := n.Accepts(a); err != nil {
			return err
		}
	}
	return nil
}

// taking is a call of Take, under the network's lock.
type taking struct {
	n      *network.Network
	leases []Lease // of others
	want   Lease
}

func (t *taking) choose() (err error) {
	if !t.n.NoIPv4 {
		if t.want.IPv4, err = t.address(t.want.IPv4, false); err != nil {
			return err
		}
	}
	if t.n.IPv6 {
		if t.want.IPv6, err = t.address(t.want.IPv6, true); err != nil {
			return err
		}
	}
	if t.n.Driver == network.IPvlan {
		return nil
	}
	t.want.MAC, err = t.mac(t.want.MAC)
	return err
}

func (l *Lease) address(ipv6 bool) netip.Addr {
	if ipv6 {
		return l.IPv6
	}
	return l.IPv4
}

// address is the wanted one, if it is free, or else a free one.
func (t *taking) address(wanted netip.Addr, ipv6 bool) (netip.Addr, error) {
	if wanted.IsValid() {
		return wanted, t.claim(wanted, ipv6)
	}
	if a := t.lowest(ipv6); a.IsValid() {
		return a, nil
	}
	t.leases = dropVoid(t.leases)
	if a := t.lowest(ipv6); a.IsValid() {
		return a, nil
	}
	return netip.Addr{}, fmt.Errorf("no available addresses on this pool: network %s has %d containers and no address left", t.n.Name, len(t.leases))
}

// claim is nil when no other may have the wanted address.
func (t *taking) claim(a netip.Addr, ipv6 bool) error {
	for i := range t.n.Subnets {
		s := &t.n.Subnets[i]
		if why := s.Reserved(a); why != "" && s.Subnet.Contains(a) {
			return fmt.Errorf("Address already in use: %s is %s in network %s", a, why, t.n.Name)
		}
	}
	owner := t.evict(func(l *Lease) bool { return l.address(ipv6) == a })
	if owner != "" {
		return fmt.Errorf("Address already in use: %s belongs to container %s in network %s", a, owner, t.n.Name)
	}
	return nil
}

// evict names the owner of the lease that is in the way; a void one goes.
func (t *taking) evict(inTheWay func(*Lease) bool) (owner string) {
	for i := range t.leases {
		if !inTheWay(&t.leases[i]) {
			continue
		}
		if !void(t.leases[i]) {
			return t.leases[i].owner()
		}
		t.leases = slices.Delete(t.leases, i, i+1)
		return t.evict(inTheWay)
	}
	return ""
}

// mac is the wanted one, if it is free, or else one that is made of the address, as
// Docker's were: locally administered, 02:42 and the IPv4 address.
func (t *taking) mac(wanted string) (string, error) {
	taken := func(mac string) func(*Lease) bool { return func(l *Lease) bool { return l.MAC == mac } }
	if wanted != "" {
		hw, err := net.ParseMAC(wanted)
		if err != nil || len(hw) != 6 || hw[0]&1 != 0 || slices.Equal(hw, make([]byte, 6)) {
			return "", fmt.Errorf("invalid MAC address %s: it takes six bytes like 02:42:ac:11:00:02, the first one even", wanted)
		}
		mac := hw.String()
		if owner := t.evict(taken(mac)); owner != "" {
			return "", fmt.Errorf("MAC address %s belongs to container %s in network %s", mac, owner, t.n.Name)
		}
		return mac, nil
	}
	a := t.want.IPv4
	if !a.IsValid() {
		a = t.want.IPv6
	}
	b := a.AsSlice()
	hw := append(net.HardwareAddr{0x02, 0x42}, b[len(b)-4:]...)
	for t.evict(taken(hw.String())) != "" { // somebody asked for it
		rand.Read(hw[2:])
	}
	return hw.String(), nil
}
