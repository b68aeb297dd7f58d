package verbs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"ctr/libpod"
	"ctr/pkg/userns"
)

func buildUnshare(p *program) *command {
	return &command{
		max: anyNumber, stop: true, own: true,
		run: func(_ context.Context, args []string) error { return p.unshare(args) },
	}
}

// unshare enters the namespaces by running this command line again inside them,
// and there becomes the command, or the user's shell.
func (p *program) unshare(args []string) error {
	code, done, err := userns.Reexec()
	switch {
	case err != nil:
		return err
	case done && code == 0:
		return nil
	case done:
		return statusError(code)
	}
	if len(args) == 0 {
		args = []string{first(os.Getenv("SHELL"), "/bin/sh")}
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return &libpod.Error{Kind: libpod.ErrNotFound, Message: err.Error()}
	}
	if err := syscall.Exec(path, args, os.Environ()); err != nil {
		return fmt.Errorf("executing %s: %w", path, err)
	}
	return nil
}
