package verbs

import (
	"context"

	"ctr/libpod"
)

func buildNetworkExists(*program) *command {
	return &command{
		min: 1, max: 1,
		run: func(_ context.Context, args []string) error {
			runtime, err := libpod.Open()
			if err != nil {
				return err
			}
			_, err = runtime.Networks().Lookup(args[0])
			if noNetwork(err) {
				return statusError(codeFailure)
			}
			return err
		},
	}
}
