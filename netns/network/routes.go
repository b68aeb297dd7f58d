package network

import (
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
)

// HostRoute is a route of the host to a part of the address space.
type HostRoute struct {
	Destination netip.Prefix
	OnLink      bool // not through a gateway: the host itself is part of that network
}

// See include/uapi/linux/route.h.
const routeGateway = 0x2

// HostRoutes reads the routes of the main table in the calling thread's network
// namespace, of all interfaces but loopback. Default routes are left out, and those
// over half of the address space, which are a VPN's way to say default; so are
// link-local and multicast ones.
func HostRoutes() ([]HostRoute, error) {
	text, err := os.ReadFile("/proc/thread-self/net/route")
	if err != nil {
		return nil, fmt.Errorf("reading the host's routes: %w", err)
	}
	text6, err := os.ReadFile("/proc/thread-self/net/ipv6_route")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // there is none without IPv6
		return nil, fmt.Errorf("reading the host's IPv6 routes: %w", err)
	}
	return append(parseRoutes(text), parseRoutes6(text6)...), nil
}

// parseRoutes reads the kernel's /proc/net/route.
func parseRoutes(text []byte) (routes []HostRoute) {
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) < 8 {
			continue
		}
		dst, err1 := strconv.ParseUint(f[1], 16, 32)
		flags, err2 := strconv.ParseUint(f[3], 16, 32)
		mask, err3 := strconv.ParseUint(f[7], 16, 32)
		if err1 != nil || err2 != nil || err3 != nil {
			continue // headings
		}
		var a, m [4]byte // the numbers are words of memory in network order
		binary.NativeEndian.PutUint32(a[:], uint32(dst))
		binary.NativeEndian.PutUint32(m[:], uint32(mask))
		ones, _ := net.IPMask(m[:]).Size()
		if ones > 1 {
			routes = append(routes, HostRoute{netip.PrefixFrom(netip.AddrFrom4(a), ones).Masked(), flags&routeGateway == 0})
		}
	}
	return routes
}

// parseRoutes6 reads the kernel's /proc/net/ipv6_route.
func parseRoutes6(text []byte) (routes []HostRoute) {
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) < 10 || f[9] == "lo" {
			continue
		}
		dst, err1 := hex.DecodeString(f[0])
		bits, err2 := strconv.ParseUint(f[1], 16, 8)
		flags, err3 := strconv.ParseUint(f[8], 16, 32)
		a, ok := netip.AddrFromSlice(dst)
		if err1 != nil || err2 != nil || err3 != nil || !ok || !a.Is6() || bits > 128 {
			continue
		}
		// 2000::/3 is all that is routed in the internet
		if bits > 3 && !a.IsLinkLocalUnicast() && !a.IsMulticast() {
			routes = append(routes, HostRoute{netip.PrefixFrom(a, int(bits)).Masked(), flags&routeGateway == 0})
		}
	}
	return routes
}

// hostResolvers are the name servers of resolv.conf(5), as the file has them. A
// network over the address of one would cut the host from it.
func hostResolvers(path string) (servers []netip.Prefix) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			a = a.WithZone("").Unmap()
			servers = append(servers, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return servers
}
