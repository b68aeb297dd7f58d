package link

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns"
)

// slirpOptions is what podman-run(1) calls the options of slirp4netns.
type slirpOptions struct {
	hostLoopback bool
	mtu          int
	subnet       netip.Prefix // invalid for a free one
	ipv6         bool
	outbound     []string // arguments
}

func parseSlirp(args []string, mtu int) (slirpOptions, error) {
	o := slirpOptions{mtu: mtu, ipv6: true}
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		var err error
		switch key {
		case "allow_host_loopback":
			o.hostLoopback, err = strconv.ParseBool(value)
		case "enable_ipv6":
			o.ipv6, err = strconv.ParseBool(value)
		case "mtu":
			o.mtu, err = strconv.Atoi(value)
			if err == nil && (o.mtu < 576 || o.mtu > 65521) {
				err = fmt.Errorf("not in 576-65521")
			}
		case "cidr":
			o.subnet, err = netip.ParsePrefix(value)
			if err == nil && (!o.subnet.Addr().Is4() || o.subnet.Bits() > 25 || o.subnet.Bits() < 8) {
				err = fmt.Errorf("not an IPv4 subnet of a size between /8 and /25")
			}
			o.subnet = o.subnet.Masked()
		case "outbound_addr", "outbound_addr6":
			if value == "" || strings.HasPrefix(value, "-") {
				err = fmt.Errorf("not an address or an interface")
			}
			o.outbound = append(o.outbound, "--"+strings.ReplaceAll(key, "_", "-"), value)
		case "port_handler":
			// Either way ctr itself relays the ports.
			if value != "rootlesskit" && value != "slirp4netns" {
				err = fmt.Errorf("use rootlesskit or slirp4netns")
			}
		default:
			return o, fmt.Errorf("unknown option %q of --network %s: use allow_host_loopback, cidr, enable_ipv6, mtu, outbound_addr, outbound_addr6 or port_handler", key, Slirp4netns)
		}
		if err != nil {
			return o, fmt.Errorf("option %s of --network %s: %q: %w", key, Slirp4netns, value, plain(err))
		}
	}
	return o, nil
}

// plain is an error of strconv or netip without what it repeats.
func plain(err error) error {
	if n, ok := err.(*strconv.NumError); ok {
		return n.Err
	}
	return err
}

func planSlirp(o Options) (plan, error) {
	s, err := parseSlirp(o.Args, o.MTU)
	if err != nil {
		return nil, err
	}
	return func(path string) (*Link, *exec.Cmd, func(*os.File), error) {
		host, err := lookAtHost()
		if err != nil {
			return nil, nil, nil, err
		}
		if s.subnet.IsValid() {
			host.subnet = s.subnet
		}
		l := host.link(Slirp4netns, s.mtu)
		args := []string{
			"--configure", "--mtu", strconv.Itoa(l.MTU), "--cidr", l.Prefix.String(), "--macaddress", l.MAC,
			"--enable-sandbox", "--enable-seccomp", "--ready-fd", "3", "--netns-type", "path",
		}
		if !s.hostLoopback {
			args = append(args, "--disable-host-loopback")
		}
		if s.ipv6 && host.ipv6 {
			args = append(args, "--enable-ipv6")
			l.Address6, l.Gateway6 = netip.MustParseAddr(slirpRange6+"100"), netip.MustParseAddr(slirpRange6+"2")
		}
		args = append(append(args, s.outbound...), "/proc/self/fd/0", Interface)
		cmd := exec.Command(path, args...)
		return l, cmd, func(w *os.File) { cmd.ExtraFiles = []*os.File{w} }, nil
	}, nil
}

// finishSlirp does what slirp4netns leaves undone.
func finishSlirp(ns *os.File, l *Link) error {
	if err := guardLoopback(l.child.pid); err != nil {
		return fmt.Errorf("keeping the container from the host's loopback: %w", err)
	}
	if !l.Address6.IsValid() {
		return nil
	}
	return netns.Do(ns, func() error { return giveIPv6(l) })
}

// giveIPv6 gives the container the address that it would otherwise learn some seconds
// later, and at random, from router advertisements.
func giveIPv6(l *Link) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	device, err := h.LinkByName(l.Interface)
	if err != nil {
		return err
	}
	address := &netlink.Addr{
		IPNet: &net.IPNet{IP: l.Address6.AsSlice(), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD,
	}
	if err := h.AddrReplace(device, address); err != nil {
		return fmt.Errorf("giving the container address %s: %w", l.Address6, err)
	}
	gateway := net.IP(l.Gateway6.AsSlice())
	route := &netlink.Route{LinkIndex: device.Attrs().Index, Gw: gateway, Dst: everything(gateway)}
	if err := h.RouteReplace(route); err != nil {
		return fmt.Errorf("adding the IPv6 default route: %w", err)
	}
	return nil
}
