package security

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	machines "ctr/tests/world"
)

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
			if r := attack(id, append([]string{"sweep", "8911", "x", gateway}, targets...)...); r.code != 0 || strings.Contains(r.out, secret) {
				t.Errorf("%s: %v", network, r)
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
		a := connected(t, base, "sleep", "1000")
		must(t, ctr("network", "connect", one, a))
		b := connected(t, "--network", one, "-p", "8921:79", base, "sleep", "1000")
		for _, to := range []string{gatewayOf(t, one), gatewayOf(t, "bridge"), addressOf(t, b, one), addressOf(t, a, one)} {
			for _, ports := range [][2]string{{"1", "1100"}, {"9900", "10100"}} {
				if r := attack(a, "scan", to, ports[0], ports[1]); r.code != 0 || r.out != "" {
					t.Errorf("open on %s: %v", to, r)
				}
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
				attack(attacker, "sweep", "79", text, strings.TrimSuffix(to, ":79"))
			}
			if network == inner {
				must(t, attack(attacker, "inject", "gateway", "udp", own, "192.0.2.66:4998", "leak"))
				must(t, attack(attacker, "inject", "gateway", "icmp", own, "192.0.2.66:0"))
				must(t, attack(attacker, "inject", "gateway", "syn", own, "192.0.2.66:4997"))
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
		if strings.Contains(seen, "192.0.2.66") {
			t.Error("from the internal network outside: ", seen)
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
				attack(id, "sweep", "8931", "in", machines.Machine, machines.Machine2, "host.docker.internal", gatewayOf(t, network), "169.254.1.2", "127.0.0.1")
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
