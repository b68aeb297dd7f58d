package bridge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns/network"
)

// packetSocket sends and receives whole frames on eth0 of a container.
func (c *container) packetSocket() int {
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8
	fd := -1
	err := c.in(func() error {
		iface, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all); err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(soon / time.Second)}),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: iface.Index}))
	})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { unix.Close(fd) })
	return fd
}

func mac(s string) []byte {
	m, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
func be16(v int) []byte           { return binary.BigEndian.AppendUint16(nil, uint16(v)) }

func ip4Packet(from, to netip.Addr) []byte {
	const size = 20 + markerSize
	b := join([]byte{0x45, 0}, be16(size), []byte{0, 0, 0, 0, 64, 253, 0, 0}, from.AsSlice(), to.AsSlice())
	sum := 0
	for i := 0; i < len(b); i += 2 {
		sum += int(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	copy(b[10:], be16(^sum))
	return b
}

func ip6Packet(from, to netip.Addr, next byte, payload []byte) []byte {
	return join([]byte{0x60, 0, 0, 0}, be16(len(payload)+markerSize), []byte{next, 255}, from.AsSlice(), to.AsSlice(), payload)
}

func arpMessage(op int, sender []byte, told netip.Addr, target []byte, asked netip.Addr) []byte {
	return join([]byte{0, 1, 8, 0, 6, 4}, be16(op), sender, told.AsSlice(), target, asked.AsSlice())
}

func advertisement(kind byte, target netip.Addr, m []byte) []byte {
	return join([]byte{kind, 0, 0, 0, 0x20, 0, 0, 0}, target.AsSlice(), []byte{2, 1}, m)
}

const markerSize = len("<spoofing 000000>")

func TestHubContainersCannotSpeakForOthers(t *testing.T) {
	s := newStage(t)
	n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24", "fd30:1::/64")})
	one, two, three := s.start(n), s.start(n), s.start(n)
	apart := s.start(s.network(network.Network{Name: "b", Subnets: subnets("172.30.2.0/24")}))
	const ip, ip6, arp, tag, icmp6 = unix.ETH_P_IP, unix.ETH_P_IPV6, unix.ETH_P_ARP, unix.ETH_P_8021Q, unix.IPPROTO_ICMPV6
	own, other := mac(one.lease.MAC), mac(three.lease.MAC)
	gateway, gateway6 := n.Subnet4().Gateway, n.Subnet6().Gateway
	foreign, foreign6 := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")
	me, me6, you, you6 := one.lease.IPv4, one.lease.IPv6, two.lease.IPv4, two.lease.IPv6
	third, third6 := three.lease.IPv4, three.lease.IPv6
	zero, any6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()

	frame := func(from []byte, kind int, payload []byte) []byte {
		return join(mac(two.lease.MAC), from, be16(kind), payload)
	}
	answer := func(told netip.Addr) []byte { return arpMessage(2, own, told, mac(two.lease.MAC), you) }
	ndp := func(kind byte, target netip.Addr) []byte {
		return ip6Packet(me6, you6, icmp6, advertisement(kind, target, own))
	}
	hidden := func(kind byte, target netip.Addr) []byte { // behind an empty hop-by-hop header
		return ip6Packet(me6, you6, 0, join([]byte{icmp6, 0, 1, 4, 0, 0, 0, 0}, advertisement(kind, target, own)))
	}
	tests := []struct {
		name   string
		frame  []byte
		passes bool
	}{
		{"own address", frame(own, ip, ip4Packet(me, you)), true},
		{"address of nobody here", frame(own, ip, ip4Packet(foreign, you)), true},
		{"another's address", frame(own, ip, ip4Packet(third, you)), false},
		{"address of another network", frame(own, ip, ip4Packet(apart.lease.IPv4, you)), false},
		{"gateway's address", frame(own, ip, ip4Packet(gateway, you)), false},
		{"another's MAC", frame(other, ip, ip4Packet(me, you)), false},
		{"another's MAC and address", frame(other, ip, ip4Packet(third, you)), false},
		{"nobody's MAC", frame(mac("02:00:00:00:00:77"), ip, ip4Packet(foreign, you)), false},
		{"other protocol", frame(own, 0x88b5, nil), true},
		{"other protocol, another's MAC", frame(other, 0x88b5, nil), false},

		{"ARP of own address", frame(own, arp, answer(me)), true},
		{"ARP probe", frame(own, arp, arpMessage(1, own, zero, make([]byte, 6), me)), true},
		{"ARP of another's address", frame(own, arp, answer(third)), false},
		{"ARP of the gateway's address", frame(own, arp, answer(gateway)), false},
		{"ARP of nobody's address", frame(own, arp, answer(foreign)), false},
		{"ARP of own address at another's MAC", frame(own, arp, arpMessage(2, other, me, mac(two.lease.MAC), you)), false},
		{"ARP probe with another's MAC", frame(own, arp, arpMessage(1, other, zero, make([]byte, 6), me)), false},
		{"ARP from another's MAC", frame(other, arp, answer(me)), false},
		{"ARP request as the gateway", frame(own, arp, arpMessage(1, own, gateway, make([]byte, 6), you)), false},
		{"ARP in VLAN 0", frame(own, tag, join(be16(0), be16(arp), answer(gateway))), false},
		{"ARP in VLAN 0 twice", frame(own, tag, join(be16(0), be16(tag), be16(0), be16(arp), answer(gateway))), false},
		{"ARP in provider's VLAN 0", frame(own, unix.ETH_P_8021AD, join(be16(0), be16(tag), be16(0), be16(arp), answer(gateway))), false},
		{"packet in VLAN 0 twice", frame(own, tag, join(be16(0), be16(tag), be16(0), be16(ip), ip4Packet(gateway, you))), false},

		{"own IPv6 address", frame(own, ip6, ip6Packet(me6, you6, 253, nil)), true},
		{"own link-local address", frame(own, ip6, ip6Packet(linkLocal(own), you6, 253, nil)), true},
		{"no IPv6 address", frame(own, ip6, ip6Packet(any6, you6, 253, nil)), true},
		{"IPv6 address of nobody here", frame(own, ip6, ip6Packet(foreign6, you6, 253, nil)), true},
		{"another's IPv6 address", frame(own, ip6, ip6Packet(third6, you6, 253, nil)), false},
		{"another's link-local address", frame(own, ip6, ip6Packet(linkLocal(other), you6, 253, nil)), false},
		{"gateway's IPv6 address", frame(own, ip6, ip6Packet(gateway6, you6, 253, nil)), false},
		{"gateway's link-local address", frame(own, ip6, ip6Packet(linkLocal(bridgeMAC(n)), you6, 253, nil)), false},
		{"IPv6, another's MAC", frame(other, ip6, ip6Packet(foreign6, you6, 253, nil)), false},
		{"neighbour advertisement of own address", frame(own, ip6, ndp(136, me6)), true},
		{"neighbour advertisement of own link-local address", frame(own, ip6, ndp(136, linkLocal(own))), true},
		{"neighbour advertisement of another's", frame(own, ip6, ndp(136, third6)), false},
		{"neighbour advertisement of the gateway's", frame(own, ip6, ndp(136, gateway6)), false},
		{"neighbour advertisement of nobody's", frame(own, ip6, ndp(136, foreign6)), false},
		{"hidden neighbour advertisement of own", frame(own, ip6, hidden(136, me6)), true},
		{"hidden neighbour advertisement of the gateway's", frame(own, ip6, hidden(136, gateway6)), false},
		{"router advertisement", frame(own, ip6, ndp(134, me6)), false},
		{"hidden router advertisement", frame(own, ip6, hidden(134, me6)), false},
		{"redirect", frame(own, ip6, ndp(137, me6)), false},
	}
	for i, passed := range two.hears(one, len(tests), func(i int) []byte { return tests[i].frame }) {
		if passed != tests[i].passes {
			t.Errorf("%s: passes is %v, want %v", tests[i].name, passed, tests[i].passes)
		}
	}
}

// hears sends frames, with a mark at the end, from another container to c, and
// reports which arrive. After each comes one that does.
func (c *container) hears(sender *container, count int, frame func(int) []byte) []bool {
	out, in := sender.packetSocket(), c.packetSocket()
	passing := join(mac(c.lease.MAC), mac(sender.lease.MAC), be16(0x88b5))
	buf, passed := make([]byte, 2048), make([]bool, count)
	for i := range passed {
		mark, last := fmt.Sprintf("<spoofing %6d>", i), fmt.Sprintf("<the end: %6d>", i)
		for _, b := range [][]byte{join(frame(i), []byte(mark)), join(passing, []byte(last))} {
			if _, err := unix.Write(out, b); err != nil {
				c.Fatalf("sending: %v", err)
			}
		}
		for {
			n, err := unix.Read(in, buf)
			if err != nil {
				c.Fatalf("waiting for the frame after number %d: %v", i, err)
			}
			passed[i] = passed[i] || bytes.Contains(buf[:n], []byte(mark))
			if bytes.Contains(buf[:n], []byte(last)) {
				break
			}
		}
	}
	return passed
}
