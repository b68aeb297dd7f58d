package verbs

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"ctr/libpod"
	"ctr/libpod/config"
	"ctr/libpod/config/parse"
)

func buildNetworkConnect(p *program) *command {
	var e config.Endpoint
	return &command{
		min: 2, max: 2,
		flags: []flag{
			words(&e.Aliases, "alias", "Add network-scoped alias for the container"),
			each("driver-opt", "strings", "driver options for the network", func(s string) error {
				for _, option := range strings.Split(s, ",") {
					if err := parse.DriverOpt(&e, option); err != nil {
						return err
					}
				}
				return nil
			}),
			integer(&e.Priority, "gw-priority", "Highest gw-priority provides the default gateway. Accepts positive and negative values."),
			text(&e.IPv4, "ip", `IPv4 address (e.g., "172.30.100.104")`),
			text(&e.IPv6, "ip6", `IPv6 address (e.g., "2001:db8::33")`),
			collected(&e.Links, "link", "list", "Add link to another container", parse.Link),
			words(&e.LinkLocal, "link-local-ip", "Add a link-local address for the container"),
			parsed(&e.MAC, "mac-address", "string", `MAC address (e.g., "92:d0:c6:0a:29:33")`, parse.MAC),
		},
		run: func(ctx context.Context, args []string) error {
			runtime, err := libpod.Open()
			if err != nil {
				return err
			}
			return connect(ctx, runtime, e, args[0], args[1])
		},
	}
}

func connect(ctx context.Context, runtime *libpod.Runtime, e config.Endpoint, networkName, containerName string) error {
	c, err := runtime.Lookup(containerName)
	if err != nil {
		return err
	}
	n, err := runtime.Networks().Lookup(networkName)
	if err != nil {
		return err
	}
	e.Network = n.Name
	switch n.Name {
	case "host":
		return fmt.Errorf("cannot connect container to host network - container must be created in host network mode")
	case "none":
		return fmt.Errorf("container cannot be connected to multiple networks with one of the networks in private (none) mode")
	}
	if err := e.Check(); err != nil {
		return err
	}
	if err := checkAddresses(runtime, e); err != nil {
		return err
	}
	return c.Connect(ctx, e)
}

// checkAddresses compares the addresses that were asked for with the network's
// subnets. A network that does not exist is for the start to complain about.
func checkAddresses(runtime *libpod.Runtime, e config.Endpoint) error {
	if e.IPv4 == "" && e.IPv6 == "" {
		return nil
	}
	n, err := runtime.Networks().Lookup(e.Network)
	if noNetwork(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range []string{e.IPv4, e.IPv6} {
		if s == "" {
			continue
		}
		a, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("invalid config for network %s: invalid endpoint settings:\ninvalid IP address: %s", n.Name, s)
		}
		if err := n.Accepts(a); err != nil {
			return err
		}
	}
	return nil
}

// checkEndpoints does what can be done at create to spare a failing start.
func checkEndpoints(runtime *libpod.Runtime, c *config.Container) error {
	for _, e := range c.Networks {
		if err := checkAddresses(runtime, e); err != nil {
			return err
		}
	}
	for _, link := range c.Links {
		name, _, _ := strings.Cut(link, ":")
		if _, err := runtime.Lookup(name); err != nil {
			return fmt.Errorf("could not get container for %s: %w", name, err)
		}
	}
	return nil
}
