package verbs

import (
	"context"
	"errors"
)

func buildRename(p *program) *command {
	return &command{
		min: 2, max: 2,
		run: func(ctx context.Context, args []string) error {
			if args[0] == "" || args[1] == "" {
				return errors.New("neither old nor new names may be empty")
			}
			c, err := lookup(args[0])
			if err != nil {
				return err
			}
			return c.Rename(ctx, args[1])
		},
	}
}
