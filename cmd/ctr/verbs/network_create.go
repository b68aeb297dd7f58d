package verbs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ctr/libpod"
	"ctr/libpod/config/parse"
	"ctr/netns/network"
)

type networkCreateOptions struct {
	network                   network.Network
	ipv4, ingress, ignore     bool
	scope                     string
	subnets, ranges, gateways []string
	aux                       map[string]string
	dns, routes, labels       []string
}

func buildNetworkCreate(p *program) *command {
	o := networkCreateOptions{ipv4: true}
	n := &o.network
	return &command{
		min: 1, max: 1,
		flags: []flag{
			boolean(&n.Attachable, "attachable", "Enable manual container attachment"),
			mapping(&o.aux, "aux-address", "map", "Auxiliary IPv4 or IPv6 addresses used by Network driver").defaults("map[]"),
			text(&n.ConfigFrom, "config-from", "The network from which to copy the configuration"),
			boolean(&n.ConfigOnly, "config-only", "Create a configuration only network"),
			boolean(&n.DisableDNS, "disable-dns", "Have no DNS server for the names of containers on the network"),
			words(&o.dns, "dns", "DNS servers that are asked instead of the host's"),
			text(&n.Driver, "driver,d", "Driver to manage the Network").defaults(`"bridge"`),
			words(&o.gateways, "gateway", "IPv4 or IPv6 Gateway for the master subnet"),
			boolean(&o.ignore, "ignore", "Do not fail if the network exists already"),
			boolean(&o.ingress, "ingress", "Create swarm routing-mesh network"),
			text(&n.Interface, "interface-name", "Name of the bridge, or of the parent of macvlan and ipvlan"),
			boolean(&n.Internal, "internal", "Restrict external access to the network"),
			words(&o.ranges, "ip-range", "Allocate container ip from a sub-range"),
			text(&n.IPAM.Driver, "ipam-driver", "IP Address Management Driver").defaults(`"default"`),
			mapping(&n.IPAM.Options, "ipam-opt", "map", "Set IPAM driver specific options").defaults("map[]"),
			boolean(&o.ipv4, "ipv4", "Enable or disable IPv4 address assignment").defaults("true"),
			boolean(&n.IPv6, "ipv6", "Enable or disable IPv6 address assignment"),
			collected(&o.labels, "label", "list", "Set metadata on a network", parse.Label),
			mapping(&n.Options, "opt,o", "map", "Set driver specific options").defaults("map[]"),
			list(&o.routes, "route", "Route of the network's containers (destination,gateway[,metric])"),
			text(&o.scope, "scope", "Control the network's scope"),
			words(&o.subnets, "subnet", "Subnet in CIDR format that represents a network segment"),
		},
		run: func(_ context.Context, args []string) error {
			n.Name = args[0]
			return p.createNetwork(o)
		},
	}
}

func (p *program) createNetwork(o networkCreateOptions) error {
	n, err := o.definition()
	if err != nil {
		return err
	}
	runtime, err := libpod.Open()
	if err != nil {
		return err
	}
	if o.ignore {
		if existing, err := runtime.Networks().Lookup(n.Name); err == nil && existing.Name == n.Name {
			fmt.Fprintln(p.Out, existing.ID)
			return nil
		}
	}
	created, err := runtime.Networks().Create(n)
	if err != nil {
		return err
	}
	runtime.LogNetwork("create", created, nil)
	fmt.Fprintln(p.Out, created.ID)
	return nil
}

// definition reads what was left as typed. Whether the whole makes sense is for Create.
func (o *networkCreateOptions) definition() (network.Network, error) {
	n := o.network
	switch {
	case o.ingress:
		return n, errors.New("Ingress network can only be global scope network")
	case o.scope == "swarm":
		return n, errors.New("cannot create a swarm scoped network when swarm is not active")
	case o.scope != "" && o.scope != "local":
		return n, fmt.Errorf("invalid scope %q: networks are local here", o.scope)
	}
	n.Driver = first(n.Driver, network.Bridge)
	n.NoIPv4 = !o.ipv4
	n.Labels = pairs(o.labels)
	if n.IPAM.Driver == "default" {
		n.IPAM.Driver = ""
	}
	var err error
	if n.Subnets, err = o.allSubnets(); err != nil {
		return n, err
	}
	if n.DNS, err = addresses(o.dns); err != nil {
		return n, err
	}
	n.Routes, err = parseAll(o.routes, parseRoute)
	return n, err
}

// allSubnets puts ranges, gateways and auxiliary addresses where they belong.
func (o *networkCreateOptions) allSubnets() ([]network.Subnet, error) {
	if len(o.subnets) < len(o.ranges) || len(o.subnets) < len(o.gateways) {
		return nil, errors.New("every ip-range or gateway must have a corresponding subnet")
	}
	var all []network.Subnet
	for _, s := range o.subnets {
		subnet, err := parseSubnet(s)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(all, func(other network.Subnet) bool { return other.Subnet.Overlaps(subnet) }) {
			return nil, errors.New("multiple overlapping subnet configuration is not supported")
		}
		all = append(all, network.Subnet{Subnet: subnet, Chosen: true})
	}
	for _, step := range []func([]network.Subnet) error{o.placeRanges, o.placeGateways, o.placeAuxiliary} {
		if err := step(all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (o *networkCreateOptions) placeRanges(all []network.Subnet) error {
	for _, s := range o.ranges {
		r, err := netip.ParsePrefix(s)
		if err != nil {
			return fmt.Errorf("invalid ip-range %s: invalid CIDR block notation", s)
		}
		subnet := around(all, r.Addr())
		switch {
		case subnet == nil:
			return fmt.Errorf("no matching subnet for range %s", s)
		case subnet.Range.IsValid():
			return fmt.Errorf("cannot configure multiple ranges (%s, %s) on the same subnet (%s)", s, subnet.Range, subnet.Subnet)
		}
		subnet.Range = r
	}
	return nil
}

func (o *networkCreateOptions) placeGateways(all []network.Subnet) error {
	for _, s := range o.gateways {
		a, _ := netip.ParseAddr(s) // what is no address is in no subnet
		subnet := around(all, a)
		switch {
		case subnet == nil:
			return fmt.Errorf("no matching subnet for gateway %s", s)
		case subnet.Gateway.IsValid():
			return fmt.Errorf("cannot configure multiple gateways (%s, %s) for the same subnet (%s)", s, subnet.Gateway, subnet.Subnet)
		}
		subnet.Gateway = a
	}
	return nil
}

func (o *networkCreateOptions) placeAuxiliary(all []network.Subnet) error {
	for _, name := range sortedKeys(o.aux) {
		a, _ := netip.ParseAddr(o.aux[name]) // as above
		subnet := around(all, a)
		if subnet == nil {
			return fmt.Errorf("no matching subnet for aux-address %s", o.aux[name])
		}
		if subnet.Aux == nil {
			subnet.Aux = map[string]netip.Addr{}
		}
		subnet.Aux[name] = a
	}
	return nil
}

// around is the subnet that contains a, or nil.
func around(all []network.Subnet, a netip.Addr) *network.Subnet {
	for i := range all {
		if all[i].Subnet.Contains(a) {
			return &all[i]
		}
	}
	return nil
}

func parseSubnet(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return prefix, fmt.Errorf("invalid network config:\ninvalid subnet %s: invalid CIDR block notation", s)
	case prefix != prefix.Masked():
		return prefix, fmt.Errorf("invalid network config:\ninvalid subnet %s: it should be %s", s, prefix.Masked())
	}
	return prefix, nil
}

func addresses(words []string) ([]netip.Addr, error) {
	return parseAll(words, func(s string) (netip.Addr, error) {
		a, err := netip.ParseAddr(strings.TrimSpace(s))
		if err != nil {
			return a, fmt.Errorf("IP address is not correctly formatted: %s", s)
		}
		return a, nil
	})
}

// parseRoute reads DESTINATION,GATEWAY[,METRIC].
func parseRoute(s string) (network.Route, error) {
	parts := strings.Split(s, ",")
	bad := fmt.Errorf("invalid route %q: a route is destination,gateway[,metric], as 10.1.0.0/16,10.0.0.254,5", s)
	if len(parts) != 2 && len(parts) != 3 {
		return network.Route{}, bad
	}
	destination, err1 := netip.ParsePrefix(parts[0])
	gateway, err2 := netip.ParseAddr(parts[1])
	route := network.Route{Destination: destination, Gateway: gateway}
	if err1 != nil || err2 != nil {
		return route, bad
	}
	if len(parts) == 3 {
		metric, err := strconv.ParseUint(parts[2], 10, 32)
		if err != nil {
			return route, bad
		}
		route.Metric = uint32(metric)
	}
	return route, nil
}
