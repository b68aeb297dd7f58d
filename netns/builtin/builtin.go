// Package builtin is the network helper that is part of ctr-full, for machines
// with neither pasta nor slirp4netns. It runs a TCP/IP stack (gvisor's, with the
// link and UDP proxy of gvisor-tap-vsock) on the container's TAP device and makes
// an ordinary socket of its own for each connection of the container.
//
// gvisor-tap-vsock's virtualnetwork is not used as a whole: it always brings a DHCP
// server and a resolver that answers six kinds of records, dials ten connections at
// a time, and lets the container connect to 0.0.0.0, which is the host's loopback.
package builtin

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"

	"github.com/containers/gvisor-tap-vsock/pkg/services/forwarder"
	"github.com/containers/gvisor-tap-vsock/pkg/tap"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const (
	nic   = 1
	tapFD = 3 // where the parent puts the TAP device
)

// network is what the container sees.
type network struct {
	subnet       netip.Prefix
	gateway, dns netip.Addr
	mtu          int
}

// Main serves the TAP device at descriptor 3 until it is gone or the process is
// killed, and returns the exit code. args are those of "ctr-full netns-helper".
func Main(args []string) int {
	n, err := parse(args)
	if err == nil {
		err = n.serve(tapFD)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func parse(args []string) (n network, err error) {
	flags := flag.NewFlagSet("netns-helper", flag.ContinueOnError)
	flags.TextVar(&n.subnet, "subnet", netip.Prefix{}, "the container's network")
	flags.TextVar(&n.gateway, "gateway", netip.Addr{}, "the gateway's address in it")
	flags.TextVar(&n.dns, "dns", netip.Addr{}, "the DNS forwarder's address in it")
	flags.IntVar(&n.mtu, "mtu", 65520, "the device's MTU")
	if err := flags.Parse(args); err != nil {
		return n, err
	}
	if !n.subnet.Addr().Is4() || !n.subnet.Contains(n.gateway) || !n.subnet.Contains(n.dns) || n.mtu < 576 || n.mtu > 65521 {
		return n, errors.New("netns-helper is started by ctr: it needs --subnet, --gateway, --dns and a TAP device at descriptor 3")
	}
	return n, nil
}

func (n network) serve(fd int) error {
	logrus.SetOutput(io.Discard) // a line per datagram that could not be sent would hide the reason of a death
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("taking the TAP device: %w", err)
	}
	device := os.NewFile(uintptr(fd), "tap")
	endpoint, err := tap.NewLinkEndpoint(false, uint32(n.mtu), n.mac().String(), n.gateway.String(), []string{n.dns.String()})
	if err != nil {
		return fmt.Errorf("making the link: %w", err)
	}
	w := &wire{network: n, device: device, endpoint: endpoint}
	w.echoes = echoes{wire: w, slots: make(chan struct{}, maxEchoes)}
	endpoint.Connect(w)
	s, err := n.stack(endpoint)
	if err != nil {
		return fmt.Errorf("making the network stack: %w", err)
	}
	if err := serveDNS(s, n.dns); err != nil {
		return fmt.Errorf("serving DNS: %w", err)
	}
	return w.receive()
}

// stack accepts packets for every address, so that it can answer for all of them.
func (n network) stack(endpoint stack.LinkEndpoint) (*stack.Stack, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	sack := tcpip.TCPSACKEnabled(true)
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack); err != nil {
		return nil, errors.New(err.String())
	}
	tcpForwarder := tcp.NewForwarder(s, 0, maxDials, forwardTCP)
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, n.guard(tcpForwarder.HandlePacket))
	udpForwarder := forwarder.UDP(s, nil, new(sync.Mutex), true)
	s.SetTransportProtocolHandler(udp.ProtocolNumber, n.guard(udpForwarder.HandlePacket))

	if err := s.CreateNIC(nic, endpoint); err != nil {
		return nil, errors.New(err.String())
	}
	for _, a := range []netip.Addr{n.gateway, n.dns} {
		address := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddrFrom4(a.As4()).WithPrefix()}
		if err := s.AddProtocolAddress(nic, address, stack.AddressProperties{}); err != nil {
			return nil, errors.New(err.String())
		}
	}
	if err := s.SetSpoofing(nic, true); err != nil {
		return nil, errors.New(err.String())
	}
	if err := s.SetPromiscuousMode(nic, true); err != nil {
		return nil, errors.New(err.String())
	}
	subnet := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(n.subnet.Addr().As4()), PrefixLen: n.subnet.Bits()}.Subnet()
	s.SetRouteTable([]tcpip.Route{{Destination: subnet, NIC: nic}})
	return s, nil
}

// guard refuses what the host must not be asked to connect to.
func (n network) guard(handle func(stack.TransportEndpointID, *stack.PacketBuffer) bool) func(stack.TransportEndpointID, *stack.PacketBuffer) bool {
	return func(id stack.TransportEndpointID, p *stack.PacketBuffer) bool {
		return n.outside(netip.AddrFrom4(id.LocalAddress.As4())) && handle(id, p)
	}
}

// outside reports whether a is a place beyond the helper. The host's loopback is
// not, under any of its names: to connect to 0.0.0.0 is to connect to 127.0.0.1.
func (n network) outside(a netip.Addr) bool {
	return !a.IsLoopback() && a.As4()[0] != 0 && !a.IsMulticast() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && !n.subnet.Contains(a)
}
