package verbs

import (
	"context"
	"strconv"

	"ctr/libpod"
)

func buildWait(p *program) *command {
	condition := "not-running"
	return &command{
		min: 1, max: anyNumber,
		flags: []flag{text(&condition, "condition", "What to wait for (not-running, next-exit, removed)").hide()},
		run: func(ctx context.Context, args []string) error {
			runtime, err := libpod.Open()
			if err != nil {
				return err
			}
			return p.eachName(args, func(name string) (string, error) {
				c, err := runtime.Lookup(name)
				if err != nil {
					return "", err
				}
				exit, err := c.Wait(ctx, condition)
				if err != nil {
					return "", err
				}
				return strconv.Itoa(exit.Code), nil
			})
		},
	}
}
