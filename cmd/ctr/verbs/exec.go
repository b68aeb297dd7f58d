package verbs

import (
	"context"

	"ctr/libpod"
)

type execOptions struct {
	detach, interactive, tty, privileged bool
	detachKeys, user, workdir            string
	env, envFiles                        []string
	preserveFDs                          int
}

func buildExec(p *program) *command {
	var o execOptions
	return &command{
		min: 2, max: anyNumber, stop: true,
		flags: []flag{
			boolean(&o.detach, "detach,d", "Detached mode: run command in the background"),
			text(&o.detachKeys, "detach-keys", "Override the key sequence for detaching a container"),
			envFlag(&o.env),
			list(&o.envFiles, "env-file", "Read in a file of environment variables"),
			boolean(&o.interactive, "interactive,i", "Keep STDIN open even if not attached"),
			integer(&o.preserveFDs, "preserve-fds", "Pass this many open file descriptors, from 3 on, to the process"),
			boolean(&o.privileged, "privileged", "Give extended privileges to the command"),
			boolean(&o.tty, "tty,t", "Allocate a pseudo-TTY"),
			text(&o.user, "user,u", `Username or UID (format: "<name|uid>[:<group|gid>]")`),
			text(&o.workdir, "workdir,w", "Working directory inside the container"),
		},
		run: func(ctx context.Context, args []string) error { return p.exec(ctx, args[0], args[1:], o) },
	}
}

func (p *program) exec(ctx context.Context, name string, argv []string, o execOptions) error {
	stdin := o.interactive && !o.detach
	if err := p.checkTTY(o.tty, stdin); err != nil {
		return err
	}
	keys, err := parseDetachKeys(o.detachKeys)
	if err != nil {
		return err
	}
	env, err := environment(o.envFiles, o.env)
	if err != nil {
		return err
	}
	extra, err := preservedFiles(o.preserveFDs)
	if err != nil {
		return err
	}
	c, err := lookup(name)
	if err != nil {
		return err
	}
	process, err := c.Exec(ctx, libpod.ExecOptions{
		Args: argv, Env: env, User: o.user, WorkingDir: o.workdir,
		TTY: o.tty, Interactive: stdin, Detach: o.detach, Privileged: o.privileged,
		Streams: *p.streams(stdin, true, true, keys), ExtraFiles: extra,
	})
	if err != nil || o.detach {
		return err
	}
	return p.relay(ctx, process, session{tty: o.tty, stdin: stdin})
}
