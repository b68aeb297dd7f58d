package config

import (
	"errors"
	"fmt"
	"net/netip"
)

// CheckPort is nil when m can be published, as far as that is known without looking
// at the machine: its address is one, its ports are in order, its protocol is one
// that can be relayed.
func CheckPort(m PortMapping) error {
	switch m.Protocol {
	case "tcp", "udp":
	case "sctp":
		return fmt.Errorf("port %d/sctp cannot be published: ports are relayed by sockets, which would lose SCTP's streams and addresses; use --network host, where the container's own socket is reached", m.Port)
	default:
		return fmt.Errorf("Invalid proto: %s", m.Protocol)
	}
	if m.Port == 0 {
		return errors.New("Invalid containerPort: 0")
	}
	if m.HostLast != 0 && (m.HostPort == 0 || m.HostLast < m.HostPort) {
		return fmt.Errorf("invalid port range: %d-%d", m.HostPort, m.HostLast)
	}
	if m.HostIP != "" {
		if ip, err := netip.ParseAddr(m.HostIP); err != nil || ip.Zone() != "" {
			return fmt.Errorf("Invalid ip address: %s", m.HostIP)
		}
	}
	return nil
}

func (c *Container) validatePorts() error {
	for _, m := range c.Ports {
		if err := CheckPort(m); err != nil {
			return err
		}
	}
	return nil
}
