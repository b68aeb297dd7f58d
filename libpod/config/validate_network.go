package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// DefaultNetwork is the network of a container for which none was named.
const DefaultNetwork = "bridge"

// validateNetworks checks what was asked of networks against the mode and itself;
// whether the networks exist, and have the addresses, is for the start to find out.
func (c *Container) validateNetworks() error {
	mode, _, _ := strings.Cut(c.NS.Network, ":")
	switch mode {
	case "container":
		if err := c.validateJoined(); err != nil {
			return err
		}
	case "host":
		if len(c.Links) > 0 {
			return errors.New("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
		}
	case "ns":
		if len(c.Ports) > 0 || c.PublishAll {
			return errors.New("conflicting options: port publishing and a network namespace that is not the container's own")
		}
	}
	for _, link := range c.Links {
		if !cleanName(link) {
			return fmt.Errorf("invalid link %q: it may not contain white space, '#' or control characters", link)
		}
	}
	if c.NS.Network != "" && len(c.Networks) > 0 {
		return fmt.Errorf("conflicting options: network %s and the network mode %s", c.Networks[0].Network, c.NS.Network)
	}
	seen := map[string]bool{}
	for _, e := range c.Networks {
		if e.Network == "" {
			return errors.New("no name set for network")
		}
		if seen[e.Network] {
			return fmt.Errorf("network %q is specified multiple times", e.Network)
		}
		seen[e.Network] = true
		if err := e.Check(); err != nil {
			return fmt.Errorf("invalid config for network %s: %w", e.Network, err)
		}
	}
	return nil
}

func (c *Container) validateJoined() error {
	switch {
	case c.Hostname != "":
		return errors.New("conflicting options: hostname and the network mode")
	case len(c.Links) > 0:
		return errors.New("conflicting options: container type network can't be used with links. This would result in undefined behavior")
	case len(c.DNS.Servers) > 0:
		return errors.New("conflicting options: dns and the network mode")
	case len(c.DNS.ExtraHosts) > 0:
		return errors.New("conflicting options: custom host-to-IP mapping and the network mode")
	case len(c.Ports) > 0 || c.PublishAll:
		return errors.New("conflicting options: port publishing and the container type network mode")
	}
	return nil
}

// Check finds what is wrong with an endpoint whatever its network. The words are Docker's.
func (e Endpoint) Check() error {
	var problems Problems
	if e.Network == DefaultNetwork {
		if e.IPv4 != "" || e.IPv6 != "" {
			problems.Add("user specified IP address is supported on user defined networks only")
		}
		if len(e.Aliases) > 0 {
			problems.Add("network-scoped alias is supported only for containers in user defined networks")
		}
	}
	if a, err := netip.ParseAddr(e.IPv4); e.IPv4 != "" && (err != nil || !a.Is4()) {
		problems.Add("invalid IPv4 address: " + e.IPv4)
	}
	if a, err := netip.ParseAddr(e.IPv6); e.IPv6 != "" && (err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "") {
		problems.Add("invalid IPv6 address: " + e.IPv6)
	}
	for _, s := range e.LinkLocal {
		if a, err := netip.ParseAddr(s); err != nil || a.Zone() != "" {
			problems.Add("invalid link-local IP address: " + s)
		}
	}
	for _, s := range append(append([]string(nil), e.Aliases...), e.Links...) {
		if !cleanName(s) {
			problems.Add(fmt.Sprintf("invalid alias %q: it may not contain white space, '#' or control characters", s))
		}
	}
	if strings.ContainsAny(e.Interface, "/: \t\n\x00") || len(e.Interface) > 15 || e.Interface == "." || e.Interface == ".." || e.Interface == "lo" {
		problems.Add(fmt.Sprintf("invalid interface name %q: it has up to 15 characters, no slash, colon or blank, and is not lo", e.Interface))
	}
	return problems.Err("invalid endpoint settings")
}

// cleanName tells whether s can stand in a hosts file.
func cleanName(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '#' || r == 0x7f })
}

// Problems are several things that are wrong at once.
type Problems []string

// Add adds one.
func (p *Problems) Add(text string) { *p = append(*p, text) }

// Err is nil when there are none; else an error in Docker's form: what, and a line for each.
func (p Problems) Err(what string) error {
	switch len(p) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%s:\n%s", what, p[0])
	}
	return fmt.Errorf("%s:\n* %s", what, strings.Join(p, "\n* "))
}
