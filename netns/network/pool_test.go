package network

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func prefixes(text ...string) (list []netip.Prefix) {
	for _, s := range text {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

func TestAutomaticSubnetsAreDockers(t *testing.T) {
	var w surroundings
	var got []string
	for {
		p, err := w.free4()
		if errors.Is(err, errNoMoreSubnets) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.String())
		w.taken = append(w.taken, p)
	}
	if len(got) != 31 || got[0] != "172.17.0.0/16" || got[14] != "172.31.0.0/16" || got[15] != "192.168.0.0/20" || got[30] != "192.168.240.0/20" {
		t.Errorf("%d subnets: %v", len(got), got)
	}
}

func TestAutomaticSubnetsAvoid(t *testing.T) {
	for _, c := range []struct {
		w    surroundings
		want string
	}{
		{surroundings{onLink: prefixes("172.17.0.0/16")}, "172.18.0.0/16"},
		{surroundings{distant: prefixes("172.17.5.0/24")}, "172.18.0.0/16"},
		{surroundings{onLink: prefixes("172.17.0.53/32")}, "172.18.0.0/16"},
		{surroundings{taken: prefixes("172.16.0.0/12")}, "192.168.0.0/20"},
		{surroundings{onLink: prefixes("172.16.0.0/12", "192.168.0.0/20", "192.168.17.0/24")}, "192.168.32.0/20"},
		// all that is private is routed into a VPN: rather that than nothing, but never what is near
		{surroundings{distant: prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"), onLink: prefixes("172.17.3.0/24")}, "172.18.0.0/16"},
	} {
		if p, err := c.w.free4(); err != nil || p.String() != c.want {
			t.Errorf("%+v: %v, %v", c.w, p, err)
		}
	}
	if p, err := (surroundings{onLink: prefixes("172.16.0.0/12", "192.168.0.0/16")}).free4(); err == nil || !strings.Contains(err.Error(), "all predefined address pools have been fully subnetted") {
		t.Errorf("nothing is left, and %v was chosen: %v", p, err)
	}
	base := netip.MustParseAddr("fd12:3456:789a::")
	if p, err := (surroundings{taken: prefixes("fd12:3456:789a::/64", "fd12:3456:789a:1::/80")}).free6(base); err != nil || p.String() != "fd12:3456:789a:2::/64" {
		t.Errorf("IPv6: %v, %v", p, err)
	}
	if p, err := (surroundings{taken: prefixes("fd12:3456:789a::/48")}).free6(base); err == nil {
		t.Errorf("nothing is left of IPv6, and %v was chosen", p)
	}
}

func TestAutomaticSubnetsOfARealHost(t *testing.T) {
	inEmptyNamespace(t)
	ip(t, "link", "add", "docker0", "type", "bridge")
	ip(t, "addr", "add", "172.17.0.1/16", "dev", "docker0")
	ip(t, "link", "set", "docker0", "up") // without a carrier, as Docker's without containers
	ip(t, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ip(t, "addr", "add", "172.18.7.9/24", "dev", "v0")
	ip(t, "addr", "add", "192.0.2.1/24", "dev", "v0")
	ip(t, "link", "set", "v0", "up")
	ip(t, "link", "set", "v1", "up")
	ip(t, "route", "add", "default", "via", "192.0.2.2")
	ip(t, "route", "add", "0.0.0.0/1", "via", "192.0.2.2") // a VPN's default route
	ip(t, "route", "add", "128.0.0.0/1", "via", "192.0.2.2")
	ip(t, "route", "add", "172.19.0.0/17", "via", "192.0.2.2")
	s := Open(t.TempDir())
	base := uniqueLocal(s.data)
	if hasIPv6() {
		ip(t, "-6", "addr", "add", netip.PrefixFrom(base.Next(), 64).String(), "dev", "v0", "nodad")
		ip(t, "-6", "route", "add", "2000::/3", "dev", "v0")
	}
	n, err := s.Lookup("bridge")
	if err != nil || n.Subnet4().Subnet.String() != "172.20.0.0/16" {
		t.Errorf("default network: %+v, %v", n, err)
	}
	six := create(t, s, Network{Name: "six", IPv6: true})
	if hasIPv6() && !strings.HasSuffix(six.Subnet6().Subnet.String(), ":1::/64") {
		t.Errorf("the host is in %v/64, and %v was chosen", base, six.Subnet6().Subnet)
	}
	for i := 21; i <= 46; i++ { // 172.21 is taken by six
		if _, err := s.Create(Network{Name: "n" + strconv.Itoa(i)}); err != nil {
			t.Fatalf("network %d: %v", i, err)
		}
	}
	// what is routed far away serves last
	last := create(t, s, Network{Name: "last"})
	if last.Subnet4().Subnet.String() != "172.19.0.0/16" {
		t.Errorf("last of all %v", last.Subnet4().Subnet)
	}
	bad{"one too many", Network{}, "all predefined address pools have been fully subnetted"}.try(t, s)
}

func hasIPv6() bool {
	_, err := os.Stat("/proc/thread-self/net/if_inet6")
	return err == nil
}

func TestRoutesOfStrangeText(t *testing.T) {
	text := "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\n" +
		"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n" +
		"eth0\tshort\n" +
		"eth0\tZZZZZZZZ\t00000000\t0001\t0\t0\t0\t00FFFFFF\n" +
		"eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n" +
		"tun0\t00000080\t00000000\t0001\t0\t0\t0\t00000080\n" +
		"*\t0000100A\t00000000\t0200\t0\t0\t0\t0000FFFF\n" +
		"tun0\t0000FEA9\t010200C0\t0003\t0\t0\t0\t0000FFFF"
	got := parseRoutes([]byte(text))
	want := []HostRoute{{netip.MustParsePrefix("192.0.2.0/24"), true}, {netip.MustParsePrefix("10.16.0.0/16"), true}, {netip.MustParsePrefix("169.254.0.0/16"), false}}
	if len(got) != len(want) {
		t.Fatalf("routes %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("route %d: %v, want %v", i, got[i], want[i])
		}
	}
	zero := strings.Repeat("0", 32)
	line := func(dst, bits, flags, dev string) string {
		return dst + " " + bits + " " + zero + " 00 " + zero + " 00000400 00000001 00000000 " + flags + " " + dev + "\n"
	}
	text = line(zero, "00", "00000003", "eth0") + line("fd"+zero[2:], "40", "00000001", "eth0") + line("fe80"+zero[4:], "40", "00000001", "eth0") +
		line("ff"+zero[2:], "08", "00000001", "eth0") + line("2"+zero[1:], "03", "00000001", "tun0") + line("fc"+zero[2:], "07", "00000003", "eth0") +
		line(zero[1:]+"1", "80", "80200001", "lo") + line("zz"+zero[2:], "40", "1", "eth0") + line("fd"+zero[2:], "ff", "1", "eth0") + line("fd", "40", "1", "eth0") + "x\n"
	six := parseRoutes6([]byte(text))
	if len(six) != 2 || six[0] != (HostRoute{netip.MustParsePrefix("fd00::/64"), true}) || six[1] != (HostRoute{netip.MustParsePrefix("fc00::/7"), false}) {
		t.Errorf("IPv6 routes %v", six)
	}
}

func TestResolversAreReserved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte("# x\nsearch a\nnameserver 172.17.0.53\nnameserver fe80::1%eth0\nnameserver\nnameserver x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := hostResolvers(path)
	if len(got) != 2 || got[0].String() != "172.17.0.53/32" || got[1].String() != "fe80::1/128" {
		t.Errorf("resolvers %v", got)
	}
	if got := hostResolvers(path + "x"); got != nil {
		t.Errorf("of no file: %v", got)
	}
}

func TestUniqueLocalAddresses(t *testing.T) {
	a, again, b := uniqueLocal("/a"), uniqueLocal("/a"), uniqueLocal("/b")
	if a != again || a == b || !netip.MustParsePrefix("fd00::/8").Contains(a) || a.As16()[6] != 0 {
		t.Errorf("%v, %v, %v", a, again, b)
	}
}

func TestNaturalOrder(t *testing.T) {
	order := []string{"-x", "1", "a", "a01", "a1b", "a2", "a10", "a10b", "a10c", "ab", "b99999999999999999999999", "b100000000000000000000000"}
	for i, a := range order {
		for j, b := range order {
			if got := natural(a, b); (got < 0) != (i < j) && i != j || (got == 0) != (i == j) {
				t.Errorf("natural(%q, %q) = %d", a, b, got)
			}
		}
	}
}
