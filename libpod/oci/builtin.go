package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/moby/sys/userns"
	"github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // lets libcontainer apply device rules
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/specconv"
	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

type builtin struct{}

// NewBuiltin is the executor that needs no other program: libcontainer, in this
// process. It starts the running program again, so the program's main must begin
// with [MaybeInit]. A container's first process is killed when this process dies.
func NewBuiltin() Executor {
	// libcontainer repeats in its log what it returns as errors.
	logrus.SetOutput(io.Discard)
	return builtin{}
}

func (builtin) Create(ctx context.Context, id, dir string, spec *rspec.Spec, stdio IO) (Container, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := newBuiltinContainer(id, dir, spec)
	if err != nil {
		return nil, fmt.Errorf("preparing container %s: %w", id, err)
	}
	c.program = spec.Process.Args[0]
	if c.child, err = c.spawn(spec.Process, stdio); err != nil {
		_ = c.lc.Destroy()
		return nil, fmt.Errorf("creating container %s: %w", id, err)
	}
	return c, nil
}

func newBuiltinContainer(id, dir string, spec *rspec.Spec) (*builtinContainer, error) {
	if err := checkProcess(spec.Process); err != nil {
		return nil, err
	}
	c := &builtinContainer{id: id, privatePids: hasPrivatePids(spec)}
	c.cgroup = spec.Linux != nil && cgroupUsable(spec.Linux.CgroupsPath)
	if !c.cgroup {
		var err error
		if spec, err = withoutCgroup(spec); err != nil {
			return nil, err
		}
	}
	cfg, err := specconv.CreateLibcontainerConfig(&specconv.CreateOpts{
		CgroupName:      id,
		Spec:            spec,
		RootlessCgroups: !c.cgroup || userns.RunningInUserNS(),
	})
	if err != nil {
		return nil, err
	}
	if !c.cgroup {
		cfg.Cgroups.Resources = &cgroups.Resources{}
	}
	c.lc, err = libcontainer.Create(dir, id, cfg)
	return c, err
}

// hasPrivatePids reports whether the container's first process is the init of its
// own pid namespace, so that the kernel ends all others with it.
func hasPrivatePids(spec *rspec.Spec) bool {
	if spec.Linux == nil {
		return false
	}
	for _, ns := range spec.Linux.Namespaces {
		if ns.Type == rspec.PIDNamespace {
			return ns.Path == ""
		}
	}
	return false
}

type builtinContainer struct {
	*child
	id          string
	program     string
	lc          *libcontainer.Container
	cgroup      bool // a cgroup of the container's own exists
	privatePids bool
	execs       children
	freezer     freezer
}

// spawn starts a process in the container: its first, which stops just before its
// program is executed, or later one more.
func (c *builtinContainer) spawn(p *rspec.Process, stdio IO) (*child, error) {
	lp, err := libcontainerProcess(p)
	if err != nil {
		return nil, err
	}
	lp.Init = c.child == nil
	lp.ExtraFiles = stdio.Extra
	var console *os.File
	if stdio.Console != nil {
		ours, theirs, err := consolePair()
		if err != nil {
			return nil, err
		}
		defer ours.Close()
		defer theirs.Close()
		console, lp.ConsoleSocket = ours, theirs
	} else {
		connect(lp, stdio)
	}
	if err := inNursery(func() error { return c.lc.Start(lp) }); err != nil {
		if refused := asExecError(err.Error(), p.Args[0]); refused != nil {
			return nil, refused
		}
		return nil, err
	}
	pid, err := lp.Pid()
	if err != nil {
		return nil, err
	}
	started := adopt(pid, c.child)
	if console != nil {
		master, err := receiveMaster(int(console.Fd()))
		if err != nil {
			_ = started.Signal(unix.SIGKILL)
			_, _ = started.Wait()
			return nil, err
		}
		stdio.Console(master)
	}
	return started, nil
}

func (c *builtinContainer) Start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.lc.Exec(); err != nil {
		return fmt.Errorf("starting container %s: %w", c.id, err)
	}
	if err := c.executed(c.program); err != nil {
		return err
	}
	go guardLater(c.child)
	return nil
}

func (c *builtinContainer) Exec(ctx context.Context, p *rspec.Process, stdio IO) (Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkProcess(p); err != nil {
		return nil, err
	}
	release, err := c.hold()
	if err != nil {
		return nil, fmt.Errorf("executing in container %s: %w", c.id, err)
	}
	defer release()
	unlock, err := c.freezer.running()
	if err != nil {
		return nil, fmt.Errorf("executing in container %s: %w", c.id, err)
	}
	defer unlock()
	started, err := c.spawn(p, stdio)
	if err == nil {
		err = started.executed(p.Args[0])
	}
	if err != nil {
		return nil, fmt.Errorf("executing in container %s: %w", c.id, err)
	}
	c.execs.add(started)
	return started, nil
}

func (c *builtinContainer) Signal(sig syscall.Signal, all bool) error {
	if sig == unix.SIGKILL {
		defer c.thaw()
	}
	if !all || (sig == unix.SIGKILL && c.privatePids) {
		return c.child.Signal(sig)
	}
	signalEach(c.pids, sig)
	return nil
}

// thaw lets frozen processes take a signal that kills them.
func (c *builtinContainer) thaw() {
	if c.freezer.paused() {
		_ = c.Resume()
	}
}

func (c *builtinContainer) Pause() error  { return c.freeze("pausing", c.lc.Pause, true) }
func (c *builtinContainer) Resume() error { return c.freeze("resuming", c.lc.Resume, false) }

func (c *builtinContainer) freeze(doing string, do func() error, paused bool) error {
	if !c.cgroup {
		return fmt.Errorf("%s container %s: %w", doing, c.id, ErrNoCgroup)
	}
	if err := c.freezer.set(paused, do); err != nil {
		return fmt.Errorf("%s container %s: %w", doing, c.id, err)
	}
	return nil
}

func (c *builtinContainer) Pids() ([]int, error) { return c.pids(), nil }

func (c *builtinContainer) pids() []int {
	if c.cgroup {
		if pids, err := c.lc.Processes(); err == nil {
			return pids
		}
	}
	return descendants(c.execs.with(c.child))
}

func (c *builtinContainer) Delete() error {
	if err := c.Signal(unix.SIGKILL, !c.privatePids); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("deleting container %s: %w", c.id, err)
	}
	<-c.done
	if err := c.lc.Destroy(); err != nil {
		return fmt.Errorf("deleting container %s: %w", c.id, err)
	}
	return nil
}
