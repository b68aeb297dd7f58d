package bridge

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/internal/world"
	"ctr/netns/lease"
	"ctr/netns/network"
	"ctr/pkg/process"
)

func TestHubContainersOfANetworkReachEachOtherAndTheirGateway(t *testing.T) {
	s := newStage(t)
	n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24")})
	one, two := s.start(n), s.start(n)
	listen(t, two.ns, at(two.lease.IPv4, 80))
	one.reaches(at(two.lease.IPv4, 80)) // at once: no packet may be lost after Attach
	if err := one.ping(n.Subnets[0].Gateway); err != nil {
		t.Error(err)
	}
	routes := one.command("ip", "-o", "route")
	for _, want := range []string{"default via 172.30.1.1 dev eth0", "172.30.1.0/24 dev eth0"} {
		if !strings.Contains(routes, want) {
			t.Errorf("no route %q in\n%s", want, routes)
		}
	}
	if out := one.command("ip", "-6", "addr", "show", "eth0"); out != "" {
		t.Errorf("eth0 has IPv6 on a network without:\n%s", out)
	}
	if out := one.command("ip", "link", "show", "eth0"); !strings.Contains(out, one.lease.MAC) {
		t.Errorf("eth0 has not the lease's MAC %s:\n%s", one.lease.MAC, out)
	}
}

func TestHubNetworksAreApart(t *testing.T) {
	s := newStage(t)
	one := s.start(s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24", "fd30:1::/64")}))
	two := s.start(s.network(network.Network{Name: "b", Subnets: subnets("172.30.2.0/24", "fd30:2::/64")}))
	third := s.start(one.n)
	for _, a := range []netip.Addr{two.lease.IPv4, two.lease.IPv6} {
		listen(t, two.ns, at(a, 80))
		one.cannotReach(at(a, 80))
		if one.ping(a) == nil {
			t.Errorf("ping reaches %v", a)
		}
	}
	for _, a := range []netip.Addr{third.lease.IPv4, third.lease.IPv6} {
		listen(t, third.ns, at(a, 80))
		one.reaches(at(a, 80))
	}
}

func TestHubInternalNetworkReachesOnlyItself(t *testing.T) {
	s := newStage(t)
	n := s.network(network.Network{Name: "in", Internal: true, Subnets: subnets("172.30.1.0/24")})
	one, two := s.start(n), s.start(n)
	listen(t, two.ns, at(two.lease.IPv4, 80))
	one.reaches(at(two.lease.IPv4, 80))
	if out := one.command("ip", "route"); strings.Contains(out, "default") {
		t.Errorf("a default route on an internal network:\n%s", out)
	}
	// nor when the container makes one
	one.command("ip", "route", "add", "default", "via", "172.30.1.1")
	outside := s.outside()
	listen(t, outside, at(outsideAddr, 80))
	one.cannotReach(at(outsideAddr, 80))
}

func TestHubWithoutICCContainersAreApart(t *testing.T) {
	s := newStage(t)
	n := s.network(network.Network{Name: "noicc", Subnets: subnets("172.30.1.0/24"), Options: map[string]string{"com.docker.network.bridge.enable_icc": "false"}})
	one, two := s.start(n), s.start(n)
	listen(t, two.ns, at(two.lease.IPv4, 80))
	one.cannotReach(at(two.lease.IPv4, 80))
	if err := one.ping(n.Subnets[0].Gateway); err != nil {
		t.Error(err)
	}
	// nor by way of the gateway
	for _, c := range []*container{one, two} {
		c.command("ip", "route", "del", "172.30.1.0/24")
		c.command("ip", "route", "add", "172.30.1.1", "dev", "eth0")
		c.command("ip", "route", "add", "172.30.1.0/24", "via", "172.30.1.1")
	}
	one.cannotReach(at(two.lease.IPv4, 80))
}

func TestHubBridgesOfNetworksThatAreNoMore(t *testing.T) {
	s := newStage(t)
	for range 3 {
		n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24")})
		one, two := s.start(n), s.start(n)
		listen(t, two.ns, at(two.lease.IPv4, 80))
		one.reaches(at(two.lease.IPv4, 80))
		if err := one.ping(n.Subnets[0].Gateway); err != nil {
			t.Error(err)
		}
		one.stop()
		two.stop()
		if err := s.networks.Remove(n); err != nil {
			t.Fatal(err)
		}
	}
	if out, _ := world.Output(s.hub.NS(), "ip", "-o", "addr"); strings.Count(out, "172.30.1.1/24") > 1 {
		t.Errorf("the address of the gateway more than once:\n%s", out)
	}
}

// TestHubManyAtOnce has many processes' worth of hubs attach and leave together, the
// first and the last among them.
func TestHubManyAtOnce(t *testing.T) {
	s := newStage(t)
	n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24", "fd30:1::/64")})
	const many, rounds = 8, 5
	failed := make(chan error, many)
	for range many {
		go func() {
			failed <- func() error {
				h, err := Open(s.run, s.leases, s.networks)
				if err != nil {
					return err
				}
				defer h.Close()
				for range rounds {
					l, err := s.leases.Take(n, lease.Lease{Container: randomID(), Holder: process.This(), HubFD: h.FD()})
					if err != nil {
						return err
					}
					ns, err := netns.New()
					if err != nil {
						return err
					}
					defer ns.Close()
					if err := h.Attach(ns, n, l, Attachment{Interface: "eth0", Default4: true}); err != nil {
						return err
					}
					if out, err := world.Output(ns, "ping", "-c1", "-W5", n.Subnet4().Gateway.String()); err != nil {
						return fmt.Errorf("%w: %s", err, out)
					}
					err = errors.Join(h.Detach(ns, n, l, "eth0"), s.leases.Release(n.ID, l.Container), h.Left(n))
					if err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range many {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if !s.hub.Root() {
		return
	}
	if out, _ := world.Output(s.hub.NS(), "nft", "list", "tables"); strings.Contains(out, "ctr") {
		t.Errorf("tables after the last left:\n%s", out)
	}
}

func TestHubIPv6(t *testing.T) {
	s := newStage(t)
	n := s.network(network.Network{Name: "six", IPv6: true, Subnets: subnets("172.30.1.0/24", "fd30:1::/64")})
	one, two := s.start(n), s.start(n)
	listen(t, two.ns, at(two.lease.IPv6, 80))
	one.reaches(at(two.lease.IPv6, 80))
	if err := one.ping(n.Subnet6().Gateway); err != nil {
		t.Error(err)
	}
	if out := one.command("ip", "-6", "route"); !strings.Contains(out, "default via fd30:1::1 dev eth0") {
		t.Errorf("no default route:\n%s", out)
	}
	// an interface of another network without IPv6 has none
	four := s.network(network.Network{Name: "four", Subnets: subnets("172.30.2.0/24")})
	l := s.take(four, lease.Lease{})
	o := Attachment{Interface: "eth1"}
	if err := s.hub.Attach(one.ns, four, l, o); err != nil {
		t.Fatal(err)
	}
	if out := one.command("ip", "-6", "addr", "show", "eth1"); out != "" {
		t.Errorf("eth1 has IPv6 on a network without:\n%s", out)
	}
	if err := s.hub.SetDefault(one.ns, four, l, Attachment{Interface: "eth1", Default4: true}); err != nil {
		t.Fatal(err)
	}
	if out := one.command("ip", "route", "show", "default"); !strings.Contains(out, "via 172.30.2.1 dev eth1") || strings.Contains(out, "eth0") {
		t.Errorf("default route after SetDefault:\n%s", out)
	}
	second := &container{stage: s, ns: one.ns, n: four, lease: l, o: o}
	second.stop()
	if _, err := world.Output(one.ns, "ip", "link", "show", "eth1"); err == nil {
		t.Error("eth1 is there after Detach")
	}
}

func TestHubsOwnPortsAreClosedToContainers(t *testing.T) {
	s := newStage(t)
	if s.hub.Root() {
		t.Skip("as root the hub is the host, which containers may reach, as with Docker")
	}
	n := s.network(network.Network{Name: "a", IPv6: true, Subnets: subnets("172.30.1.0/24", "fd30:1::/64")})
	one := s.start(n)
	for _, port := range []uint16{TransparentPort, 8000} {
		listen(t, s.hub.NS(), at(netip.IPv4Unspecified(), port))
		for _, a := range []string{"172.30.1.1", "127.0.0.1", "198.51.100.9"} {
			if a == "127.0.0.1" {
				continue
			}
			if err := dial(one.ns, at(netip.MustParseAddr(a), port), never); err == nil {
				t.Errorf("a container can connect to %s port %d", a, port)
			}
		}
		if err := dial(one.ns, at(n.Subnet4().Gateway, port), soon); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("port %d of the gateway: %v, want it refused", port, err)
		}
	}
	listen(t, s.hub.NS(), at(netip.IPv6Unspecified(), 8001))
	if err := dial(one.ns, at(n.Subnet6().Gateway, 8001), soon); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("IPv6: %v, want it refused", err)
	}
}

func TestHubSocketsHaveTheClientsAddress(t *testing.T) {
	s := newStage(t)
	n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24")})
	one := s.start(n)
	listen(t, one.ns, at(one.lease.IPv4, 80))
	for _, client := range []string{"192.0.2.7", "172.30.1.1"} {
		from, _ := sockaddr(at(netip.MustParseAddr(client), 0))
		to, _ := sockaddr(at(one.lease.IPv4, 80))
		fd, err := s.hub.Socket(unix.AF_INET, unix.SOCK_STREAM, func(fd int) error {
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 5})
			if err := unix.Bind(fd, from); err != nil {
				return err
			}
			return unix.Connect(fd, to)
		})
		if err != nil {
			t.Errorf("connecting as %s: %v", client, err)
			continue
		}
		unix.Close(fd)
	}
}

func TestHubSettingsOfAnInterface(t *testing.T) {
	s := newStage(t)
	n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24"), Routes: []network.Route{
		{Destination: netip.MustParsePrefix("10.9.0.0/16"), Gateway: netip.MustParseAddr("172.30.1.77"), Metric: 7},
	}})
	ns, l := s.namespace(), s.take(n, lease.Lease{})
	c := &container{stage: s, ns: ns, n: n, lease: l, o: Attachment{
		Interface: "net7", Sysctls: map[string]string{"net.ipv4.conf.IFNAME.log_martians": "1"},
	}}
	if err := s.hub.Attach(ns, n, l, c.o); err != nil {
		t.Fatal(err)
	}
	defer c.stop()
	if v := c.command("cat", "/proc/sys/net/ipv4/conf/net7/log_martians"); v != "1\n" {
		t.Errorf("log_martians is %q", v)
	}
	if out := c.command("ip", "route"); !strings.Contains(out, "10.9.0.0/16 via 172.30.1.77 dev net7 metric 7") || strings.Contains(out, "default") {
		t.Errorf("routes:\n%s", out)
	}
	// a second time it is refused, as is a setting of something else, and nothing is left of it
	if err := s.hub.Attach(ns, n, l, c.o); err == nil {
		t.Error("attached twice")
	}
	other := s.take(n, lease.Lease{})
	defer s.leases.Release(n.ID, other.Container)
	for _, bad := range []string{"net.ipv4.ip_forward", "net.ipv4.conf.all.rp_filter", "net.ipv4...IFNAME.x", "kernel.a.b.IFNAME.c", "net.ipv4.conf.IFNAME.nonesuch"} {
		o := Attachment{Interface: "net8", Sysctls: map[string]string{bad: "1"}}
		if err := s.hub.Attach(ns, n, other, o); err == nil {
			t.Errorf("setting %q was accepted", bad)
		}
		if _, err := world.Output(ns, "ip", "link", "show", "net8"); err == nil {
			t.Errorf("net8 is there after a refused Attach")
		}
	}
}

func TestHubBadAttachments(t *testing.T) {
	s := newStage(t)
	n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24")})
	ns, l := s.namespace(), s.take(n, lease.Lease{})
	defer func() {
		if err := errors.Join(s.leases.Release(n.ID, l.Container), s.hub.Left(n)); err != nil {
			t.Error(err)
		}
	}()
	for _, name := range []string{"", "a/b", "interfacenametoolong", "..", "lo"} {
		if err := s.hub.Attach(ns, n, l, Attachment{Interface: name}); err == nil {
			t.Errorf("interface name %q was accepted", name)
		}
	}
	if !s.hub.Root() {
		m := *n
		m.Driver = network.Macvlan
		err := s.hub.Attach(ns, &m, l, Attachment{Interface: "eth0"})
		if err == nil || !strings.Contains(err.Error(), "root") {
			t.Errorf("macvlan as a user: %v", err)
		}
	}
}

var outsideAddr = netip.MustParseAddr(outsideAddress)

// outside is a namespace that the hub routes to: behind the host's uplink, or behind
// a device by the name of the built-in link's.
func (s *stage) outside() *os.File {
	ns := s.namespace()
	in, out := "host0", "host1"
	hub := s.hub.NS()
	if !s.hub.Root() {
		in, out = Uplink, "out0"
		if text, err := world.Output(hub, "ip", "link", "add", in, "type", "veth", "peer", "name", out); err != nil {
			s.Fatal(text)
		}
		if text, err := world.Output(hub, "sh", "-ec", "ip addr add "+hostAddress+"/24 dev "+in+"; ip link set "+in+" up"); err != nil {
			s.Fatal(text)
		}
		s.Cleanup(func() { world.Output(hub, "ip", "link", "del", in) })
	} else {
		s.Cleanup(func() {
			world.Output(ns, "ip", "link", "set", out, "netns", "/proc/"+strconv.Itoa(os.Getpid())+"/fd/"+strconv.Itoa(int(hub.Fd())))
			world.Output(hub, "ip", "link", "set", out, "up")
		})
	}
	to := "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(ns.Fd()))
	if text, err := world.Output(hub, "ip", "link", "set", out, "netns", to); err != nil {
		s.Fatal(text)
	}
	script := "ip addr add " + outsideAddress + "/24 dev " + out + "; ip link set " + out + " up; ip route add default via " + hostAddress
	if text, err := world.Output(ns, "sh", "-ec", script); err != nil {
		s.Fatal(text)
	}
	if !s.hub.Root() {
		err := SetUplink(hub, Uplinked{Interface: Uplink, Gateway4: outsideAddr})
		if err != nil {
			s.Fatal(err)
		}
	}
	return ns
}
