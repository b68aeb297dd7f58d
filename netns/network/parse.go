package network

import (
	"errors"
	"fmt"
	"net/netip"
)

// Parse makes subnets of what --subnet, --ip-range, --gateway and --aux-address
// said, as Docker pairs them: each range, gateway and auxiliary address belongs to
// the subnet that contains it, and a subnet has at most one range and one gateway.
func Parse(subnets, ranges, gateways []string, aux map[string]string) ([]Subnet, error) {
	if len(subnets) < len(ranges) || len(subnets) < len(gateways) || len(subnets) == 0 && len(aux) > 0 {
		return nil, errors.New("every ip-range or gateway must have a corresponding subnet")
	}
	var list []Subnet
	for _, text := range subnets {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("invalid network config:\ninvalid subnet %s: invalid CIDR block notation, write it like 172.28.0.0/16", text)
		}
		list = append(list, Subnet{Subnet: p})
	}
	for _, text := range ranges {
		r, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("invalid network config:\ninvalid ip-range %s: invalid CIDR block notation, write it like 172.28.5.0/24", text)
		}
		s := containing(list, r.Addr())
		switch {
		case s == nil || r.Bits() < s.Subnet.Bits():
			return nil, fmt.Errorf("no matching subnet for range %s", text)
		case s.Range.IsValid():
			return nil, fmt.Errorf("cannot configure multiple ranges (%s, %s) on the same subnet (%s)", text, s.Range, s.Subnet)
		}
		s.Range = r
	}
	if err := place(list, gateways, aux); err != nil {
		return nil, err
	}
	return list, nil
}

// place puts gateways and auxiliary addresses into the subnets that contain them.
func place(list []Subnet, gateways []string, aux map[string]string) error {
	for _, text := range gateways {
		a, err := netip.ParseAddr(text)
		s := containing(list, a)
		switch {
		case err != nil || s == nil:
			return fmt.Errorf("no matching subnet for gateway %s", text)
		case s.Gateway.IsValid():
			return fmt.Errorf("cannot configure multiple gateways (%s, %s) for the same subnet (%s)", text, s.Gateway, s.Subnet)
		}
		s.Gateway = a
	}
	for _, name := range sortedKeys(aux) {
		a, err := netip.ParseAddr(aux[name])
		s := containing(list, a)
		if err != nil || s == nil {
			return fmt.Errorf("no matching subnet for aux-address %s", aux[name])
		}
		if s.Aux == nil {
			s.Aux = map[string]netip.Addr{}
		}
		s.Aux[name] = a
	}
	return nil
}

func containing(list []Subnet, a netip.Addr) *Subnet {
	for i := range list {
		if list[i].Subnet.Contains(a) {
			return &list[i]
		}
	}
	return nil
}
