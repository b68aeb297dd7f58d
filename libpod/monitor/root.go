package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ctr/cgroups"
	"ctr/libpod/config"
	"ctr/libpod/initbin"
	"ctr/libpod/logs"
	"ctr/libpod/oci"
	"ctr/libpod/spec"
	"ctr/libpod/spec/host"
	"ctr/libpod/spec/rootfs"
	"ctr/libpod/state"
	"ctr/pkg/userns"
	"ctr/storage"
	"ctr/storage/volume"
)

// root is what a container runs on: its root file system, volumes, files that are
// made for it, and network. It is made once and serves every restart.
type root struct {
	cfg    *config.Container // volumes replaced by the directories they are
	dir    string            // the run directory
	target string            // where the root file system is mounted
	layers *storage.Rootfs
	driver string
	user   spec.User
	host   spec.Host
	built  *rspec.Spec // of the present run
	mounts []rspec.Mount
	wiring *wiring  // nil when the container has no network of its own
	resolv []byte   // what was written to /etc/resolv.conf
	hosts  []byte   // what was written to /etc/hosts last
	ownEnv []string // without that of links

	// borrowed is the run directory of the container whose network this one shares,
	// and with that /etc/hosts, /etc/resolv.conf and the host name; usually "".
	borrowed string
	store    *state.Store
	joined   map[string]*os.File // namespaces of other containers
	aside    []string            // mount points in dir besides target
	notices  []string            // what this machine lacks and what follows

	rootless, fullIDs bool
}

// prepare makes everything that the container needs before its process.
func (m *Monitor) prepare() (err error) {
	if m.exec, err = executor(m.cfg.Runtime); err != nil {
		return err
	}
	m.health = newHealthChecker(m.cfg.Health)
	dir := m.store.Dir(m.cfg.ID)
	r := &root{store: m.store, joined: map[string]*os.File{}, dir: m.dir, target: filepath.Join(m.dir, "rootfs"), rootless: userns.Inside()}
	r.fullIDs = !r.rootless || !userns.SingleID()
	m.root = r
	if r.wiring, err = m.connect(); err != nil {
		return err
	}
	if err := r.mount(m.cfg, dir); err != nil {
		return err
	}
	if err := rootfs.CheckPlaces(r.target); err != nil {
		return err
	}
	if r.cfg, err = r.resolveVolumes(m.cfg, volume.Open(m.store.Data())); err != nil {
		return err
	}
	r.ownEnv = r.cfg.Env
	if r.user, err = rootfs.ResolveUser(r.target, m.cfg.User, m.cfg.GroupAdd); err != nil {
		return err
	}
	if r.host, err = host.Probe(m.cfg, r.rootless); err != nil {
		return err
	}
	if err := r.makeFiles(); err != nil {
		return err
	}
	if err := rootfs.EnsureWorkdir(r.target, m.cfg.WorkingDir, int(r.user.UID), int(r.user.GID)); err != nil {
		return err
	}
	m.driver, err = logs.Open(m.cfg.Log, dir, logs.Meta{
		ID: m.cfg.ID, Name: m.cfg.Name, ImageName: m.cfg.Image.Name, ImageID: m.cfg.Image.ID, Labels: m.cfg.Labels, Env: m.cfg.Env,
	})
	if err != nil {
		return err
	}
	m.stdio = newStdio(m.cfg.TTY, m.cfg.OpenStdin, m.cfg.StdinOnce, m.driver)
	return nil
}

func executor(runtime string) (oci.Executor, error) {
	if runtime == "" || runtime == "builtin" {
		return oci.NewBuiltin(), nil
	}
	return oci.NewExternal(runtime)
}

func (r *root) mount(cfg *config.Container, dir string) (err error) {
	if r.layers, err = storage.RootfsOf(cfg.Image.TopLayer, dir); err != nil {
		return err
	}
	r.layers.Volatile = cfg.AutoRemove
	if err := os.Mkdir(r.target, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("making the mount point of the root file system: %w", err)
	}
	r.driver, err = r.layers.Mount(r.target)
	if err == nil && r.driver != storage.DriverOverlay && r.layers.Reason != nil {
		r.notices = append(r.notices, fmt.Sprintf("root file system by %s, because the kernel's overlay does not work here: %v", r.driver, r.layers.Reason))
	}
	return err
}

// resolveVolumes fills the volumes that are used for the first time, and returns
// the configuration with each replaced by a bind mount of its directory.
func (r *root) resolveVolumes(cfg *config.Container, volumes *volume.Volumes) (*config.Container, error) {
	resolved := *cfg
	resolved.Mounts = append([]config.Mount(nil), cfg.Mounts...)
	for i := range resolved.Mounts {
		m := &resolved.Mounts[i]
		if m.Type != config.MountVolume {
			continue
		}
		v, err := volumes.Ensure(m.Source, m.Anonymous)
		if err != nil {
			return nil, err
		}
		if !m.NoCopy {
			if err := v.CopyUp(context.Background(), r.target, m.Destination); err != nil {
				return nil, err
			}
		}
		m.Type, m.Source = config.MountBind, v.Path()
		if m.Subpath != "" {
			if m.Source, err = r.subpath(v.Path(), m.Subpath, i); err != nil {
				return nil, err
			}
		}
	}
	return &resolved, nil
}

// subpath mounts a part of a volume aside, through a descriptor: whoever else writes
// to the volume cannot turn the path elsewhere meanwhile.
func (r *root) subpath(volume, path string, n int) (string, error) {
	f, err := pathrs.OpenInRoot(volume, path)
	if err != nil {
		return "", fmt.Errorf("opening subpath %q of the volume: %w", path, err)
	}
	defer f.Close()
	target := filepath.Join(r.dir, fmt.Sprint("subpath", n))
	if err := os.Mkdir(target, 0o700); err != nil {
		return "", fmt.Errorf("mounting subpath %q of the volume: %w", path, err)
	}
	source := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return "", fmt.Errorf("mounting subpath %q of the volume: %w", path, err)
	}
	r.aside = append(r.aside, target)
	return target, nil
}

// makeFiles makes the files that are mounted into the container: /etc/hostname,
// /etc/hosts and /etc/resolv.conf (the network fills those when it is there), and
// the init program.
func (r *root) makeFiles() error {
	if err := r.borrow(); err != nil {
		return err
	}
	for _, f := range []struct {
		name, destination string
		content           string
	}{
		{"hostname", "/etc/hostname", r.hostname() + "\n"},
		{"hosts", "/etc/hosts", ""},
		{"resolv.conf", "/etc/resolv.conf", ""},
	} {
		if r.mounted(f.destination) {
			continue
		}
		if r.borrowed != "" {
			r.bind(filepath.Join(r.borrowed, f.name), f.destination, false)
			continue
		}
		path := filepath.Join(r.dir, f.name)
		if err := os.WriteFile(path, []byte(f.content), 0o644); err != nil {
			return fmt.Errorf("writing the container's %s: %w", f.destination, err)
		}
		r.bind(path, f.destination, false)
	}
	if !r.cfg.Init {
		return nil
	}
	path := filepath.Join(r.dir, "init")
	if err := os.WriteFile(path, initbin.Bytes(), 0o755); err != nil {
		return fmt.Errorf("writing the container's init: %w", err)
	}
	r.bind(path, spec.InitPath, true)
	return nil
}

// borrow finds the container whose network this one shares.
func (r *root) borrow() error {
	name, shares := strings.CutPrefix(r.cfg.NS.Network, "container:")
	if !shares {
		return nil
	}
	id, err := r.store.Resolve(name)
	if err != nil {
		return err
	}
	lender, err := r.store.Load(id)
	if err != nil {
		return err
	}
	r.cfg.Hostname, r.cfg.Domainname = hostnameOf(lender), lender.Domainname
	r.borrowed = r.store.RunDir(id)
	return nil
}

// mounted reports whether the user mounts something of their own at destination.
func (r *root) mounted(destination string) bool {
	for _, m := range r.cfg.Mounts {
		if m.Destination == destination {
			return true
		}
	}
	return false
}

func (r *root) bind(source, destination string, readOnly bool) {
	options := []string{"bind", "rprivate"}
	if readOnly {
		options = append(options, "ro")
	}
	r.mounts = append(r.mounts, rspec.Mount{Type: "bind", Source: source, Destination: destination, Options: options})
}

func (r *root) hostname() string {
	if r.cfg.NS.UTS == "host" {
		if name, err := os.Hostname(); err == nil {
			return name
		}
	}
	return hostnameOf(r.cfg)
}

// spec is the container as the executor wants it.
func (r *root) spec() (_ *rspec.Spec, err error) {
	joined, err := r.namespaces() // may add to the mounts
	if err != nil {
		return nil, err
	}
	if r.wiring != nil && len(r.cfg.Links) > 0 {
		env, err := r.wiring.linkEnv(r.cfg)
		if err != nil {
			return nil, err
		}
		linked := *r.cfg
		linked.Env = append(env, r.ownEnv...)
		r.cfg = &linked
	}
	in := spec.Input{
		Config: r.cfg, Rootfs: r.target, User: r.user, Mounts: r.mounts, Namespaces: joined,
		Rootless: r.rootless, HasFullIDs: r.fullIDs, Host: r.host,
	}
	if in.Squashed() {
		r.notices = append(r.notices, fmt.Sprintf("user %s of the container does not exist here, because only your own id is mapped: its process runs as you", r.cfg.User))
	}
	in.CgroupsPath, _ = cgroups.ForContainer(r.cfg.ID)
	r.built, err = spec.Build(in)
	return r.built, err
}

// execSpec is a further process of the container.
func (r *root) execSpec(e *Exec) (*rspec.Process, error) {
	in := spec.ExecInput{
		Config: r.cfg, Spec: r.built, Args: e.Args, Env: e.Env, WorkingDir: e.WorkingDir, TTY: e.TTY, Privileged: e.Privileged,
		Rootless: r.rootless, HasFullIDs: r.fullIDs, Host: r.host,
	}
	if e.User != "" {
		user, err := rootfs.ResolveUser(r.target, e.User, r.cfg.GroupAdd)
		if err != nil {
			return nil, err
		}
		in.User = &user
	}
	return spec.ExecProcess(in)
}

// close ends the network and takes the root file system down. Both would go with
// this process; the files are removed before it ends.
func (r *root) close() {
	if r.wiring != nil {
		r.wiring.close()
	}
	for _, target := range r.aside {
		_ = unix.Unmount(target, unix.MNT_DETACH) // or its directory could not be removed
	}
	if r.driver != "" {
		if r.layers.Unmount(r.target) != nil {
			_ = unix.Unmount(r.target, unix.MNT_DETACH)
		}
	}
}

// remove makes the container vanish (--rm). Its files are left at the returned path.
func (m *Monitor) remove() (trash string, err error) {
	if trash, err = m.store.Discard(m.cfg.ID); err != nil {
		return "", err
	}
	m.store.Log(m.event("destroy", nil))
	volumes := volume.Open(m.store.Data())
	for _, mount := range m.cfg.Mounts {
		if mount.Type == config.MountVolume && mount.Anonymous {
			if e := volumes.Remove(mount.Source); e != nil && !errors.Is(e, os.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	return trash, err
}

func (r *root) network() *state.Network {
	if r.wiring == nil {
		return nil
	}
	return r.wiring.state()
}
