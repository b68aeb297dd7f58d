package libpod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"ctr/libpod/monitor"
	"ctr/libpod/state"
	"ctr/pkg/term"
)

// ExecOptions describe a further process in a running container.
type ExecOptions struct {
	Args        []string
	Env         []string // KEY=VALUE, added to the container's
	User        string   // "" is the container's
	WorkingDir  string   // "" is the container's
	TTY         bool
	Interactive bool // connect Stdin; without, the process's stdin is empty
	Detach      bool
	Privileged  bool
	Streams     Streams
	ExtraFiles  []*os.File // become descriptors 3 and up
}

// Exec is a process that was started in a container.
type Exec struct {
	Pid    int
	conn   *monitor.Conn
	master *os.File // the terminal, when there is one
	loan   *loan    // the streams, when there is none
	o      ExecOptions
}

// Exec starts a process in the container. Without a terminal the process has the
// caller's pipes themselves; other files are copied to and from (see loan). The
// caller calls Wait unless it detached.
func (c *Container) Exec(ctx context.Context, o ExecOptions) (*Exec, error) {
	req := monitor.Exec{Args: o.Args, Env: o.Env, User: o.User, WorkingDir: o.WorkingDir, TTY: o.TTY, Privileged: o.Privileged, Detach: o.Detach}
	if o.TTY && o.Streams.Stdout != nil {
		if size, err := term.Size(o.Streams.Stdout); err == nil {
			req.Height, req.Width = size.Height, size.Width
		}
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	loan, err := o.lend(null)
	if err != nil {
		return nil, err
	}
	conn, reply, err := c.request(ctx, monitor.Request{Op: monitor.OpExec, Exec: &req}, append(loan.files, o.ExtraFiles...)...)
	if err != nil {
		loan.abandon()
		return nil, err
	}
	loan.begin()
	e := &Exec{Pid: reply.Pid, conn: conn, loan: loan, o: o}
	if passed := conn.Files(); len(passed) > 0 {
		e.master = passed[0]
	}
	if o.Detach {
		conn.Close()
	}
	return e, nil
}

// lend prepares the streams that go with the request; null stands for those that are
// not connected.
func (o ExecOptions) lend(null *os.File) (*loan, error) {
	if o.TTY {
		return &loan{}, nil
	}
	files := []*os.File{null, null, null}
	if !o.Detach {
		for i, f := range []*os.File{o.Streams.Stdin, o.Streams.Stdout, o.Streams.Stderr} {
			if f != nil && (i > 0 || o.Interactive) {
				files[i] = f
			}
		}
	}
	return lend(files[0], files[1], files[2])
}

// Wait relays the streams until the process has ended, and returns its
// exit status; [term.ErrDetach] when the user typed the detach keys.
func (e *Exec) Wait(ctx context.Context) (state.Exit, error) {
	defer e.conn.Close()
	stop := context.AfterFunc(ctx, func() { e.conn.Close() })
	defer stop()
	detached := make(chan struct{})
	output := make(chan struct{})
	if e.master != nil {
		go e.sendInput(detached)
		go func() {
			defer close(output)
			_, _ = io.Copy(e.o.Streams.Stdout, e.master) // ends with EIO when the last process closes it
		}()
	}
	kind, p, err := e.conn.Receive()
	e.loan.end()
	select {
	case <-detached:
		return state.Exit{}, term.ErrDetach
	default:
	}
	if ctx.Err() != nil {
		return state.Exit{}, ctx.Err()
	}
	if err != nil || kind != monitor.KindExit {
		return state.Exit{Code: 137}, &Error{ErrUnknownExit, "exit status unknown: the container has ended"}
	}
	if e.master != nil {
		select {
		case <-output:
		case <-time.After(200 * time.Millisecond): // a background process keeps the terminal open
		}
	}
	return known(monitor.ParseExit(p))
}

func (e *Exec) sendInput(detached chan<- struct{}) {
	if e.o.Streams.Stdin == nil {
		return
	}
	in := term.NewDetachReader(e.o.Streams.Stdin, e.o.Streams.DetachKeys)
	_, err := io.Copy(e.master, in)
	if errors.Is(err, term.ErrDetach) {
		close(detached)
		e.conn.Close()
	}
}

// Resize tells the process's terminal its size.
func (e *Exec) Resize(size term.Winsize) error {
	if e.master == nil {
		return nil
	}
	if err := term.SetSize(e.master, size); err != nil {
		return fmt.Errorf("resizing the terminal: %w", err)
	}
	return nil
}
