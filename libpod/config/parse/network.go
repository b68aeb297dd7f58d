package parse

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// HostGateway is the address in --add-host that stands for the host.
const HostGateway = "host-gateway"

// AddHost reads an --add-host, name:address or name=address, into name:address.
// An IPv6 address may stand in brackets.
func AddHost(s string) (string, error) {
	name, address, ok := strings.Cut(s, "=")
	if !ok {
		name, address, ok = strings.Cut(s, ":")
	}
	if !ok || name == "" || strings.ContainsAny(name, ": \t\n#") {
		return "", fmt.Errorf("bad format for add-host: %q", s)
	}
	if address == HostGateway {
		return name + ":" + address, nil
	}
	if len(address) > 2 && address[0] == '[' && address[len(address)-1] == ']' {
		address = address[1 : len(address)-1]
	}
	if !validAddress(address) {
		return "", fmt.Errorf("invalid IP address in add-host: %q", address)
	}
	return name + ":" + address, nil
}

// DNS reads a --dns: an address.
func DNS(s string) (string, error) {
	s = strings.TrimSpace(s)
	if !validAddress(s) {
		return "", fmt.Errorf("IP address is not correctly formatted: %s", s)
	}
	return s, nil
}

// DNSSearch reads a --dns-search: a domain, or a dot for none.
func DNSSearch(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "." {
		return s, nil
	}
	letters := strings.ContainsFunc(s, func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' })
	if !letters || len(s) > 254 || slices.ContainsFunc(strings.Split(strings.TrimSuffix(s, "."), "."), invalidLabel) {
		return "", fmt.Errorf("%s is not a valid domain", s)
	}
	return strings.TrimSuffix(s, "."), nil
}

func invalidLabel(label string) bool {
	return label == "" || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}

func validAddress(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}
