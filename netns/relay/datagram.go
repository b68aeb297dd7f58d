package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

var errNoPing = errors.New("no ping socket")

// The ICMP messages that matter here; see iana.org/assignments/icmp-parameters and
// icmpv6-parameters.
const (
	echoReply4, unreachable4, echoRequest4          = 0, 3, 8
	unreachable6, tooBig6, echoRequest6, echoReply6 = 1, 2, 128, 129
	portUnreachable4, portUnreachable6              = 3, 4
)

// maxLimits bounds how many links' sizes are remembered.
const maxLimits = 1024

// takeDatagram sends a container's datagram on its way.
func (f *flows) takeDatagram(p packet) {
	src, dst, data, ok := parseUDP(p.payload)
	if !ok || dst == 0 {
		return
	}
	key := flowKey{unix.IPPROTO_UDP, tuple{netip.AddrPortFrom(p.src, src), netip.AddrPortFrom(p.dst, dst)}}
	f.forward(p, key, data)
}

// forward sends data over the flow key, or tells the container why not.
func (f *flows) forward(p packet, key flowKey, data []byte) {
	w, err := f.find(key)
	if err == nil {
		err = f.send(w, data)
	}
	switch {
	case err == nil, errors.Is(err, errUnanswerable):
	case errors.Is(err, errNoPing):
		f.note(fmt.Sprintf("pings of containers stay unanswered: %v for group %d; as root: sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"", err, os.Getegid()))
	default:
		if r := why(err); r != noAnswer {
			f.write(unreachable(p.raw, p.src, p.dst, r))
		}
	}
}

// takeICMP sends an echo request on its way, and heeds what a container's kernel
// says of datagrams that it got.
func (f *flows) takeICMP(p packet) {
	message := p.payload
	if len(message) < echoSize {
		return
	}
	switch kind, code := message[0], message[1]; {
	case p.src.Is4() && kind == echoRequest4 && code == 0, p.src.Is6() && kind == echoRequest6 && code == 0:
		ident := binary.BigEndian.Uint16(message[4:])
		key := flowKey{p.protocol, tuple{netip.AddrPortFrom(p.src, ident), netip.AddrPortFrom(p.dst, 0)}}
		f.forward(p, key, message)
	case p.src.Is4() && kind == unreachable4 && code == portUnreachable4, p.src.Is6() && kind == unreachable6 && code == portUnreachable6:
		// With the socket closed the other side learns it too.
		f.aboutQuoted(p, f.remove)
	case p.src.Is6() && kind == tooBig6:
		const least = 1280 // RFC 8200
		limit := int32(min(max(binary.BigEndian.Uint32(message[4:]), least), maxPacket))
		f.aboutQuoted(p, func(w *flow) {
			w.limit.Store(limit)
			if len(f.limits) >= maxLimits {
				clear(f.limits)
			}
			f.limits[w.src.Addr()] = limit
		})
	}
}

// aboutQuoted calls do for the UDP flow whose answer to the container the ICMP error p
// is about, with f.mu held.
func (f *flows) aboutQuoted(p packet, do func(*flow)) {
	src, dst, ok := quotedUDP(p.payload[echoSize:])
	if !ok || p.dst != src.Addr() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if w := f.known[flowKey{unix.IPPROTO_UDP, tuple{dst, src}}]; w != nil {
		do(w)
	}
}

// quotedUDP reads the ends of a packet of which only the beginning is there.
func quotedUDP(b []byte) (src, dst netip.AddrPort, ok bool) {
	if len(b) < headerSize4 {
		return src, dst, false
	}
	var from, to netip.Addr
	var next byte
	switch b[0] >> 4 {
	case 4:
		header := int(b[0]&0xf) * 4
		if header < headerSize4 || len(b) < header || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return src, dst, false
		}
		from, to, next = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[9]
		b = b[header:]
	case 6:
		if len(b) < headerSize6 {
			return src, dst, false
		}
		from, to, next = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[6]
		b = b[headerSize6:]
		if next == unix.IPPROTO_FRAGMENT && len(b) >= fragmentSize && binary.BigEndian.Uint16(b[2:])&^7 == 0 {
			next, b = b[0], b[fragmentSize:]
		}
	}
	if next != unix.IPPROTO_UDP || len(b) < 4 {
		return src, dst, false
	}
	return netip.AddrPortFrom(from, binary.BigEndian.Uint16(b)), netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:])), true
}

// receive reads one datagram. A ping socket takes echoes from anyone, so their
// sender is looked at.
func (w *flow) receive(b []byte) (int, error) {
	if w.protocol == unix.IPPROTO_UDP {
		return unix.Read(w.fd, b)
	}
	for {
		n, from, err := unix.Recvfrom(w.fd, b, unix.MSG_DONTWAIT)
		if err != nil || addrPort(from).Addr() == w.to {
			return n, err
		}
	}
}

// echoReply makes the packet of the echo at f.buf[at:at+n]: the kernel has put the
// socket's identifier in the place of the container's.
func (f *flows) echoReply(w *flow, at, n int) ([]byte, bool) {
	kind := byte(echoReply4)
	if w.protocol == unix.IPPROTO_ICMPV6 {
		kind = echoReply6
	}
	if n < echoSize || f.buf[at] != kind {
		return nil, false
	}
	return f.wrapEcho(w, at, n, w.dst.Addr(), w.src.Addr()), true
}

func (f *flows) wrapEcho(w *flow, at, n int, src, dst netip.Addr) []byte {
	message := f.buf[at : at+n]
	binary.BigEndian.PutUint16(message[4:], w.src.Port())
	message[2], message[3] = 0, 0
	binary.BigEndian.PutUint16(message[2:], checksum(message, w.protocol, src, dst))
	return wrap(f.buf, at, at+n, w.protocol, src, dst, f.nextIdent())
}

// complain passes ICMP errors about what the container sent on to it; they are on the
// socket's error queue (ip(7), IP_RECVERR). The poller's goroutine calls it.
func (f *flows) complain(w *flow) {
	const most = 16
	const at = headerSize + udpSize
	var control [256]byte
	for range most {
		n, size, _, _, err := unix.Recvmsg(w.fd, f.buf[at:at+quoteSize6], control[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err != nil {
			return
		}
		r := complaint(control[:size])
		if r == noAnswer {
			continue
		}
		var quote []byte
		switch {
		case w.protocol == unix.IPPROTO_UDP:
			quote = wrapUDP(f.buf, at, at+n, w.src, w.dst, 0)
		case n >= echoSize:
			quote = f.wrapEcho(w, at, n, w.src.Addr(), w.dst.Addr())
		default:
			continue
		}
		f.write(unreachable(quote, w.src.Addr(), w.dst.Addr(), r))
	}
}

// complaint reads the control message of an entry of the error queue.
func complaint(control []byte) reason {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return noAnswer
	}
	for _, m := range messages {
		isError := m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_RECVERR ||
			m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if !isError || len(m.Data) < int(unsafe.Sizeof(unix.SockExtendedErr{})) {
			continue
		}
		const originICMP, originICMP6 = 2, 3
		errno, origin, kind := binary.NativeEndian.Uint32(m.Data), m.Data[4], m.Data[5]
		if origin == originICMP && kind == unreachable4 || origin == originICMP6 && kind == unreachable6 {
			return why(unix.Errno(errno))
		}
	}
	return noAnswer
}
