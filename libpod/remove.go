package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"ctr/libpod/config"
	"ctr/libpod/logs"
	"ctr/libpod/monitor"
	"ctr/libpod/state"
	"ctr/pkg/userns"
	"ctr/storage"
)

// RemoveOptions say what goes with a container.
type RemoveOptions struct {
	Force   bool // kill it first when it runs
	Volumes bool // its anonymous volumes too
}

// Remove ends the container's existence. Its name is free at once.
func (c *Container) Remove(ctx context.Context, o RemoveOptions) error {
	trash, err := c.discard(ctx, o)
	errs := []error{err}
	for _, path := range trash {
		errs = append(errs, c.r.removeTree(path))
	}
	return errors.Join(errs...)
}

// discard is Remove without the time that removing the files takes: they are in the
// directories trash, even when there is an error too.
func (c *Container) discard(ctx context.Context, o RemoveOptions) (trash []string, err error) {
	lock, err := c.lockAtRest(ctx, o.Force)
	if KindOf(err) == ErrNoSuchContainer && (o.Force || c.cfg.AutoRemove) {
		return nil, nil // its --rm was faster
	}
	if err != nil {
		return nil, kinded(err)
	}
	defer lock.Close()
	dir, err := c.r.store.Discard(c.cfg.ID)
	if err != nil {
		return nil, err
	}
	c.r.store.Log(monitor.ContainerEvent(c.cfg, "destroy", nil))
	if o.Volumes || c.cfg.AutoRemove {
		trash, err = c.r.discardAnonymous(c.cfg)
	}
	return append(trash, dir), err
}

// lockAtRest locks the container while nothing of it runs, which with force it sees
// to, as often as a start comes in between.
func (c *Container) lockAtRest(ctx context.Context, force bool) (*os.File, error) {
	for {
		lock, err := c.r.store.Lock(ctx, c.cfg.ID)
		if err != nil {
			return nil, err
		}
		st, err := c.State()
		switch {
		case err != nil && !force:
			lock.Close()
			return nil, err
		case err != nil || !st.Active():
			return lock, nil
		}
		lock.Close()
		if !force {
			return nil, &Error{ErrRunning, fmt.Sprintf("cannot remove container %q: container is running: stop the container before removing or force remove", c.cfg.Name)}
		}
		now := 0
		if err := c.Stop(ctx, StopOptions{Signal: syscall.SIGKILL, Timeout: &now}); err != nil {
			return nil, err
		}
	}
}

func (r *Runtime) discardAnonymous(cfg *config.Container) (trash []string, err error) {
	for _, m := range cfg.Mounts {
		if m.Type != config.MountVolume || !m.Anonymous {
			continue
		}
		switch path, e := r.Volumes().Discard(m.Source); {
		case e == nil:
			trash = append(trash, path)
		case !errors.Is(e, os.ErrNotExist):
			err = errors.Join(err, e)
		}
	}
	return trash, err
}

// CleanName is argv[0] of the process that removes files of mapped owners; argv[1:]
// are the paths.
const CleanName = "ctr-clean"

// CleanMain is the whole life of such a process.
func CleanMain() int {
	code := 0
	for _, path := range os.Args[1:] {
		if err := storage.RemoveTree(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// removeTree removes a directory, in the user namespace when it holds files of
// other owners than the user.
func (r *Runtime) removeTree(path string) error {
	if err := storage.RemoveTree(path); err == nil || !userns.Needed() {
		return err
	}
	return r.clean([]string{path}, true)
}

// Repair mends what processes that were killed left behind: containers of --rm
// whose monitor died, run directories of containers that are gone, trash. It is
// quick when there is nothing to do, and leaves large removals to a process of
// their own that nobody waits for.
func (r *Runtime) Repair(ctx context.Context) {
	ids, err := r.store.RunningIDs()
	if err != nil {
		return
	}
	var trash []string
	for _, id := range ids {
		cfg, err := r.store.Load(id)
		if KindOf(err) == ErrNoSuchContainer {
			r.dropRunDir(id)
			continue
		}
		if err != nil {
			continue
		}
		st, err := r.store.State(id)
		if err != nil || st.Status != state.Exited {
			continue
		}
		trash = append(trash, r.settle(ctx, &Container{r: r, cfg: cfg})...)
	}
	if trash = append(trash, r.store.Trash()...); len(trash) > 0 {
		_ = r.clean(trash, false) // the next command tries again
	}
}

// settle records the end of a container that nobody recorded, and discards it if it
// was to be removed.
func (r *Runtime) settle(ctx context.Context, c *Container) (trash []string) {
	lock, err := r.store.Lock(ctx, c.cfg.ID)
	if err != nil {
		return nil
	}
	st, err := c.State()
	if err == nil && !st.Active() {
		err = r.settleRun(c.cfg.ID)
	}
	lock.Close()
	if err == nil && c.cfg.AutoRemove {
		trash, _ = c.discard(ctx, RemoveOptions{Volumes: true})
	}
	return trash
}

// dropRunDir clears the run directory of a container that no longer exists, unless
// its monitor is just leaving.
func (r *Runtime) dropRunDir(id string) {
	if rec, err := r.store.ReadRecord(id); err == nil && rec != nil && rec.Monitor.Alive() {
		return
	}
	os.RemoveAll(r.store.RunDir(id))
}

// HasTrash reports whether Repair would find files of containers that are gone.
func (r *Runtime) HasTrash() bool { return len(r.store.Trash()) > 0 }

// Logs calls emit for each record of the container's log that o selects.
func (c *Container) Logs(ctx context.Context, o logs.ReadOptions, emit func(logs.Record) error) error {
	return logs.Read(ctx, c.cfg.Log, c.Dir(), o, emit)
}

// Size is the space that the container's writable layer takes, in bytes, as far as
// the caller may look.
func (c *Container) Size() (int64, error) {
	size, err := storage.DirSize(filepath.Join(c.Dir(), "diff"))
	if errors.Is(err, os.ErrPermission) {
		err = nil
	}
	return size, err
}
