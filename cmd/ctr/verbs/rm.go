package verbs

import (
	"context"
	"errors"

	"ctr/libpod"
)

func buildRm(p *program) *command {
	var (
		o    libpod.RemoveOptions
		link bool
	)
	return &command{
		min: 1, max: anyNumber,
		flags: []flag{
			boolean(&o.Force, "force,f", "Force the removal of a running container (uses SIGKILL)"),
			boolean(&link, "link,l", "Remove the specified link").hide(),
			boolean(&o.Volumes, "volumes,v", "Remove anonymous volumes associated with the container"),
		},
		run: func(ctx context.Context, args []string) error {
			if link {
				return errors.New("--link: a container keeps its links; create it again without the link")
			}
			return p.remove(ctx, args, o)
		},
	}
}

// remove is `rm`. With force, as in Docker, what does not exist is mentioned but no failure.
func (p *program) remove(ctx context.Context, names []string, o libpod.RemoveOptions) error {
	find := (*libpod.Runtime).Lookup
	if o.Force {
		find = (*libpod.Runtime).LookupToRemove
	}
	err := p.eachFound(ctx, names, find, func(ctx context.Context, c *libpod.Container) error { return c.Remove(ctx, o) })
	if !o.Force || err == nil {
		return err
	}
	var failed []error
	for _, err := range flatten(err) {
		if errors.Is(err, libpod.ErrNoSuchContainer) {
			p.complain(err)
		} else {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// flatten takes a joined error apart.
func flatten(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}
