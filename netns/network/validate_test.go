package network

import (
	"net/netip"
	"strings"
	"testing"
)

// bad is a network that is refused, and words of the error.
type bad struct {
	why   string
	n     Network
	words string
}

func (b bad) try(t *testing.T, s *Networks) {
	t.Helper()
	if b.n.Name == "" {
		b.n.Name = "bad"
	}
	made, err := s.Create(b.n)
	switch {
	case err == nil:
		t.Errorf("%s was accepted: %+v", b.why, made)
		s.Remove(made)
	case !strings.Contains(err.Error(), b.words):
		t.Errorf("%s: error %q does not say %q", b.why, err, b.words)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", " ", "\t", "bridge", "host", "none", "default", "pasta", "pasta:x", "slirp4netns", "private", "container:x", "ns:/x",
		"-x", ".x", "_x", "a b", "a/b", "../x", "é", "a\nb", "a\x00", strings.Repeat("x", 201)} {
		if err := CheckName(name); err == nil {
			t.Errorf("%q was accepted", name)
		} else if strings.Contains(err.Error(), "\n") && !strings.Contains(name, "\n") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"a", "my-net2", "My_Net.3", "0", "ns", "container", "hosts", "bridge2", strings.Repeat("x", 200)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	s := Open(t.TempDir())
	create(t, s, Network{Name: strings.Repeat("x", 200), Subnets: subnets("10.9.0.0/24")})
	bad{"reserved", Network{Name: "host"}, "operation is not permitted on predefined host network"}.try(t, s)
	bad{"empty", Network{Name: " "}, "invalid name: name is empty"}.try(t, s)
}

func with(change func(s *Subnet)) Network {
	s := Subnet{Subnet: netip.MustParsePrefix("10.1.1.0/24")}
	change(&s)
	return Network{Subnets: []Subnet{s}}
}

func TestSubnetsThatAreRefused(t *testing.T) {
	a, p := netip.MustParseAddr, netip.MustParsePrefix
	aux := func(pairs ...string) map[string]netip.Addr {
		m := map[string]netip.Addr{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = a(pairs[i+1])
		}
		return m
	}
	s := Open(t.TempDir())
	create(t, s, Network{Name: "other", Subnets: subnets("172.20.0.0/16", "fd00:9::/64")})
	for _, c := range []bad{
		{"host bits", with(func(s *Subnet) { s.Subnet = p("10.1.1.5/24") }), "invalid network config:\ninvalid subnet 10.1.1.5/24: it should be 10.1.1.0/24"},
		{"gateway outside", with(func(s *Subnet) { s.Gateway = a("10.2.2.2") }), "invalid gateway 10.2.2.2: parent subnet 10.1.1.0/24 doesn't contain this address"},
		{"IPv6 gateway", with(func(s *Subnet) { s.Gateway = a("fd00::1") }), "invalid gateway fd00::1: parent subnet is an IPv4 block"},
		{"gateway is the network", with(func(s *Subnet) { s.Gateway = a("10.1.1.0") }), "the network's own address"},
		{"gateway is the broadcast", with(func(s *Subnet) { s.Gateway = a("10.1.1.255") }), "the broadcast address"},
		{"range outside", with(func(s *Subnet) { s.Range = p("10.1.2.0/24") }), "invalid ip-range 10.1.2.0/24: parent subnet 10.1.1.0/24 doesn't contain ip-range"},
		{"range bigger", with(func(s *Subnet) { s.Range = p("10.1.0.0/16") }), "CIDR block is bigger than its parent subnet"},
		{"range with host bits", with(func(s *Subnet) { s.Range = p("10.1.1.3/26") }), "it should be 10.1.1.0/26"},
		{"IPv6 range", with(func(s *Subnet) { s.Range = p("fd00::/80") }), "parent subnet is an IPv4 block"},
		{"aux outside", with(func(s *Subnet) { s.Aux = aux("x", "10.2.2.2") }), "invalid auxiliary address x: parent subnet 10.1.1.0/24 doesn't contain"},
		{"aux is the gateway", with(func(s *Subnet) { s.Gateway, s.Aux = a("10.1.1.1"), aux("x", "10.1.1.1") }), "Address already in use: 10.1.1.1 is the gateway"},
		{"aux twice", with(func(s *Subnet) { s.Aux = aux("x", "10.1.1.7", "y", "10.1.1.7") }), "Address already in use: 10.1.1.7 is auxiliary address x"},
		{"several faults", with(func(s *Subnet) { s.Gateway, s.Aux = a("10.2.2.2"), aux("x", "10.3.3.3") }), "invalid network config:\n* invalid gateway 10.2.2.2: parent subnet 10.1.1.0/24 doesn't contain this address\n* invalid auxiliary address x"},
		{"gateway without subnet", with(func(s *Subnet) { s.Subnet, s.Gateway = netip.Prefix{}, a("10.1.1.1") }), "every ip-range or gateway must have a corresponding subnet"},
		{"two IPv4", Network{Subnets: subnets("10.1.1.0/24", "10.1.2.0/24")}, "bridge driver doesn't support multiple subnets"},
		{"two IPv6", Network{Subnets: subnets("fd00:1::/64", "fd00:2::/64")}, "bridge driver doesn't support multiple subnets"},
		{"twice the same", Network{Subnets: subnets("10.1.1.0/24", "10.1.1.0/24")}, "multiple overlapping subnet configuration is not supported"},
		{"one in the other", Network{Subnets: subnets("10.1.1.0/24", "10.1.0.0/16")}, "multiple overlapping subnet configuration is not supported"},
		{"IPv4 on a network without", Network{NoIPv4: true, IPv6: true, Subnets: subnets("10.1.1.0/24")}, "which is off"},
		{"neither family", Network{NoIPv4: true}, "IPv4 or IPv6 must be enabled"},
		{"one address", Network{Subnets: subnets("10.1.1.1/32")}, "room for one address"},
		{"one IPv6 address", Network{Subnets: subnets("fd00::1/128")}, "room for one address"},
		{"everything", Network{Subnets: subnets("0.0.0.0/0")}, "whole address space"},
		{"all of IPv6", Network{Subnets: subnets("::/0")}, "whole address space"},
		{"half of everything", Network{Subnets: subnets("0.0.0.0/1")}, "reserved"},
		{"the other half", Network{Subnets: subnets("128.0.0.0/1")}, "reserved"},
		{"loopback", Network{Subnets: subnets("127.0.0.0/16")}, "reserved"},
		{"around loopback", Network{Subnets: subnets("126.0.0.0/7")}, "reserved"},
		{"IPv6 loopback", Network{Subnets: subnets("::/64")}, "reserved"},
		{"multicast", Network{Subnets: subnets("224.1.0.0/16")}, "multicast"},
		{"IPv6 multicast", Network{Subnets: subnets("ff02::/64")}, "multicast"},
		{"limited broadcast", Network{Subnets: subnets("255.255.255.0/24")}, "reserved"},
		{"the host's place", Network{Subnets: subnets("169.254.0.0/16")}, "169.254.1.2"},
		{"part of link-local", Network{Subnets: subnets("fe80::/80")}, "clashes with the Link-Local prefix"},
		{"around link-local", Network{Subnets: subnets("fe80::/16")}, "clashes with the Link-Local prefix"},
		{"mapped", Network{Subnets: subnets("::ffff:10.1.0.0/112")}, "write it as IPv4"},
		{"same as another", Network{Subnets: subnets("172.20.0.0/16")}, `Pool overlaps with other one on this address space: subnet 172.20.0.0/16 of network "other"`},
		{"part of another", Network{Subnets: subnets("172.20.3.0/24")}, `invalid pool request: Pool overlaps`},
		{"around another", Network{Subnets: subnets("172.16.0.0/12")}, `Pool overlaps`},
		{"IPv6 of another", Network{Subnets: subnets("fd00:9::/48")}, `subnet fd00:9::/64 of network "other"`},
	} {
		c.try(t, s)
	}
}

func TestSubnetsThatAreAccepted(t *testing.T) {
	inEmptyNamespace(t)
	a, p := netip.MustParseAddr, netip.MustParsePrefix
	s := Open(t.TempDir())
	for _, c := range []struct {
		n                  Network
		gateway4, gateway6 string
	}{
		{Network{Subnets: subnets("172.33.1.0/24")}, "172.33.1.1", ""},
		{Network{Subnets: subnets("10.7.2.0/31")}, "10.7.2.0", ""},
		{Network{Subnets: subnets("10.7.3.0/30")}, "10.7.3.1", ""},
		{Network{Subnets: subnets("fe80::/64")}, "172.18.0.1", "fe80::1"},
		{Network{Subnets: subnets("fd00:2::/64", "10.10.0.0/24")}, "10.10.0.1", "fd00:2::1"},
		{Network{NoIPv4: true, IPv6: true, Subnets: subnets("fd00:3::/126")}, "", "fd00:3::1"},
		{Network{Subnets: []Subnet{{Subnet: p("172.28.0.0/16"), Range: p("172.28.5.0/24"), Gateway: a("172.28.5.254")}}}, "172.28.5.254", ""},
		{Network{Subnets: []Subnet{{Subnet: p("10.28.0.0/16"), Range: p("10.28.5.0/24")}}}, "10.28.5.0", ""}, // as Docker
		{Network{Subnets: []Subnet{{Subnet: p("10.29.0.0/16"), Range: p("10.29.5.5/32"), Aux: map[string]netip.Addr{"x": a("10.29.5.5"), "y": a("10.29.0.1")}}}}, "10.29.0.2", ""},
		{Network{Internal: true}, "172.19.0.1", ""},
	} {
		c.n.Name = "n"
		n := create(t, s, c.n)
		got4, got6 := "", ""
		if s := n.Subnet4(); s != nil {
			got4 = s.Gateway.String()
		}
		if s := n.Subnet6(); s != nil {
			got6 = s.Gateway.String()
		}
		if got4 != c.gateway4 && !(len(c.n.Subnets) == 0 || c.gateway6 == "fe80::1") || got6 != c.gateway6 {
			t.Errorf("%+v: gateways %q and %q", c.n, got4, got6)
		}
		if n.IPv6 != (c.gateway6 != "") {
			t.Errorf("%+v: IPv6 is %v", c.n, n.IPv6)
		}
		for _, given := range c.n.Subnets {
			if given.Chosen {
				t.Error("the caller's subnets were changed")
			}
		}
		if again, err := s.Lookup("n"); err != nil || again.ID != n.ID {
			t.Errorf("%+v cannot be read again: %v", n, err)
		}
		if err := s.Remove(n); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDriversRoutesAndResolvers(t *testing.T) {
	a, p := netip.MustParseAddr, netip.MustParsePrefix
	s := Open(t.TempDir())
	route := func(dst, gw string) Network {
		return Network{Subnets: subnets("10.1.1.0/24"), Routes: []Route{{Destination: p(dst), Gateway: a(gw)}}}
	}
	for _, c := range []bad{
		{"overlay", Network{Driver: "overlay"}, `plugin "overlay" not found: the network drivers are bridge, ipvlan and macvlan`},
		{"host", Network{Driver: Host}, `only one instance of "host" network is allowed`},
		{"null", Network{Driver: Null}, `only one instance of "null" network is allowed`},
		{"IPAM driver", Network{IPAM: IPAM{Driver: "dhcp"}}, `plugin "dhcp" not found: the only IPAM driver is default`},
		{"route to nowhere", Network{Routes: []Route{{}}}, "invalid route"},
		{"route with host bits", route("10.2.0.1/24", "10.1.1.1"), "should be 10.2.0.0/24"},
		{"route of two families", route("10.2.0.0/24", "fd00::1"), "one is IPv4, the other IPv6"},
		{"route out of the network", route("10.2.0.0/24", "10.3.1.1"), "no subnet of the network contains the gateway"},
		{"no resolver", Network{DNS: []netip.Addr{{}}}, "invalid DNS server"},
		{"unspecified resolver", Network{DNS: []netip.Addr{netip.IPv4Unspecified()}}, "invalid DNS server 0.0.0.0"},
		{"two names of the bridge", Network{Interface: "br1", Options: map[string]string{optBridgeName: "br2"}}, "named twice"},
		{"long bridge name", Network{Interface: "verylonginterface"}, "17 characters, 15 are possible"},
		{"own device", Network{Interface: "up0"}, "in use by ctr"},
		{"loopback as a bridge", Network{Options: map[string]string{optBridgeName: "lo"}}, "in use by ctr"},
		{"slash", Network{Options: map[string]string{optBridgeName: "a/b"}}, "invalid interface name"},
		{"loopback as parent", Network{Driver: Macvlan, Options: map[string]string{"parent": "lo"}}, "loopback interface is not a valid macvlan parent link"},
		{"loopback as interface", Network{Driver: IPvlan, Interface: "lo"}, "loopback interface is not a valid ipvlan parent link"},
	} {
		c.try(t, s)
	}
	n := route("10.2.0.0/24", "10.1.1.9")
	n.Name = "ok"
	create(t, s, n)
	create(t, s, Network{Name: "named", Subnets: subnets("10.5.0.0/24"), Options: map[string]string{optBridgeName: "br1"}})
	bad{"bridge name of another", Network{Interface: "br1", Subnets: subnets("10.6.0.0/24")}, "conflicts with network named: networks have same bridge name"}.try(t, s)
}
