package security

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	machines "ctr/tests/world"
)

// eachLink runs f with every link that this user has: as root there is none.
func eachLink(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if os.Getenv(machines.DirEnv) == "" {
		t.Skip("needs a machine made for it: run the tests as root")
	}
	links := []string{"builtin", "slirp4netns", "pasta"}
	if here.who == asRoot {
		links = []string{"root"}
	} else if here.who == asSingle {
		links = links[:1]
	}
	for _, link := range links {
		t.Run(link, func(t *testing.T) {
			switch link {
			case "slirp4netns", "pasta":
				out, err := exec.Command(link, "--version").Output()
				if err != nil {
					t.Skip(link + " is not installed")
				}
				if link == "pasta" && !regexp.MustCompile(`git202[4-9]|git20[3-9]|202[4-9]_`).Match(out) {
					t.Skip("this pasta is from before 2024")
				}
			}
			before := here.env
			here.env = append(slices.Clip(before), "CTR_NETWORK_LINK="+link)
			if link == "root" {
				here.env = before
			}
			t.Cleanup(func() {
				here.env = before
				eventually(t, "the helper ends with the last container", func() bool {
					out, _ := exec.Command("pgrep", "-u", fmt.Sprint(os.Getuid()), "-f", "(^|/)ctr-net").Output()
					return len(out) == 0
				})
			})
			f(t)
		})
	}
}

// connected is a container on a network, in the background; it goes with the test.
func connected(t *testing.T, args ...string) string {
	t.Helper()
	id := strings.TrimSpace(must(t, ctr(append([]string{"run", "-d"}, args...)...)))
	t.Cleanup(func() {
		if r := ctr("rm", "-fv", id); r.code != 0 {
			t.Error("removing the container: ", r)
		}
	})
	return id
}

// newNetwork makes a network that goes with the test.
func newNetwork(t *testing.T, name string, flags ...string) string {
	t.Helper()
	must(t, ctr(append(append([]string{"network", "create"}, flags...), name)...))
	t.Cleanup(func() {
		if r := ctr("network", "rm", name); r.code != 0 {
			t.Error("removing the network: ", r)
		}
	})
	return name
}

// addressOf is a container's address on a network.
func addressOf(t *testing.T, id, network string) string {
	t.Helper()
	a := strings.TrimSpace(must(t, ctr("inspect", "-f", "{{(index .NetworkSettings.Networks \""+network+"\").IPAddress}}", id)))
	if net.ParseIP(a) == nil {
		t.Fatalf("the address of %.12s on %s is %q", id, network, a)
	}
	return a
}

func gatewayOf(t *testing.T, network string) string {
	t.Helper()
	return strings.TrimSpace(must(t, ctr("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", network)))
}

// receiver is a container that logs whatever reaches its port 79.
func receiver(t *testing.T, args ...string) string {
	t.Helper()
	id := connected(t, append(args, base, "netprobe", "receive", "79")...)
	eventually(t, "the receiver is ready", func() bool { return strings.Contains(ctr("logs", id).out, "ready") })
	return id
}

// attack runs a probe in a container; what it prints is the test's to judge.
func attack(id string, words ...string) result {
	return ctr(append([]string{"exec", id, "netprobe"}, words...)...)
}

// pause is how long something that must not arrive has for it.
func pause() { time.Sleep(500 * time.Millisecond) }

// hostServices listen on the machine and count who comes.
type hostServices struct {
	mu   sync.Mutex
	came []string
}

func (h *hostServices) visitors() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.came, "\n")
}

func (h *hostServices) note(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.came = append(h.came, s)
}

// listen opens TCP and UDP on address.
func (h *hostServices) listen(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); p.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.note("tcp " + address + " from " + c.RemoteAddr().String())
			fmt.Fprintln(c, secret)
			c.Close()
		}
	}()
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			h.note(fmt.Sprintf("udp %s from %s %q", address, from, b[:n]))
			p.WriteTo([]byte(secret), from)
		}
	}()
}

// The host's loopback is not reachable from a container: not by any address that
// means it, nor by a frame in which one is written.
func TestNetworkHostLoopback(t *testing.T) {
	eachLink(t, func(t *testing.T) {
		var host hostServices
		host.listen(t, "127.0.0.1:8911")
		host.listen(t, "127.0.0.53:8911")
		host.listen(t, "[::1]:8911")
		one := newNetwork(t, "lo-one")
		six := newNetwork(t, "lo-six", "--ipv6", "--subnet", "fd00:91::/64", "--gateway", "fd00:91::1")
		targets := []string{
			"127.0.0.1", "127.0.0.53", "127.1.2.3", "0.0.0.0", "169.254.1.2", "169.254.1.1", machines.Machine, machines.Machine2,
			"10.0.2.2", "10.0.2.3", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:0:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[" + machines.Machine6 + "]", "[fd00:91::1]",
			"host.docker.internal", "host.containers.internal",
		}
		for _, network := range []string{"bridge", one, six} {
			id := connected(t, "--network", network, base, "sleep", "1000")
			gateway := gatewayOf(t, network)
			for _, to := range append(targets, gateway) {
				for _, protocol := range []string{"tcp", "udp"} {
					if r := ctr("exec", id, "timeout", "2", "netprobe", "ask", protocol, to+":8911", "x"); strings.Contains(r.out, secret) {
						t.Errorf("%s %s by %s: %v", network, protocol, to, r)
					}
				}
			}
			own := addressOf(t, id, network)
			for _, source := range []string{own, "127.0.0.1", gateway} {
				for _, to := range []string{"127.0.0.1:8911", "127.0.0.53:8911", "0.0.0.0:8911", "127.255.255.255:8911"} {
					for _, protocol := range []string{"udp", "syn"} {
						must(t, attack(id, "inject", "gateway", protocol, source, to, "injected"))
					}
				}
			}
		}
		pause()
		if v := host.visitors(); v != "" {
			t.Error("the host's loopback was reached:\n", v)
		}
	})
}

// Nothing of ours listens where a container can reach it: no port on the gateways, in
// other containers, nor any name in the abstract space.
func TestNetworkNothingListens(t *testing.T) {
	eachLink(t, func(t *testing.T) {
		one := newNetwork(t, "ls-one")
		a := connected(t, "--network", one, "--network", "bridge", base, "sleep", "1000")
		b := connected(t, "--network", one, "-p", "8921:79", base, "sleep", "1000")
		for _, to := range []string{gatewayOf(t, one), gatewayOf(t, "bridge"), addressOf(t, b, one), addressOf(t, a, one)} {
			r := attack(a, "scan", to)
			open := strings.Fields(r.out)
			if here.who == asRoot { // the gateway is the host itself, which has published ports
				open = slices.DeleteFunc(open, func(p string) bool { return p == "8921" })
			}
			if r.code != 0 || len(open) > 0 {
				t.Errorf("open on %s: %v", to, r)
			}
		}
		r := ctr("exec", a, "sh", "-c", "cat /proc/net/tcp /proc/net/udp /proc/net/tcp6 /proc/net/udp6 /proc/net/raw /proc/net/packet; cat /proc/net/unix")
		for line := range strings.Lines(must(t, r)) {
			f := strings.Fields(line)
			if len(f) > 3 && strings.HasSuffix(f[0], ":") && !strings.HasPrefix(f[1], "0B00007F:") && f[0] != "sl:" && strings.Contains(f[1], ":") {
				t.Error("a socket on more than 127.0.0.11: ", line)
			}
			if strings.Contains(line, "@") || strings.Contains(line, "ctl.sock") || strings.Contains(line, "ctr") {
				t.Error("a socket of ours: ", line)
			}
		}
	})
}

// A neighbour's packets stay the neighbour's, whatever one says by ARP or as the
// source of a frame, with Docker's default capabilities.
func TestNetworkSpoofedARP(t *testing.T) {
	eachLink(t, func(t *testing.T) {
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
	})
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

// A packet whose source is another's address does not leave the container's wire.
func TestNetworkSpoofedSource(t *testing.T) {
	eachLink(t, func(t *testing.T) {
		one := newNetwork(t, "src-one")
		target := receiver(t, "--network", one)
		friend := connected(t, "--network", one, base, "sleep", "1000")
		attacker := connected(t, "--network", one, base, "sleep", "1000")
		to, friendAddress := addressOf(t, target, one), addressOf(t, friend, one)
		must(t, attack(attacker, "ask", "udp", machines.Web+":7", "x"))
		for _, source := range []string{friendAddress, gatewayOf(t, one), to, "192.0.2.1", machines.Machine, "127.0.0.1", "255.255.255.255"} {
			attack(attacker, "forge", "udp", source, to+":79", "forged") // the kernel may refuse by itself
			must(t, attack(attacker, "inject", "ff:ff:ff:ff:ff:ff", "udp", source, to+":79", "forged"))
			attack(attacker, "forge", "udp", source, machines.Web+":4999", "forged")
			must(t, attack(attacker, "inject", "gateway", "udp", source, machines.Web+":4999", "forged"))
			must(t, attack(attacker, "inject", "gateway", "icmp", source, machines.Web+":0"))
		}
		pause()
		if log := ctr("logs", target).out; strings.Contains(log, "forged") {
			t.Error("a forged source was believed:\n", log)
		}
		seen, err := machines.Ask("seen")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(seen, ":4999 ") || strings.Contains(seen, "icmp "+machines.Web) {
			t.Error("a forged packet left the machine:\n", seen)
		}
		must(t, attack(friend, "ask", "udp", machines.Web+":7", "x"))
	})
}

// Networks are apart for whoever writes frames himself, too, and internal ones have
// no way out.
func TestNetworkOthersOutOfReach(t *testing.T) {
	eachLink(t, func(t *testing.T) {
		one, two, inner := newNetwork(t, "far-one"), newNetwork(t, "far-two"), newNetwork(t, "far-inner", "--internal")
		targets := map[string]string{}
		for _, network := range []string{"bridge", one, two, inner} {
			targets[network] = receiver(t, "--network", network)
		}
		for _, network := range []string{"bridge", one, inner} {
			attacker := connected(t, "--network", network, "--cap-add", "NET_ADMIN", base, "sleep", "1000")
			own := addressOf(t, attacker, network)
			mine := strings.TrimSuffix(own, own[strings.LastIndex(own, "."):])
			ctr("exec", attacker, "ip", "route", "add", "default", "via", mine+".1") // internal ones have none
			for other, id := range targets {
				if other == network {
					continue
				}
				to := addressOf(t, id, other) + ":79"
				text := "crossed-from-" + network
				for _, mac := range []string{"gateway", "ff:ff:ff:ff:ff:ff", strings.TrimSpace(must(t, ctr("inspect", "-f", "{{(index .NetworkSettings.Networks \""+other+"\").MacAddress}}", id)))} {
					must(t, attack(attacker, "inject", mac, "udp", own, to, text))
					must(t, attack(attacker, "inject", mac, "syn", own, to))
				}
				for _, protocol := range []string{"udp", "tcp"} {
					ctr("exec", attacker, "timeout", "1", "netprobe", "ask", protocol, to, text)
				}
			}
			if network == inner {
				must(t, attack(attacker, "inject", "gateway", "udp", own, machines.Web+":4998", "leak"))
				must(t, attack(attacker, "inject", "gateway", "icmp", own, machines.Web+":0"))
				must(t, attack(attacker, "inject", "gateway", "syn", own, machines.Web+":4997"))
				ctr("exec", attacker, "timeout", "2", "nslookup", "-type=a", "leaked-name.test")
				ctr("exec", attacker, "timeout", "2", "nslookup", "-type=a", "leaked-name.test", mine+".1")
				ctr("exec", attacker, "timeout", "2", "nslookup", "-type=txt", "leaked-name.test", "127.0.0.11")
			}
		}
		pause()
		for network, id := range targets {
			if log := ctr("logs", id).out; strings.TrimSpace(log) != "ready" {
				t.Errorf("%s was reached:\n%s", network, log)
			}
		}
		seen, _ := machines.Ask("seen")
		if m := regexp.MustCompile(`.*(:4998|:4997|icmp ` + regexp.QuoteMeta(machines.Web) + `).*`).FindString(seen); m != "" {
			t.Error("from the internal network outside: ", m)
		}
		if queries, err := machines.Ask("queries"); err != nil || strings.Contains(queries, "leaked-name") {
			t.Error("a query left the internal network (CVE-2024-29018): ", err, queries)
		}
	})
}

// A port published on 127.0.0.1 is for this machine's own programs (CVE-2025-54388),
// and a port that is not published is not for a neighbour of the machine who knows the
// container's address.
func TestNetworkLoopbackPorts(t *testing.T) {
	eachLink(t, func(t *testing.T) {
		one := newNetwork(t, "pub-one")
		target := receiver(t, "--network", one, "-p", "127.0.0.1:8931:79", "-p", "127.0.0.1:8931:79/udp")
		attackers := []string{connected(t, base, "sleep", "1000"), connected(t, "--network", one, base, "sleep", "1000")}
		to := addressOf(t, target, one)
		must(t, ctr("exec", target, "true"))
		c, err := net.Dial("tcp", "127.0.0.1:8931")
		if err != nil {
			t.Fatal("the port is not even open here: ", err)
		}
		c.Close()
		eventually(t, "the service is reached on 127.0.0.1", func() bool { return strings.Count(ctr("logs", target).out, "\n") > 1 })
		try := func(when string) {
			before := strings.Count(ctr("logs", target).out, "\n")
			for i, id := range attackers {
				network := []string{"bridge", one}[i]
				for _, host := range []string{machines.Machine, machines.Machine2, "host.docker.internal", gatewayOf(t, network), "169.254.1.2", "127.0.0.1"} {
					for _, protocol := range []string{"tcp", "udp"} {
						ctr("exec", id, "timeout", "1", "netprobe", "ask", protocol, host+":8931", "in")
					}
				}
				for _, protocol := range []string{"syn", "udp"} {
					must(t, attack(id, "inject", "gateway", protocol, addressOf(t, id, network), "127.0.0.1:8931", "in"))
				}
			}
			if _, err := machines.Ask("route", strings.TrimSpace(must(t, ctr("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", one)))); err != nil {
				t.Fatal(err)
			}
			for _, address := range []string{machines.Machine + ":8931", machines.Machine2 + ":8931", to + ":79"} {
				for _, protocol := range []string{"tcp", "udp"} {
					if out, err := machines.Ask(protocol, address, "in"); err == nil && out != "" {
						t.Errorf("%s: from outside by %s %s: %q", when, protocol, address, out)
					}
				}
			}
			pause()
			if log := ctr("logs", target).out; strings.Count(log, "\n") != before {
				t.Errorf("%s: reached:\n%s", when, log)
			}
		}
		try("at first")
		must(t, ctr("network", "reload", "--all"))
		try("after network reload")
		if here.who == asRoot {
			if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
				t.Skip("nft: ", err, string(out))
			}
			must(t, ctr("network", "reload", "--all"))
			try("after somebody else emptied the firewall")
			for _, path := range mustGlob("/proc/sys/net/ipv4/conf/*/route_localnet") {
				if b, _ := os.ReadFile(path); strings.TrimSpace(string(b)) != "0" {
					t.Errorf("%s is %s: packets for 127.0.0.1 are taken from the wire (CVE-2020-8558)", path, b)
				}
			}
		}
	})
}

// IPv6 is off where the network has none (CVE-2024-32473); where it has, neighbours
// cannot become routers or each other.
func TestNetworkIPv6Neighbours(t *testing.T) {
	eachLink(t, func(t *testing.T) {
		four := newNetwork(t, "nd-four")
		six := newNetwork(t, "nd-six", "--ipv6", "--subnet", "fd00:92::/64", "--gateway", "fd00:92::1")
		plain := connected(t, "--network", four, base, "sleep", "1000")
		rogue := connected(t, "--network", four, base, "sleep", "1000")
		must(t, attack(rogue, "advertise"))
		if out := must(t, ctr("exec", plain, "ip", "-6", "addr")); strings.Contains(out, "inet6") {
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
	})
}

// CAP_NET_ADMIN is power over a container's own interfaces, not over who its
// neighbours are.
func TestNetworkAdminStaysHome(t *testing.T) {
	eachLink(t, func(t *testing.T) {
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
	})
}

// The name server in a container is its monitor's: nonsense and idle connections
// neither end it nor silence it, and nobody else can ask it.
func TestNetworkNameServer(t *testing.T) {
	eachLink(t, func(t *testing.T) {
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
	})
}

// Nothing in a container can write the network's settings with Docker's defaults, nor
// see the hub.
func TestNetworkSettingsAreReadOnly(t *testing.T) {
	eachLink(t, func(t *testing.T) {
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
	})
}
