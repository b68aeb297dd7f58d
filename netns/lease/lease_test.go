package lease

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"ctr/netns/network"
	"ctr/pkg/process"
)

// testNetwork is a bridge whose subnets were chosen by the user; the gateway is the first address.
func testNetwork(subnets ...string) *network.Network {
	n := &network.Network{Version: 1, ID: strings.Repeat("ab", 32), Name: "net", Driver: network.Bridge, NoIPv4: true}
	for _, text := range subnets {
		p := netip.MustParsePrefix(text)
		n.Subnets = append(n.Subnets, network.Subnet{Subnet: p, Gateway: p.Addr().Next(), Chosen: true})
		if p.Addr().Is4() {
			n.NoIPv4 = false
		} else {
			n.IPv6 = true
		}
	}
	return n
}

func dead(t *testing.T) process.Process {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := process.Of(cmd.Process.Pid)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return p
}

func take(t *testing.T, l *Leases, n *network.Network, want Lease) Lease {
	t.Helper()
	if want.Holder.Pid == 0 {
		want.Holder = process.This()
	}
	got, err := l.Take(n, want)
	if err != nil {
		t.Fatalf("%s: %v", want.Container, err)
	}
	return got
}

func refused(t *testing.T, l *Leases, n *network.Network, want Lease, words ...string) {
	t.Helper()
	got, err := l.Take(n, want)
	if err == nil {
		t.Errorf("%s got %+v", want.Container, got)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: error %q does not say %q", want.Container, err, w)
		}
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestTakeFillsInALeaseAndOfReturnsIt(t *testing.T) {
	l := Open(t.TempDir())
	n := testNetwork("172.17.0.0/16", "fd00:1::/64")
	if got, err := l.Of(n.ID); len(got) != 0 || err != nil {
		t.Fatalf("before the first: %v, %v", got, err)
	}
	want := Lease{Container: "c1", Names: []string{"web", "a b", "", "-", "x\ty\nz%41", "ü"}, Holder: process.This(), HubFD: 7}
	got := take(t, l, n, want)
	if got.IPv4 != addr("172.17.0.2") || got.IPv6 != addr("fd00:1::2") || got.MAC != "02:42:ac:11:00:02" || len(got.Endpoint) != 64 {
		t.Errorf("took %+v", got)
	}
	second := take(t, l, n, Lease{Container: "c2"})
	if second.IPv4 != addr("172.17.0.3") || second.IPv6 != addr("fd00:1::3") || second.Endpoint == got.Endpoint {
		t.Errorf("took %+v", second)
	}
	for _, read := range []func() ([]Lease, error){
		func() ([]Lease, error) { return l.Of(n.ID) },
		func() ([]Lease, error) { all, err := l.All(); return all[n.ID], err },
	} {
		if on, err := read(); err != nil || !reflect.DeepEqual(on, []Lease{got, second}) {
			t.Errorf("on disk\n%+v, %v; took\n%+v", on, err, []Lease{got, second})
		}
	}
	if err := l.SetNames(n.ID, "c2", []string{"db", "alias"}); err != nil {
		t.Fatal(err)
	}
	if on, _ := l.Of(n.ID); !reflect.DeepEqual(on[1].Names, []string{"db", "alias"}) || !reflect.DeepEqual(on[0], got) {
		t.Errorf("names set: %+v", on)
	}
	if err := l.SetNames(n.ID, "c3", nil); err == nil {
		t.Error("names were set of what has no lease")
	}
}

func TestAContainerHasOneLease(t *testing.T) {
	l := Open(t.TempDir())
	n := testNetwork("10.9.0.0/24")
	first := take(t, l, n, Lease{Container: "c1"})
	again := take(t, l, n, Lease{Container: "c1"})
	if again.IPv4 != first.IPv4 {
		t.Errorf("%v the second time, was %v", again.IPv4, first.IPv4)
	}
	if on, _ := l.Of(n.ID); len(on) != 1 {
		t.Errorf("leases: %+v", on)
	}
	// its own address is free to itself
	take(t, l, n, Lease{Container: "c1", IPv4: first.IPv4, MAC: first.MAC})
}

func TestReleaseFreesTheLowest(t *testing.T) {
	run := t.TempDir()
	l := Open(run)
	n := testNetwork("10.9.0.0/24")
	for i := range 5 {
		take(t, l, n, Lease{Container: fmt.Sprint("c", i)})
	}
	for range 2 {
		if err := l.Release(n.ID, "c2"); err != nil {
			t.Fatal(err)
		}
	}
	if got := take(t, l, n, Lease{Container: "new"}); got.IPv4 != addr("10.9.0.4") {
		t.Errorf("%v is not the lowest free address", got.IPv4)
	}
	for _, c := range []string{"c0", "c1", "c3", "c4", "new", "never"} {
		if err := l.Release(n.ID, c); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(l.Dir()); len(left) != 0 {
		t.Errorf("after the last lease: %v", left)
	}
	if err := l.Release(n.ID, "c0"); err != nil {
		t.Error(err)
	}
}

func TestWantedAddresses(t *testing.T) {
	l := Open(t.TempDir())
	n := testNetwork("10.9.0.0/24", "fd00:1::/64")
	n.Subnets[0].Range = netip.MustParsePrefix("10.9.0.128/25")
	n.Subnets[0].Aux = map[string]netip.Addr{"router": addr("10.9.0.5")}
	got := take(t, l, n, Lease{Container: "c1", Names: []string{"web"}, IPv4: addr("10.9.0.100"), IPv6: addr("fd00:1::99"), MAC: "02-42-AA-00-00-01"})
	if got.IPv4 != addr("10.9.0.100") || got.IPv6 != addr("fd00:1::99") || got.MAC != "02:42:aa:00:00:01" {
		t.Errorf("took %+v", got)
	}
	notChosen := testNetwork("10.9.0.0/24")
	notChosen.Subnets[0].Chosen = false
	standard := testNetwork("10.9.0.0/24")
	standard.Name = "bridge"
	for _, c := range []struct {
		n     *network.Network
		want  Lease
		words []string
	}{
		{n, Lease{IPv4: addr("10.9.0.100")}, []string{"Address already in use", "container web"}},
		{n, Lease{IPv6: addr("fd00:1::99")}, []string{"Address already in use", "container web"}},
		{n, Lease{IPv4: addr("10.9.0.1")}, []string{"Address already in use", "the gateway"}},
		{n, Lease{IPv4: addr("10.9.0.0")}, []string{"Address already in use", "network's own"}},
		{n, Lease{IPv4: addr("10.9.0.255")}, []string{"Address already in use", "broadcast"}},
		{n, Lease{IPv4: addr("10.9.0.5")}, []string{"Address already in use", `"router"`}},
		{n, Lease{IPv4: addr("10.9.1.1")}, []string{"invalid config for network net: invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.9.1.1"}},
		{n, Lease{IPv4: addr("fd00:1::5")}, []string{"invalid IPv4 address: fd00:1::5"}},
		{n, Lease{IPv6: addr("10.9.0.9")}, []string{"invalid IPv6 address: 10.9.0.9"}},
		{n, Lease{IPv6: addr("::ffff:10.9.0.9")}, []string{"invalid IPv6 address"}},
		{n, Lease{IPv6: addr("fe80::1%eth0")}, []string{"invalid IPv6 address"}},
		{n, Lease{IPv4: addr("0.0.0.0")}, []string{"invalid IPv4 address"}},
		{n, Lease{MAC: "02:42:aa:00:00:01"}, []string{"02:42:aa:00:00:01", "container web"}},
		{n, Lease{MAC: "x"}, []string{"invalid MAC address x"}},
		{n, Lease{MAC: "01:00:5e:00:00:01"}, []string{"invalid MAC address"}},
		{n, Lease{MAC: "00:00:00:00:00:00"}, []string{"invalid MAC address"}},
		{n, Lease{MAC: "02:42:aa:00:00:01:00:00"}, []string{"invalid MAC address"}},
		{notChosen, Lease{IPv4: addr("10.9.0.9")}, []string{"supported only when connecting to networks with user configured subnets"}},
		{notChosen, Lease{IPv6: addr("fd00::9")}, []string{"supported only when connecting to networks with user configured subnets"}},
		{standard, Lease{IPv4: addr("10.9.0.9")}, []string{"supported on user defined networks only"}},
		{&network.Network{ID: n.ID, Name: "conf", Driver: network.Null, ConfigOnly: true}, Lease{}, []string{"configuration-only"}},
		{&network.Network{ID: n.ID, Name: "host", Driver: network.Host}, Lease{}, []string{"host"}},
		{&network.Network{ID: "../x", Name: "evil", Driver: network.Bridge}, Lease{}, []string{"64 hexadecimal digits"}},
	} {
		c.want.Container, c.want.Holder = "c2", process.This()
		refused(t, l, c.n, c.want, c.words...)
	}
	if on, _ := l.Of(n.ID); len(on) != 1 {
		t.Errorf("what was refused left %+v", on)
	}
	if got := take(t, l, n, Lease{Container: "c3"}); got.IPv4 != addr("10.9.0.128") {
		t.Errorf("%v is not the first of the range", got.IPv4)
	}
}

func TestMACs(t *testing.T) {
	l := Open(t.TempDir())
	n := testNetwork("10.9.0.0/24")
	take(t, l, n, Lease{Container: "c1", IPv4: addr("10.9.0.9"), MAC: "02:42:0a:09:00:02"})
	if got := take(t, l, n, Lease{Container: "c2"}); got.IPv4 != addr("10.9.0.2") || got.MAC == "02:42:0a:09:00:02" || !strings.HasPrefix(got.MAC, "02:42:") {
		t.Errorf("took %+v beside a container that asked for its MAC", got)
	}
	n.Driver = network.IPvlan
	refused(t, l, n, Lease{Container: "c3", MAC: "02:42:00:00:00:07"}, "do not support custom mac address")
	if got := take(t, l, n, Lease{Container: "c3"}); got.MAC != "" {
		t.Errorf("on ipvlan: %+v", got)
	}
	six := testNetwork("fd00:1::/64")
	six.ID = strings.Repeat("cd", 32)
	if got := take(t, l, six, Lease{Container: "c1"}); got.IPv4.IsValid() || got.MAC != "02:42:00:00:00:02" {
		t.Errorf("without IPv4: %+v", got)
	}
}

func TestVoidLeasesGiveWayWhenInTheWay(t *testing.T) {
	l := Open(t.TempDir())
	n := testNetwork("10.9.0.0/29") // five containers
	gone := dead(t)
	take(t, l, n, Lease{Container: "void1", Holder: gone})
	take(t, l, n, Lease{Container: "void2", Holder: gone, MAC: "02:00:00:00:00:01"})
	if got := take(t, l, n, Lease{Container: "c1"}); got.IPv4 != addr("10.9.0.4") {
		t.Errorf("%v while there is room", got.IPv4)
	}
	if got := take(t, l, n, Lease{Container: "c2", IPv4: addr("10.9.0.2")}); got.IPv4 != addr("10.9.0.2") {
		t.Errorf("a void lease kept its address: %v", got.IPv4)
	}
	take(t, l, n, Lease{Container: "c3"})
	take(t, l, n, Lease{Container: "c4"})
	if got := take(t, l, n, Lease{Container: "c5"}); got.IPv4 != addr("10.9.0.3") {
		t.Errorf("the pool was full but for a void lease, and %v was taken", got.IPv4)
	}
	refused(t, l, n, Lease{Container: "c6", Holder: process.This()}, "no available addresses on this pool", "5 containers")
	if got := take(t, l, n, Lease{Container: "c5", MAC: "02:00:00:00:00:01"}); got.IPv4 != addr("10.9.0.3") {
		t.Errorf("took %+v", got)
	}
}

func TestPrune(t *testing.T) {
	l := Open(t.TempDir())
	n, other := testNetwork("10.9.0.0/24"), testNetwork("10.8.0.0/24")
	other.ID = strings.Repeat("cd", 32)
	gone := dead(t)
	take(t, l, n, Lease{Container: "void", Holder: gone})
	take(t, l, n, Lease{Container: "alive"})
	take(t, l, other, Lease{Container: "void", Holder: gone})
	if err := l.Prune(); err != nil {
		t.Fatal(err)
	}
	all, err := l.All()
	if err != nil || len(all) != 1 || len(all[n.ID]) != 1 || all[n.ID][0].Container != "alive" {
		t.Errorf("left %+v, %v", all, err)
	}
	if err := Open(t.TempDir()).Prune(); err != nil {
		t.Errorf("with nothing: %v", err)
	}
}

func TestHoldKeepsOthersOut(t *testing.T) {
	l := Open(t.TempDir())
	n := testNetwork("10.9.0.0/24")
	took := make(chan error)
	err := l.Hold(n.ID, func(live []Lease) error {
		if len(live) != 0 {
			t.Errorf("live: %+v", live)
		}
		go func() {
			_, err := l.Take(n, Lease{Container: "c1", Holder: process.This()})
			took <- err
		}()
		for range 100 { // Take is waiting for the lock, or not there yet
			if on, err := l.Of(n.ID); len(on) != 0 || err != nil {
				t.Fatalf("taken meanwhile: %+v, %v", on, err)
			}
		}
		return nil
	})
	if err := errors.Join(err, <-took); err != nil {
		t.Fatal(err)
	}
	take(t, l, n, Lease{Container: "void", Holder: dead(t)})
	sentinel := errors.New("no")
	err = l.Hold(n.ID, func(live []Lease) error {
		if len(live) != 1 || live[0].Container != "c1" {
			t.Errorf("live: %+v", live)
		}
		return sentinel
	})
	if !errors.Is(err, sentinel) {
		t.Error(err)
	}
	if err := l.Hold("x", func([]Lease) error { return nil }); err == nil {
		t.Error("a network without a proper ID was held")
	}
}

func TestSmallAndGreatSubnets(t *testing.T) {
	for subnet, room := range map[string]int{"10.9.0.0/30": 1, "10.9.0.4/31": 1, "10.9.0.0/28": 13, "fd00::/126": 2, "255.255.255.0/25": 125} {
		l := Open(t.TempDir())
		n := testNetwork(subnet)
		seen := map[netip.Addr]bool{}
		for i := 0; ; i++ {
			got, err := l.Take(n, Lease{Container: fmt.Sprint("c", i), Holder: process.This()})
			if err != nil {
				break
			}
			a := got.IPv4
			if n.IPv6 {
				a = got.IPv6
			}
			if seen[a] || !n.Subnets[0].Subnet.Contains(a) || n.Subnets[0].Reserved(a) != "" {
				t.Errorf("%s: took %v", subnet, a)
			}
			seen[a] = true
		}
		if len(seen) != room {
			t.Errorf("%s had room for %d, it should be %d", subnet, len(seen), room)
		}
	}
	for _, subnet := range []string{"10.0.0.0/8", "fd00::/8", "fd00::/16"} {
		n := testNetwork(subnet)
		n.Subnets[0].Gateway = network.Subnet{}.Gateway
		if got := take(t, Open(t.TempDir()), n, Lease{Container: "c"}); got.IPv4 != addr("10.0.0.1") && got.IPv6 != addr("fd00::1") {
			t.Errorf("%s: took %+v", subnet, got)
		}
	}
	// the second subnet of a macvlan network serves when the first is full
	l := Open(t.TempDir())
	n := testNetwork("10.9.0.0/30", "10.8.0.0/30")
	n.Driver = network.Macvlan
	take(t, l, n, Lease{Container: "c1"})
	if got := take(t, l, n, Lease{Container: "c2"}); got.IPv4 != addr("10.8.0.2") {
		t.Errorf("from the second subnet: %+v", got)
	}
}
