package verbs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"ctr/libpod"
	"ctr/libpod/state"
	"ctr/pkg/term"
)

// relayed is a process whose streams this program relays: a container's or an exec's.
type relayed interface {
	Wait(ctx context.Context) (state.Exit, error)
	Resize(size term.Winsize) error
}

// session is how this program's terminal and signals are tied to a process.
type session struct {
	tty   bool // the process has a terminal of its own
	stdin bool // our standard input is its
	// signal passes on a signal that reached us; nil leaves signals their effect on us.
	signal func(syscall.Signal) error
}

// checkTTY refuses a terminal whose keyboard would be a pipe.
func (p *program) checkTTY(tty, stdin bool) error {
	if tty && stdin && !term.IsTerminal(p.In) {
		return &usageError{code: codeFailure, text: "the input device is not a TTY"}
	}
	return nil
}

// relay stays with the process until it ends or the user detaches, and puts the
// terminal back however that comes about. Detaching is no error: code 0.
func (p *program) relay(ctx context.Context, a relayed, s session) error {
	restore := func() {}
	if s.tty && s.stdin && term.IsTerminal(p.In) {
		undo, err := term.MakeRaw(p.In)
		if err != nil {
			return err
		}
		restore = undo
	}
	defer restore()
	defer handleSignals(s.signal, restore)()
	if s.tty && term.IsTerminal(p.Out) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go p.followSize(ctx, a)
	}
	exit, err := a.Wait(ctx)
	switch {
	case errors.Is(err, term.ErrDetach):
		restore()
		fmt.Fprintln(p.Err, "read escape sequence")
		return nil
	case err != nil:
		return err
	}
	return exitOf(exit)
}

// exitOf is the error that carries a process's exit code to ours.
func exitOf(exit state.Exit) error {
	switch {
	case exit.Code == 0:
		return nil
	}
	return statusError(exit.Code)
}

// followSize gives the process's terminal the size of ours, now and after every change.
func (p *program) followSize(ctx context.Context, a relayed) {
	changes := term.NotifyResize(ctx)
	for {
		if size, err := term.Size(p.Out); err == nil {
			a.Resize(size) // the process may have ended: Wait says so
		}
		if _, open := <-changes; !open {
			return
		}
	}
}

// unproxied are the signals that stay ours: they tell us about our own children,
// pipes and terminal, belong to the Go runtime, or are the shell's job control.
var unproxied = map[syscall.Signal]bool{
	syscall.SIGCHLD: true, syscall.SIGPIPE: true, syscall.SIGURG: true, syscall.SIGWINCH: true,
	syscall.SIGTSTP: true, syscall.SIGTTIN: true, syscall.SIGTTOU: true, syscall.SIGCONT: true,
}

// handleSignals passes signals on with pass, or where that is nil puts the terminal
// back before a deadly one has its way. The returned function ends that.
func handleSignals(pass func(syscall.Signal) error, restore func()) (stop func()) {
	caught := make(chan os.Signal, 64)
	if pass != nil {
		signal.Notify(caught, proxied()...)
	} else {
		signal.Notify(caught, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case sig := <-caught:
				number := sig.(syscall.Signal)
				if pass != nil {
					pass(number) // as above
					continue
				}
				restore()
				signal.Reset(number)
				syscall.Kill(os.Getpid(), number)
			}
		}
	}()
	return func() {
		signal.Stop(caught)
		close(done)
	}
}

func proxied() []os.Signal {
	var all []os.Signal
	for n := syscall.Signal(1); n < 65; n++ {
		if !unproxied[n] && n != syscall.SIGKILL && n != syscall.SIGSTOP {
			all = append(all, n)
		}
	}
	return all
}

// streams are ours as far as they are wanted.
func (p *program) streams(stdin, stdout, stderr bool, keys []byte) *libpod.Streams {
	s := &libpod.Streams{DetachKeys: keys}
	if stdin {
		s.Stdin = p.In
	}
	if stdout {
		s.Stdout = p.Out
	}
	if stderr {
		s.Stderr = p.Err
	}
	return s
}
