package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/bridge"
	"ctr/netns/relay"
)

// The hub's own place on the TAP device of pasta and slirp4netns. The subnet is a
// link-local one, so that it overlaps neither a network of the user's nor one that
// the host reaches; who looks at it are the two ends of the device.
const (
	hubMAC      = "02:42:a9:fe:4d:64"
	hubSubnet   = "169.254.77.0/24"
	hubAddress  = "169.254.77.100"
	hubGateway  = "169.254.77.2"
	pastaRange6 = "fd63:7472::" // of our choice
	slirpRange6 = "fd00::"      // libslirp knows no other
)

// makeDevice makes the uplink device of a link in the hub. It stays when the helper
// dies, and making it again changes nothing. The file is the device when that is what
// the helper serves (builtin), else nil.
func makeDevice(hub *os.File, link string, mtu int) (*os.File, error) {
	if link == Builtin {
		return openUp(hub, mtu)
	}
	if err := netns.Do(hub, func() error { return makeTap(link, mtu) }); err != nil {
		return nil, fmt.Errorf("making the network device %s: %w", bridge.Tap, err)
	}
	return nil, nil
}

// useDevice makes the device that is there the hub's way out. host is the host's own
// address, invalid when it has none.
func useDevice(hub *os.File, link string, host netip.Addr) error {
	if link == Builtin {
		return bridge.SetUplink(hub, bridge.Uplinked{Interface: bridge.Uplink})
	}
	return bridge.SetUplink(hub, bridge.Uplinked{
		Interface: bridge.Tap, Masquerade: true, HostAddress: host,
		Gateway4: netip.MustParseAddr(hubGateway), Gateway6: netip.MustParseAddr(range6(link) + "2"),
	})
}

// openUp opens the builtin link's device. A helper that has just died may hold it
// for a moment.
func openUp(hub *os.File, mtu int) (device *os.File, err error) {
	open := relay.OpenTUN
	if checkTun() != nil {
		open = relay.OpenVeth
	}
	err = whileBusy(func() error {
		device, err = open(hub, bridge.Uplink, mtu)
		return err
	})
	return device, err
}

func whileBusy(f func() error) error {
	for range 100 {
		if err := f(); !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
	return f()
}

// makeTap makes a persistent TAP device in the calling thread's network namespace,
// with the filter on what it lets out, which every program that opens it later inherits.
func makeTap(link string, mtu int) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	if _, err := h.LinkByName(bridge.Tap); errors.As(err, new(netlink.LinkNotFoundError)) {
		if err := openTap(bridge.Tap); err != nil {
			return err
		}
	}
	tap, err := h.LinkByName(bridge.Tap)
	if err != nil {
		return err
	}
	mac, err := net.ParseMAC(hubMAC)
	if err != nil {
		return err
	}
	if err := h.LinkSetHardwareAddr(tap, mac); err != nil {
		return fmt.Errorf("setting its hardware address: %w", err)
	}
	if err := h.LinkSetMTU(tap, mtu); err != nil {
		return fmt.Errorf("setting its MTU: %w", err)
	}
	if err := h.LinkSetUp(tap); err != nil {
		return fmt.Errorf("setting it up: %w", err)
	}
	place := hubPlace(link)
	if err := dropOthers(h, tap, place); err != nil {
		return err
	}
	for _, a := range place {
		if err := h.AddrReplace(tap, a); err != nil && !(a.IP.To4() == nil && noIPv6(err)) {
			return fmt.Errorf("giving it address %s: %w", a, err)
		}
	}
	return nil
}

// dropOthers takes from the device the addresses that another link gave it.
func dropOthers(h *netlink.Handle, tap netlink.Link, place []*netlink.Addr) error {
	present, err := h.AddrList(tap, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("listing its addresses: %w", err)
	}
	for _, a := range present {
		wanted := slices.ContainsFunc(place, func(w *netlink.Addr) bool { return w.IP.Equal(a.IP) })
		if wanted || a.IP.IsLinkLocalUnicast() && a.IP.To4() == nil {
			continue
		}
		if err := h.AddrDel(tap, &a); err != nil {
			return fmt.Errorf("removing address %s: %w", a, err)
		}
	}
	return nil
}

// noIPv6 reports whether an error says that the kernel is without IPv6.
func noIPv6(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EACCES)
}

func range6(link string) string {
	if link == Slirp4netns {
		return slirpRange6
	}
	return pastaRange6
}

func hubPlace(link string) []*netlink.Addr {
	return []*netlink.Addr{
		{IPNet: &net.IPNet{IP: net.ParseIP(hubAddress), Mask: net.CIDRMask(24, 32)}},
		{IPNet: &net.IPNet{IP: net.ParseIP(range6(link) + "100"), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD},
	}
}

func everything(family net.IP) *net.IPNet {
	if family.To4() != nil {
		return &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	}
	return &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
}

// openTap creates the device and leaves it to the namespace.
func openTap(name string) error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return err
	}
	if err := filterTap(fd); err != nil {
		return err
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("keeping it: %w", err)
	}
	return nil
}

// filterTap makes the kernel drop, before the program behind the device sees them,
// the frames with which a container reaches the host's loopback.
func filterTap(tap int) error {
	program := unix.SockFprog{Len: uint16(len(allowedFrames)), Filter: &allowedFrames[0]}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(tap), unix.TUNATTACHFILTER, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(&program)
	if errno != 0 {
		return fmt.Errorf("filtering what containers send: %w", errno)
	}
	return nil
}
