package relay

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"golang.org/x/sys/unix"
)

// sum adds b to a ones' complement sum of big-endian words (RFC 1071), in pieces of
// eight bytes: 2^64-1 is a multiple of 2^16-1, so the carries come out right.
func sum(b []byte, acc uint64) uint64 {
	var carry uint64
	for len(b) >= 32 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), 0)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[8:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[16:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[24:]), carry)
		acc, carry = bits.Add64(acc, 0, carry)
		acc += carry
		b = b[32:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), 0)
		acc += carry
		b = b[8:]
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(last[:]), 0)
		acc += carry
	}
	return acc
}

// fold brings a sum down to 16 bits.
func fold(acc uint64) uint16 {
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}

// checksum is that of UDP, TCP and ICMPv6: over the message and over the addresses,
// the protocol and the length. ICMP for IPv4 covers the message alone.
func checksum(message []byte, protocol uint8, src, dst netip.Addr) uint16 {
	acc := uint64(0)
	switch {
	case protocol == unix.IPPROTO_ICMP:
	case dst.Is4():
		s, d := src.As4(), dst.As4()
		acc = sum(d[:], sum(s[:], uint64(protocol)+uint64(len(message))))
	default:
		s, d := src.As16(), dst.As16()
		acc = sum(d[:], sum(s[:], uint64(protocol)+uint64(len(message))))
	}
	return ^fold(sum(message, acc))
}
