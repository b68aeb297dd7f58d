package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

const (
	nameChars     = "[a-zA-Z0-9][a-zA-Z0-9_.-]*"
	maxName       = 200 // of a file's name, with what is put around it
	maxInterface  = 15  // IFNAMSIZ, see netdevice(7)
	defaultBridge = "ctr0"
)

// CheckName is nil when s may be the name of a new network. Names that --network
// gives a meaning of their own are refused.
func CheckName(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return errors.New("invalid name: name is empty")
	case predefined(s) || s == "default":
		return fmt.Errorf("operation is not permitted on predefined %s network", s)
	}
	switch mode, _, hasValue := strings.Cut(s, ":"); mode {
	case "pasta", "slirp4netns", "private":
		return fmt.Errorf("invalid network name %s: --network %s has a meaning of its own", s, mode)
	case "container", "ns":
		if hasValue {
			return fmt.Errorf("invalid network name %s: --network %s: has a meaning of its own", s, mode)
		}
	}
	if !validName(s) {
		return fmt.Errorf("invalid network name (%s), only %s are allowed", s, nameChars)
	}
	if len(s) > maxName {
		return fmt.Errorf("invalid network name (%.20s…): it has %d characters, %d are possible", s, len(s), maxName)
	}
	return nil
}

func predefined(name string) bool { return name == DefaultName || name == "host" || name == "none" }

func validName(s string) bool {
	for i, c := range []byte(s) {
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alphanumeric && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return s != ""
}

// checkInterface is nil when the kernel takes s as the name of an interface.
func checkInterface(s string) error {
	switch {
	case s == "" || s == "." || s == "..":
		return fmt.Errorf("invalid interface name %q", s)
	case len(s) > maxInterface:
		return fmt.Errorf("invalid interface name %q: it has %d characters, %d are possible", s, len(s), maxInterface)
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("/:%\"", r) }):
		return fmt.Errorf("invalid interface name %q: letters, digits and signs other than / : %% \" are possible", s)
	}
	return nil
}

// checkBridgeName is nil when s may be asked for as the name of a bridge. The hub
// has devices of its own.
func checkBridgeName(s string) error {
	if err := checkInterface(s); err != nil {
		return err
	}
	if slices.Contains([]string{"lo", "up0", "tap0", defaultBridge}, s) {
		return fmt.Errorf("invalid interface name %q: it is in use by ctr, choose another", s)
	}
	return nil
}

func (n *Network) checkParent(s string) error {
	if s == "lo" {
		return fmt.Errorf("loopback interface is not a valid %s parent link", n.Driver)
	}
	if s == "" {
		return nil
	}
	return checkInterface(s)
}

// checkParentExists is nil when the host has the interface that the network's are to
// hang on; that of a VLAN is made when it is needed, on one that must be there.
func (n *Network) checkParentExists() error {
	name := n.Parent()
	if n.Driver != Macvlan && n.Driver != IPvlan || name == "" {
		return nil
	}
	for _, name := range []string{name, strings.Split(name, ".")[0]} {
		if _, err := net.InterfaceByName(name); err == nil {
			return nil
		}
	}
	return fmt.Errorf("the host has no interface %q, which -o parent names", name)
}

// check is nil when every part of the definition, made or read, can be used.
func (n *Network) check() error {
	if err := n.checkDriver(); err != nil {
		return err
	}
	if n.NoIPv4 && !n.IPv6 {
		return errors.New("IPv4 or IPv6 must be enabled")
	}
	for _, key := range sortedKeys(n.Options) {
		if err := n.checkOption(key, n.Options[key]); err != nil {
			return err
		}
	}
	if err := n.checkInterfaceField(); err != nil {
		return err
	}
	if err := n.checkSubnets(); err != nil {
		return err
	}
	return n.checkRoutesAndDNS()
}

func (n *Network) checkDriver() error {
	switch {
	case n.ConfigOnly:
		if n.Internal || n.Attachable {
			return errors.New("configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.")
		}
		if n.ConfigFrom != "" {
			return errors.New("a configuration network cannot depend on another configuration network")
		}
	case n.Driver == Host || n.Driver == Null:
		return fmt.Errorf("only one instance of %q network is allowed", n.Driver)
	case n.Driver != Bridge && n.Driver != Macvlan && n.Driver != IPvlan:
		return fmt.Errorf("plugin %q not found: the network drivers are bridge, ipvlan and macvlan", n.Driver)
	}
	switch n.IPAM.Driver {
	case "", "default", "host-local":
		return nil
	}
	return fmt.Errorf("plugin %q not found: the only IPAM driver is default", n.IPAM.Driver)
}

func (n *Network) checkInterfaceField() error {
	switch {
	case n.Interface == "" || n.ConfigOnly:
		return nil
	case n.Driver == Bridge:
		return checkBridgeName(n.Interface)
	}
	return n.checkParent(n.Interface)
}

func (n *Network) checkRoutesAndDNS() error {
	for _, r := range n.Routes {
		what := fmt.Sprintf("invalid route %s via %s", r.Destination, r.Gateway)
		switch {
		case !r.Destination.IsValid() || !r.Gateway.IsValid():
			return errors.New("invalid route: it takes a destination like 10.21.0.0/24 and a gateway's address")
		case r.Destination != r.Destination.Masked():
			return fmt.Errorf("%s: the destination should be %s", what, r.Destination.Masked())
		case r.Destination.Addr().Is4() != r.Gateway.Is4():
			return fmt.Errorf("%s: one is IPv4, the other IPv6", what)
		case !n.ConfigOnly && !n.contains(r.Gateway):
			return fmt.Errorf("%s: no subnet of the network contains the gateway", what)
		}
	}
	for _, a := range n.DNS {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("invalid DNS server %s: it takes an IP address", a)
		}
	}
	return nil
}

func (n *Network) contains(a netip.Addr) bool {
	for _, s := range n.Subnets {
		if s.Subnet.Contains(a) {
			return true
		}
	}
	return false
}
