package lease

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"ctr/netns/network"
)

// lowest is the lowest free address of the first subnet that has one; invalid when
// none has.
func (t *taking) lowest(ipv6 bool) netip.Addr {
	for i := range t.n.Subnets {
		s := &t.n.Subnets[i]
		if s.Subnet.Addr().Is6() != ipv6 {
			continue
		}
		if a := t.lowestOf(s, ipv6); a.IsValid() {
			return a
		}
	}
	return netip.Addr{}
}

// lowestOf marks what is taken by its distance from the beginning of the pool. Of one
// more addresses than are taken one is free, so more need not be looked at.
func (t *taking) lowestOf(s *network.Subnet, ipv6 bool) netip.Addr {
	pool := s.Pool()
	const reserved = 3 // gateway, network, broadcast
	taken := make([]bool, len(t.leases)+len(s.Aux)+reserved+1)
	mark := func(a netip.Addr) {
		if a.IsValid() && pool.Contains(a) {
			if d := distance(pool.Addr(), a); d < uint64(len(taken)) {
				taken[d] = true
			}
		}
	}
	for i := range t.leases {
		mark(t.leases[i].address(ipv6))
	}
	for _, a := range s.Aux {
		mark(a)
	}
	mark(s.Gateway)
	for d := range taken {
		a := advance(pool.Addr(), uint64(d))
		if !a.IsValid() || !pool.Contains(a) {
			break
		}
		if !taken[d] && s.Reserved(a) == "" {
			return a
		}
	}
	return netip.Addr{}
}

// distance is b-a, at most the greatest number.
func distance(a, b netip.Addr) uint64 {
	x, y := a.As16(), b.As16()
	low, borrow := bits.Sub64(binary.BigEndian.Uint64(y[8:]), binary.BigEndian.Uint64(x[8:]), 0)
	high, _ := bits.Sub64(binary.BigEndian.Uint64(y[:8]), binary.BigEndian.Uint64(x[:8]), borrow)
	if high != 0 {
		return 1<<64 - 1
	}
	return low
}

// advance is a+d; invalid past the end of the address space.
func advance(a netip.Addr, d uint64) netip.Addr {
	b := a.As16()
	low, carry := bits.Add64(binary.BigEndian.Uint64(b[8:]), d, 0)
	high, over := bits.Add64(binary.BigEndian.Uint64(b[:8]), 0, carry)
	if over != 0 {
		return netip.Addr{}
	}
	binary.BigEndian.PutUint64(b[8:], low)
	binary.BigEndian.PutUint64(b[:8], high)
	sum := netip.AddrFrom16(b)
	if a.Is4() {
		if !sum.Is4In6() {
			return netip.Addr{}
		}
		return sum.Unmap()
	}
	return sum
}
