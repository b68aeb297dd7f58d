package verbs

import (
	"context"

	"ctr/libpod"
)

func buildUnpause(p *program) *command {
	return &command{
		min: 1, max: anyNumber,
		run: func(ctx context.Context, args []string) error {
			return p.eachContainer(ctx, args, func(ctx context.Context, c *libpod.Container) error { return c.Unpause(ctx) })
		},
	}
}
