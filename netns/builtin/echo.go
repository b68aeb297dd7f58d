package builtin

import (
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
)

const (
	echoTimeout = 10 * time.Second
	maxEchoes   = 64 // awaited at once; more are lost
)

// echoes sends the container's pings through the host's unprivileged ICMP sockets.
// Where sysctl net.ipv4.ping_group_range does not allow those, pings stay unanswered.
type echoes struct {
	wire  *wire
	slots chan struct{}
}

// take reports whether the packet is ICMP for a host other than the helper itself,
// and if it is an echo request, sends it on. The stack must not get such packets:
// it would answer every ping in that host's name, whether it lives or not.
func (e *echoes) take(frame header.Ethernet) bool {
	packet := frame[header.EthernetMinimumSize:]
	ip := header.IPv4(packet)
	if !ip.IsValid(len(packet)) || ip.TransportProtocol() != header.ICMPv4ProtocolNumber {
		return false
	}
	to := netip.AddrFrom4(ip.DestinationAddress().As4())
	if to == e.wire.gateway || to == e.wire.dns {
		return false
	}
	request := header.ICMPv4(append([]byte(nil), ip.Payload()...))
	whole := !ip.More() && ip.FragmentOffset() == 0 && len(request) >= header.ICMPv4MinimumSize
	if !whole || request.Type() != header.ICMPv4Echo || !e.wire.outside(to) {
		return true
	}
	from, fromMAC := ip.SourceAddress(), frame.SourceAddress()
	select {
	case e.slots <- struct{}{}:
		go func() {
			defer func() { <-e.slots }()
			if reply := exchangeEcho(to, request); reply != nil {
				e.wire.write(echoFrame(e.wire.endpoint.LinkAddress(), fromMAC, to, from, reply))
			}
		}()
	default:
	}
	return true
}

// exchangeEcho returns the reply as the container expects it, or nil.
func exchangeEcho(to netip.Addr, request header.ICMPv4) header.ICMPv4 {
	c, err := icmp.ListenPacket("udp4", "0.0.0.0")
	if err != nil {
		return nil
	}
	defer c.Close()
	if c.SetDeadline(time.Now().Add(echoTimeout)) != nil {
		return nil
	}
	if _, err := c.WriteTo(request, &net.UDPAddr{IP: to.AsSlice()}); err != nil {
		return nil
	}
	buf := make([]byte, 1<<16)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return nil
		}
		reply := header.ICMPv4(buf[:n])
		if n < header.ICMPv4MinimumSize || reply.Type() != header.ICMPv4EchoReply || reply.Sequence() != request.Sequence() {
			continue
		}
		reply.SetIdent(request.Ident()) // the kernel put the socket's own in its place
		reply.SetChecksum(0)
		reply.SetChecksum(^checksum.Checksum(reply, 0))
		return reply
	}
}

func echoFrame(gateway, container tcpip.LinkAddress, from netip.Addr, to tcpip.Address, reply header.ICMPv4) []byte {
	frame := make([]byte, header.EthernetMinimumSize+header.IPv4MinimumSize, header.EthernetMinimumSize+header.IPv4MinimumSize+len(reply))
	header.Ethernet(frame).Encode(&header.EthernetFields{SrcAddr: gateway, DstAddr: container, Type: ipv4.ProtocolNumber})
	ip := header.IPv4(frame[header.EthernetMinimumSize:])
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(header.IPv4MinimumSize + len(reply)), TTL: 64, Protocol: uint8(header.ICMPv4ProtocolNumber),
		SrcAddr: tcpip.AddrFrom4(from.As4()), DstAddr: to,
	})
	ip.SetChecksum(^ip.CalculateChecksum())
	return append(frame, reply...)
}
