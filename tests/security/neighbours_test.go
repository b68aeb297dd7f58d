package security

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	machines "ctr/tests/world"
)

// A neighbour's packets stay the neighbour's, whatever one says by ARP or as the
// source of a frame, with Docker's default capabilities.
func TestNetworkSpoofedARP(t *testing.T) {
	onMachine(t)
	one := newNetwork(t, "arp-one")
	for _, network := range []string{"bridge", one} {
		peer := connected(t, "--network", network, base, "netprobe", "who", "79")
		talker := connected(t, "--network", network, base, "sleep", "1000")
		attacker := connected(t, "--network", network, base, "sleep", "1000")
		peerAddress, gateway := addressOf(t, peer, network), gatewayOf(t, network)
		peerMAC := strings.TrimSpace(must(t, ctr("inspect", "-f", "{{(index .NetworkSettings.Networks \""+network+"\").MacAddress}}", peer)))
		for _, words := range [][]string{{"arp-claim", peerAddress, "2"}, {"arp-claim", gateway, "2"}, {"mac-claim", peerMAC, "2"}, {"sniff", "2"}} {
			done := make(chan result)
			go func() { done <- attack(attacker, words...) }()
			talk(t, talker, network, peerAddress+":79")
			r := <-done
			if r.code != 0 || strings.Contains(r.out, "captured") {
				t.Errorf("%s %v: %v", network, words, r)
			}
		}
	}
}

// talk speaks with a neighbour and with the world for two seconds; all must answer.
func talk(t *testing.T, id, network, peer string) {
	t.Helper()
	var failed int
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		for _, r := range []result{attack(id, "ask", "udp", peer, "x"), attack(id, "ask", "tcp", peer), attack(id, "ask", "udp", machines.Web+":7", "x")} {
			if r.code != 0 {
				failed++
				t.Errorf("on %s, under attack: %v", network, r)
			}
		}
		if failed > 3 {
			return
		}
	}
}

// A packet whose source is an address of its network that is another's does not leave
// the container's wire.
func TestNetworkSpoofedSource(t *testing.T) {
	onMachine(t)
	one := newNetwork(t, "src-one")
	target := receiver(t, "--network", one)
	friend := connected(t, "--network", one, base, "sleep", "1000")
	attacker := connected(t, "--network", one, base, "sleep", "1000")
	to, friendAddress := addressOf(t, target, one), addressOf(t, friend, one)
	must(t, attack(attacker, "ask", "udp", machines.Web+":7", "x"))
	for _, source := range []string{friendAddress, gatewayOf(t, one), to, "127.0.0.1", "255.255.255.255"} {
		attack(attacker, "forge", "udp", source, to+":79", "forged") // the kernel may refuse by itself
		must(t, attack(attacker, "inject", "ff:ff:ff:ff:ff:ff", "udp", source, to+":79", "forged"))
		attack(attacker, "forge", "udp", source, "192.0.2.67:4999", "forged")
		must(t, attack(attacker, "inject", "gateway", "udp", source, "192.0.2.67:4999", "forged"))
		must(t, attack(attacker, "inject", "gateway", "icmp", source, "192.0.2.67:0"))
		must(t, attack(attacker, "inject", "gateway", "syn", source, "192.0.2.67:4999"))
	}
	pause()
	if log := ctr("logs", target).out; strings.Contains(log, "forged") {
		t.Error("a forged source was believed:\n", log)
	}
	seen, err := machines.Ask("seen")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(seen, "192.0.2.67") {
		t.Error("a forged packet left the machine:\n", seen)
	}
	must(t, attack(friend, "ask", "udp", machines.Web+":7", "x"))
}

// IPv6 is off where the network has none (CVE-2024-32473); where it has, neighbours
// cannot become routers or each other.
func TestNetworkIPv6Neighbours(t *testing.T) {
	onMachine(t)
	four := newNetwork(t, "nd-four")
	six := newNetwork(t, "nd-six", "--ipv6", "--subnet", "fd00:92::/64", "--gateway", "fd00:92::1")
	plain := connected(t, "--network", four, base, "sleep", "1000")
	rogue := connected(t, "--network", four, base, "sleep", "1000")
	must(t, attack(rogue, "advertise"))
	if out := must(t, ctr("exec", plain, "ip", "-6", "addr", "show", "eth0")); strings.Contains(out, "inet6") {
		t.Error("IPv6 is on: ", out)
	}
	peer := connected(t, "--network", six, "--ip6", "fd00:92::10", base, "netprobe", "who", "79")
	talker := connected(t, "--network", six, base, "sleep", "1000")
	attacker := connected(t, "--network", six, base, "sleep", "1000")
	must(t, attack(talker, "ask", "udp", "[fd00:92::10]:79", "x"))
	must(t, attack(attacker, "advertise"))
	pause()
	for _, id := range []string{talker, peer} {
		out := must(t, ctr("exec", id, "sh", "-c", "ip -6 addr; ip -6 route"))
		if strings.Contains(out, "bad") || strings.Count(out, "default") > 1 {
			t.Error("a router advertisement of a neighbour was believed:\n", out)
		}
	}
	for _, claimed := range []string{"fd00:92::10", "fd00:92::1"} {
		done := make(chan result)
		go func() { done <- attack(attacker, "neighbour", claimed, "2") }()
		for range 8 {
			if r := attack(talker, "ask", "udp", "[fd00:92::10]:79", "x"); r.code != 0 {
				t.Error("under attack: ", r)
			}
			attack(talker, "ask", "udp", "["+machines.Web6+"]:7", "x")
		}
		if r := <-done; r.code != 0 || strings.Contains(r.out, "captured") {
			t.Errorf("claiming %s: %v", claimed, r)
		}
	}
}

// CAP_NET_ADMIN is power over a container's own interfaces, not over who its
// neighbours are.
func TestNetworkAdminStaysHome(t *testing.T) {
	onMachine(t)
	one := newNetwork(t, "adm-one")
	target := receiver(t, "--network", one)
	peer := connected(t, "--network", one, base, "netprobe", "who", "79")
	talker := connected(t, "--network", one, base, "sleep", "1000")
	to, peerAddress := addressOf(t, target, one), addressOf(t, peer, one)
	peerMAC := strings.TrimSpace(must(t, ctr("inspect", "-f", "{{(index .NetworkSettings.Networks \""+one+"\").MacAddress}}", peer)))
	for name, script := range map[string]string{
		"address": "ip addr add " + peerAddress + "/16 dev eth0 && ip addr del $(ip -o -4 addr show eth0 | sed -n '1s/.*inet \\([^ ]*\\).*/\\1/p') dev eth0",
		"mac":     "ip link set eth0 down; ip link set eth0 address " + peerMAC + "; ip link set eth0 up",
		"both":    "ip link set eth0 down; ip link set eth0 address " + peerMAC + "; ip addr add " + peerAddress + "/16 dev eth0; ip link set eth0 up",
		"promisc": "ip link set eth0 promisc on",
		"forward": "ip link add link eth0 name eth0.5 type vlan id 5; ip link set eth0.5 up; true",
	} {
		attacker := connected(t, "--network", one, "--cap-add", "NET_ADMIN", base, "sleep", "1000")
		ctr("exec", attacker, "sh", "-c", script)
		done := make(chan result)
		go func() { done <- attack(attacker, "arp-claim", peerAddress, "2") }()
		for range 6 {
			if r := attack(talker, "ask", "udp", peerAddress+":79", "x"); r.code != 0 {
				t.Errorf("%s: under attack: %v", name, r)
			}
		}
		if r := <-done; strings.Contains(r.out, "captured") {
			t.Errorf("%s: %v", name, r)
		}
		if name == "address" || name == "both" {
			ctr("exec", attacker, "timeout", "1", "netprobe", "ask", "udp", to+":79", "as-another-"+name)
		}
	}
	pause()
	if log := ctr("logs", target).out; strings.Contains(log, "as-another") {
		t.Error("another's address was taken:\n", log)
	}
}

// The name server in a container is its monitor's: nonsense and idle connections
// neither end it nor silence it, and nobody else can ask it.
func TestNetworkNameServer(t *testing.T) {
	onMachine(t)
	one := newNetwork(t, "ns-one")
	id := connected(t, "--name", "nsvictim", "--network", one, base, "sleep", "1000")
	other := connected(t, "--network", one, base, "sleep", "1000")
	monitor := monitorOf(t, id)
	must(t, attack(id, "junk", "127.0.0.11:53", "600"))
	if r := ctr("exec", id, "timeout", "10", "nslookup", "-type=a", "nsvictim"); r.code != 0 {
		t.Error("after nonsense: ", r)
	}
	if monitorOf(t, id) != monitor {
		t.Error("the monitor is another")
	}
	address := addressOf(t, id, one)
	mac := strings.TrimSpace(must(t, ctr("inspect", "-f", "{{(index .NetworkSettings.Networks \""+one+"\").MacAddress}}", id)))
	if r := ctr("exec", other, "timeout", "3", "nslookup", "-type=a", "nsvictim", address); r.code == 0 {
		t.Error("another container's name server answers: ", r)
	}
	must(t, attack(other, "inject", mac, "udp", addressOf(t, other, one), "127.0.0.11:53", "x"))
	// 169.254.0.0/16 and the host's resolver are no way around an internal network's silence, nor is a name server of another's
	if r := ctr("exec", other, "timeout", "3", "nslookup", "-type=a", "nsvictim", gatewayOf(t, one)); r.code == 0 {
		t.Error("the gateway answers for names: ", r)
	}
}

// Nothing in a container can write the network's settings with Docker's defaults, nor
// see the hub.
func TestNetworkSettingsAreReadOnly(t *testing.T) {
	onMachine(t)
	id := connected(t, base, "sleep", "1000")
	r := ctr("exec", id, "sh", "-c", `for f in ip_forward conf/all/route_localnet conf/eth0/rp_filter conf/eth0/proxy_arp; do echo 1 >/proc/sys/net/ipv4/$f && echo WROTE $f; done
ip link set eth0 down && echo DOWN; ip route add 192.0.2.0/24 via 192.0.2.1 && echo ROUTE; unshare -n true && echo UNSHARE
for f in /proc/[0-9]*/ns/net; do readlink $f; done`)
	if m := regexp.MustCompile(`(WROTE|DOWN|ROUTE|UNSHARE).*`).FindString(r.out); m != "" {
		t.Error(m)
	}
	if seen := strings.Fields(r.out); len(slices.Compact(seen)) != 1 {
		t.Error("more than one network namespace is in sight: ", seen)
	}
}
