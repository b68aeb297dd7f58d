package libpod

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"ctr/libpod/monitor"
	"ctr/libpod/state"
	"ctr/pkg/term"
)

// Streams are the client's side of a container's streams; a nil one is not attached.
// They stay the caller's.
type Streams struct {
	Stdin          *os.File
	Stdout, Stderr *os.File
	DetachKeys     []byte // leave the container running when typed; only with a terminal
}

func (s Streams) attach() monitor.Attach {
	return monitor.Attach{Stdin: s.Stdin != nil, Stdout: s.Stdout != nil, Stderr: s.Stderr != nil}
}

// Attachment relays streams between a client and a container. Wait must be called;
// Signal and Resize may be, from other goroutines, until it has returned.
type Attachment struct {
	conn    *monitor.Conn
	streams Streams
	tty     bool
}

// Attach joins a running container's streams.
func (c *Container) Attach(ctx context.Context, s Streams) (*Attachment, error) {
	conn, _, err := c.request(ctx, monitor.Request{Op: monitor.OpAttach, Attach: s.attach()})
	if err != nil {
		return nil, err
	}
	c.r.store.Log(monitor.ContainerEvent(c.cfg, "attach", nil))
	return &Attachment{conn: conn, streams: s, tty: c.cfg.TTY}, nil
}

// Signal sends a signal to the container's first process.
func (a *Attachment) Signal(sig syscall.Signal) error {
	return a.conn.Send(monitor.KindSignal, binary.BigEndian.AppendUint32(nil, uint32(sig)))
}

// Resize tells the container's terminal its size.
func (a *Attachment) Resize(size term.Winsize) error {
	p := binary.BigEndian.AppendUint16(nil, size.Height)
	return a.conn.Send(monitor.KindResize, binary.BigEndian.AppendUint16(p, size.Width))
}

// Wait relays until the container has ended and returns how; [term.ErrDetach] when
// the user typed the detach keys. The end of ctx detaches too. An exit status that
// nobody saw is an error that matches [ErrUnknownExit].
func (a *Attachment) Wait(ctx context.Context) (state.Exit, error) {
	defer a.conn.Close()
	stop := context.AfterFunc(ctx, func() { a.conn.Close() })
	defer stop()
	detached := make(chan struct{})
	if a.streams.Stdin != nil {
		go a.sendInput(detached)
	}
	exit, err := a.receive()
	select {
	case <-detached:
		return state.Exit{}, term.ErrDetach
	default:
	}
	if err != nil && ctx.Err() != nil {
		return exit, ctx.Err()
	}
	return exit, err
}

// started asks the monitor to start the container and waits for its reply. The
// container may write before the reply is there.
func (a *Attachment) started(req monitor.Request, files []*os.File) (monitor.Reply, error) {
	if err := a.conn.SendJSON(monitor.KindRequest, req, files...); err != nil {
		return monitor.Reply{}, err
	}
	for {
		kind, p, err := a.conn.Receive()
		if err != nil {
			return monitor.Reply{}, &monitor.Fault{Kind: monitor.FaultGone, Message: "the container's monitor is gone"}
		}
		if kind == monitor.KindReply {
			return monitor.ParseReply(p)
		}
		if err := a.output(kind, p); err != nil {
			return monitor.Reply{}, err
		}
	}
}

func (a *Attachment) receive() (state.Exit, error) {
	for {
		kind, p, err := a.conn.Receive()
		if err != nil {
			return state.Exit{}, &Error{ErrUnknownExit, "exit status unknown: the container's monitor is gone"}
		}
		if kind == monitor.KindExit {
			return known(monitor.ParseExit(p))
		}
		if err := a.output(kind, p); err != nil {
			return state.Exit{}, err
		}
	}
}

// output writes what the container wrote. A reader of ours that is gone stops nothing.
func (a *Attachment) output(kind monitor.Kind, p []byte) (err error) {
	switch kind {
	case monitor.KindStdout:
		_, err = a.streams.Stdout.Write(p)
	case monitor.KindStderr:
		_, err = a.streams.Stderr.Write(p)
	}
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("writing the container's output: %w", err)
	}
	return nil
}

// known turns an unknown exit status into an error.
func known(e state.Exit, err error) (state.Exit, error) {
	if err == nil && e.Unknown {
		err = &Error{ErrUnknownExit, e.Error}
	}
	return e, err
}

// sendInput relays stdin. It may stay blocked in a read when the container ends;
// then it ends with the process.
func (a *Attachment) sendInput(detached chan<- struct{}) {
	var in io.Reader = a.streams.Stdin
	if a.tty && len(a.streams.DetachKeys) > 0 {
		in = term.NewDetachReader(in, a.streams.DetachKeys)
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := in.Read(buf)
		if n > 0 && a.conn.Send(monitor.KindStdin, buf[:n]) != nil {
			return
		}
		if errors.Is(err, term.ErrDetach) {
			close(detached)
			a.conn.Close()
			return
		}
		if err != nil {
			_ = a.conn.Send(monitor.KindStdinEnd, nil)
			return
		}
	}
}

// Wait blocks until the container meets condition: "not-running" (at once when it
// does not run), "next-exit" or "removed". "" is not-running.
func (c *Container) Wait(ctx context.Context, condition string) (state.Exit, error) {
	for {
		st, err := c.State()
		if err != nil {
			return state.Exit{}, err
		}
		if !st.Active() && condition != "next-exit" {
			if st.Status == state.Created && st.Exit.FinishedAt.IsZero() {
				return state.Exit{}, nil // Docker: 0 for one that never ran
			}
			if condition == "removed" {
				return known(st.Exit, c.untilRemoved(ctx))
			}
			return known(st.Exit, nil)
		}
		exit, err := c.awaitExit(ctx, condition == "next-exit")
		if err == nil && condition == "removed" {
			err = c.untilRemoved(ctx)
		}
		if KindOf(err) != ErrNotRunning {
			return exit, err
		}
		if err := nap(ctx); err != nil {
			return exit, err
		}
	}
}

// awaitExit asks the monitor, which knows first; an orphan has none to ask.
func (c *Container) awaitExit(ctx context.Context, next bool) (state.Exit, error) {
	conn, err := c.dial()
	if err != nil {
		return state.Exit{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := conn.Ask(monitor.Request{Op: monitor.OpWait, Next: next}); err != nil {
		return state.Exit{}, kinded(err)
	}
	kind, p, err := conn.Receive()
	switch {
	case ctx.Err() != nil:
		return state.Exit{}, ctx.Err()
	case err != nil || kind != monitor.KindExit:
		return state.Exit{}, &Error{ErrNotRunning, "the container's monitor is gone"}
	}
	return known(monitor.ParseExit(p))
}

func (c *Container) untilRemoved(ctx context.Context) error {
	for {
		if _, err := c.r.store.Load(c.cfg.ID); KindOf(err) == ErrNoSuchContainer {
			return nil
		}
		if err := nap(ctx); err != nil {
			return err
		}
	}
}

// nap waits a little before looking again.
func nap(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}
