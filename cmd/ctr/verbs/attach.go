package verbs

import (
	"context"
	"errors"

	"ctr/libpod/state"
)

type attachOptions struct {
	detachKeys        string
	noStdin, sigProxy bool
}

func buildAttach(p *program) *command {
	o := attachOptions{sigProxy: true}
	return &command{
		min: 1, max: 1,
		flags: []flag{
			text(&o.detachKeys, "detach-keys", "Override the key sequence for detaching a container"),
			boolean(&o.noStdin, "no-stdin", "Do not attach STDIN"),
			boolean(&o.sigProxy, "sig-proxy", "Proxy all received signals to the process").defaults("true"),
		},
		run: func(ctx context.Context, args []string) error { return p.attach(ctx, args[0], o) },
	}
}

func (p *program) attach(ctx context.Context, name string, o attachOptions) error {
	c, err := lookup(name)
	if err != nil {
		return err
	}
	st, err := c.State()
	if err != nil {
		return err
	}
	if err := attachable(st); err != nil {
		return err
	}
	keys, err := parseDetachKeys(o.detachKeys)
	if err != nil {
		return err
	}
	cfg := c.Config()
	stdin := cfg.OpenStdin && !o.noStdin
	if err := p.checkTTY(cfg.TTY, stdin); err != nil {
		return err
	}
	a, err := c.Attach(ctx, *p.streams(stdin, true, true, keys))
	if err != nil {
		return err
	}
	s := session{tty: cfg.TTY, stdin: stdin}
	if o.sigProxy {
		s.signal = a.Signal
	}
	return p.relay(ctx, a, s)
}

func attachable(st state.State) error {
	switch {
	case !st.Active():
		return errors.New("You cannot attach to a stopped container, start it first")
	case st.Status == state.Paused:
		return errors.New("You cannot attach to a paused container, unpause it first")
	case st.Status == state.Restarting:
		return errors.New("You cannot attach to a restarting container, wait until it is running")
	}
	return nil
}
