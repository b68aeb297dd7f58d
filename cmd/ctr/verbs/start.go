package verbs

import (
	"context"
	"errors"

	"ctr/libpod"
)

type startOptions struct {
	attach, interactive bool
	detachKeys          string
	sigProxy            bool
}

func buildStart(p *program) *command {
	o := startOptions{sigProxy: true}
	return &command{
		min: 1, max: anyNumber,
		flags: []flag{
			boolean(&o.attach, "attach,a", "Attach STDOUT/STDERR and forward signals"),
			text(&o.detachKeys, "detach-keys", "Override the key sequence for detaching a container"),
			boolean(&o.interactive, "interactive,i", "Attach container's STDIN"),
			boolean(&o.sigProxy, "sig-proxy", "Proxy received signals to the process").defaults("true").hide(),
		},
		run: func(ctx context.Context, args []string) error {
			if o.attach || o.interactive {
				return p.startAttached(ctx, args, o)
			}
			runtime, err := libpod.Open()
			if err != nil {
				return err
			}
			notice := p.noticeOnce(runtime)
			return p.eachContainer(ctx, args, func(ctx context.Context, c *libpod.Container) error {
				_, err := c.Start(ctx, libpod.StartOptions{Notice: notice})
				return verbFailed(err)
			})
		},
	}
}

func (p *program) startAttached(ctx context.Context, names []string, o startOptions) error {
	if len(names) > 1 {
		return errors.New("you cannot start and attach multiple containers at once")
	}
	runtime, err := libpod.Open()
	if err != nil {
		return err
	}
	c, err := runtime.Lookup(names[0])
	if err != nil {
		return err
	}
	keys, err := parseDetachKeys(o.detachKeys)
	if err != nil {
		return err
	}
	cfg := c.Config()
	stdin := o.interactive && cfg.OpenStdin
	if err := p.checkTTY(cfg.TTY, stdin); err != nil {
		return err
	}
	a, err := c.Start(ctx, libpod.StartOptions{Attach: p.streams(stdin, true, true, keys), Notice: p.noticeOnce(runtime)})
	if err != nil {
		return verbFailed(err)
	}
	s := session{tty: cfg.TTY, stdin: stdin}
	if o.sigProxy {
		s.signal = a.Signal
	}
	return p.relay(ctx, a, s)
}
