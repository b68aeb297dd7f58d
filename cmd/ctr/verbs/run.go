package verbs

import (
	"context"
	"fmt"

	"ctr/libpod"
	"ctr/pkg/term"
)

func buildRun(p *program) *command {
	o := newCreateOptions()
	return &command{
		min: 1, max: anyNumber, stop: true, own: true,
		flags: append(o.flags(), o.runFlags()...),
		run: func(ctx context.Context, args []string) error {
			o.image, o.args = args[0], args[1:]
			return p.runContainer(ctx, o)
		},
	}
}

// runContainer is create, start and, unless detached, the time until the end.
func (p *program) runContainer(ctx context.Context, o *createOptions) error {
	if o.detach && len(o.attach) > 0 {
		return &usageError{code: codeFailure, text: "conflicting options: cannot specify both --attach and --detach"}
	}
	attach := o.attached()
	if err := p.checkTTY(o.tty, attach.Stdin); err != nil {
		return err
	}
	keys, err := parseDetachKeys(o.detachKeys)
	if err != nil {
		return err
	}
	extra, err := preservedFiles(o.preserveFDs)
	if err != nil {
		return err
	}
	runtime, err := libpod.Open()
	if err != nil {
		return err
	}
	runtime.Warm()
	c, err := p.create(ctx, runtime, o)
	if err != nil {
		return err
	}
	start := libpod.StartOptions{ExtraFiles: extra, Notice: p.noticeOnce(runtime)}
	if !o.detach {
		start.Attach = p.streams(attach.Stdin, attach.Stdout, attach.Stderr, keys)
	}
	a, err := c.Start(ctx, start)
	if err != nil {
		if o.autoRemove {
			// the start is what went wrong; a second complaint would hide it
			_ = c.Remove(ctx, libpod.RemoveOptions{Force: true, Volumes: true})
		}
		return err
	}
	if o.detach {
		if err := c.Durable(); err != nil {
			return err
		}
		fmt.Fprintln(p.Out, c.ID())
		return nil
	}
	s := session{tty: o.tty, stdin: attach.Stdin}
	if o.sigProxy {
		s.signal = a.Signal
	}
	return p.relay(ctx, a, s)
}

// parseDetachKeys reads --detach-keys; "" is Docker's ctrl-p,ctrl-q.
func parseDetachKeys(s string) ([]byte, error) {
	if s == "" {
		s = "ctrl-p,ctrl-q"
	}
	keys, err := term.ParseDetachKeys(s)
	if err != nil {
		return nil, fmt.Errorf("invalid detach keys (%s): %w", s, err)
	}
	return keys, nil
}
