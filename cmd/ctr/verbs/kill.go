package verbs

import (
	"context"
	"fmt"

	"ctr/libpod"
	"ctr/libpod/config/parse"
)

func buildKill(p *program) *command {
	signal := "KILL"
	return &command{
		min: 1, max: anyNumber,
		flags: []flag{text(&signal, "signal,s", "Signal to send to the container")},
		run: func(ctx context.Context, args []string) error {
			number, bad := parse.Signal(signal)
			return p.eachContainer(ctx, args, func(ctx context.Context, c *libpod.Container) error {
				if bad != nil {
					return fmt.Errorf("cannot kill container: %s: %w", c.Name(), bad)
				}
				return c.Kill(ctx, number)
			})
		},
	}
}
