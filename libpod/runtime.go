// Package libpod is the engine: it creates containers, starts their monitors,
// and asks those for everything that happens inside. The command line and the API
// both call it. It has no terminal, no flags and no os.Exit.
//
// Reading never needs privileges; what must happen among mapped ids runs in a
// short-lived or per-container process of this same program (pkg/userns).
package libpod

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ctr/libpod/config"
	"ctr/libpod/config/parse"
	"ctr/libpod/monitor"
	"ctr/libpod/state"
	"ctr/pkg/namesgen"
	"ctr/pkg/paths"
	"ctr/storage"
	"ctr/storage/volume"
)

// Runtime is a user's containers. Its methods may be called concurrently, but
// for Warm and Start; other
// processes may change the same containers at the same time.
type Runtime struct {
	store *state.Store
	warm  *newborn
}

// Open finds the caller's containers. Nothing is created or locked.
func Open() (*Runtime, error) {
	data, err := paths.Data()
	if err != nil {
		return nil, err
	}
	run, err := paths.Run()
	if err != nil {
		return nil, err
	}
	return &Runtime{store: state.Open(data, run)}, nil
}

// Data is the directory of what survives a reboot.
func (r *Runtime) Data() string { return r.store.Data() }

// Run is the directory of what a reboot ends.
func (r *Runtime) Run() string { return r.store.Run() }

// Volumes are the named volumes.
func (r *Runtime) Volumes() *volume.Volumes { return volume.Open(r.store.Data()) }

// Events calls emit for each event that o selects.
func (r *Runtime) Events(ctx context.Context, o state.EventOptions, emit func(state.Event) error) error {
	return r.store.Events(ctx, o, emit)
}

// Log records an event that is not a container's.
func (r *Runtime) Log(e state.Event) { r.store.Log(e) }

// Container is one container. It holds the configuration as it was when it was
// looked up.
type Container struct {
	r      *Runtime
	cfg    *config.Container
	synced chan error // nil unless this process created it
}

// Config is the container's configuration; it must not be changed.
func (c *Container) Config() *config.Container { return c.cfg }

// ID is the container's full ID.
func (c *Container) ID() string { return c.cfg.ID }

// Name is the container's name.
func (c *Container) Name() string { return c.cfg.Name }

// Dir is the directory of the container's files that survive a reboot.
func (c *Container) Dir() string { return c.r.store.Dir(c.cfg.ID) }

// RunDir is the directory of the container's files while it runs.
func (c *Container) RunDir() string { return c.r.store.RunDir(c.cfg.ID) }

// State is the truth about the container at this moment.
func (c *Container) State() (state.State, error) { return c.r.store.State(c.cfg.ID) }

// Lookup finds a container by name, ID or unique ID prefix; the error for none
// matches [ErrNoSuchContainer].
func (r *Runtime) Lookup(name string) (*Container, error) {
	id, err := r.store.Resolve(name)
	if err != nil {
		return nil, kinded(err)
	}
	cfg, err := r.store.Load(id)
	if err != nil {
		return nil, kinded(err)
	}
	return &Container{r: r, cfg: cfg}, nil
}

// LookupToRemove is Lookup that also finds a container whose configuration is
// damaged; nothing but Remove works on that.
func (r *Runtime) LookupToRemove(name string) (*Container, error) {
	c, err := r.Lookup(name)
	var damaged *state.DamagedError
	if errors.As(err, &damaged) {
		return &Container{r: r, cfg: &config.Container{ID: damaged.ID}}, nil
	}
	return c, err
}

// Containers lists all containers, newest first. An error names those that could
// not be read; the others are in the list all the same.
func (r *Runtime) Containers() ([]*Container, error) {
	ids, err := r.store.IDs()
	if err != nil {
		return nil, err
	}
	return r.containers(ids)
}

// Running lists, newest first, the containers that have a run record: those that
// run and those whose end nobody has recorded. It reads nothing of the others.
func (r *Runtime) Running() ([]*Container, error) {
	ids, err := r.store.RunningIDs()
	if err != nil {
		return nil, err
	}
	return r.containers(ids)
}

func (r *Runtime) containers(ids []string) ([]*Container, error) {
	cfgs, err := r.store.Configs(ids)
	list := make([]*Container, len(cfgs))
	for i, cfg := range cfgs {
		list[i] = &Container{r: r, cfg: cfg}
	}
	return list, err
}

// Create puts a container on record, with a writable layer of its own. It fills in
// an empty ID, Name and Created. A name in use is an error that matches [ErrNameInUse].
// The record is not on the disk before [Container.Durable] has returned.
func (r *Runtime) Create(ctx context.Context, cfg *config.Container) (*Container, error) {
	cfg.Version = config.Version
	if cfg.ID == "" {
		cfg.ID = state.NewID()
	}
	if cfg.Created.IsZero() {
		cfg.Created = time.Now()
	}
	generated := cfg.Name == ""
	for range 50 {
		if generated {
			cfg.Name = namesgen.Name()
		}
		if err := cfg.Validate(); err != nil {
			return nil, err
		}
		err := r.createOnce(ctx, cfg)
		var taken *state.NameInUseError
		if generated && errors.As(err, &taken) {
			continue
		}
		if err != nil {
			return nil, kinded(err)
		}
		r.store.Log(monitor.ContainerEvent(cfg, "create", nil))
		c := &Container{r: r, cfg: cfg}
		c.sync()
		return c, nil
	}
	return nil, errors.New("creating container: every generated name is in use; give one with --name")
}

// sync begins to put a new container on the disk. One that goes away by itself is
// not worth the writing.
func (c *Container) sync() {
	if c.cfg.AutoRemove {
		return
	}
	c.synced = make(chan error, 1)
	go func() { c.synced <- c.r.store.Sync(c.cfg.ID) }()
}

// Durable waits until a container that this process created would outlast a power
// cut. Whoever reports the container as created calls it once, after whatever else
// can be done meanwhile.
func (c *Container) Durable() error {
	if c.synced == nil {
		return nil
	}
	return <-c.synced
}

func (r *Runtime) createOnce(ctx context.Context, cfg *config.Container) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	volumes := r.Volumes()
	for i, m := range cfg.Mounts {
		if err := parse.PrepareSource(m); err != nil {
			return err
		}
		if m.Type != config.MountVolume {
			continue
		}
		v, err := volumes.Ensure(m.Source, m.Anonymous)
		if err != nil {
			return err
		}
		cfg.Mounts[i].Source = v.Name
	}
	return r.store.Create(cfg, func(dir string) error {
		rootfs, err := storage.RootfsOf(cfg.Image.TopLayer, dir)
		if err != nil {
			return err
		}
		return rootfs.Prepare()
	})
}

// Rename gives the container another name.
func (c *Container) Rename(ctx context.Context, name string) error {
	lock, err := c.r.store.Lock(ctx, c.cfg.ID)
	if err != nil {
		return kinded(err)
	}
	defer lock.Close()
	if name == c.cfg.Name {
		return fmt.Errorf("renaming a container with the same name as its current name")
	}
	old := c.cfg.Name
	if err := c.r.store.Rename(c.cfg, name); err != nil {
		return kinded(err)
	}
	c.r.store.Log(monitor.ContainerEvent(c.cfg, "rename", map[string]string{"oldName": "/" + old}))
	st, err := c.State()
	if err != nil {
		return err
	}
	return c.renamed(st)
}
