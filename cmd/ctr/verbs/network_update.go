package verbs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"ctr/libpod"
	"ctr/netns/network"
)

func buildNetworkUpdate(p *program) *command {
	var add, drop []string
	return &command{
		min: 1, max: 1,
		flags: []flag{
			words(&add, "dns-add", "Add DNS servers to the network"),
			words(&drop, "dns-drop", "Remove DNS servers from the network"),
		},
		run: func(ctx context.Context, args []string) error {
			added, err := addresses(add)
			if err != nil {
				return err
			}
			dropped, err := addresses(drop)
			if err != nil {
				return err
			}
			runtime, err := libpod.Open()
			if err != nil {
				return err
			}
			n, err := runtime.Networks().Lookup(args[0])
			if err != nil {
				return err
			}
			for _, a := range dropped {
				if !slices.Contains(n.DNS, a) {
					return fmt.Errorf("network %s has no DNS server %s", n.Name, a)
				}
			}
			n.DNS = slices.DeleteFunc(n.DNS, func(a netip.Addr) bool { return slices.Contains(dropped, a) })
			for _, a := range added {
				if !slices.Contains(n.DNS, a) {
					n.DNS = append(n.DNS, a)
				}
			}
			if err := runtime.Networks().Replace(n); err != nil {
				return err
			}
			fmt.Fprintln(p.Out, n.Name)
			return reloadOn(ctx, runtime, n)
		},
	}
}

// reloadOn tells the containers that run on network n that it has changed.
func reloadOn(ctx context.Context, runtime *libpod.Runtime, n *network.Network) error {
	leases, err := runtime.Leases().Of(n.ID)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range leases {
		c, err := runtime.Lookup(l.Container)
		if err == nil && l.Holder.Alive() {
			err = c.ReloadNetwork(ctx)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
