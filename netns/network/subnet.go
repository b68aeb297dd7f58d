package network

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// hostSeen is the address under which containers find their host; no subnet may cover it.
var hostSeen = netip.AddrFrom4([4]byte{169, 254, 1, 2})

// Subnet4 is the first IPv4 subnet, or nil.
func (n *Network) Subnet4() *Subnet { return n.first(false) }

// Subnet6 is the first IPv6 subnet, or nil.
func (n *Network) Subnet6() *Subnet { return n.first(true) }

func (n *Network) first(ipv6 bool) *Subnet {
	for i := range n.Subnets {
		if n.Subnets[i].Subnet.Addr().Is6() == ipv6 {
			return &n.Subnets[i]
		}
	}
	return nil
}

// Accepts is nil when a container on the network may ask for the address a; whether
// it is free is another question. The errors are Docker's.
func (n *Network) Accepts(a netip.Addr) error {
	chosen := false
	for _, s := range n.Subnets {
		if n.Predefined() || !s.Chosen || s.Subnet.Addr().Is6() != a.Is6() {
			continue
		}
		chosen = true
		if s.Subnet.Contains(a) {
			return nil
		}
	}
	why := "user specified IP address is supported only when connecting to networks with user configured subnets"
	switch {
	case n.Predefined():
		why = "user specified IP address is supported on user defined networks only"
	case chosen:
		why = fmt.Sprintf("no configured subnet or ip-range contain the IP address %s", a)
	}
	return fmt.Errorf("invalid config for network %s: invalid endpoint settings:\n%s", n.Name, why)
}

// Reserved says why no container may have the address a of the subnet: the reason
// completes "a is …". It is "" when one may.
func (s *Subnet) Reserved(a netip.Addr) string {
	hostBits := a.BitLen() - s.Subnet.Bits()
	switch {
	case a == s.Gateway:
		return "the gateway"
	case a == s.Subnet.Addr() && (a.Is6() || hostBits > 1): // RFC 3021, RFC 4291 section 2.6.1
		return "the network's own address"
	case a.Is4() && hostBits > 1 && a == last(s.Subnet):
		return "the broadcast address"
	}
	for name, aux := range s.Aux {
		if a == aux {
			return fmt.Sprintf("reserved as auxiliary address %q", name)
		}
	}
	return ""
}

// Pool is what addresses are taken from: the range, or else the subnet.
func (s *Subnet) Pool() netip.Prefix {
	if s.Range.IsValid() {
		return s.Range
	}
	return s.Subnet
}

// last is the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// checkSubnets is nil when all subnets fit each other and the driver.
func (n *Network) checkSubnets() error {
	var wrong []string
	var count [2]int // of IPv4, of IPv6
	for i := range n.Subnets {
		s := &n.Subnets[i]
		if problems := s.check(); len(problems) > 0 {
			wrong = append(wrong, problems...)
			continue
		}
		for _, other := range n.Subnets[:i] {
			if other.Subnet.Overlaps(s.Subnet) {
				return fmt.Errorf("multiple overlapping subnet configuration is not supported: %s and %s", other.Subnet, s.Subnet)
			}
		}
		if s.Subnet.Addr().Is6() {
			count[1]++
		} else {
			count[0]++
		}
	}
	switch {
	case len(wrong) == 1:
		return fmt.Errorf("invalid network config:\n%s", wrong[0])
	case len(wrong) > 1:
		return fmt.Errorf("invalid network config:\n* %s", strings.Join(wrong, "\n* "))
	case n.Driver == Bridge && !n.ConfigOnly && (count[0] > 1 || count[1] > 1):
		return errors.New("bridge driver doesn't support multiple subnets: one of IPv4 and one of IPv6 is possible")
	case n.NoIPv4 && count[0] > 0:
		return fmt.Errorf("invalid network config:\nsubnet %s is IPv4, which is off on this network", n.Subnet4().Subnet)
	}
	return nil
}

// check says all that is wrong with a subnet by itself.
func (s *Subnet) check() (wrong []string) {
	p := s.Subnet
	if !p.IsValid() {
		return []string{"every ip-range or gateway must have a corresponding subnet"}
	}
	if p.Addr().Is4In6() || p.Addr().Zone() != "" {
		return []string{fmt.Sprintf("invalid subnet %s: write it as IPv4", p)}
	}
	if p != p.Masked() {
		return []string{fmt.Sprintf("invalid subnet %s: it should be %s", p, p.Masked())}
	}
	if why := unusable(p); why != "" {
		return []string{fmt.Sprintf("invalid subnet %s: %s", p, why)}
	}
	wrong = s.checkRange()
	if why := s.misplaced(s.Gateway); s.Gateway.IsValid() && why != "" {
		wrong = append(wrong, fmt.Sprintf("invalid gateway %s: %s", s.Gateway, why))
	}
	taken := map[netip.Addr]string{}
	if s.Gateway.IsValid() {
		taken[s.Gateway] = "the gateway"
	}
	for _, name := range sortedKeys(s.Aux) {
		a := s.Aux[name]
		why := s.misplaced(a)
		if other := taken[a]; why == "" && other != "" {
			why = fmt.Sprintf("Address already in use: %s is %s", a, other)
		}
		if why != "" {
			wrong = append(wrong, fmt.Sprintf("invalid auxiliary address %s: %s", name, why))
		}
		taken[a] = "auxiliary address " + name
	}
	return wrong
}

// unusable says why nothing can have an address of p that others reach.
func unusable(p netip.Prefix) string {
	a := p.Addr()
	switch {
	case p.Bits() == 0:
		return "it is the whole address space"
	case p.Bits() == a.BitLen():
		return "it has room for one address only, a gateway and a container need two"
	case a.IsMulticast():
		return "multicast addresses are not allowed"
	case a.Is4() && p.Overlaps(prefix4(0, 8)), a.Is4() && p.Overlaps(prefix4(127, 8)), a.Is4() && p.Overlaps(prefix4(240, 4)),
		a.Is6() && p.Contains(netip.IPv6Loopback()):
		return "the addresses are reserved, no interface can have them"
	case p.Contains(hostSeen):
		return fmt.Sprintf("%s in it is where containers find their host", hostSeen)
	}
	linkLocal := netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfe, 0x80}), 64)
	if a.Is6() && p != linkLocal && p.Overlaps(linkLocal) {
		return "it clashes with the Link-Local prefix 'fe80::/64'"
	}
	return ""
}

func prefix4(first byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{first}), bits)
}

func (s *Subnet) checkRange() (wrong []string) {
	r, p := s.Range, s.Subnet
	switch {
	case r == netip.Prefix{}:
		return nil
	case !r.IsValid():
		return []string{"invalid ip-range: invalid CIDR block notation"}
	case r.Addr().Is4() != p.Addr().Is4():
		return []string{fmt.Sprintf("invalid ip-range %s: parent subnet is an %s block", r, family(p))}
	}
	if r.Bits() < p.Bits() {
		wrong = append(wrong, fmt.Sprintf("invalid ip-range %s: CIDR block is bigger than its parent subnet %s", r, p))
	}
	if r != r.Masked() {
		wrong = append(wrong, fmt.Sprintf("invalid ip-range %s: it should be %s", r, r.Masked()))
	}
	if !p.Overlaps(r) {
		wrong = append(wrong, fmt.Sprintf("invalid ip-range %s: parent subnet %s doesn't contain ip-range", r, p))
	}
	return wrong
}

func family(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// misplaced says why a cannot be an address of something in the subnet.
func (s *Subnet) misplaced(a netip.Addr) string {
	bare := Subnet{Subnet: s.Subnet}
	switch {
	case !a.IsValid() || a.Zone() != "":
		return "invalid address"
	case a.Is4() != s.Subnet.Addr().Is4():
		return fmt.Sprintf("parent subnet is an %s block", family(s.Subnet))
	case !s.Subnet.Contains(a):
		return fmt.Sprintf("parent subnet %s doesn't contain this address", s.Subnet)
	}
	if why := bare.Reserved(a); why != "" {
		return "it is " + why
	}
	return ""
}

// chooseGateway gives the subnet a gateway when it has none: the first address that
// may be one of the range, or else of the subnet.
func (s *Subnet) chooseGateway() error {
	if s.Gateway.IsValid() {
		return nil
	}
	for _, pool := range []netip.Prefix{s.Pool(), s.Subnet} {
		for a := pool.Addr(); pool.Contains(a); a = a.Next() {
			if s.Reserved(a) == "" {
				s.Gateway = a
				return nil
			}
		}
	}
	return fmt.Errorf("subnet %s has no address left for a gateway", s.Subnet)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
