package bridge

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ctr/netns/internal/world"
	"ctr/netns/lease"
	"ctr/netns/network"
)

func (s *stage) ruleset() string {
	s.Helper()
	var all strings.Builder
	for _, family := range []string{"inet", "bridge"} {
		out, err := world.Output(s.hub.NS(), "nft", "-s", "list", "table", family, tableName)
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
		if out, err := world.Output(s.hub.NS(), "nft", "flush", "ruleset"); err != nil {
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

func TestHubOnALesserKernel(t *testing.T) {
	s := newStage(t)
	n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24", "fd30:1::/64")})
	apart := s.start(s.network(network.Network{Name: "b", Subnets: subnets("172.30.2.0/24")}))
	listen(t, apart.ns, at(apart.lease.IPv4, 80))
	for _, l := range []lacking{{reject: true}, {transparent: true}, {nat: true}, {bridge: true}, {true, true, true, true}} {
		if out, err := world.Output(s.hub.NS(), "nft", "flush", "ruleset"); err != nil {
			t.Fatal(out)
		}
		s.hub.lacking = l
		if err := s.hub.Reload(); err != nil {
			t.Errorf("%+v: %v", l, err)
		}
		one, two := s.start(n), s.start(n)
		listen(t, two.ns, at(two.lease.IPv4, 80))
		one.reaches(at(two.lease.IPv4, 80))
		one.cannotReach(at(apart.lease.IPv4, 80))
		one.stop()
		two.stop()
	}
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
