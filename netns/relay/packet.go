package relay

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// packet is an IP packet taken apart. Its slices point into the buffer that it was read
// into. It comes from a container, so nothing in it is to be believed but its length.
type packet struct {
	raw      []byte // the whole packet, without what the link added behind it
	src, dst netip.Addr
	protocol uint8
	payload  []byte // what follows the IP headers
	fragment fragment
}

// fragment is the place of a piece in a datagram that was cut up; zero for a whole one.
type fragment struct {
	offset int // in bytes
	more   bool
	id     uint32
}

func (f fragment) whole() bool { return f.offset == 0 && !f.more }

const (
	headerSize4 = 20
	headerSize6 = 40
	headerSize  = headerSize6 // the room that any IP header of ours needs
	udpSize     = 8
	echoSize    = 8
	tcpSize     = 20

	maxPacket = 1 << 16
)

// parse takes b apart; ok is false for what is no packet or is of no use here.
func parse(b []byte) (p packet, ok bool) {
	if len(b) == 0 {
		return packet{}, false
	}
	switch b[0] >> 4 {
	case 4:
		return parse4(b)
	case 6:
		return parse6(b)
	}
	return packet{}, false
}

// parse4 is RFC 791's header. Options are stepped over.
func parse4(b []byte) (p packet, ok bool) {
	if len(b) < headerSize4 {
		return p, false
	}
	header, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < headerSize4 || total < header || total > len(b) {
		return p, false
	}
	b = b[:total]
	cut := binary.BigEndian.Uint16(b[6:])
	p = packet{
		raw: b, payload: b[header:], protocol: b[9],
		src: netip.AddrFrom4([4]byte(b[12:16])), dst: netip.AddrFrom4([4]byte(b[16:20])),
		fragment: fragment{offset: int(cut&0x1fff) * 8, more: cut&0x2000 != 0},
	}
	p.fragment.id = uint32(binary.BigEndian.Uint16(b[4:]))
	if p.fragment.whole() {
		p.fragment.id = 0
	}
	return p, true
}

// parse6 is RFC 8200's header. Extension headers are stepped over, but one that
// chooses a route is refused.
func parse6(b []byte) (p packet, ok bool) {
	if len(b) < headerSize6 {
		return p, false
	}
	total := headerSize6 + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) {
		return p, false
	}
	b = b[:total]
	p = packet{
		raw: b, src: netip.AddrFrom16([16]byte(b[8:24])), dst: netip.AddrFrom16([16]byte(b[24:40])),
	}
	next, rest := b[6], b[headerSize6:]
	for {
		switch next {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_DSTOPTS:
			if len(rest) < 8 || len(rest) < (int(rest[1])+1)*8 {
				return packet{}, false
			}
			next, rest = rest[0], rest[(int(rest[1])+1)*8:]
		case unix.IPPROTO_FRAGMENT:
			if len(rest) < 8 || !p.fragment.whole() {
				return packet{}, false
			}
			cut := binary.BigEndian.Uint16(rest[2:])
			p.fragment = fragment{offset: int(cut &^ 7), more: cut&1 != 0, id: binary.BigEndian.Uint32(rest[4:])}
			next, rest = rest[0], rest[8:]
			if p.fragment.offset != 0 { // what follows is the middle of something
				p.protocol, p.payload = next, rest
				return p, true
			}
		case unix.IPPROTO_ROUTING, unix.IPPROTO_NONE:
			return packet{}, false
		default:
			p.protocol, p.payload = next, rest
			return p, true
		}
	}
}

// wrap puts an IP header in front of the payload that is at buf[at:end] and returns the
// packet. at is at least headerSize; ident names an IPv4 packet among others, should
// it be cut up on its way.
func wrap(buf []byte, at, end int, protocol uint8, src, dst netip.Addr, ident uint16) []byte {
	const ttl = 64
	if dst.Is4() {
		b := buf[at-headerSize4 : end]
		clear(b[:headerSize4])
		b[0] = 0x45
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[4:], ident)
		b[8], b[9] = ttl, protocol
		s, d := src.As4(), dst.As4()
		copy(b[12:], s[:])
		copy(b[16:], d[:])
		binary.BigEndian.PutUint16(b[10:], ^fold(sum(b[:headerSize4], 0)))
		return b
	}
	b := buf[at-headerSize6 : end]
	clear(b[:headerSize6])
	b[0] = 0x60
	binary.BigEndian.PutUint16(b[4:], uint16(end-at))
	b[6], b[7] = protocol, ttl
	s, d := src.As16(), dst.As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	return b
}

// wrapUDP makes a packet of the datagram's data at buf[at:end]; at is at least
// headerSize + udpSize.
func wrapUDP(buf []byte, at, end int, src, dst netip.AddrPort, ident uint16) []byte {
	at -= udpSize
	b := buf[at:end]
	binary.BigEndian.PutUint16(b, src.Port())
	binary.BigEndian.PutUint16(b[2:], dst.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	b[6], b[7] = 0, 0
	check := checksum(b, unix.IPPROTO_UDP, src.Addr(), dst.Addr())
	if check == 0 {
		check = 0xffff // zero means that there is none
	}
	binary.BigEndian.PutUint16(b[6:], check)
	return wrap(buf, at, end, unix.IPPROTO_UDP, src.Addr(), dst.Addr(), ident)
}

// udpPorts are those of a UDP header, and the data behind it as far as it is there.
func parseUDP(b []byte) (src, dst uint16, data []byte, ok bool) {
	if len(b) < udpSize {
		return 0, 0, nil, false
	}
	size := int(binary.BigEndian.Uint16(b[4:]))
	if size < udpSize || size > len(b) {
		return 0, 0, nil, false
	}
	return binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), b[udpSize:size], true
}
