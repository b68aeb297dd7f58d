package verbs

import (
	"context"

	"ctr/libpod"
	"ctr/libpod/config/parse"
)

func buildKill(p *program) *command {
	signal := "KILL"
	return &command{
		min: 1, max: anyNumber,
		flags: []flag{text(&signal, "signal,s", "Signal to send to the container")},
		run: func(ctx context.Context, args []string) error {
			number, err := parse.Signal(signal)
			if err != nil {
				return err
			}
			return p.eachContainer(ctx, args, func(ctx context.Context, c *libpod.Container) error { return c.Kill(ctx, number) })
		},
	}
}
