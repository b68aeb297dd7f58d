package network

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// The options of -o that mean something. Docker's come first, Podman's short ones
// after them; others of any name are kept and shown.
const (
	optBridgeName   = "com.docker.network.bridge.name"
	optICC          = "com.docker.network.bridge.enable_icc"
	optMasquerade   = "com.docker.network.bridge.enable_ip_masquerade"
	optHostBinding  = "com.docker.network.bridge.host_binding_ipv4"
	optGatewayMode4 = "com.docker.network.bridge.gateway_mode_ipv4"
	optGatewayMode6 = "com.docker.network.bridge.gateway_mode_ipv6"
	optDefault      = "com.docker.network.bridge.default_bridge"
	optInhibitIPv4  = "com.docker.network.bridge.inhibit_ipv4"
	optTrusted      = "com.docker.network.bridge.trusted_host_interfaces"
	optMTU          = "com.docker.network.driver.mtu"
	optPrefix       = "com.docker.network.container_iface_prefix"
	optEnableIPv4   = "com.docker.network.enable_ipv4"
	optEnableIPv6   = "com.docker.network.enable_ipv6"
	optHostIPv4     = "com.docker.network.host_ipv4"
	optHostIPv6     = "com.docker.network.host_ipv6"
	optShortMTU     = "mtu"
	optIsolate      = "isolate"
	optParent       = "parent"
	optMode         = "mode"
	optMacvlanMode  = "macvlan_mode"
	optIPvlanMode   = "ipvlan_mode"
	optIPvlanFlag   = "ipvlan_flag"
)

// The values of [Network.GatewayMode].
const (
	NAT            = "nat"             // the default: masquerading, and only published ports are reachable
	NATUnprotected = "nat-unprotected" // likewise, but no port is filtered
	Routed         = "routed"          // no masquerading; the outside routes to the network
	Isolated       = "isolated"        // of an internal network: the bridge has no address
)

// MTU is what -o com.docker.network.driver.mtu or -o mtu asked for; 0 is automatic.
func (n *Network) MTU() int {
	mtu, err := strconv.Atoi(n.option(optMTU, optShortMTU))
	if err != nil {
		return 0
	}
	return mtu
}

// ICC reports whether the containers of the network reach each other, as they do unless asked otherwise.
func (n *Network) ICC() bool { return n.flag(optICC, true) }

// Masquerade reports whether packets to the outside carry the host's address, as they do unless asked otherwise.
func (n *Network) Masquerade() bool { return n.flag(optMasquerade, true) }

// InhibitIPv4 reports whether the bridge itself is to have no IPv4 address.
func (n *Network) InhibitIPv4() bool { return n.flag(optInhibitIPv4, false) }

// HostBinding is the host's address that ports are published on when -p names
// none; invalid for all addresses.
func (n *Network) HostBinding() netip.Addr { return n.address(optHostBinding) }

// HostAddress is the source address of masqueraded packets, of IPv6 or IPv4;
// invalid for whatever the route says.
func (n *Network) HostAddress(ipv6 bool) netip.Addr {
	if ipv6 {
		return n.address(optHostIPv6)
	}
	return n.address(optHostIPv4)
}

// GatewayMode is how the network meets the outside in IPv6 or IPv4: one of [NAT],
// [NATUnprotected], [Routed] and [Isolated].
func (n *Network) GatewayMode(ipv6 bool) string {
	mode := n.Options[optGatewayMode4]
	if ipv6 {
		mode = n.Options[optGatewayMode6]
	}
	if mode == "" {
		return NAT
	}
	return mode
}

// TrustedHostInterfaces are the host's interfaces whose packets may reach
// containers directly, published or not.
func (n *Network) TrustedHostInterfaces() []string {
	return strings.FieldsFunc(n.Options[optTrusted], func(r rune) bool { return r == ':' })
}

// InterfacePrefix is what the names of containers' interfaces begin with, before
// their number: eth, unless asked otherwise.
func (n *Network) InterfacePrefix() string {
	if p := n.Options[optPrefix]; p != "" {
		return p
	}
	return "eth"
}

// BridgeName is the name of the network's bridge: as asked for, ctr0 for the
// default network, else made of the ID. It has 15 characters at most, see netdevice(7).
func (n *Network) BridgeName() string {
	switch {
	case n.Interface != "":
		return n.Interface
	case n.Name == DefaultName:
		return defaultBridge
	}
	return "ctr-" + n.ID[:11]
}

// Parent is the host's interface that a macvlan or ipvlan network hangs on. Without
// one, "", its containers reach only each other.
func (n *Network) Parent() string { return n.Interface }

// Mode is the mode of a macvlan (bridge, private, vepa, passthru) or an ipvlan
// network (l2, l3, l3s); "" for a bridge.
func (n *Network) Mode() string {
	switch n.Driver {
	case Macvlan:
		return or(n.option(optMacvlanMode, optMode), "bridge")
	case IPvlan:
		return or(n.option(optIPvlanMode, optMode), "l2")
	}
	return ""
}

// Flag is the flag of an ipvlan network: bridge, private or vepa; "" for others.
func (n *Network) Flag() string {
	if n.Driver != IPvlan {
		return ""
	}
	return or(n.Options[optIPvlanFlag], "bridge")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// option is the value of the first of the keys that is there.
func (n *Network) option(keys ...string) string {
	for _, key := range keys {
		if v := n.Options[key]; v != "" {
			return v
		}
	}
	return ""
}

func (n *Network) flag(key string, otherwise bool) bool {
	b, err := strconv.ParseBool(n.Options[key])
	if err != nil {
		return otherwise
	}
	return b
}

func (n *Network) address(key string) netip.Addr {
	a, err := netip.ParseAddr(n.Options[key])
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// checkOption is nil when the network's driver can use the value.
func (n *Network) checkOption(key, value string) error {
	switch key {
	case optEnableIPv4, optEnableIPv6:
		if _, err := strconv.ParseBool(value); err != nil {
			return fmt.Errorf("driver-opt %q is not a valid bool: %q", key, value)
		}
	case optMTU, optShortMTU:
		return checkMTU(key, value)
	case optParent, optMode, optMacvlanMode, optIPvlanMode, optIPvlanFlag:
		return n.checkParentOption(key, value)
	}
	if n.Driver != Bridge {
		return nil
	}
	switch key {
	case optICC, optMasquerade, optInhibitIPv4, optDefault:
		if _, err := strconv.ParseBool(value); err != nil {
			return unparsable(key, value, "true or false is possible")
		}
	case optIsolate:
		if _, err := strconv.ParseBool(value); err != nil && value != "strict" {
			return unparsable(key, value, "true, false or strict is possible")
		}
	case optHostBinding, optHostIPv4, optHostIPv6:
		a, err := netip.ParseAddr(value)
		if err != nil || a.Zone() != "" || key == optHostIPv4 && !a.Is4() || key == optHostIPv6 && a.Is4() {
			return unparsable(key, value, "it is no IP address of that kind")
		}
	case optGatewayMode4, optGatewayMode6:
		return n.checkGatewayMode(key, value)
	case optTrusted:
		for _, name := range n.TrustedHostInterfaces() {
			if err := checkInterface(name); err != nil {
				return unparsable(key, value, err.Error())
			}
		}
	case optPrefix:
		// up to four digits follow
		if err := checkInterface(value + "0000"); err != nil || value == "" {
			return unparsable(key, value, "1 to 11 characters without white space and slashes are possible")
		}
	}
	return nil
}

func unparsable(key, value, why string) error {
	return fmt.Errorf("failed to parse %s value: %s (%s)", key, value, why)
}

func checkMTU(key, value string) error {
	mtu, err := strconv.Atoi(value)
	if err != nil {
		return unparsable(key, value, "it is no number")
	}
	// 68 is the least of IPv4, see RFC 791
	if mtu != 0 && (mtu < 68 || mtu > 65535) {
		return fmt.Errorf("invalid MTU number: %d: %s takes 68 to 65535, or 0 for automatic", mtu, key)
	}
	return nil
}

func (n *Network) checkGatewayMode(key, value string) error {
	switch value {
	case NAT, NATUnprotected, Routed:
		return nil
	case Isolated:
		if !n.Internal {
			return fmt.Errorf("gateway mode 'isolated' can only be used for an internal network")
		}
		return nil
	}
	return unparsable(key, value, "unknown gateway mode "+value+": nat, nat-unprotected, routed or isolated is possible")
}

// checkParentOption checks the options of macvlan and ipvlan, which mean nothing to a bridge.
func (n *Network) checkParentOption(key, value string) error {
	var possible []string
	switch {
	case key == optParent && n.Driver != Bridge:
		return n.checkParent(value)
	case n.Driver == Macvlan && (key == optMacvlanMode || key == optMode):
		possible = []string{"bridge", "private", "vepa", "passthru"}
	case n.Driver == IPvlan && (key == optIPvlanMode || key == optMode):
		possible = []string{"l2", "l3", "l3s"}
	case n.Driver == IPvlan && key == optIPvlanFlag:
		possible = []string{"bridge", "private", "vepa"}
	default:
		return nil
	}
	for _, p := range possible {
		if value == p || value == "" {
			return nil
		}
	}
	what := "mode"
	if key == optIPvlanFlag {
		what = "flag"
	}
	return fmt.Errorf("requested %s %s '%s' is not valid, %s are possible and '%s' is the default", n.Driver, what, value, strings.Join(possible, ", "), possible[0])
}
