package netns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// LinkEnv is the environment that a container on the default network has for a
// container that it is linked to (--link name:alias), as Docker makes it. owner is
// the name of the container that has the link; address, exposed (port/protocol) and env are of the other.
func LinkEnv(owner, alias string, address netip.Addr, exposed, env []string) []string {
	prefix := strings.ReplaceAll(strings.ToUpper(alias), "-", "_")
	var lines []string
	add := func(format string, a ...any) { lines = append(lines, prefix+fmt.Sprintf(format, a...)) }
	ports := exposedPorts(exposed)
	for i, first := 0, 0; i < len(ports); i++ {
		p := ports[i]
		if i == 0 {
			add("_PORT=%s", p.url(address))
		}
		variable := p.variable()
		add("%s=%s", variable, p.url(address))
		add("%s_ADDR=%s", variable, address)
		add("%s_PORT=%d", variable, p.number)
		add("%s_PROTO=%s", variable, p.protocol)
		if i+1 < len(ports) && ports[i+1] == (exposedPort{p.protocol, p.number + 1}) {
			continue
		}
		if first < i { // ports in a row have a beginning and an end
			variable = ports[first].variable()
			add("%s_START=%s", variable, ports[first].url(address))
			add("%s_PORT_START=%d", variable, ports[first].number)
			add("%s_END=%s", variable, p.url(address))
			add("%s_PORT_END=%d", variable, p.number)
		}
		first = i + 1
	}
	add("_NAME=/%s/%s", owner, alias)
	for _, e := range env {
		if name, _, ok := strings.Cut(e, "="); ok && name != "HOME" && name != "PATH" {
			add("_ENV_%s", e)
		}
	}
	return lines
}

type exposedPort struct {
	protocol string
	number   int
}

func (p exposedPort) url(address netip.Addr) string {
	return fmt.Sprintf("%s://%s:%d", p.protocol, address, p.number)
}

func (p exposedPort) variable() string {
	return fmt.Sprintf("_PORT_%d_%s", p.number, strings.ToUpper(p.protocol))
}

// exposedPorts are those of a configuration, TCP first, then by number.
func exposedPorts(exposed []string) []exposedPort {
	var ports []exposedPort
	for _, e := range exposed {
		number, protocol, _ := strings.Cut(e, "/")
		n, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		ports = append(ports, exposedPort{cmp.Or(protocol, "tcp"), n})
	}
	slices.SortFunc(ports, func(a, b exposedPort) int {
		tcp := func(p exposedPort) int {
			if p.protocol == "tcp" {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(tcp(a), tcp(b)), cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.number, b.number))
	})
	return slices.Compact(ports)
}
