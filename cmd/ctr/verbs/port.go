package verbs

import (
	"context"
	"fmt"
)

func buildPort(p *program) *command {
	return &command{
		min: 1, max: 2,
		run: func(_ context.Context, args []string) error {
			if _, err := lookup(args[0]); err != nil {
				return err
			}
			if len(args) == 2 {
				return fmt.Errorf("no public port '%s' published for %s", args[1], args[0])
			}
			return nil
		},
	}
}
