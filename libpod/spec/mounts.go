package spec

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"ctr/libpod/config"
)

const defaultShmSize = 64 << 20

// mounts lists the defaults first and then the user's, parents before children. A
// mount of the user's replaces a default at the same place, and those below it.
func (b *builder) mounts() error {
	extra, err := b.extraMounts()
	if err != nil {
		return err
	}
	mounts := slices.DeleteFunc(b.defaultMounts(), func(m rspec.Mount) bool {
		return slices.ContainsFunc(extra, func(e rspec.Mount) bool {
			return e.Destination == m.Destination || strings.HasPrefix(m.Destination, e.Destination+"/")
		})
	})
	b.g.Config.Mounts = append(mounts, extra...)
	return nil
}

func (b *builder) extraMounts() ([]rspec.Mount, error) {
	extra := make([]rspec.Mount, 0, len(b.Mounts)+len(b.c.Mounts))
	for _, m := range b.Mounts {
		if !b.overridden(m.Destination) {
			extra = append(extra, m)
		}
	}
	for _, m := range b.c.Mounts {
		if err := config.CheckMount(m); err != nil {
			return nil, err
		}
		mount, err := b.userMount(m, extra)
		if err != nil {
			return nil, err
		}
		if mount != nil {
			extra = append(extra, *mount)
		}
	}
	for i := range extra {
		extra[i].Destination = path.Clean(extra[i].Destination)
		if err := checkProc(extra[i]); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(extra, func(x, y rspec.Mount) int {
		return strings.Count(x.Destination, "/") - strings.Count(y.Destination, "/")
	})
	return extra, nil
}

// overridden reports whether the user mounts something of their own, other than a
// volume, which the caller resolved, at a place.
func (b *builder) overridden(destination string) bool {
	return slices.ContainsFunc(b.c.Mounts, func(m config.Mount) bool {
		return m.Type != config.MountVolume && path.Clean(m.Destination) == path.Clean(destination)
	})
}

// userMount is a mount of the configuration, nil when the caller has resolved it.
func (b *builder) userMount(m config.Mount, resolved []rspec.Mount) (*rspec.Mount, error) {
	switch m.Type {
	case config.MountBind:
		mount, err := Bind(m, m.Source, b.Host)
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(m.Propagation, "slave") {
			b.g.Config.Linux.RootfsPropagation = "rslave"
		}
		return &mount, nil
	case config.MountTmpfs:
		options, err := config.TmpfsOptions(m)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(options, config.ValidPropagation) {
			options = append(options, "rprivate")
		}
		return &rspec.Mount{Destination: m.Destination, Type: "tmpfs", Source: "tmpfs", Options: options}, nil
	}
	if !slices.ContainsFunc(resolved, func(r rspec.Mount) bool { return path.Clean(r.Destination) == path.Clean(m.Destination) }) {
		return nil, fmt.Errorf("volume %s at %s was not resolved to a directory", m.Source, m.Destination)
	}
	return nil, nil
}

// Bind is the mount of a host directory or file, source, for m, which is a bind
// mount or a volume that lives there.
func Bind(m config.Mount, source string, h Host) (rspec.Mount, error) {
	if strings.HasSuffix(m.Propagation, "shared") {
		return rspec.Mount{}, fmt.Errorf("path %s is not a shared mount: ctr mounts in a namespace of its own, from which nothing reaches the host; use rslave to see the host's mounts", source)
	}
	options := []string{"rbind"}
	if m.Recursive == "disabled" {
		options[0] = "bind"
	}
	if m.ReadOnly {
		readOnly := "rro"
		if m.Recursive == "readonly" && h.NoRecursiveReadOnly {
			return rspec.Mount{}, fmt.Errorf("bind-recursive=readonly for %s needs Linux 5.12 or newer", source)
		}
		if m.Recursive != "" && m.Recursive != "readonly" || h.NoRecursiveReadOnly {
			readOnly = "ro"
		}
		options = append(options, readOnly)
	}
	if m.Propagation == "" {
		m.Propagation = "rprivate"
	}
	options = append(options, m.Propagation)
	for _, option := range m.Options {
		switch option {
		case "exec", "noexec", "dev", "nodev", "suid", "nosuid":
			options = append(options, option)
		}
	}
	return rspec.Mount{Destination: m.Destination, Type: "bind", Source: source, Options: options}, nil
}

// checkProc refuses what would hide or fake the kernel's files. libcontainer does so
// too; other runtimes need not.
func checkProc(m rspec.Mount) error {
	if m.Destination == "/proc" && m.Source == "/proc" && m.Type == "bind" {
		return nil
	}
	if m.Destination != "/proc" && !strings.HasPrefix(m.Destination, "/proc/") {
		return nil
	}
	switch strings.TrimPrefix(m.Destination, "/proc/") {
	case "cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo",
		"net/dev", "sys/kernel/ns_last_pid", "sys/crypto/fips_enabled":
		return nil // what lxcfs and the like provide
	}
	return fmt.Errorf("%q cannot be mounted because it is inside /proc", m.Destination)
}

func (b *builder) defaultMounts() []rspec.Mount {
	privileged := b.c.Security.Privileged
	mounts := make([]rspec.Mount, 0, 12)
	mounts = append(mounts, b.procMount(),
		rspec.Mount{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		b.devptsMount(), b.sysMount(privileged))
	if b.hasCgroupMount() {
		cgroup := rspec.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}}
		if privileged {
			cgroup.Options = cgroup.Options[1:]
		}
		mounts = append(mounts, cgroup)
	}
	return b.ipcMounts(mounts)
}

// hasCgroupMount is false where the container has no cgroup of its own and would be
// shown the host's, in a dozen mounts.
func (b *builder) hasCgroupMount() bool {
	return !b.Rootless || !b.Host.CgroupV1 || b.CgroupsPath != ""
}

// procMount is a new procfs, which only the owner of the pid namespace may mount.
func (b *builder) procMount() rspec.Mount {
	options := []string{"nosuid", "noexec", "nodev"}
	if b.Rootless && b.shared(rspec.PIDNamespace) {
		return rspec.Mount{Destination: "/proc", Type: "bind", Source: "/proc", Options: append([]string{"rbind"}, options...)}
	}
	return rspec.Mount{Destination: "/proc", Type: "proc", Source: "proc", Options: options}
}

// devptsMount leaves the group out where the user namespace has no tty group.
func (b *builder) devptsMount() rspec.Mount {
	options := []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
	if !b.singleID() {
		options = append(options, "gid=5")
	}
	return rspec.Mount{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: options}
}

// sysMount is a new sysfs, which only the owner of the network namespace may mount.
func (b *builder) sysMount(privileged bool) rspec.Mount {
	options := []string{"nosuid", "noexec", "nodev"}
	if !b.Rootless || !b.shared(rspec.NetworkNamespace) {
		if !privileged {
			options = append(options, "ro")
		}
		return rspec.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: options}
	}
	readOnly := "rro"
	if b.Host.NoRecursiveReadOnly {
		readOnly = "ro"
	}
	if !privileged {
		options = append(options, readOnly)
	}
	return rspec.Mount{Destination: "/sys", Type: "bind", Source: "/sys", Options: append([]string{"rbind", "rslave"}, options...)}
}

// ipcMounts adds /dev/mqueue and /dev/shm, the host's with the host's IPC namespace.
func (b *builder) ipcMounts(mounts []rspec.Mount) []rspec.Mount {
	hardened := []string{"nosuid", "noexec", "nodev"}
	shared := b.shared(rspec.IPCNamespace)
	switch {
	case !b.Rootless || !shared:
		mounts = append(mounts, rspec.Mount{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: hardened})
	case !b.Host.NoMqueue:
		mounts = append(mounts, rspec.Mount{Destination: "/dev/mqueue", Type: "bind", Source: "/dev/mqueue", Options: append([]string{"rbind"}, hardened...)})
	}
	if b.c.NS.IPC == "none" {
		return mounts
	}
	if shared {
		return append(mounts, rspec.Mount{Destination: "/dev/shm", Type: "bind", Source: "/dev/shm", Options: append([]string{"rbind"}, hardened...)})
	}
	size := b.c.ShmSize
	if size == 0 {
		size = defaultShmSize
	}
	return append(mounts, rspec.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm",
		Options: append(slices.Clone(hardened), "mode=1777", "size="+strconv.FormatInt(size, 10))})
}
