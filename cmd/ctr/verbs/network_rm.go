package verbs

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ctr/libpod"
	"ctr/netns/lease"
	"ctr/netns/network"
)

func buildNetworkRm(p *program) *command {
	var force bool
	var seconds int
	return &command{
		min: 1, max: anyNumber,
		flags: []flag{
			boolean(&force, "force,f", "Do not error if the network does not exist"),
			integer(&seconds, "time,t", "Seconds to wait for running containers to stop; none are stopped here").hide(),
		},
		run: func(_ context.Context, args []string) error {
			runtime, err := libpod.Open()
			if err != nil {
				return err
			}
			var errs []error
			for _, name := range args {
				switch err := removeNetwork(runtime, name); {
				case err == nil:
					fmt.Fprintln(p.Out, name)
				case !force || !noNetwork(err):
					errs = append(errs, err)
				}
			}
			return errors.Join(errs...)
		},
	}
}

func removeNetwork(runtime *libpod.Runtime, name string) error {
	n, err := runtime.Networks().Lookup(name)
	if err != nil {
		return err
	}
	if n.Predefined() {
		return fmt.Errorf("%s is a pre-defined network and cannot be removed", n.Name)
	}
	return runtime.Leases().Hold(n.ID, func(live []lease.Lease) error {
		if len(live) > 0 {
			return inUseError(runtime, n, live)
		}
		return discardNetwork(runtime, n)
	})
}

// inUseError names the containers that a network cannot be taken from.
func inUseError(runtime *libpod.Runtime, n *network.Network, live []lease.Lease) error {
	var endpoints []string
	for _, l := range live {
		endpoints = append(endpoints, fmt.Sprintf("name:%q id:%q", holderName(runtime, l), shortEndpoint(l.Endpoint)))
	}
	return fmt.Errorf("error while removing network: network %s has active endpoints (%s)", n.Name, strings.Join(endpoints, ", "))
}

// discardNetwork removes a network that nobody uses; its leases are held.
func discardNetwork(runtime *libpod.Runtime, n *network.Network) error {
	if err := runtime.Networks().Remove(n); err != nil {
		return err
	}
	runtime.LogNetwork("destroy", n, nil)
	return nil
}

func shortEndpoint(id string) string { return id[:min(len(id), 12)] }
