package relay

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns"
)

// OpenTUN returns a TUN device in the namespace hub, without address or route, and up.
// It is made when it is not there and stays when its file is closed; the file may be
// passed to another process. One process at a time can have it open: the error for a
// second is EBUSY. See Documentation/networking/tuntap.rst of the kernel.
func OpenTUN(hub *os.File, name string, mtu int) (f *os.File, err error) {
	err = netns.Do(hub, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("opening /dev/net/tun: %w", err)
		}
		if err := setUpTUN(fd, name, mtu); err != nil {
			unix.Close(fd)
			return fmt.Errorf("setting up TUN device %s: %w", name, err)
		}
		f = os.NewFile(uintptr(fd), name)
		return nil
	})
	return f, err
}

func setUpTUN(fd int, name string, mtu int) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return fmt.Errorf("attaching: %w", err)
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("making it last: %w", err)
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	return setUp(h, name, mtu)
}

// OpenVeth returns a packet socket that does the same as [OpenTUN]'s device, on a
// machine that has no /dev/net/tun: the socket is bound to name+"p", the far end of a
// veth pair whose near end, name, is the hub's uplink. The hub sends every packet with
// its own hardware address as destination (there is no ARP), which is a stranger's
// at the far end: its IP stack drops it, the socket gets it.
func OpenVeth(hub *os.File, name string, mtu int) (f *os.File, err error) {
	err = netns.Do(hub, func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		if err := makePair(h, name, mtu); err != nil {
			return fmt.Errorf("setting up interfaces %s and %s: %w", name, name+"p", err)
		}
		fd, err := packetSocket(h, name+"p")
		if err != nil {
			return fmt.Errorf("opening a packet socket on %s: %w", name+"p", err)
		}
		f = os.NewFile(uintptr(fd), name)
		return nil
	})
	return f, err
}

// The hardware addresses of a veth pair, which nobody outside the hub sees. They are
// the same always so that whoever is passed the socket knows them.
var (
	nearAddress = [6]byte{0x02, 'c', 't', 'r', 0, 1}
	farAddress  = [6]byte{0x02, 'c', 't', 'r', 0, 2}
)

func makePair(h *netlink.Handle, name string, mtu int) error {
	pair := netlink.NewLinkAttrs()
	pair.Name = name
	err := h.LinkAdd(&netlink.Veth{LinkAttrs: pair, PeerName: name + "p"})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	for end, address := range map[string][6]byte{name: nearAddress, name + "p": farAddress} {
		link, err := h.LinkByName(end)
		if err != nil {
			return err
		}
		if err := h.LinkSetHardwareAddr(link, address[:]); err != nil {
			return fmt.Errorf("hardware address: %w", err)
		}
		if err := h.LinkSetARPOff(link); err != nil {
			return fmt.Errorf("turning ARP off: %w", err)
		}
		// Checksums left to hardware that is not there would never be computed.
		if err := noOffload(end); err != nil {
			return fmt.Errorf("turning checksum offload off: %w", err)
		}
		if err := setUp(h, end, mtu); err != nil {
			return err
		}
	}
	// Nothing of IPv6 is to live at the far end; a kernel without it has no such file.
	os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"p/disable_ipv6", []byte("1"), 0)
	return nil
}

// setUp gives the interface its MTU and no address, not even IPv6's own.
func setUp(h *netlink.Handle, name string, mtu int) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat("/proc/self/net/if_inet6"); err == nil {
		const none = 1 // IN6_ADDR_GEN_MODE_NONE
		if err := h.LinkSetIP6AddrGenMode(link, none); err != nil {
			return fmt.Errorf("IPv6: %w", err)
		}
	}
	if err := h.LinkSetMTU(link, mtu); err != nil {
		return fmt.Errorf("MTU %d: %w", mtu, err)
	}
	return h.LinkSetUp(link)
}

// noOffload is `ethtool -K name tx off`, which turns segmentation off too.
func noOffload(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	value := struct{ command, data uint32 }{unix.ETHTOOL_STXCSUM, 0}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return errno
	}
	return nil
}

func packetSocket(h *netlink.Handle, name string) (int, error) {
	link, err := h.LinkByName(name)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	const room = 4 << 20 // for a burst of large packets
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room)
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, room)
	err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: link.Attrs().Index})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
