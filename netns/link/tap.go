package link

import (
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns"
)

// createTap makes l's interface in ns: a TAP device with address and default
// route, up. It exists as long as the returned file is open in some process.
func createTap(ns *os.File, l *Link) (tap *os.File, err error) {
	err = netns.Do(ns, func() error {
		if tap, err = openTap(); err != nil {
			return fmt.Errorf("creating interface %s: %w", Interface, err)
		}
		if err := configureTap(l); err != nil {
			tap.Close()
			return fmt.Errorf("configuring interface %s: %w", Interface, err)
		}
		return nil
	})
	return tap, err
}

func openTap() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ifr, err := unix.NewIfreq(Interface)
	if err == nil {
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

func configureTap(l *Link) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(Interface)
	if err != nil {
		return err
	}
	mac, err := net.ParseMAC(l.MAC)
	if err != nil {
		return err
	}
	if err := h.LinkSetHardwareAddr(link, mac); err != nil {
		return err
	}
	if err := h.LinkSetMTU(link, l.MTU); err != nil {
		return err
	}
	if err := h.LinkSetUp(link); err != nil {
		return err
	}
	address := &net.IPNet{IP: l.Address.AsSlice(), Mask: net.CIDRMask(l.Prefix.Bits(), 32)}
	if err := h.AddrAdd(link, &netlink.Addr{IPNet: address}); err != nil {
		return err
	}
	return h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: l.Gateway.AsSlice()})
}
