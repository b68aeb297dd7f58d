package ports

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// flow is a client of a UDP port: a socket in the hub, connected to the container.
type flow struct {
	silence
	key    flowKey
	port   *udpPort
	to     netip.AddrPort
	file   *os.File
	raw    syscall.RawConn
	source []byte // control message that has a reply leave from the address the client knows
}

// newFlow makes the client's socket; the caller starts replies.
func newFlow(s *service, p *udpPort, key flowKey) (*flow, error) {
	way, ok := s.route(key.client.Addr())
	if !ok {
		return nil, errors.New("the container has no address")
	}
	f := &flow{key: key, port: p, to: netip.AddrPortFrom(way.to, p.target), source: packetInfo(key.local)}
	fd, err := f.connect(s, way)
	if err != nil {
		return nil, fmt.Errorf("reaching the container at %s: %w", f.to, err)
	}
	f.file = os.NewFile(uintptr(fd), "socket")
	f.raw, err = f.file.SyscallConn()
	if err != nil {
		f.file.Close()
		return nil, fmt.Errorf("reaching the container at %s: %w", f.to, err)
	}
	return f, nil
}

func (f *flow) connect(s *service, way route) (int, error) {
	err := errors.New("it has no route")
	for _, source := range way.sources(f.key.client) {
		var fd int
		fd, err = socket(s.Dialer, unix.SOCK_DGRAM, way.to, source, way.transparent)
		if err == nil {
			if err = unix.Connect(fd, sockaddr(f.to)); err == nil {
				return fd, nil
			}
			unix.Close(fd)
		}
		if !taken(err) {
			break
		}
	}
	return -1, err
}

// send sends to the container; a full queue loses the datagram.
func (f *flow) send(datagram []byte) error {
	var err error
	failed := f.raw.Control(func(fd uintptr) {
		_, err = unix.SendmsgN(int(fd), datagram, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	})
	if failed != nil {
		return failed
	}
	return err
}

// replies passes on what the container sends, until the flow is closed.
func (f *flow) replies() {
	for f.raw.Read(func(fd uintptr) bool { return f.receive(int(fd)) }) == nil {
	}
}

func (f *flow) receive(fd int) bool {
	buffer := datagrams.Get().(*[maxDatagram]byte)
	defer datagrams.Put(buffer)
	for range burst {
		n, from, err := unix.Recvfrom(fd, buffer[:], unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			return false
		}
		// Before the socket was connected it took datagrams from anyone in the hub.
		if err != nil || addrPort(from) != f.to {
			continue
		}
		f.heard()
		f.answered.Store(true)
		f.port.WriteMsgUDPAddrPort(buffer[:n], f.source, f.key.client)
	}
	return true
}

// Close ends the flow.
func (f *flow) Close() error { return f.file.Close() }

// destination reads the address that a datagram was sent to from its control
// messages: see IP_PKTINFO in ip(7) and IPV6_PKTINFO in ipv6(7).
func destination(oob []byte) netip.Addr {
	for len(oob) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		switch {
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(data[4:8])) // ipi_spec_dst
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(data[:16]))
		}
		oob = rest
	}
	return netip.Addr{}
}

// packetInfo is a control message that sets a datagram's source address.
func packetInfo(source netip.Addr) []byte {
	switch {
	case source.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: source.As4()})
	case source.Is6():
		return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: source.As16()})
	}
	return nil
}
