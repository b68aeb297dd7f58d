package parse

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ctr/libpod/config"
)

// Publish reads a -p: [[ADDRESS:][PORT[-PORT]]:]PORT[-PORT][/PROTOCOL], the first
// ports the host's, the last the container's, or its long form
// target=PORT[,published=PORT][,protocol=tcp|udp]. A range of the container's ports
// becomes one mapping for each; an IPv6 address stands in brackets.
func Publish(s string) ([]config.PortMapping, error) {
	short := s
	if strings.Contains(s, "=") {
		var err error
		if short, err = shortForm(s); err != nil {
			return nil, err
		}
	}
	host, target := "", short
	if i := strings.LastIndexByte(short, ':'); i >= 0 {
		host, target = short[:i], short[i+1:]
	}
	address, hostPorts := "", host
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		address, hostPorts = host[:i], host[i+1:]
	}
	ports, protocol := splitProtocol(target)
	if !slices.Contains([]string{"tcp", "udp", "sctp", ""}, protocol) {
		return nil, fmt.Errorf("Invalid proto: %s", protocol)
	}
	ip, err := hostAddress(address)
	if err != nil {
		return nil, err
	}
	if ports == "" {
		return nil, fmt.Errorf("No port specified: %s<empty>", short)
	}
	return mappings(ip, hostPorts, ports, protocol)
}

// mappings pairs the host's ports with the container's.
func mappings(ip, hostPorts, ports, protocol string) ([]config.PortMapping, error) {
	first, last, err := portRange(ports)
	if err != nil {
		return nil, fmt.Errorf("Invalid containerPort: %s", ports)
	}
	var hostFirst, hostLast uint16
	if hostPorts != "" {
		if hostFirst, hostLast, err = portRange(hostPorts); err != nil {
			return nil, fmt.Errorf("Invalid hostPort: %s", hostPorts)
		}
		if first != last && last-first != hostLast-hostFirst {
			return nil, fmt.Errorf("Invalid ranges specified for container and host Ports: %s and %s", ports, hostPorts)
		}
		if hostFirst == 0 && hostLast != 0 {
			return nil, fmt.Errorf("invalid port range: %s", hostPorts)
		}
	}
	if first == last {
		m := config.PortMapping{HostIP: ip, HostPort: hostFirst, Port: first, Protocol: protocol}
		if hostLast != hostFirst {
			m.HostLast = hostLast
		}
		return []config.PortMapping{m}, config.CheckPort(m)
	}
	var all []config.PortMapping
	for i := 0; i <= int(last-first); i++ {
		m := config.PortMapping{HostIP: ip, Port: first + uint16(i), Protocol: protocol}
		if hostFirst != 0 {
			m.HostPort = hostFirst + uint16(i)
		}
		if err := config.CheckPort(m); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// shortForm writes the long form as the short one.
func shortForm(s string) (string, error) {
	values := map[string]string{"protocol": "tcp"}
	for field := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(field, "=")
		if !ok || key == "" {
			return "", fmt.Errorf("invalid publish opts format (should be name=value but got '%s')", field)
		}
		switch key {
		case "target", "published", "protocol":
			values[key] = value
		case "mode": // of swarm's services: a container's ports are always the host's
			if value != "host" && value != "ingress" {
				return "", fmt.Errorf("invalid publish mode '%s' in '%s': use host or ingress", value, s)
			}
		default:
			return "", fmt.Errorf("unexpected key '%s' in '%s': use target, published, protocol and mode", key, s)
		}
	}
	return values["published"] + ":" + values["target"] + "/" + values["protocol"], nil
}

// splitProtocol takes the protocol off a port; both are "" when there is no port.
func splitProtocol(s string) (ports, protocol string) {
	words := strings.Split(s, "/")
	switch {
	case words[0] == "":
		return "", ""
	case len(words) == 1 || words[1] == "":
		return words[0], "tcp"
	}
	return words[0], strings.ToLower(words[1])
}

// hostAddress is a canonical address, without brackets; "" for all of the host's.
func hostAddress(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	bare, _, err := net.SplitHostPort(s + ":")
	if err != nil {
		return "", fmt.Errorf("Invalid ip address %s: %w", s, err)
	}
	if bare == "" {
		return "", nil
	}
	ip, err := netip.ParseAddr(bare)
	if err != nil || ip.Zone() != "" {
		return "", fmt.Errorf("Invalid ip address: %s", bare)
	}
	return ip.Unmap().String(), nil
}

// portRange reads PORT or PORT-PORT.
func portRange(s string) (first, last uint16, err error) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	a, err1 := strconv.ParseUint(from, 10, 16)
	b, err2 := strconv.ParseUint(to, 10, 16)
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, err
	}
	if b < a {
		return 0, 0, fmt.Errorf("%d comes after %d", a, b)
	}
	return uint16(a), uint16(b), nil
}

// Expose reads all --expose: PORT[-PORT][/PROTO], as a list of PORT/PROTO.
func Expose(words []string) ([]string, error) {
	var ports []string
	for _, word := range words {
		if strings.Contains(word, ":") {
			return nil, fmt.Errorf("invalid port format for --expose: %s", word)
		}
		exposed, err := expose(word)
		if err != nil {
			return nil, fmt.Errorf("invalid range format for --expose: %s", word)
		}
		ports = append(ports, exposed...)
	}
	return ports, nil
}

func expose(word string) ([]string, error) {
	numbers, protocol := splitProtocol(word)
	first, last, err := portRange(numbers)
	if err != nil {
		return nil, err
	}
	if first == 0 || protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
		return nil, fmt.Errorf("%s is no port", word)
	}
	var ports []string
	for i := 0; i <= int(last-first); i++ {
		ports = append(ports, strconv.Itoa(int(first)+i)+"/"+protocol)
	}
	return ports, nil
}

// PublishAll is what -P adds to the given ports: every exposed one (PORT[-PORT][/PROTO])
// that is not among them, on a free port of the host, lowest first. Words of an
// image that are no ports expose nothing.
func PublishAll(exposed []string, given []config.PortMapping) []config.PortMapping {
	type port struct {
		number   uint16
		protocol string
	}
	taken := make(map[port]bool, len(given))
	for _, m := range given {
		taken[port{m.Port, m.Protocol}] = true
	}
	var added []config.PortMapping
	for _, word := range exposed {
		ports, _ := expose(word)
		for _, one := range ports {
			number, protocol, _ := strings.Cut(one, "/")
			n, _ := strconv.ParseUint(number, 10, 16)
			if p := (port{uint16(n), protocol}); !taken[p] {
				taken[p] = true
				added = append(added, config.PortMapping{Port: p.number, Protocol: p.protocol})
			}
		}
	}
	slices.SortFunc(added, func(a, b config.PortMapping) int {
		if a.Port != b.Port {
			return int(a.Port) - int(b.Port)
		}
		return strings.Compare(a.Protocol, b.Protocol)
	})
	return slices.Concat(given, added)
}
