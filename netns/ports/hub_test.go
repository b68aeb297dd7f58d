package ports

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"

	"ctr/netns/bridge"
	"ctr/netns/internal/world"
	"ctr/netns/lease"
	"ctr/netns/network"
	"ctr/pkg/process"
)

// testHub publishes a port of a container on a bridge of ctr's own making, whose rules
// bring the replies back and refuse everything else.
func testHub(w *stage) {
	run := w.t.TempDir()
	networks, leases := network.Open(w.t.TempDir()), lease.Open(run)
	hub, err := bridge.Open(run, leases, networks)
	if err != nil {
		w.t.Fatal(err)
	}
	defer hub.Close()
	n, err := networks.Create(network.Network{Name: "front", IPv6: true, Subnets: []network.Subnet{
		{Subnet: netip.MustParsePrefix("172.30.1.0/24")}, {Subnet: netip.MustParsePrefix("fd30:1::/64")}}})
	if err != nil {
		w.t.Fatal(err)
	}
	first, second := world.Namespace(w.t), world.Namespace(w.t)
	one := w.attach(hub, leases, n, first, "1")
	two := w.attach(hub, leases, n, second, "2")
	defer func() {
		for ns, l := range map[*os.File]lease.Lease{first: one, second: two} {
			if err := errors.Join(hub.Detach(ns, n, l, "eth0"), leases.Release(n.ID, l.Container)); err != nil {
				w.t.Error(err)
			}
		}
		if err := hub.Left(n); err != nil {
			w.t.Error(err)
		}
	}()
	w.listen(first, "[::]:80", whoAmI("a"))
	w.echoPackets(first, "a", 53)
	gateways := [2]string{n.Subnets[0].Gateway.String(), n.Subnets[1].Gateway.String()}
	w.publishAt(hub, Target{IPv4: one.IPv4, IPv6: one.IPv6, Gateway4: n.Subnets[0].Gateway, Gateway6: n.Subnets[1].Gateway,
		Subnets: []netip.Prefix{n.Subnets[0].Subnet, n.Subnets[1].Subnet}, Transparent: true}, tcp(8080, 80), udp(5300, 53))

	w.wantSeen(w.outside, "", host4+":8080", "own")
	w.wantSeen(w.outside, "", "["+host6+"]:8080", "own")
	w.wantSeen(w.host, "", "127.0.0.1:8080", gateways[0])
	w.wantSeen(w.host, "", "[::1]:8080", gateways[1])
	w.wantSeen(w.host, "", host4+":8080", host4)
	w.wantReply(w.packets(w.outside, outside4+":6000"), host4+":5300", "a "+outside4+":6000 hello")
	w.wantReply(w.packets(w.outside, "["+outside6+"]:6000"), "["+host6+"]:5300", "a ["+outside6+"]:6000 hello")
	w.wantReplyAddress(w.packets(w.host, "127.0.0.1:6000"), "127.0.0.1:5300", "a "+gateways[0])
	w.wantReplyAddress(w.packets(w.host, "[::1]:6000"), "[::1]:5300", "a "+gateways[1])
	if hub.Root() { // else there is no way to the host without a link
		w.wantSeen(second, "", host4+":8080", gateways[0])
		w.wantSeen(first, "", host4+":8080", gateways[0])
	}
	for _, address := range gateways { // a port is the host's, not the hub's
		if c, err := w.dial(second, "", net.JoinHostPort(address, "8080")); err == nil {
			c.Close()
			if !hub.Root() {
				w.t.Errorf("%s:8080 is open in the hub", address)
			}
		}
	}
}

func (w *stage) attach(hub *bridge.Hub, leases *lease.Leases, n *network.Network, ns *os.File, digit string) lease.Lease {
	w.t.Helper()
	l, err := leases.Take(n, lease.Lease{Container: strings.Repeat(digit, 64), Names: []string{"c" + digit}, Holder: process.This(), HubFD: hub.FD()})
	if err == nil {
		err = hub.Attach(ns, n, l, bridge.Attachment{Interface: "eth0", Default4: true, Default6: true})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}
