package verbs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"ctr/libpod"
	"ctr/libpod/config"
	"ctr/pkg/atomicfile"
)

func buildCreate(p *program) *command {
	o := newCreateOptions()
	return &command{
		min: 1, max: anyNumber, stop: true,
		flags: o.flags(),
		run: func(ctx context.Context, args []string) error {
			o.image, o.args = args[0], args[1:]
			runtime, err := libpod.Open()
			if err != nil {
				return err
			}
			c, err := p.create(ctx, runtime, o)
			if err != nil {
				return err
			}
			if err := c.Durable(); err != nil {
				return err
			}
			fmt.Fprintln(p.Out, c.ID())
			return nil
		},
	}
}

// create makes a container of the flags and the image, which it pulls if need be.
func (p *program) create(ctx context.Context, runtime *libpod.Runtime, o *createOptions) (*libpod.Container, error) {
	if o.cidFile != "" {
		if _, err := os.Lstat(o.cidFile); err == nil {
			return nil, fmt.Errorf("container ID file found, make sure the other container isn't running or delete %s", o.cidFile)
		}
	}
	if err := o.settle(); err != nil {
		return nil, &flagsError{err}
	}
	if err := o.check(); err != nil {
		return nil, &flagsError{err}
	}
	img, err := p.imageFor(ctx, o)
	if err != nil {
		return nil, err
	}
	cfg, err := o.resolve(img, p.argv)
	if err != nil {
		return nil, err
	}
	if err := resolveJoined(runtime, &cfg.NS); err != nil {
		return nil, err
	}
	if err := checkEndpoints(runtime, cfg); err != nil {
		return nil, err
	}
	if o.net.warning != "" {
		fmt.Fprintln(p.Err, o.net.warning)
	}
	c, err := runtime.Create(ctx, cfg)
	if errors.Is(err, libpod.ErrNameInUse) {
		// the name may belong to a container of --rm whose monitor was killed
		runtime.Repair(ctx)
		c, err = runtime.Create(ctx, cfg)
	}
	if err != nil {
		return nil, err
	}
	if o.cidFile != "" {
		if err := atomicfile.Write(o.cidFile, []byte(c.ID()), 0o644, false); err != nil {
			return nil, errors.Join(fmt.Errorf("writing the container ID file: %w", err), c.Remove(ctx, libpod.RemoveOptions{Volumes: true}))
		}
	}
	return c, nil
}

// resolveJoined turns the names of containers whose namespaces are to be shared into IDs.
func resolveJoined(runtime *libpod.Runtime, ns *config.Namespaces) error {
	for _, mode := range []*string{&ns.Network, &ns.IPC, &ns.PID, &ns.UTS, &ns.Cgroup} {
		name, found := strings.CutPrefix(*mode, "container:")
		if !found {
			continue
		}
		c, err := runtime.Lookup(name)
		if err != nil {
			return err
		}
		*mode = "container:" + c.ID()
	}
	return nil
}
