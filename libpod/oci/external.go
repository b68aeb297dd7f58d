package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// external is an OCI runtime program: crun, runc or another with their command line.
type external struct {
	path string
	crun bool
}

// NewExternal is the executor that drives an OCI runtime program, found in PATH by
// name or given as an absolute path. It makes this process a subreaper, so that it
// is the parent of what the program leaves running.
func NewExternal(pathOrName string) (Executor, error) {
	if strings.Contains(pathOrName, "/") && !filepath.IsAbs(pathOrName) {
		return nil, fmt.Errorf("OCI runtime %q: give a name to be found in PATH or an absolute path", pathOrName)
	}
	path, err := exec.LookPath(pathOrName)
	if err != nil {
		return nil, fmt.Errorf("OCI runtime %q: %w", pathOrName, errors.Unwrap(err))
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("becoming a subreaper: %w", err)
	}
	return &external{path: path, crun: strings.Contains(filepath.Base(path), "crun")}, nil
}

func (x *external) Create(ctx context.Context, id, dir string, spec *rspec.Spec, stdio IO) (Container, error) {
	c := &externalContainer{runtime: x, id: id, dir: dir, privatePids: hasPrivatePids(spec)}
	if err := c.create(ctx, spec, stdio); err != nil {
		return nil, fmt.Errorf("creating container %s: %w", id, err)
	}
	return c, nil
}

type externalContainer struct {
	*child
	runtime     *external
	id, dir     string
	program     string
	cgroup      bool
	privatePids bool
	guard       *guard
	execs       children
	freezer     freezer
	serial      atomic.Int64 // numbers exec's files
}

func (c *externalContainer) create(ctx context.Context, spec *rspec.Spec, stdio IO) error {
	if err := checkProcess(spec.Process); err != nil {
		return err
	}
	c.program = spec.Process.Args[0]
	c.cgroup = spec.Linux != nil && cgroupUsable(spec.Linux.CgroupsPath)
	if !c.cgroup {
		var err error
		if spec, err = withoutCgroup(spec); err != nil {
			return err
		}
	}
	if err := writeJSON(filepath.Join(c.dir, "config.json"), spec); err != nil {
		return err
	}
	pidFile := filepath.Join(c.dir, "pid")
	var err error
	if c.guard, err = startGuard(pidFile); err != nil {
		return err
	}
	c.child, err = c.spawn(ctx, spawn{
		args: []string{"create", "--bundle", c.dir}, pidFile: pidFile, program: c.program, stdio: stdio,
	})
	if err != nil {
		_ = c.run("delete", "--force", c.id)
		c.guard.stop()
		return err
	}
	c.guard.watch(c.pid)
	return nil
}

func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("writing the runtime's input: %w", err)
	}
	return nil
}

func (c *externalContainer) Start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.run("start", c.id); err != nil {
		if refused := asExecError(err.Error(), c.program); refused != nil {
			err = refused
		}
		return fmt.Errorf("starting container %s: %w", c.id, err)
	}
	return c.executed(c.program)
}

func (c *externalContainer) Exec(ctx context.Context, p *rspec.Process, stdio IO) (Process, error) {
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
	base := filepath.Join(c.dir, "exec-"+strconv.FormatInt(c.serial.Add(1), 10))
	file, pidFile := base+".json", base+".pid"
	if err := writeJSON(file, p); err != nil {
		return nil, err
	}
	defer os.Remove(file)
	defer os.Remove(pidFile)
	started, err := c.spawn(ctx, spawn{
		args: []string{"exec", "--detach", "--process", file}, pidFile: pidFile, program: p.Args[0], stdio: stdio,
	})
	if err == nil {
		err = started.executed(p.Args[0])
	}
	if err != nil {
		return nil, fmt.Errorf("executing in container %s: %w", c.id, err)
	}
	c.execs.add(started)
	return started, nil
}

func (c *externalContainer) Signal(sig syscall.Signal, all bool) error {
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
func (c *externalContainer) thaw() {
	if c.freezer.paused() {
		_ = c.Resume()
	}
}

func (c *externalContainer) Pause() error  { return c.freeze("pause", true) }
func (c *externalContainer) Resume() error { return c.freeze("resume", false) }

func (c *externalContainer) freeze(verb string, paused bool) error {
	if !c.cgroup {
		return fmt.Errorf("%s container %s: %w", verb, c.id, ErrNoCgroup)
	}
	return c.freezer.set(paused, func() error { return c.run(verb, c.id) })
}

func (c *externalContainer) Pids() ([]int, error) { return c.pids(), nil }

func (c *externalContainer) pids() []int { return descendants(c.execs.with(c.child)) }

func (c *externalContainer) Delete() error {
	if err := c.Signal(unix.SIGKILL, !c.privatePids); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("deleting container %s: %w", c.id, err)
	}
	<-c.done
	c.guard.stop()
	if _, err := os.Stat(filepath.Join(c.dir, "state", c.id)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := c.run("delete", "--force", c.id); err != nil {
		return fmt.Errorf("deleting container %s: %w", c.id, err)
	}
	return nil
}
