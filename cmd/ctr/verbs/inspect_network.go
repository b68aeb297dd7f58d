package verbs

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ctr/libpod/config"
	"ctr/libpod/state"
)

// networkInfo is Docker 28's: the default network's addresses stand at the top too,
// where many a template looks for them.
type networkInfo struct {
	Bridge                 string
	SandboxID              string
	SandboxKey             string
	Ports                  portMap
	HairpinMode            bool
	LinkLocalIPv6Address   string
	LinkLocalIPv6PrefixLen int
	SecondaryIPAddresses   []string
	SecondaryIPv6Addresses []string
	EndpointID             string
	Gateway                string
	GlobalIPv6Address      string
	GlobalIPv6PrefixLen    int
	IPAddress              string
	IPPrefixLen            int
	IPv6Gateway            string
	MacAddress             string
	Networks               map[string]*endpointInfo
}

// portMap holds for each port of the container where it is published; null is nowhere.
type portMap map[string][]portBinding

type portBinding struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}

type endpointInfo struct {
	IPAMConfig          *endpointAddresses
	Links               []string
	Aliases             []string
	MacAddress          string
	DriverOpts          map[string]string
	GwPriority          int
	NetworkID           string
	EndpointID          string
	Gateway             string
	IPAddress           string
	IPPrefixLen         int
	IPv6Gateway         string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	DNSNames            []string
}

// endpointAddresses are those that were asked for.
type endpointAddresses struct {
	IPv4Address  string   `json:",omitempty"`
	IPv6Address  string   `json:",omitempty"`
	LinkLocalIPs []string `json:",omitempty"`
}

func describeNetwork(cfg *config.Container, st state.State) networkInfo {
	info := networkInfo{Ports: portMap{}, Networks: map[string]*endpointInfo{}}
	for _, name := range networkNames(cfg) {
		info.Networks[name] = &endpointInfo{}
	}
	for _, e := range cfg.Networks {
		if cfg.NS.Network == "" {
			info.Networks[e.Network] = describeEndpoint(e)
		}
	}
	if !st.Active() {
		return info
	}
	if st.Pid != 0 && !strings.HasPrefix(cfg.NS.Network, "container:") {
		info.SandboxKey = fmt.Sprintf("/proc/%d/ns/net", st.Pid)
	}
	for _, p := range unpublished(cfg, st) {
		info.Ports[portName(p)] = nil
	}
	for _, p := range boundPorts(st) {
		name := portName(p)
		info.Ports[name] = append(info.Ports[name], portBinding{p.HostIP, strconv.Itoa(int(p.HostPort))})
	}
	if st.Network == nil {
		return info
	}
	info.SandboxID = st.Network.SandboxID
	for _, e := range st.Network.Endpoints {
		end := info.Networks[first(e.Network, config.DefaultNetwork)]
		if end == nil {
			end = &endpointInfo{}
			info.Networks[e.Network] = end
		}
		end.connected(e)
		if !userDefined(cfg, e.Network) {
			info.EndpointID, info.MacAddress, info.IPAddress, info.IPPrefixLen = end.EndpointID, end.MacAddress, end.IPAddress, end.IPPrefixLen
			info.GlobalIPv6Address, info.GlobalIPv6PrefixLen = end.GlobalIPv6Address, end.GlobalIPv6PrefixLen
			info.Gateway, info.IPv6Gateway = end.Gateway, end.IPv6Gateway
		}
	}
	return info
}

// userDefined tells whether a container's network is one that somebody created.
func userDefined(cfg *config.Container, name string) bool {
	return cfg.NS.Network == "" && name != "" && name != config.DefaultNetwork
}

// describeEndpoint is what was asked for.
func describeEndpoint(e config.Endpoint) *endpointInfo {
	end := &endpointInfo{Links: e.Links, Aliases: e.Aliases, DriverOpts: e.DriverOpts, GwPriority: e.Priority}
	if e.IPv4 != "" || e.IPv6 != "" || len(e.LinkLocal) > 0 {
		end.IPAMConfig = &endpointAddresses{e.IPv4, e.IPv6, e.LinkLocal}
	}
	return end
}

// connected adds what the endpoint has come to.
func (end *endpointInfo) connected(e state.Endpoint) {
	end.NetworkID, end.EndpointID, end.MacAddress = e.NetworkID, e.EndpointID, e.MAC
	end.Gateway, end.IPv6Gateway = e.Gateway, e.Gateway6
	end.IPAddress, end.IPPrefixLen = splitPrefix(e.IPv4)
	end.GlobalIPv6Address, end.GlobalIPv6PrefixLen = splitPrefix(e.IPv6)
	if e.Network != config.DefaultNetwork { // which has no names
		end.DNSNames = e.Names
	}
}

func splitPrefix(s string) (string, int) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return "", 0
	}
	return prefix.Addr().String(), prefix.Bits()
}

// portBindings are the ports that were asked to be published, under Docker's key.
func portBindings(ports []config.PortMapping) portMap {
	m := portMap{}
	for _, p := range ports {
		host := ""
		switch {
		case p.HostLast > p.HostPort:
			host = fmt.Sprintf("%d-%d", p.HostPort, p.HostLast)
		case p.HostPort != 0:
			host = strconv.Itoa(int(p.HostPort))
		}
		m[portName(p)] = append(m[portName(p)], portBinding{p.HostIP, host})
	}
	return m
}

// shownLinks are the links of the default network as Docker shows them.
func shownLinks(cfg *config.Container) []string {
	var links []string
	for _, link := range cfg.Links {
		name, alias, _ := strings.Cut(link, ":")
		links = append(links, fmt.Sprintf("/%s:/%s/%s", name, cfg.Name, alias))
	}
	return links
}

// networkNames are the networks as ps and inspect name them. A container that shares
// another's has none of its own.
func networkNames(cfg *config.Container) []string {
	mode, _, _ := strings.Cut(cfg.NS.Network, ":")
	switch mode {
	case "":
	case "container":
		return nil
	case "ns":
		return []string{cfg.NS.Network}
	default:
		return []string{mode}
	}
	var names []string
	for _, e := range cfg.Networks {
		names = append(names, e.Network)
	}
	slices.Sort(names)
	return names
}

// networkMode is HostConfig's name for how the container is connected.
func networkMode(cfg *config.Container) string {
	switch {
	case cfg.NS.Network != "":
		return cfg.NS.Network
	case len(cfg.Networks) > 0:
		return cfg.Networks[0].Network
	}
	return config.DefaultNetwork
}
