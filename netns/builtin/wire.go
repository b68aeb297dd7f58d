package builtin

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/containers/gvisor-tap-vsock/pkg/tap"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// wire carries frames between the TAP device and the stack.
type wire struct {
	network
	device   *os.File
	endpoint *tap.LinkEndpoint
	echoes   echoes
}

// mac is the gateway's. The network has one other host, so it need not be unique.
func (n network) mac() net.HardwareAddr {
	a := n.gateway.As4()
	return net.HardwareAddr{0x02, 0x42, a[0], a[1], a[2], a[3]}
}

// DeliverNetworkPacket sends a frame of the stack to the container. A frame that
// the device does not take is lost, as on any wire.
func (w *wire) DeliverNetworkPacket(_ tcpip.NetworkProtocolNumber, p *stack.PacketBuffer) {
	w.write(p.AsSlices()...)
}

func (w *wire) write(frame ...[]byte) {
	raw, err := w.device.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { unix.Writev(int(fd), frame) })
}

// receive hands the container's frames to the stack until the device is gone.
func (w *wire) receive() error {
	frame := make([]byte, header.EthernetMinimumSize+1<<16)
	for {
		size, err := w.device.Read(frame)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading from the TAP device: %w", err)
		}
		w.deliver(frame[:size])
	}
}

func (w *wire) deliver(frame []byte) {
	if len(frame) < header.EthernetMinimumSize {
		return
	}
	eth := header.Ethernet(frame)
	if dst := eth.DestinationAddress(); dst != w.endpoint.LinkAddress() && dst != header.EthernetBroadcastAddress {
		return
	}
	if eth.Type() == ipv4.ProtocolNumber && w.echoes.take(eth) {
		return
	}
	data := buffer.MakeWithData(frame[header.EthernetMinimumSize:])
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: data})
	w.endpoint.DeliverNetworkPacket(eth.Type(), p)
	p.DecRef()
}
