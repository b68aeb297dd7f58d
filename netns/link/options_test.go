package link

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"ctr/libpod/config"
)

func TestBadOptionsAreNamed(t *testing.T) {
	for _, c := range []struct{ helper, args, want string }{
		{Slirp4netns, "mtu=big", `option mtu of --network slirp4netns: "big"`},
		{Slirp4netns, "mtu=100000", "576-65521"},
		{Slirp4netns, "cidr=10.0.2.0", "cidr"},
		{Slirp4netns, "cidr=fd00::/64", "IPv4 subnet"},
		{Slirp4netns, "cidr=10.0.2.0/30", "/25"},
		{Slirp4netns, "allow_host_loopback=perhaps", "allow_host_loopback"},
		{Slirp4netns, "enable_ipv6=", "enable_ipv6"},
		{Slirp4netns, "outbound_addr=--api-socket", "outbound_addr"},
		{Slirp4netns, "port_handler=iptables", "rootlesskit or slirp4netns"},
		{Slirp4netns, "mtv=1500", `unknown option "mtv"`},
		{Slirp4netns, "", "unknown option"},
		{Pasta, "1234", `"1234" is not an option`},
		{Pasta, "-4,x,1234", `"1234" is not an option`},
		{Pasta, "--netns,/proc/1/ns/net", "--netns cannot be given"},
		{Pasta, "--userns=/proc/1/ns/user", "--userns cannot be given"},
		{Pasta, "-P,/tmp/pid", "--pid cannot be given"},
		{Pasta, "-P/tmp/pid", "--pid cannot be given"},
		{Pasta, "--,true", "-- cannot be given"},
		{"vpnkit", "", `"vpnkit"`},
		{Builtin, "", "use pasta or slirp4netns"},
	} {
		err := Options{Helper: c.helper, Args: strings.Split(c.args, ",")}.Check()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s:%s: got %v", c.helper, c.args, err)
		}
	}
}

func TestSlirpOptions(t *testing.T) {
	got, err := parseSlirp([]string{"allow_host_loopback=true", "mtu=1500", "cidr=10.9.8.7/24", "enable_ipv6=false", "outbound_addr=eth1", "port_handler=slirp4netns"}, 65520)
	if err != nil || !got.hostLoopback || got.mtu != 1500 || got.subnet != netip.MustParsePrefix("10.9.8.0/24") || got.ipv6 ||
		!slices.Equal(got.outbound, []string{"--outbound-addr", "eth1"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := parseSlirp(nil, 9000); err != nil || got.hostLoopback || got.mtu != 9000 || !got.ipv6 {
		t.Errorf("without options: %+v, %v", got, err)
	}
}

// testPlace is what lookAtHost finds on a host with IPv6.
var testPlace = hostNetwork{subnet: netip.MustParsePrefix("10.0.2.0/24"), address: netip.MustParseAddr("192.0.2.1"), ipv6: true}

func TestPastaDefaultsGiveWay(t *testing.T) {
	for _, c := range []struct {
		options  string
		has, not []string // options with their values
		check    func(l *Link) bool
	}{
		{"", []string{"--ns-ifname eth0", "--mtu 65520", "--address 10.0.2.100", "--no-map-gw", "--map-host-loopback none", "--tcp-ports none", "--udp-ns none"}, nil,
			func(l *Link) bool { return l.Address6.IsValid() && l.Interface == "eth0" }},
		{"--mtu,1500,-I,tap0", nil, []string{"--mtu 65520", "--ns-ifname eth0"},
			func(l *Link) bool { return l.MTU == 1500 && l.Interface == "tap0" }},
		{"-m1400", nil, []string{"--mtu 65520"}, func(l *Link) bool { return l.MTU == 1400 }},
		{"--map-gw", nil, []string{"--no-map-gw", "--map-host-loopback none"}, nil},
		{"--ipv4-only,-a,10.9.0.5,-n,16,-g,10.9.0.1,--dns-forward,10.9.0.3", nil, []string{"--address 10.0.2.100", "--gateway 10.0.2.2", "--dns-forward 10.0.2.3"},
			func(l *Link) bool {
				return l.Address.String() == "10.9.0.5" && l.Prefix.String() == "10.9.0.0/16" && l.Gateway.String() == "10.9.0.1" && l.DNS[0].String() == "10.9.0.3" && !l.Address6.IsValid()
			}},
		{"-a,10.9.0.5/24,-a,fd00::5", nil, nil, func(l *Link) bool { return l.Prefix.String() == "10.9.0.0/24" && l.Address6.String() == "fd00::5" }},
		{"-4", nil, []string{"--address fd63:7472::100"}, func(l *Link) bool { return !l.Address6.IsValid() }},
		{"-T,5432", []string{"--udp-ns none"}, []string{"--tcp-ns none"}, nil},
	} {
		var list []string
		if c.options != "" {
			list = strings.Split(c.options, ",")
		}
		o, err := parsePasta(list)
		if err != nil {
			t.Errorf("%s: %v", c.options, err)
			continue
		}
		l := testPlace.link(Pasta, defaultMTU)
		args := strings.Join(append(o.defaults(l, testPlace), o.ports(nil)...), " ") + " "
		for _, want := range c.has {
			if !strings.Contains(args, want+" ") {
				t.Errorf("%s: %q is not in %s", c.options, want, args)
			}
		}
		for _, unwanted := range c.not {
			if strings.Contains(args, unwanted+" ") {
				t.Errorf("%s: %q is in %s", c.options, unwanted, args)
			}
		}
		if c.check != nil && !c.check(l) {
			t.Errorf("%s: the link is %+v", c.options, l)
		}
	}
}

func TestPastaPorts(t *testing.T) {
	chosen, err := choosePorts([]config.PortMapping{
		{HostPort: 8080, Port: 80, Protocol: "tcp"}, {HostIP: "::1", HostPort: 53, Port: 53, Protocol: "udp"},
		{HostIP: "127.0.0.1", Port: 443, Protocol: "tcp"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if chosen[2].HostPort == 0 {
		t.Errorf("no port was chosen: %+v", chosen)
	}
	got := strings.Join(pastaOptions{}.ports(chosen[:2]), " ")
	if want := "--tcp-ports 8080:80 --udp-ports ::1/53:53 --tcp-ns none --udp-ns none"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := choosePorts([]config.PortMapping{{HostPort: 1, Port: 1, Protocol: "sctp"}}); err == nil || !strings.Contains(err.Error(), "1/sctp") {
		t.Errorf("sctp: got %v", err)
	}
}

func TestChoice(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CONTAINERS_CONF", dir+"/none.conf")
	t.Setenv("CONTAINERS_CONF_OVERRIDE", "")
	t.Setenv(chooseEnv, "")
	write(t, dir+"/bad.conf", "[network]\ndefault_rootless_network_cmd = \"vpnkit\"\n")
	write(t, dir+"/builtin.conf", "[engine]\nx = [\"y\"]\n[network]\ndefault_rootless_network_cmd = \"builtin\"\n")
	write(t, dir+"/broken.conf", "[network]\ndefault_rootless_network_cmd = \"builtin\"\nwhat\n")

	t.Setenv("CONTAINERS_CONF_OVERRIDE", dir+"/bad.conf")
	if _, err := choose(""); err == nil || !strings.Contains(err.Error(), dir+"/bad.conf") || !strings.Contains(err.Error(), "vpnkit") {
		t.Errorf("an unknown link in containers.conf: got %v", err)
	}
	for _, file := range []string{"builtin.conf", "broken.conf"} {
		t.Setenv("CONTAINERS_CONF_OVERRIDE", dir+"/"+file)
		c, err := choose("")
		if err != nil || c.link != Builtin || !c.chosen || strings.Contains(c.note, "line 3") != (file == "broken.conf") {
			t.Errorf("%s: got %+v, %v", file, c, err)
		}
	}
	t.Setenv("PATH", dir)
	t.Setenv(chooseEnv, Pasta)
	if _, err := choose(""); err == nil || !strings.Contains(err.Error(), "apt install passt") || !strings.Contains(err.Error(), chooseEnv) {
		t.Errorf("a missing link in the environment: got %v", err)
	}
	t.Setenv(chooseEnv, "")
	t.Setenv("CONTAINERS_CONF_OVERRIDE", "")
	if c, err := choose(""); err != nil || c.link != Builtin || c.chosen || order[0] != Builtin && !strings.Contains(c.note, "not installed") {
		t.Errorf("without programs: got %+v, %v", c, err)
	}
	if got := Available(); got[Builtin] != "" || got[Pasta] == "" || got[Slirp4netns] == "" {
		t.Errorf("Available is %v", got)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
