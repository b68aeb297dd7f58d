package bridge

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/lease"
	"ctr/netns/network"
)

func (s *stage) ruleset() string {
	s.Helper()
	var all strings.Builder
	for _, family := range []string{"inet", "bridge"} {
		out, err := inNS(s.hub.NS(), "nft", "-s", "list", "table", family, tableName)
		if err != nil {
			s.Fatalf("%v: %s", err, out)
		}
		all.WriteString(out)
	}
	return all.String()
}

func TestHubRulesComeBack(t *testing.T) {
	s := newStage(t)
	n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24", "fd30:1::/64")})
	one, two := s.start(n), s.start(n)
	apart := s.start(s.network(network.Network{Name: "b", Subnets: subnets("172.30.2.0/24")}))
	before := len(s.ruleset())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	again, ended := make(chan error, 10), make(chan error, 1)
	go func() { ended <- s.hub.WatchRules(ctx, func() { again <- s.hub.Reload() }) }()
	flush := func() {
		if out, err := inNS(s.hub.NS(), "nft", "flush", "ruleset"); err != nil {
			t.Fatal(out)
		}
	}
	for done := false; !done; { // the watch begins at some time
		flush()
		select {
		case err := <-again:
			done = true
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(time.Second):
		}
	}
	if after := len(s.ruleset()); after != before { // the order in sets differs
		t.Errorf("the rules were %d long and are now:\n%s", before, s.ruleset())
	}
	listen(t, two.ns, at(two.lease.IPv4, 80))
	one.reaches(at(two.lease.IPv4, 80))
	listen(t, apart.ns, at(apart.lease.IPv4, 80))
	one.cannotReach(at(apart.lease.IPv4, 80))
	// our own Reload is no reason for another
	if err := s.hub.Reload(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-again:
		t.Error("Reload is taken for somebody else's change")
	case <-time.After(500 * time.Millisecond):
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// without anybody who watches, the next container brings them back
	flush()
	three := s.start(n)
	listen(t, three.ns, at(three.lease.IPv4, 80))
	one.reaches(at(three.lease.IPv4, 80))
	one.cannotReach(at(apart.lease.IPv4, 80))
	if out := s.ruleset(); !strings.Contains(out, apart.lease.IPv4.String()) {
		t.Errorf("rules without the other network:\n%s", out)
	}
	// and a container that goes finds nothing to remove
	flush()
	three.stop()
}

func TestHubHundredContainers(t *testing.T) {
	s := newStage(t)
	n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.0.0/16")})
	var all []*container
	seen := map[netip.Addr]bool{}
	for range 100 {
		c := s.start(n)
		if seen[c.lease.IPv4] {
			t.Fatalf("%v twice", c.lease.IPv4)
		}
		seen[c.lease.IPv4] = true
		all = append(all, c)
	}
	for i, c := range all {
		to := at(all[(i+1)%len(all)].lease.IPv4, 80)
		listen(t, all[(i+1)%len(all)].ns, to)
		c.reaches(to)
	}
	if got := strings.Count(s.ruleset(), "ctrv"); got != 2*len(all)+1 { // ports, own4, and the rule
		t.Errorf("%d times the name of a port in the rules, want %d", got, 2*len(all)+1)
	}
	for _, c := range all {
		if err := s.hub.Detach(nil, n, c.lease, "eth0"); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(s.ruleset(), "ctrv"); got != 1 {
		t.Errorf("%d times the name of a port in the rules after all left", got)
	}
}

// TestHubAddressOfAnother is a container with the address of an earlier one and
// another MAC: its neighbours know it at once.
func TestHubAddressOfAnother(t *testing.T) {
	s := newStage(t)
	n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24")})
	one := s.start(n)
	want := lease.Lease{IPv4: netip.MustParseAddr("172.30.1.9")}
	for i := range 3 {
		want.MAC = fmt.Sprintf("02:00:00:00:00:%02d", i)
		c := s.startAs(n, want)
		listen(t, c.ns, at(c.lease.IPv4, 80))
		if err := dial(one.ns, at(c.lease.IPv4, 80), 900*time.Millisecond); err != nil {
			t.Errorf("connecting to the address's owner number %d: %v", i, err)
		}
		c.stop()
	}
}

// BenchmarkThroughput compares TCP through a bridge with TCP through a bare veth pair.
func BenchmarkThroughput(b *testing.B) {
	s := newStage(b)
	if _, err := exec.LookPath("iperf3"); err != nil {
		b.Skip("iperf3 is not installed")
	}
	n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24"), Options: map[string]string{"mtu": "65520"}})
	one, two := s.start(n), s.start(n)
	bare1, bare2 := s.namespace(), s.namespace()
	pair := fmt.Sprintf("ip link add v0 mtu 65520 type veth peer name v1 mtu 65520 netns /proc/%d/fd/%d; ip addr add 10.9.9.1/24 dev v0; ip link set v0 up", unix.Getpid(), bare2.Fd())
	if out, err := inNS(bare1, "sh", "-ec", pair); err != nil {
		b.Fatal(out)
	}
	if out, err := inNS(bare2, "sh", "-ec", "ip addr add 10.9.9.2/24 dev v1; ip link set v1 up"); err != nil {
		b.Fatal(out)
	}
	measure := func(name string, client, server *container, to string) {
		b.Run(name, func(b *testing.B) {
			c := exec.Command("iperf3", "-s", "-1")
			if err := netns.Do(server.ns, c.Start); err != nil {
				b.Fatal(err)
			}
			defer c.Wait()
			for dial(client.ns, at(netip.MustParseAddr(to), 5201), time.Second) != nil {
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(200 * time.Millisecond)
			out, err := inNS(client.ns, "sh", "-c", "iperf3 -c "+to+" -t 4 -f m | awk '/receiver/ {print $7}'")
			var rate float64
			if _, scan := fmt.Sscan(out, &rate); err != nil || scan != nil {
				b.Fatalf("iperf3: %v %s", err, out)
			}
			b.ReportMetric(rate, "Mbit/s")
		})
	}
	for range 3 {
		measure("bare", &container{ns: bare1}, &container{ns: bare2}, "10.9.9.2")
		measure("bridge", one, two, two.lease.IPv4.String())
	}
}
