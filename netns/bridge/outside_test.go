package bridge

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/internal/world"
	"ctr/netns/lease"
	"ctr/netns/network"
)

// clientOf connects from the container to a listener in ns at to, and returns what
// address the listener sees.
func (c *container) clientOf(ns *os.File, bind, to netip.AddrPort) (netip.Addr, error) {
	addr, domain := sockaddr(bind)
	fd := -1
	err := netns.Do(ns, func() (err error) {
		if fd, err = unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
		return errors.Join(unix.Bind(fd, addr), unix.Listen(fd, 1))
	})
	if err != nil {
		return netip.Addr{}, err
	}
	defer unix.Close(fd)
	if err := dial(c.ns, to, soon); err != nil {
		return netip.Addr{}, err
	}
	conn, from, err := unix.Accept(fd)
	if err != nil {
		return netip.Addr{}, err
	}
	unix.Close(conn)
	return addressOf(from), nil
}

func addressOf(sa unix.Sockaddr) netip.Addr {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(a.Addr)
	}
	return netip.Addr{}
}

func TestHubAsRootTheOutside(t *testing.T) {
	s := newStage(t)
	if !s.hub.Root() {
		t.Skip("as a user the link decides")
	}
	outside := s.outside()
	for _, test := range []struct {
		option, value string
		sees          func(*container) string
		enters        bool
	}{
		{sees: func(*container) string { return hostAddress }},
		{"com.docker.network.bridge.enable_ip_masquerade", "false", func(c *container) string { return c.lease.IPv4.String() }, false},
		{"com.docker.network.bridge.gateway_mode_ipv4", "routed", func(c *container) string { return c.lease.IPv4.String() }, false},
		{"com.docker.network.bridge.gateway_mode_ipv4", "nat-unprotected", func(*container) string { return hostAddress }, true},
		{"com.docker.network.bridge.trusted_host_interfaces", "host0", func(*container) string { return hostAddress }, true},
		{"com.docker.network.host_ipv4", "198.51.100.3", func(*container) string { return "198.51.100.3" }, false},
	} {
		t.Run(strings.TrimPrefix(test.option, "com.docker.network."), func(t *testing.T) {
			world.Output(s.hub.NS(), "ip", "addr", "add", "198.51.100.3/24", "dev", "host0")
			s := &stage{TB: t, run: s.run, networks: s.networks, leases: s.leases, hub: s.hub}
			options := map[string]string{}
			if test.option != "" {
				options[test.option] = test.value
			}
			n := s.network(network.Network{Name: "outside", Subnets: subnets("172.30.1.0/24"), Options: options})
			defer s.networks.Remove(n)
			one := s.start(n)
			from, err := one.clientOf(outside, at(outsideAddr, 80), at(outsideAddr, 80))
			if err != nil || from.String() != test.sees(one) {
				t.Errorf("outside sees %v (%v), want %s", from, err, test.sees(one))
			}
			listen(t, one.ns, at(one.lease.IPv4, 80))
			err = dial(outside, at(one.lease.IPv4, 80), never)
			if entered := err == nil; entered != test.enters {
				t.Errorf("outside connects to the container: %v (%v), want %v", entered, err, test.enters)
			}
			if err := dial(s.hub.NS(), at(one.lease.IPv4, 80), soon); err != nil {
				t.Errorf("the host cannot connect to the container: %v", err)
			}
		})
	}
}

func TestHubAsRootLeavesNothingBehind(t *testing.T) {
	s := newStage(t)
	if !s.hub.Root() {
		t.Skip("a made hub ends as a whole")
	}
	look := func() string {
		out, err := world.Output(s.hub.NS(), "sh", "-c", "ip -br link; ip rule; ip -6 rule; ip route show table 25460; ip -6 route show table 25460; nft list tables; iptables -S")
		if err != nil {
			t.Fatal(out)
		}
		return out
	}
	before := look()
	a := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24", "fd30:1::/64")})
	b := s.network(network.Network{Name: "b", Subnets: subnets("172.30.2.0/24")})
	one, two, three := s.start(a), s.start(a), s.start(b)
	if look() == before {
		t.Fatal("nothing changed, so there is nothing to test")
	}
	one.stop()
	two.stop()
	if out := look(); strings.Contains(out, a.BridgeName()) || !strings.Contains(out, b.BridgeName()) {
		t.Errorf("with a container on network b alone:\n%s", out)
	}
	if out, _ := world.Output(s.hub.NS(), "nft", "list", "table", "inet", "ctr"); strings.Contains(out, a.BridgeName()) || strings.Contains(out, "172.30.1.") {
		t.Errorf("rules of network a are left:\n%s", out)
	}
	listen(t, three.ns, at(three.lease.IPv4, 80))
	if err := dial(s.hub.NS(), at(three.lease.IPv4, 80), soon); err != nil {
		t.Errorf("network b does not work any more: %v", err)
	}
	three.stop()
	if after := look(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestHubBridgeOfTheUsersStays(t *testing.T) {
	s := newStage(t)
	if !s.hub.Root() {
		t.Skip("a user has no bridge in the hub")
	}
	world.Output(s.hub.NS(), "ip", "link", "add", "mine0", "type", "bridge")
	defer world.Output(s.hub.NS(), "ip", "link", "del", "mine0")
	n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24"), Options: map[string]string{"com.docker.network.bridge.name": "mine0"}})
	one := s.start(n)
	if err := one.ping(n.Subnet4().Gateway); err != nil {
		t.Error(err)
	}
	one.stop()
	if out, err := world.Output(s.hub.NS(), "ip", "link", "show", "mine0"); err != nil {
		t.Errorf("the user's bridge is gone: %s", out)
	}
}

func TestHubBesideIptables(t *testing.T) {
	s := newStage(t)
	if !s.hub.Root() {
		t.Skip("nobody else writes rules in a made hub")
	}
	if _, err := world.Output(s.hub.NS(), "iptables", "-V"); err != nil {
		t.Skip("iptables is not installed")
	}
	outside := s.outside()
	for _, chain := range []string{"DOCKER-USER", "FORWARD"} {
		t.Run(chain, func(t *testing.T) {
			s := &stage{TB: t, run: s.run, networks: s.networks, leases: s.leases, hub: s.hub}
			script := "iptables -P FORWARD DROP; iptables -A FORWARD -i nonesuch -j ACCEPT"
			if chain == "DOCKER-USER" {
				script = "iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN; iptables -A FORWARD -j DOCKER-USER; " + script
			}
			if out, err := world.Output(s.hub.NS(), "sh", "-ec", script); err != nil {
				t.Fatal(out)
			}
			defer world.Output(s.hub.NS(), "sh", "-c", "iptables -P FORWARD ACCEPT; iptables -F; iptables -X")
			list := func() string {
				out, err := world.Output(s.hub.NS(), "iptables", "-S")
				if err != nil {
					t.Fatal(out)
				}
				return out
			}
			before := list()
			n := s.network(network.Network{Name: chain, Subnets: subnets("172.30.1.0/24")})
			defer s.networks.Remove(n)
			one, two := s.start(n), s.start(n)
			listen(t, outside, at(outsideAddr, 81))
			one.reaches(at(outsideAddr, 81))
			listen(t, two.ns, at(two.lease.IPv4, 80))
			one.reaches(at(two.lease.IPv4, 80))
			rules := list()
			for _, flag := range []string{"-i", "-o"} {
				if want := "-A " + chain + " " + flag + " " + n.BridgeName() + " -j ACCEPT\n"; strings.Count(rules, want) != 1 {
					t.Errorf("not once %q in\n%s", want, rules)
				}
			}
			if err := s.hub.Reload(); err != nil {
				t.Error(err)
			}
			if again := list(); again != rules {
				t.Errorf("Reload changed iptables from\n%sto\n%s", rules, again)
			}
			one.stop()
			two.stop()
			if after := list(); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

func TestHubMacvlan(t *testing.T) {
	s := newStage(t)
	if !s.hub.Root() {
		t.Skip("needs an interface of the host")
	}
	outside := s.outside()
	listen(t, outside, at(outsideAddr, 82))
	n := s.network(network.Network{Name: "mac", Driver: network.Macvlan, Interface: "host0", Subnets: []network.Subnet{
		{Subnet: netip.MustParsePrefix("198.51.100.0/24"), Gateway: outsideAddr},
	}})
	one := s.startAs(n, lease.Lease{IPv4: netip.MustParseAddr("198.51.100.50")})
	one.reaches(at(outsideAddr, 82))
	if out := one.command("ip", "route"); !strings.Contains(out, "default via "+outsideAddress+" dev eth0") {
		t.Errorf("routes:\n%s", out)
	}
	if out := one.command("ip", "-d", "link", "show", "eth0"); !strings.Contains(out, "macvlan") || !strings.Contains(out, one.lease.MAC) {
		t.Errorf("interface:\n%s", out)
	}
	two := s.startAs(n, lease.Lease{IPv4: netip.MustParseAddr("198.51.100.51")})
	listen(t, two.ns, at(two.lease.IPv4, 80))
	one.reaches(at(two.lease.IPv4, 80))
	one.stop()
	if _, err := world.Output(one.ns, "ip", "link", "show", "eth0"); err == nil {
		t.Error("eth0 is there after Detach")
	}

	vlan := s.network(network.Network{Name: "vlan", Driver: network.Macvlan, Interface: "host0.7", Subnets: subnets("172.30.9.0/24")})
	l := s.take(vlan, lease.Lease{})
	ns := s.namespace()
	err := s.hub.Attach(ns, vlan, l, Attachment{Interface: "eth0", Default4: true})
	if err != nil && !strings.Contains(err.Error(), "kernel has no vlan") {
		t.Error(err)
	}
	(&container{stage: s, ns: ns, n: vlan, lease: l, o: Attachment{Interface: "eth0"}}).stop()
	if _, err := world.Output(s.hub.NS(), "ip", "link", "show", "host0.7"); err == nil {
		t.Error("the VLAN's interface is left")
	}

	missing := *n
	missing.Interface = "nonesuch"
	if err := s.hub.Attach(ns, &missing, l, Attachment{Interface: "eth0"}); err == nil || !strings.Contains(err.Error(), `"nonesuch"`) {
		t.Errorf("a parent that is not there: %v", err)
	}
}

func TestHubUplinkThatTranslates(t *testing.T) {
	s := newStage(t)
	if s.hub.Root() {
		t.Skip("as root there is no uplink")
	}
	outside := s.outside()
	err := SetUplink(s.hub.NS(), Uplinked{Interface: Uplink, Gateway4: outsideAddr, Masquerade: true, HostAddress: outsideAddr})
	if err != nil {
		t.Fatal(err)
	}
	one := s.start(s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24")}))
	for _, to := range []netip.Addr{outsideAddr, HostInside} {
		from, err := one.clientOf(outside, at(outsideAddr, 80), at(to, 80))
		if err != nil || from.String() != hostAddress {
			t.Errorf("connecting to %v: outside sees %v (%v), want %s", to, from, err, hostAddress)
		}
	}
	listen(t, one.ns, at(one.lease.IPv4, 80))
	if err := dial(outside, at(one.lease.IPv4, 80), never); err == nil {
		t.Error("outside connects to a container")
	}
	in := s.start(s.network(network.Network{Name: "in", Internal: true, Subnets: subnets("172.30.2.0/24")}))
	in.command("ip", "route", "add", "default", "via", "172.30.2.1")
	listen(t, outside, at(outsideAddr, 80))
	in.cannotReach(at(outsideAddr, 80))
	in.cannotReach(at(HostInside, 80))
	// and back to a link that needs no translation
	if err := SetUplink(s.hub.NS(), Uplinked{Interface: Uplink, Gateway4: outsideAddr}); err != nil {
		t.Fatal(err)
	}
	if out, _ := world.Output(s.hub.NS(), "nft", "list", "tables"); strings.Contains(out, uplinkTable) {
		t.Errorf("tables:\n%s", out)
	}
}

// TestHubBuiltinLink plays the built-in link: the packet that opens a connection to
// the outside is put back, and arrives at the listener on TransparentPort.
func TestHubBuiltinLink(t *testing.T) {
	s := newStage(t)
	if s.hub.Root() {
		t.Skip("as root there is no uplink")
	}
	outside := s.outside()
	if err := SetUplink(s.hub.NS(), Uplinked{Interface: Uplink, Gateway4: outsideAddr}); err != nil {
		t.Fatal(err)
	}
	one := s.start(s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24")}))
	target := at(netip.MustParseAddr("192.0.2.50"), TransparentPort) // of all ports, the one that might be mistaken
	defer s.putBack(outside, target.Addr())()
	listener := -1
	err := netns.Do(s.hub.NS(), func() (err error) {
		listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return errors.Join(err, transparent(listener, unix.AF_INET),
			unix.SetsockoptTimeval(listener, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}),
			unix.Bind(listener, &unix.SockaddrInet4{Port: TransparentPort}), unix.Listen(listener, 8))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listener)
	if err := dial(one.ns, target, soon); err != nil {
		t.Fatalf("a container connects to the outside: %v", err)
	}
	conn, from, err := unix.Accept(listener)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(conn)
	if got := addressOf(from); got != one.lease.IPv4 {
		t.Errorf("the link sees client %v, want %v", got, one.lease.IPv4)
	}
	if local, _ := unix.Getsockname(conn); addressOf(local) != target.Addr() {
		t.Errorf("the link sees destination %v, want %v", addressOf(local), target.Addr())
	}
}

// putBack sends TCP packets to the address, which come by wire into ns, back by it,
// until the function it returns is called.
func (s *stage) putBack(ns *os.File, target netip.Addr) (stop func()) {
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8
	wire := -1
	err := netns.Do(ns, func() (err error) {
		wire, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
		return errors.Join(err, unix.SetsockoptTimeval(wire, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}))
	})
	if err != nil {
		s.Fatal(err)
	}
	var over atomic.Bool
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		defer unix.Close(wire)
		for buf := make([]byte, 65536); !over.Load(); {
			n, from, err := unix.Recvfrom(wire, buf, 0)
			if err != nil || n < 54 || buf[12] != 8 || buf[13] != 0 || buf[23] != unix.IPPROTO_TCP {
				continue
			}
			sa := from.(*unix.SockaddrLinklayer)
			if sa.Pkttype == unix.PACKET_OUTGOING || netip.AddrFrom4([4]byte(buf[30:34])) != target {
				continue
			}
			copy(buf, append(append([]byte(nil), buf[6:12]...), buf[0:6]...))
			unix.Sendto(wire, buf[:n], 0, &unix.SockaddrLinklayer{Ifindex: sa.Ifindex, Protocol: all})
		}
	}()
	return func() { over.Store(true); <-stopped }
}
