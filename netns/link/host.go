package link

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hostNetwork is what matters of the network outside the container.
type hostNetwork struct {
	subnet   netip.Prefix // free for a container
	address  netip.Addr   // the host's own; invalid when it has only loopback
	ipv6     bool         // there is an IPv6 default route
	fallback string       // an interface that is up, when there is no default route
}

// lookAtHost reads the routes of the calling thread's network namespace.
func lookAtHost() (hostNetwork, error) {
	text, err := os.ReadFile("/proc/thread-self/net/route")
	if err != nil {
		return hostNetwork{}, fmt.Errorf("reading the host's routes: %w", err)
	}
	text6, err := os.ReadFile("/proc/thread-self/net/ipv6_route")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return hostNetwork{}, fmt.Errorf("reading the host's IPv6 routes: %w", err)
	}
	routes, hasDefault := parseRoutes(text)
	h := hostNetwork{subnet: freeSubnet(routes), ipv6: hasDefaultRoute6(text6)}
	h.address = sourceAddress()
	if !hasDefault || !h.address.IsValid() {
		name, addr := firstInterface()
		if !hasDefault {
			h.fallback = name
		}
		if !h.address.IsValid() {
			h.address = addr
		}
	}
	return h, nil
}

// link is what the named helper will give the container in this network.
func (h hostNetwork) link(helper string, mtu int) *Link {
	base := h.subnet.Addr().As4()
	at := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{base[0], base[1], base[2], n}) }
	address := at(100)
	a := address.As4()
	return &Link{
		Helper: helper, Interface: Interface, Address: address, Prefix: h.subnet, Gateway: at(2), DNS: []netip.Addr{at(3)},
		HostGateway: h.address, MTU: mtu,
		MAC: fmt.Sprintf("02:42:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3]),
	}
}

// parseRoutes reads the kernel's /proc/net/route: the destinations of all routes
// but the default ones, and whether there is a default route.
func parseRoutes(text []byte) (routes []netip.Prefix, hasDefault bool) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Scan() // headings
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 8 {
			continue
		}
		dst, err1 := strconv.ParseUint(f[1], 16, 32)
		mask, err2 := strconv.ParseUint(f[7], 16, 32)
		if err1 != nil || err2 != nil {
			continue
		}
		if mask == 0 {
			hasDefault = true
			continue
		}
		var a, m [4]byte // the numbers are words of memory in network order
		binary.NativeEndian.PutUint32(a[:], uint32(dst))
		binary.NativeEndian.PutUint32(m[:], uint32(mask))
		ones, _ := net.IPMask(m[:]).Size()
		routes = append(routes, netip.PrefixFrom(netip.AddrFrom4(a), ones))
	}
	return routes, hasDefault
}

// freeSubnet is the first of some private networks that overlaps no route, so
// that a container does not lose a network that the host reaches.
func freeSubnet(routes []netip.Prefix) netip.Prefix {
	for _, block := range []struct{ a, b byte }{{10, 0}, {172, 29}, {192, 168}, {198, 18}} {
		for c := byte(2); c < 255; c++ {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{block.a, block.b, c, 0}), 24)
			if !overlapsAny(p, routes) {
				return p
			}
		}
	}
	return netip.MustParsePrefix("10.0.2.0/24")
}

func overlapsAny(p netip.Prefix, routes []netip.Prefix) bool {
	for _, r := range routes {
		// A route that covers half the address space is a VPN's way to say default.
		if r.Bits() > 1 && r.Overlaps(p) {
			return true
		}
	}
	return false
}

// hasDefaultRoute6 reads the kernel's /proc/net/ipv6_route.
func hasDefaultRoute6(text []byte) bool {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[1] != "00" || f[9] == "lo" {
			continue
		}
		if dst, err := hex.DecodeString(f[0]); err == nil && bytes.Equal(dst, make([]byte, 16)) {
			return true
		}
	}
	return false
}

// ownAddress is the address at which containers find the host; invalid when it has
// only loopback.
func ownAddress() netip.Addr {
	if a := sourceAddress(); a.IsValid() {
		return a
	}
	_, a := firstInterface()
	return a
}

// sourceAddress is the address that the host uses towards the outside. Connecting
// a datagram socket sends nothing.
func sourceAddress() netip.Addr {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.Addr{}
	}
	defer unix.Close(fd)
	outside := &unix.SockaddrInet4{Addr: [4]byte{198, 51, 100, 1}, Port: 9} // reserved for documentation
	if unix.Connect(fd, outside) != nil {
		return netip.Addr{}
	}
	local, err := unix.Getsockname(fd)
	if err != nil {
		return netip.Addr{}
	}
	in4, ok := local.(*unix.SockaddrInet4)
	if !ok || in4.Addr[0] == 127 {
		return netip.Addr{}
	}
	return netip.AddrFrom4(in4.Addr)
}

// firstInterface is an interface other than loopback that is up and has an IPv4 address.
func firstInterface() (string, netip.Addr) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return "", netip.Addr{}
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			if ip, ok := netip.AddrFromSlice(n.IP.To4()); ok && ip.IsGlobalUnicast() {
				return i.Name, ip
			}
		}
	}
	return "", netip.Addr{}
}
