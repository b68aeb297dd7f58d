package verbs

import (
	"context"

	"ctr/libpod"
	"ctr/libpod/config/parse"
)

// stopFlags are those of stop and restart.
func stopFlags(o *libpod.StopOptions) []flag {
	return []flag{
		parsed(&o.Signal, "signal,s", "string", "Signal to send to the container", parse.Signal),
		optionalInt(&o.Timeout, "timeout,t", "Seconds to wait before killing the container").also("time"),
	}
}

func buildStop(p *program) *command {
	var o libpod.StopOptions
	return &command{
		min: 1, max: anyNumber,
		flags: stopFlags(&o),
		run: func(ctx context.Context, args []string) error {
			return p.eachContainer(ctx, args, func(ctx context.Context, c *libpod.Container) error { return c.Stop(ctx, o) })
		},
	}
}
