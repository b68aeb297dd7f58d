package verbs

import (
	"context"

	"ctr/libpod"
)

func buildRestart(p *program) *command {
	var o libpod.StopOptions
	return &command{
		min: 1, max: anyNumber,
		flags: stopFlags(&o),
		run: func(ctx context.Context, args []string) error {
			return p.eachContainer(ctx, args, func(ctx context.Context, c *libpod.Container) error { return verbFailed(c.Restart(ctx, o)) })
		},
	}
}
