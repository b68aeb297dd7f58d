package verbs

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ctr/libpod"
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
	n, err := networksOf(runtime).Lookup(name)
	if err != nil {
		return err
	}
	if n.Predefined() {
		return fmt.Errorf("%s is a pre-defined network and cannot be removed", n.Name)
	}
	live, err := users(runtime, n)
	if err != nil {
		return err
	}
	if len(live) > 0 {
		var endpoints []string
		for _, l := range live {
			endpoints = append(endpoints, fmt.Sprintf("name:%q id:%q", holderName(runtime, l), shortEndpoint(l.Endpoint)))
		}
		return fmt.Errorf("error while removing network: network %s has active endpoints (%s)", n.Name, strings.Join(endpoints, ", "))
	}
	return discardNetwork(runtime, n)
}

// discardNetwork removes a network that nobody uses.
func discardNetwork(runtime *libpod.Runtime, n *network.Network) error {
	if err := networksOf(runtime).Remove(n); err != nil {
		return err
	}
	logNetwork(runtime, "destroy", n, nil)
	return nil
}

func shortEndpoint(id string) string { return id[:min(len(id), 12)] }
