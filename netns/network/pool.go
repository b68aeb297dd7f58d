package network

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
)

// errNoMoreSubnets is Docker's.
var errNoMoreSubnets = errors.New("all predefined address pools have been fully subnetted, choose one with --subnet or remove a network")

// surroundings is what an automatic subnet avoids.
type surroundings struct {
	taken   []netip.Prefix // by other networks, always avoided
	onLink  []netip.Prefix // networks that the host is part of, and its name servers: likewise
	distant []netip.Prefix // that the host reaches through a gateway: avoided while there is a choice
}

func lookAround(others []*Network) (surroundings, error) {
	w := surroundings{onLink: hostResolvers("/etc/resolv.conf")}
	for _, other := range others {
		if other.ConfigOnly {
			continue
		}
		for _, s := range other.Subnets {
			w.taken = append(w.taken, s.Subnet)
		}
	}
	// slirp4netns's own
	w.onLink = append(w.onLink, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 2, 0}), 24))
	routes, err := HostRoutes()
	if err != nil {
		return surroundings{}, err
	}
	for _, r := range routes {
		if r.OnLink {
			w.onLink = append(w.onLink, r.Destination)
		} else {
			w.distant = append(w.distant, r.Destination)
		}
	}
	return w, nil
}

// free4 is the first of Docker's automatic subnets that is free:
// 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in parts of /20.
func (w surroundings) free4() (netip.Prefix, error) {
	return w.free(func(i int) netip.Prefix {
		switch {
		case i < 15:
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(17 + i)}), 16)
		case i < 31:
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte((i - 15) * 16)}), 20)
		}
		return netip.Prefix{}
	})
}

// free6 is the first /64 that is free of the /48 that begins with base.
func (w surroundings) free6(base netip.Addr) (netip.Prefix, error) {
	return w.free(func(i int) netip.Prefix {
		if i > 0xffff {
			return netip.Prefix{}
		}
		b := base.As16()
		b[6], b[7] = byte(i>>8), byte(i)
		return netip.PrefixFrom(netip.AddrFrom16(b), 64)
	})
}

// free is the first free one of the subnets that nth gives, until it gives an
// invalid one. A company's VPN may route all private addresses; then what it routes
// through a gateway is used rather than nothing.
func (w surroundings) free(nth func(int) netip.Prefix) (netip.Prefix, error) {
	for _, distant := range [][]netip.Prefix{w.distant, nil} {
		for i := 0; ; i++ {
			p := nth(i)
			if !p.IsValid() {
				break
			}
			if !overlapsAny(p, w.taken) && !overlapsAny(p, w.onLink) && !overlapsAny(p, distant) {
				return p, nil
			}
		}
	}
	return netip.Prefix{}, errNoMoreSubnets
}

func overlapsAny(p netip.Prefix, others []netip.Prefix) bool {
	for _, o := range others {
		if o.Overlaps(p) {
			return true
		}
	}
	return false
}

// uniqueLocal is the /48 that automatic IPv6 subnets are parts of, the same for a
// user of a machine at all times and different elsewhere, see RFC 4193 section 3.2.
func uniqueLocal(data string) netip.Addr {
	machine, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(machine) == 0 {
		name, _ := os.Hostname()
		machine = []byte(name)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s", machine, data))
	b := [16]byte{0xfd}
	copy(b[1:6], sum[:])
	return netip.AddrFrom16(b)
}

// addAutomatic gives the network the subnets that it needs and the user did not choose.
func (n *Network) addAutomatic(others []*Network, data string) error {
	need4 := !n.NoIPv4 && n.Subnet4() == nil
	need6 := n.IPv6 && n.Subnet6() == nil
	if !need4 && !need6 {
		return nil
	}
	around, err := lookAround(others)
	if err != nil {
		return err
	}
	for _, s := range n.Subnets {
		around.taken = append(around.taken, s.Subnet)
	}
	if need4 {
		p, err := around.free4()
		if err != nil {
			return err
		}
		n.Subnets = append([]Subnet{{Subnet: p}}, n.Subnets...)
	}
	if need6 {
		p, err := around.free6(uniqueLocal(data))
		if err != nil {
			return err
		}
		n.Subnets = append(n.Subnets, Subnet{Subnet: p})
	}
	return nil
}
