package verbs

import (
	"context"
	"fmt"
	"slices"

	"ctr/libpod"
)

func buildNetworkDisconnect(p *program) *command {
	var force bool
	return &command{
		min: 2, max: 2,
		flags: []flag{boolean(&force, "force,f", "Force the container to disconnect from a network")},
		run: func(ctx context.Context, args []string) error {
			runtime, err := libpod.Open()
			if err != nil {
				return err
			}
			n, err := runtime.Networks().Lookup(args[0])
			name := args[0]
			switch {
			case err == nil:
				name = n.Name
			case !force || !noNetwork(err):
				return err
			}
			c, err := runtime.Lookup(args[1])
			if err != nil {
				return err
			}
			if !slices.Contains(networkNames(c.Config()), name) {
				return fmt.Errorf("container %s is not connected to network %s", c.ID(), name)
			}
			return c.Disconnect(ctx, name, force)
		},
	}
}
