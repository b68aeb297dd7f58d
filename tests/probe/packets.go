package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hostile are the verbs that send what they should not. Each says "sent" when the
// kernel took a packet; what became of it the tests see elsewhere.
//
//	arp-claim ADDRESS SECONDS        says by ARP that ADDRESS is here; prints IP packets for it that come
//	mac-claim MAC SECONDS            sends frames from another's MAC address; prints packets for it that come
//	sniff SECONDS                    prints packets that are for other interfaces
//	forge udp|icmp|syn SOURCE ADDRESS [TEXT]   a packet from another's address, as the kernel routes it
//	inject MAC udp|icmp|syn SOURCE ADDRESS [TEXT]   the same in a frame to a MAC address, or to that of the "gateway"
//	advertise                        IPv6: a router advertisement with a prefix and a default route
//	neighbour ADDRESS SECONDS        IPv6: says that ADDRESS is here; prints packets for it that come
var hostile = map[string]func(args []string) error{
	"arp-claim": arpClaim, "mac-claim": macClaim, "sniff": sniff, "forge": forge, "inject": inject, "advertise": advertise, "neighbour": neighbour,
}

const interfaceName = "eth0"

// wire is a packet socket on eth0.
type wire struct {
	fd    int
	iface *net.Interface
}

func openWire() (*wire, error) {
	iface, err := net.InterfaceByName(interfaceName)
	if err != nil {
		return nil, err
	}
	const all = 0x0300 // ETH_P_ALL in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, all)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: iface.Index}); err != nil {
		return nil, err
	}
	m := unix.PacketMreq{Ifindex: int32(iface.Index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
		return nil, err
	}
	return &wire{fd, iface}, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000})
}

// broadcast is every station's address.
var broadcast = net.HardwareAddr{255, 255, 255, 255, 255, 255}

func (w *wire) send(dst, src net.HardwareAddr, etherType uint16, payload []byte) error {
	frame := append(append([]byte(nil), dst...), src...)
	frame = append(binary.BigEndian.AppendUint16(frame, etherType), payload...)
	for len(frame) < 60 {
		frame = append(frame, 0)
	}
	_, err := unix.Write(w.fd, frame)
	return err
}

// capture calls send again and again for a time and prints, each once, the IP packets
// that wanted accepts.
func (w *wire) capture(seconds string, send func() error, wanted func(dst net.HardwareAddr, to netip.Addr) bool) error {
	length, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	b := make([]byte, 1<<16)
	sent := false
	for end, next := time.Now().Add(time.Duration(length*float64(time.Second))), time.Now(); time.Now().Before(end); {
		if time.Now().After(next) {
			next = time.Now().Add(50 * time.Millisecond)
			if err := send(); err != nil {
				return err
			}
			if !sent {
				sent = true
				fmt.Println("sent")
			}
		}
		n, from, err := unix.Recvfrom(w.fd, b, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if l, ok := from.(*unix.SockaddrLinklayer); !ok || l.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if s, to := describe(b[:n]); to.IsValid() && wanted(net.HardwareAddr(b[:6]), to) && !seen[s] {
			seen[s] = true
			fmt.Println("captured", s)
		}
	}
	return nil
}

// describe is "SOURCE > DESTINATION protocol N" of an IP packet in a frame.
func describe(b []byte) (string, netip.Addr) {
	if len(b) < 14+40 {
		return "", netip.Addr{}
	}
	p := b[14:]
	switch binary.BigEndian.Uint16(b[12:]) {
	case unix.ETH_P_IP:
		src, _ := netip.AddrFromSlice(p[12:16])
		dst, _ := netip.AddrFromSlice(p[16:20])
		return fmt.Sprintf("%s > %s protocol %d", src, dst, p[9]), dst
	case unix.ETH_P_IPV6:
		src, _ := netip.AddrFromSlice(p[8:24])
		dst, _ := netip.AddrFromSlice(p[24:40])
		return fmt.Sprintf("%s > %s protocol %d", src, dst, p[6]), dst
	}
	return "", netip.Addr{}
}

func arpClaim(args []string) error {
	claimed, err := netip.ParseAddr(args[0])
	if err != nil {
		return err
	}
	w, err := openWire()
	if err != nil {
		return err
	}
	send := func() error {
		var errs []error
		for _, op := range []uint16{1, 2} { // a request by a neighbour teaches too
			arp := []byte{0, 1, 8, 0, 6, 4, byte(op >> 8), byte(op)}
			arp = append(append(arp, w.iface.HardwareAddr...), claimed.AsSlice()...)
			arp = append(append(arp, broadcast...), claimed.AsSlice()...)
			errs = append(errs, w.send(broadcast, w.iface.HardwareAddr, unix.ETH_P_ARP, arp))
		}
		return errors.Join(errs...)
	}
	return w.capture(args[1], send, func(_ net.HardwareAddr, to netip.Addr) bool { return to == claimed })
}

func macClaim(args []string) error {
	mac, err := net.ParseMAC(args[0])
	if err != nil {
		return err
	}
	w, err := openWire()
	if err != nil {
		return err
	}
	send := func() error { return w.send(broadcast, mac, 0x88b5, []byte("mine now")) } // an experimental EtherType
	return w.capture(args[1], send, func(dst net.HardwareAddr, _ netip.Addr) bool { return dst.String() == mac.String() })
}

func sniff(args []string) error {
	w, err := openWire()
	if err != nil {
		return err
	}
	return w.capture(args[0], func() error { return nil }, func(dst net.HardwareAddr, to netip.Addr) bool {
		return dst[0]&1 == 0 && dst.String() != w.iface.HardwareAddr.String()
	})
}

func forge(args []string) error {
	packet, to, err := forged(args)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
	if err != nil {
		return fmt.Errorf("raw socket: %w", err)
	}
	if err := unix.Sendto(fd, packet, 0, &unix.SockaddrInet4{Addr: to.As4()}); err != nil {
		return err
	}
	fmt.Println("sent")
	return nil
}

// inject bypasses routing and the kernel's own checks of addresses.
func inject(args []string) error {
	mac, err := net.ParseMAC(args[0])
	if args[0] == "gateway" {
		mac, err = gatewayMAC()
	}
	if err != nil {
		return err
	}
	packet, _, err := forged(args[1:])
	if err != nil {
		return err
	}
	w, err := openWire()
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	binary.BigEndian.PutUint16(packet[10:], checksum(packet[:20], 0))
	for range 3 {
		if err := w.send(mac, w.iface.HardwareAddr, unix.ETH_P_IP, packet); err != nil {
			return err
		}
	}
	fmt.Println("sent")
	return nil
}

// gatewayMAC is that of the default route's gateway, or everybody's when it does not
// answer.
func gatewayMAC() (net.HardwareAddr, error) {
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil, err
	}
	var gateway string
	for line := range strings.Lines(string(routes)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "00000000" {
			n, _ := strconv.ParseUint(f[2], 16, 32)
			gateway = netip.AddrFrom4([4]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}).String()
		}
	}
	for range 20 {
		table, err := os.ReadFile("/proc/net/arp")
		if err != nil || gateway == "" {
			return broadcast, err
		}
		for line := range strings.Lines(string(table)) {
			if f := strings.Fields(line); len(f) > 3 && f[0] == gateway && f[2] == "0x2" {
				return net.ParseMAC(f[3])
			}
		}
		if c, err := net.Dial("udp", gateway+":9"); err == nil {
			c.Write(nil)
			c.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return broadcast, nil
}

// forged is the packet that PROTOCOL SOURCE ADDRESS:PORT [TEXT] describes.
func forged(args []string) (packet []byte, to netip.Addr, err error) {
	src, err := netip.ParseAddr(args[1])
	if err != nil {
		return nil, to, err
	}
	address, err := netip.ParseAddrPort(args[2])
	if err != nil {
		return nil, to, err
	}
	var payload []byte
	var protocol byte
	switch args[0] {
	case "icmp":
		payload, protocol = echoRequest(), unix.IPPROTO_ICMP
	case "syn":
		payload, protocol = syn(src, address), unix.IPPROTO_TCP
	default:
		payload, protocol = udpPacket(address.Port(), strings.Join(args[3:], " ")), unix.IPPROTO_UDP
	}
	packet = []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0}
	packet = append(append(packet, src.AsSlice()...), address.Addr().AsSlice()...)
	return append(packet, payload...), address.Addr(), nil
}

func syn(src netip.Addr, to netip.AddrPort) []byte {
	b := binary.BigEndian.AppendUint16(nil, 4243)
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = append(b, 0, 0, 0x10, 1, 0, 0, 0, 0, 5<<4, 2, 0xff, 0xff, 0, 0, 0, 0)
	pseudo := append(append(append([]byte(nil), src.AsSlice()...), to.Addr().AsSlice()...), 0, unix.IPPROTO_TCP, 0, byte(len(b)))
	binary.BigEndian.PutUint16(b[16:], checksum(append(pseudo, b...), 0))
	return b
}

func udpPacket(port uint16, text string) []byte {
	b := binary.BigEndian.AppendUint16(nil, 4242)
	b = binary.BigEndian.AppendUint16(b, port)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(text)))
	return append(append(b, 0, 0), text...) // no checksum
}

func echoRequest() []byte {
	b := []byte{8, 0, 0, 0, 0x66, 0x66, 0, 1}
	binary.BigEndian.PutUint16(b[2:], checksum(b, 0))
	return b
}

func checksum(b []byte, sum uint32) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

var (
	allNodes    = netip.MustParseAddr("ff02::1")
	allNodesMAC = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
)

// linkLocal is the interface's address by its MAC address.
func (w *wire) linkLocal() netip.Addr {
	m := w.iface.HardwareAddr
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

// icmp6 sends a message of neighbour discovery to all nodes.
func (w *wire) icmp6(from netip.Addr, message []byte) error {
	pseudo := append(append(append([]byte(nil), from.AsSlice()...), allNodes.AsSlice()...), 0, 0, 0, byte(len(message)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	sum := ^checksum(pseudo, 0)
	binary.BigEndian.PutUint16(message[2:], checksum(message, uint32(sum)))
	p := []byte{0x60, 0, 0, 0, 0, byte(len(message)), unix.IPPROTO_ICMPV6, 255}
	p = append(append(append(p, from.AsSlice()...), allNodes.AsSlice()...), message...)
	return w.send(allNodesMAC, w.iface.HardwareAddr, unix.ETH_P_IPV6, p)
}

func advertise([]string) error {
	w, err := openWire()
	if err != nil {
		return err
	}
	ra := []byte{134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}
	ra = append(append(ra, 1, 1), w.iface.HardwareAddr...)                          // source link-layer address
	ra = append(ra, 3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0) // prefix information
	ra = append(ra, netip.MustParseAddr("2001:db8:bad::").AsSlice()...)
	for range 5 {
		if err := w.icmp6(w.linkLocal(), append([]byte(nil), ra...)); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Println("sent")
	return nil
}

func neighbour(args []string) error {
	claimed, err := netip.ParseAddr(args[0])
	if err != nil {
		return err
	}
	w, err := openWire()
	if err != nil {
		return err
	}
	send := func() error {
		na := append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, claimed.AsSlice()...) // override
		return w.icmp6(claimed, append(append(na, 2, 1), w.iface.HardwareAddr...))
	}
	return w.capture(args[1], send, func(_ net.HardwareAddr, to netip.Addr) bool { return to == claimed })
}
