package verbs

import (
	"context"
	"net/netip"
	"strconv"
	"time"

	"ctr/libpod"
	"ctr/netns/network"
)

func buildNetworkInspect(p *program) *command {
	var o inspectOptions
	var verbose bool
	return &command{
		min: 1, max: anyNumber,
		flags: []flag{formatShort(&o.format), boolean(&verbose, "verbose,v", "Verbose output for diagnostics")},
		run: func(_ context.Context, args []string) error {
			runtime, err := libpod.Open()
			if err != nil {
				return err
			}
			return p.inspect(args, o, networkFinder(runtime))
		},
	}
}

func networkFinder(runtime *libpod.Runtime) finder {
	return func(name string) (any, error) {
		n, err := runtime.Networks().Lookup(name)
		if noNetwork(err) {
			return nil, &noneError{err}
		}
		if err != nil {
			return nil, err
		}
		return describeNetworkOf(runtime, n)
	}
}

// networkDescription is what `network inspect` shows, in Docker's order.
type networkDescription struct {
	Name       string
	ID         string `json:"Id"`
	Created    time.Time
	Scope      string
	Driver     string
	EnableIPv4 bool
	EnableIPv6 bool
	IPAM       ipamDescription
	Internal   bool
	Attachable bool
	Ingress    bool
	ConfigFrom configSource
	ConfigOnly bool
	Containers map[string]networkUser
	Options    map[string]string
	Labels     map[string]string
}

type configSource struct{ Network string }

type ipamDescription struct {
	Driver  string
	Options map[string]string
	Config  []ipamSubnet
}

type ipamSubnet struct {
	Subnet             string
	IPRange            string            `json:",omitempty"`
	Gateway            string            `json:",omitempty"`
	AuxiliaryAddresses map[string]string `json:",omitempty"`
}

// networkUser is a running container on a network.
type networkUser struct {
	Name        string
	EndpointID  string
	MacAddress  string
	IPv4Address string
	IPv6Address string
}

func describeNetworkOf(runtime *libpod.Runtime, n *network.Network) (*networkDescription, error) {
	d := &networkDescription{
		Name: n.Name, ID: n.ID, Created: n.Created, Scope: "local", Driver: driverOf(n), EnableIPv4: !n.NoIPv4, EnableIPv6: n.IPv6,
		IPAM:     describeIPAM(n),
		Internal: n.Internal, Attachable: n.Attachable, ConfigFrom: configSource{n.ConfigFrom}, ConfigOnly: n.ConfigOnly,
		Containers: map[string]networkUser{}, Options: describeOptions(n), Labels: orNone(n.Labels),
	}
	live, err := users(runtime, n)
	if err != nil {
		return nil, err
	}
	for _, l := range live {
		d.Containers[l.Container] = networkUser{
			Name: holderName(runtime, l), EndpointID: l.Endpoint, MacAddress: l.MAC,
			IPv4Address: within(n, l.IPv4), IPv6Address: within(n, l.IPv6),
		}
	}
	if n.Driver == network.Host || n.Driver == network.Null {
		d.addNamespaces(runtime, n)
	}
	return d, nil
}

// addNamespaces adds the containers that run with the host's network, or with none:
// those need no lease.
func (d *networkDescription) addNamespaces(runtime *libpod.Runtime, n *network.Network) {
	list, _ := runtime.Running() // those that cannot be read have no name to show
	for _, c := range list {
		if c.Config().NS.Network != n.Name {
			continue
		}
		if st, err := c.State(); err == nil && st.Active() {
			d.Containers[c.ID()] = networkUser{Name: c.Name()}
		}
	}
}

func describeIPAM(n *network.Network) ipamDescription {
	d := ipamDescription{Driver: first(n.IPAM.Driver, "default"), Options: n.IPAM.Options}
	if d.Options == nil && !n.Predefined() {
		d.Options = map[string]string{}
	}
	for _, s := range n.Subnets {
		subnet := ipamSubnet{Subnet: s.Subnet.String()}
		if s.Range.IsValid() {
			subnet.IPRange = s.Range.String()
		}
		if s.Gateway.IsValid() {
			subnet.Gateway = s.Gateway.String()
		}
		for name, a := range s.Aux {
			if subnet.AuxiliaryAddresses == nil {
				subnet.AuxiliaryAddresses = map[string]string{}
			}
			subnet.AuxiliaryAddresses[name] = a.String()
		}
		d.Config = append(d.Config, subnet)
	}
	return d
}

// describeOptions are the options as given; the default network, which nobody gave
// any, has those that scripts look for.
func describeOptions(n *network.Network) map[string]string {
	if n.Name != network.DefaultName {
		return orNone(n.Options)
	}
	const prefix = "com.docker.network.bridge."
	return map[string]string{
		prefix + "default_bridge":       "true",
		prefix + "enable_icc":           strconv.FormatBool(n.ICC()),
		prefix + "enable_ip_masquerade": strconv.FormatBool(n.Masquerade()),
		prefix + "host_binding_ipv4":    first(n.HostBinding(), netip.IPv4Unspecified()).String(),
		prefix + "name":                 n.BridgeName(),
	}
}

// within is an address with the length of its subnet, or "".
func within(n *network.Network, a netip.Addr) string {
	for _, s := range n.Subnets {
		if s.Subnet.Contains(a) {
			return netip.PrefixFrom(a, s.Subnet.Bits()).String()
		}
	}
	if a.IsValid() {
		return a.String()
	}
	return ""
}

func orNone(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
