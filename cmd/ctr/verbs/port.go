package verbs

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"ctr/libpod/config"
)

func buildPort(p *program) *command {
	return &command{
		min: 1, max: 2,
		run: func(_ context.Context, args []string) error {
			c, err := lookup(args[0])
			if err != nil {
				return err
			}
			st, err := c.State()
			if err != nil {
				return err
			}
			ports := boundPorts(st)
			if len(args) == 2 {
				return p.printPort(ports, args[0], args[1])
			}
			for _, port := range ports {
				fmt.Fprintf(p.Out, "%s -> %s\n", portName(port), hostAddress(port))
			}
			return nil
		},
	}
}

// printPort prints where one port of the container is published.
func (p *program) printPort(ports []config.PortMapping, container, wanted string) error {
	number, protocol, found := strings.Cut(wanted, "/")
	if !found {
		protocol = "tcp"
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return fmt.Errorf("invalid port (%s): %w", number, err)
	}
	name := fmt.Sprintf("%d/%s", n, protocol)
	found = false
	for _, port := range ports {
		if portName(port) == name {
			found = true
			fmt.Fprintln(p.Out, hostAddress(port))
		}
	}
	if !found {
		return fmt.Errorf("No public port '%s' published for %s", wanted, container)
	}
	return nil
}

func hostAddress(p config.PortMapping) string {
	return net.JoinHostPort(p.HostIP, strconv.Itoa(int(p.HostPort)))
}
