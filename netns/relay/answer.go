package relay

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// reason is why a packet cannot go on, as ICMP has it.
type reason int

const (
	noAnswer reason = iota // none of the others: the sender may try again
	refused                // nobody listens
	noRoute
	noHost
	prohibited
)

// why translates the error of a socket call.
func why(err error) reason {
	switch {
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, errNoHost):
		return refused
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.EAFNOSUPPORT):
		return noRoute
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EHOSTDOWN), errors.Is(err, unix.EINVAL):
		return noHost
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, errForbidden):
		return prohibited
	}
	return noAnswer
}

// quoteSize is how much of a packet an ICMP error may quote, with its own headers
// and the quote's in one packet that every link carries (RFC 1812, RFC 4443).
const (
	quoteSize4 = 576 - headerSize4 - echoSize
	quoteSize6 = 1280 - headerSize6 - echoSize
	errorSize  = headerSize + echoSize + quoteSize6
)

// unreachable is the ICMP error for a packet from src to dst that begins with quote,
// in the name of dst: the hub would not let pass what comes in its own.
func unreachable(quote []byte, src, dst netip.Addr, r reason) []byte {
	if dst.Is4() {
		return icmpError(quote, src, dst, 3, code4(r))
	}
	return icmpError(quote, src, dst, 1, code6(r))
}

// icmpError is an ICMP error message of from for to, about the packet of to's that is quoted.
func icmpError(quote []byte, to, from netip.Addr, kind, code uint8) []byte {
	protocol, size := uint8(unix.IPPROTO_ICMP), quoteSize4
	if to.Is6() {
		protocol, size = unix.IPPROTO_ICMPV6, quoteSize6
	}
	quote = quote[:min(size, len(quote))]
	buf := make([]byte, headerSize+echoSize+len(quote))
	message := buf[headerSize:]
	message[0], message[1] = kind, code
	copy(message[echoSize:], quote)
	binary.BigEndian.PutUint16(message[2:], checksum(message, protocol, from, to))
	return wrap(buf, headerSize, len(buf), protocol, from, to, 0)
}

func code4(r reason) uint8 {
	switch r {
	case refused:
		return 3
	case noHost:
		return 1
	case prohibited:
		return 13
	}
	return 0
}

func code6(r reason) uint8 {
	switch r {
	case refused:
		return 4
	case noHost:
		return 3
	case prohibited:
		return 1
	}
	return 0
}

// segment is what counts of a TCP header (RFC 9293, 3.1).
type segment struct {
	src, dst uint16
	seq, ack uint32
	flags    uint8
	data     int // bytes behind the header
}

const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	_
	flagACK
)

func parseTCP(b []byte) (s segment, ok bool) {
	if len(b) < tcpSize {
		return s, false
	}
	header := int(b[12]>>4) * 4
	if header < tcpSize || header > len(b) {
		return s, false
	}
	return segment{
		src: binary.BigEndian.Uint16(b), dst: binary.BigEndian.Uint16(b[2:]),
		seq: binary.BigEndian.Uint32(b[4:]), ack: binary.BigEndian.Uint32(b[8:]),
		flags: b[13], data: len(b) - header,
	}, true
}

// opens reports whether the segment is the first of a connection.
func (s segment) opens() bool { return s.flags&(flagSYN|flagACK|flagRST|flagFIN) == flagSYN }

// reset is the answer to a segment that belongs to no connection (RFC 9293, 3.10.7.1).
func reset(t tuple, s segment) []byte {
	var buf [headerSize + tcpSize]byte
	b := buf[headerSize:]
	binary.BigEndian.PutUint16(b, t.dst.Port())
	binary.BigEndian.PutUint16(b[2:], t.src.Port())
	b[12], b[13] = tcpSize/4<<4, flagRST
	if s.flags&flagACK != 0 {
		binary.BigEndian.PutUint32(b[4:], s.ack)
	} else {
		length := uint32(s.data)
		if s.flags&flagSYN != 0 {
			length++
		}
		if s.flags&flagFIN != 0 {
			length++
		}
		b[13] |= flagACK
		binary.BigEndian.PutUint32(b[8:], s.seq+length)
	}
	binary.BigEndian.PutUint16(b[16:], checksum(b, unix.IPPROTO_TCP, t.dst.Addr(), t.src.Addr()))
	return wrap(buf[:], headerSize, len(buf), unix.IPPROTO_TCP, t.dst.Addr(), t.src.Addr(), 0)
}
