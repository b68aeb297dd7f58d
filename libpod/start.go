package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ctr/libpod/monitor"
)

// StartOptions say what a start attaches.
type StartOptions struct {
	Attach     *Streams   // nil: none
	ExtraFiles []*os.File // become the container's descriptors 3 and up
	// Notice is told, in a line each, what this machine lacks and what follows; nil is silence.
	Notice func(string)
}

// Start runs the container. It returns when the container's process runs, with an
// attachment where one was asked for. Starting a running container is no error and
// does nothing.
func (c *Container) Start(ctx context.Context, o StartOptions) (*Attachment, error) {
	lock, err := c.r.store.Lock(ctx, c.cfg.ID)
	if err != nil {
		return nil, kinded(err)
	}
	defer lock.Close()
	st, err := c.State()
	if err != nil {
		return nil, err
	}
	if st.Active() {
		if o.Attach != nil {
			return c.Attach(ctx, *o.Attach)
		}
		return nil, nil
	}
	if err := c.r.settleRun(c.cfg.ID); err != nil {
		return nil, err
	}
	said, err := c.makeRunDir()
	if err != nil {
		return nil, err
	}
	defer said.Close()
	conn, m, err := c.r.monitorFor(c.sharesWith())
	if err != nil {
		return nil, fmt.Errorf("starting container %.12s: %w", c.cfg.ID, err)
	}
	req := monitor.Request{Op: monitor.OpStart, ID: c.cfg.ID}
	if o.Attach != nil {
		req.Attach = o.Attach.attach()
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	a := &Attachment{conn: conn, tty: c.cfg.TTY}
	if o.Attach != nil {
		a.streams = *o.Attach
	}
	reply, err := a.started(req, append([]*os.File{lock, said}, o.ExtraFiles...))
	if err != nil {
		conn.Close()
		return nil, c.startError(ctx, err)
	}
	if o.Notice != nil {
		for _, line := range append(reply.Notices, m.Missing) {
			if line != "" {
				o.Notice(line)
			}
		}
	}
	if o.Attach == nil {
		conn.Close()
		return nil, nil
	}
	return a, nil
}

// startError adds what the monitor wrote before it died, when it died.
func (c *Container) startError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var fault *monitor.Fault
	if errors.As(err, &fault) && fault.Kind == monitor.FaultGone {
		said, _ := os.ReadFile(c.monitorLog())
		line, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
		if line == "" {
			line = "it said nothing; was it killed, or is there no more memory, or are there too many processes (ulimit -u)?"
		}
		return fmt.Errorf("starting container %.12s: its monitor died: %s", c.cfg.ID, line)
	}
	return kinded(err)
}

// makeRunDir makes the container's run directory and the file for the monitor's
// complaints in it, which the caller closes.
func (c *Container) makeRunDir() (*os.File, error) {
	if err := os.MkdirAll(c.RunDir(), 0o700); err != nil {
		return nil, fmt.Errorf("making the run directory: %w", err)
	}
	said, err := os.OpenFile(c.monitorLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the monitor's log: %w", err)
	}
	return said, nil
}

func (c *Container) monitorLog() string { return c.RunDir() + "/monitor.log" }

func reap(pid int) {
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

// monitorEnv is what a monitor may know of the user's environment: where files are.
// Nothing of it reaches the container.
func monitorEnv() []string {
	// One processor is enough to carry bytes, and a start is faster: what a Go
	// program spreads over several costs them interrupts to keep in step.
	env := []string{"GOMAXPROCS=1"}
	for _, kv := range os.Environ() {
		key, _, _ := strings.Cut(kv, "=")
		switch {
		case key == "PATH", key == "HOME", key == "USER", key == "TMPDIR", key == "GODEBUG",
			strings.HasPrefix(key, "XDG_"), strings.HasPrefix(key, "CTR_"),
			strings.HasPrefix(key, "CONTAINERS_"), strings.HasPrefix(key, "STORAGE_"), strings.HasPrefix(key, "_CONTAINERS_"):
			env = append(env, kv)
		}
	}
	return env
}

// StopOptions say how a container is ended.
type StopOptions struct {
	Signal  syscall.Signal // 0 is the container's stop signal
	Timeout *int           // seconds until SIGKILL; nil is the container's, else 10; negative waits for ever
}

// Stop ends the container and returns when its end is on record. Stopping one that
// does not run is no error.
func (c *Container) Stop(ctx context.Context, o StopOptions) error {
	st, err := c.State()
	if err != nil {
		return err
	}
	if !st.Active() {
		return nil
	}
	if st.Orphan {
		return c.killOrphan(ctx)
	}
	timeout := 10
	if c.cfg.StopTimeout != nil {
		timeout = *c.cfg.StopTimeout
	}
	if o.Timeout != nil {
		timeout = *o.Timeout
	}
	_, err = c.ask(ctx, monitor.Request{Op: monitor.OpStop, Stop: &monitor.Stop{Signal: int(o.Signal), Timeout: timeout}})
	return c.unlessEnded(ctx, err)
}

// unlessEnded forgets the error of a request when the container has ended meanwhile.
// A monitor that answers nobody any more is about to record the end: that is waited for.
func (c *Container) unlessEnded(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		st, stErr := c.State()
		switch {
		case stErr == nil && !st.Active(), KindOf(stErr) == ErrNoSuchContainer:
			return nil
		case KindOf(err) != ErrNotRunning || stErr != nil:
			return err
		case st.Orphan:
			return c.killOrphan(ctx)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// killOrphan ends a container whose monitor was killed and records that.
func (c *Container) killOrphan(ctx context.Context) error {
	lock, err := c.r.store.Lock(ctx, c.cfg.ID)
	if err != nil {
		return err
	}
	defer lock.Close()
	return c.killOrphanLocked(ctx)
}

func (c *Container) killOrphanLocked(ctx context.Context) error {
	st, err := c.State()
	if err != nil || !st.Orphan {
		return err
	}
	fd, err := unix.PidfdOpen(st.Container.Pid, 0)
	if err == nil {
		defer unix.Close(fd)
		if st.Container.Alive() { // the pid is still the process that the descriptor now holds
			err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("killing container %.12s, whose monitor is gone: %w", c.cfg.ID, err)
	}
	for wait := time.Millisecond; st.Container.Alive(); wait = min(2*wait, 20*time.Millisecond) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	return c.r.settleRun(c.cfg.ID)
}

// Kill sends a signal to the container's first process.
func (c *Container) Kill(ctx context.Context, sig syscall.Signal) error {
	st, err := c.State()
	if err != nil {
		return err
	}
	if st.Orphan && sig == syscall.SIGKILL {
		return c.killOrphan(ctx)
	}
	if !st.Active() {
		return &Error{ErrNotRunning, fmt.Sprintf("cannot kill container: %s: container %s is not running", c.cfg.Name, c.cfg.ID)}
	}
	_, err = c.ask(ctx, monitor.Request{Op: monitor.OpSignal, Signal: int(sig)})
	return err
}

// Restart stops the container, when it runs, and starts it.
func (c *Container) Restart(ctx context.Context, o StopOptions) error {
	if err := c.Stop(ctx, o); err != nil {
		return err
	}
	_, err := c.Start(ctx, StartOptions{})
	if err == nil {
		c.r.store.Log(monitor.ContainerEvent(c.cfg, "restart", nil))
	}
	return err
}

// Pause freezes every process of the container.
func (c *Container) Pause(ctx context.Context) error {
	_, err := c.ask(ctx, monitor.Request{Op: monitor.OpPause})
	return err
}

// Unpause thaws a paused container.
func (c *Container) Unpause(ctx context.Context) error {
	_, err := c.ask(ctx, monitor.Request{Op: monitor.OpResume})
	return err
}

// Top lists the container's processes by their pids on the host.
func (c *Container) Top(ctx context.Context) ([]int, error) {
	r, err := c.ask(ctx, monitor.Request{Op: monitor.OpPids})
	return r.Pids, err
}

func (c *Container) mustRun() error {
	st, err := c.State()
	if err != nil {
		return err
	}
	if !st.Active() {
		return &Error{ErrNotRunning, fmt.Sprintf("container %s is not running", c.cfg.ID)}
	}
	return nil
}

// dial connects to the container's monitor.
func (c *Container) dial() (*monitor.Conn, error) {
	conn, err := monitor.Dial(c.RunDir())
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, &Error{ErrNotRunning, fmt.Sprintf("container %s is not running", c.cfg.ID)}
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to the monitor of container %.12s: %w", c.cfg.ID, err)
	}
	return conn, nil
}

// request sends one request to the container's monitor and waits for the reply. The
// caller closes the connection.
func (c *Container) request(ctx context.Context, req monitor.Request, files ...*os.File) (*monitor.Conn, monitor.Reply, error) {
	if err := c.mustRun(); err != nil {
		return nil, monitor.Reply{}, err
	}
	conn, err := c.dial()
	if err != nil {
		return nil, monitor.Reply{}, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	r, err := conn.Ask(req, files...)
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			return nil, r, ctx.Err()
		}
		return nil, r, kinded(err)
	}
	return conn, r, nil
}

// ask is request for those that end with their reply.
func (c *Container) ask(ctx context.Context, req monitor.Request) (monitor.Reply, error) {
	conn, r, err := c.request(ctx, req)
	if err != nil {
		return r, err
	}
	return r, conn.Close()
}
