package verbs

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"ctr/libpod/config"
	"ctr/libpod/state"
)

// boundPorts are the published ports of a running container as they are bound, by
// container port.
func boundPorts(st state.State) []config.PortMapping {
	if !st.Active() || st.Network == nil {
		return nil
	}
	ports := slices.Clone(st.Network.Ports)
	slices.SortFunc(ports, func(a, b config.PortMapping) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), strings.Compare(a.Protocol, b.Protocol), strings.Compare(a.HostIP, b.HostIP), cmp.Compare(a.HostPort, b.HostPort))
	})
	return ports
}

// portName is a container's port as Docker writes it.
func portName(p config.PortMapping) string { return fmt.Sprintf("%d/%s", p.Port, p.Protocol) }

// unpublished are the exposed ports of a running container that are not published.
func unpublished(c *config.Container, st state.State) []config.PortMapping {
	if !st.Active() || !hasPorts(c) {
		return nil
	}
	bound := boundPorts(st)
	var ports []config.PortMapping
	for _, name := range c.Exposed {
		number, protocol, _ := strings.Cut(name, "/")
		port, err := strconv.ParseUint(number, 10, 16)
		if err != nil || slices.ContainsFunc(bound, func(p config.PortMapping) bool { return portName(p) == name }) {
			continue
		}
		ports = append(ports, config.PortMapping{Port: uint16(port), Protocol: protocol})
	}
	return ports
}

// hasPorts tells whether a container's ports are its own: the host's and another
// container's are shown there, and without a network there are none.
func hasPorts(c *config.Container) bool {
	mode, _, _ := strings.Cut(c.NS.Network, ":")
	switch mode {
	case "host", "none", "container":
		return false
	}
	return true
}

// portsColumn is the PORTS column: runs of ports that are the same inside and outside, or
// not published, first, then the others.
func portsColumn(c *config.Container, st state.State) string {
	ports := append(boundPorts(st), unpublished(c, st)...)
	slices.SortFunc(ports, func(a, b config.PortMapping) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), strings.Compare(a.HostIP, b.HostIP), cmp.Compare(a.HostPort, b.HostPort), strings.Compare(a.Protocol, b.Protocol))
	})
	var (
		closed, moved []string
		open          []*portRun
	)
	for _, p := range ports {
		if p.HostIP != "" && p.HostPort != p.Port {
			moved = append(moved, fmt.Sprintf("%s->%s", net.JoinHostPort(p.HostIP, strconv.Itoa(int(p.HostPort))), portName(p)))
			continue
		}
		i := slices.IndexFunc(open, func(r *portRun) bool { return r.ip == p.HostIP && r.protocol == p.Protocol })
		switch {
		case i < 0:
			open = append(open, &portRun{p.HostIP, p.Protocol, p.Port, p.Port})
		case open[i].last+1 == p.Port:
			open[i].last++
		default:
			closed = append(closed, open[i].String())
			open[i].first, open[i].last = p.Port, p.Port
		}
	}
	for _, r := range open {
		closed = append(closed, r.String())
	}
	return strings.Join(append(closed, moved...), ", ")
}

// portRun is a run of ports; ip is "" for such as are not published.
type portRun struct {
	ip, protocol string
	first, last  uint16
}

func (r *portRun) String() string {
	ports := strconv.Itoa(int(r.first))
	if r.first != r.last {
		ports = fmt.Sprintf("%d-%d", r.first, r.last)
	}
	if r.ip != "" {
		ports = net.JoinHostPort(r.ip, ports) + "->" + ports
	}
	return ports + "/" + r.protocol
}
