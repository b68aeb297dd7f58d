package verbs

import (
	"context"
	"errors"

	"ctr/libpod"
)

func buildNetworkReload(p *program) *command {
	var all, latest bool
	return &command{
		max: anyNumber,
		flags: []flag{
			boolean(&all, "all,a", "Reload the networks of all running containers"),
			boolean(&latest, "latest,l", "Reload the networks of the container that was created last"),
		},
		run: func(ctx context.Context, args []string) error {
			switch {
			case (all || latest) && len(args) > 0, all && latest:
				return errors.New("--all, --latest and containers' names exclude each other")
			case !all && !latest && len(args) == 0:
				return errors.New("name the containers, or use --all or --latest")
			}
			runtime, err := libpod.Open()
			if err != nil {
				return err
			}
			chosen, unreadable := toReload(runtime, all, latest)
			for _, c := range chosen {
				args = append(args, c.ID())
			}
			err = p.eachName(args, func(name string) (string, error) {
				c, err := runtime.Lookup(name)
				if err != nil {
					return "", err
				}
				return c.ID(), c.ReloadNetwork(ctx)
			})
			return errors.Join(err, unreadable)
		},
	}
}

// toReload are the containers that --all or --latest mean.
func toReload(runtime *libpod.Runtime, all, latest bool) ([]*libpod.Container, error) {
	if latest {
		list, err := runtime.Containers()
		return list[:min(1, len(list))], err
	}
	if !all {
		return nil, nil
	}
	list, err := runtime.Running()
	running := list[:0]
	for _, c := range list {
		if st, stErr := c.State(); stErr != nil {
			err = errors.Join(err, stErr)
		} else if st.Active() {
			running = append(running, c)
		}
	}
	return running, err
}
