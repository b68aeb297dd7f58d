// Package spec turns a container's configuration into an OCI runtime spec.
//
// It is pure: what depends on the machine, on the container's files or on other
// containers comes in through [Input]. Three neighbours gather that: package rootfs
// (users and the working directory, inside the container's files), package host
// ([Host]: the machine) and the caller (namespaces, volumes, hosts, resolv.conf).
// The defaults are Docker's; where a user namespace cannot have them, the next best
// is taken, and the comment at that place says which.
package spec

import (
	"errors"
	"fmt"
	"maps"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-tools/generate"

	"ctr/libpod/config"
)

// InitPath is where the reaping PID 1 of --init is mounted in a container. The
// caller puts the mount into [Input.Mounts].
const InitPath = "/sbin/docker-init"

// version is the oldest format that describes what Build uses, so that older OCI runtimes take it.
const version = "1.0.2"

// NamespaceHost in [Input.Namespaces] means that the container has no namespace of its own of that type.
const NamespaceHost = "host"

// User is the identity that a container's process runs under, in the ids of the container.
type User struct {
	UID, GID uint32
	Groups   []uint32 // supplementary, without GID
	Home     string   // "" means /
}

// Input is everything that [Build] builds from.
type Input struct {
	Config *config.Container
	// Rootfs is the mounted root, an absolute path in the monitor's mount namespace.
	Rootfs string
	// User is Config.User as rootfs.ResolveUser found it.
	User User
	// Namespaces says for each type which namespace to use: a path to join, or
	// [NamespaceHost] for none of its own. A type that is absent becomes a new
	// namespace. The mount namespace is always new.
	Namespaces map[rspec.LinuxNamespaceType]string
	// Mounts are resolved: every volume of Config.Mounts (see [Bind]), hosts,
	// resolv.conf, hostname, the init of --init, and /dev/shm when the IPC namespace
	// is another container's. Of these, one that Config.Mounts covers is left out.
	Mounts []rspec.Mount
	// Rootless is true in a user namespace, HasFullIDs when that has more than one id.
	Rootless, HasFullIDs bool
	// CgroupsPath is where the container's cgroup is made; "" is none.
	CgroupsPath string
	// Host is what host.Probe found. The zero value is a machine of today without
	// the devices and limits that a container asks for.
	Host Host
}

// Host is what a spec depends on of the machine and of this process.
type Host struct {
	// Hostname is seen by containers that share the host's network or UTS namespace.
	Hostname string
	// Capabilities has bit n set when capability n can be given; 0 means every known one.
	Capabilities uint64
	// Confined is true when this process may not exceed what it has itself: its hard
	// limits, by ulimit name (math.MaxUint64 is unlimited), and its OOM score.
	Confined    bool
	HardLimits  map[string]uint64
	OOMScoreAdj int
	// Devices are the nodes of --device, and with --privileged those of the machine.
	Devices []Device
	// MaskedPaths are masked in addition to the fixed ones.
	MaskedPaths []string
	// NoRecursiveReadOnly is true when the kernel, before 5.12, cannot make a tree of mounts read-only.
	NoRecursiveReadOnly bool
	// CgroupV1 is true without a pure version 2 hierarchy. As with Docker, containers
	// then share the host's cgroup namespace unless they ask for their own.
	CgroupV1 bool
	// NoMqueue is true when the host has no /dev/mqueue to share.
	NoMqueue bool
}

// Squashed reports whether the container's user cannot be had because the user
// namespace has one id only. Its process then runs as that id, which owns every file
// of the container, and without any capability; the caller says so to the user.
func (in Input) Squashed() bool {
	return in.singleID() && (in.User.UID != 0 || in.User.GID != 0)
}

func (in Input) singleID() bool { return in.Rootless && !in.HasFullIDs }

// Build makes the spec of a container. The result shares no memory with in.Config
// that is written to later.
//
// It starts from an empty spec, not from generate.New's: that one gives inheritable
// and ambient capabilities, a limit of 1024 files and a seccomp profile of its own.
func Build(in Input) (*rspec.Spec, error) {
	if in.Config == nil || in.Rootfs == "" {
		return nil, errors.New("building a spec: the configuration or the root file system is missing")
	}
	b := &builder{Input: in, c: in.Config, g: generate.Generator{Config: &rspec.Spec{
		Version: version,
		Root:    &rspec.Root{Path: in.Rootfs, Readonly: in.Config.ReadOnly},
		Process: &rspec.Process{},
		Linux:   &rspec.Linux{},
	}}}
	for _, step := range []func() error{
		b.namespaces, b.process, b.rlimits, b.capabilities, b.mounts, b.devices, b.sysctls, b.seccomp, b.resources,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	b.paths()
	b.g.Config.Annotations = maps.Clone(b.c.Annotations)
	return b.g.Config, nil
}

// builder is one call of Build.
type builder struct {
	Input
	c *config.Container
	g generate.Generator
}

func (b *builder) namespaces() error {
	for _, t := range []rspec.LinuxNamespaceType{
		rspec.MountNamespace, rspec.NetworkNamespace, rspec.UTSNamespace,
		rspec.PIDNamespace, rspec.IPCNamespace, rspec.CgroupNamespace,
	} {
		if b.shared(t) && t != rspec.MountNamespace {
			continue
		}
		path := b.Namespaces[t]
		if t == rspec.MountNamespace {
			path = ""
		}
		if err := b.g.AddOrReplaceLinuxNamespace(string(t), path); err != nil {
			return fmt.Errorf("%s namespace: %w", t, err)
		}
	}
	if !b.shared(rspec.UTSNamespace) && b.Namespaces[rspec.UTSNamespace] == "" {
		b.g.SetHostname(b.hostname())
		b.g.Config.Domainname = b.c.Domainname
	}
	return nil
}

// shared reports whether the container uses the host's namespace of type t.
func (b *builder) shared(t rspec.LinuxNamespaceType) bool {
	if t == rspec.CgroupNamespace && b.private(t) && b.c.NS.Cgroup == "" {
		return b.Host.CgroupV1
	}
	return b.Namespaces[t] == NamespaceHost
}

// private reports whether the container has a new namespace of type t.
func (b *builder) private(t rspec.LinuxNamespaceType) bool { return b.Namespaces[t] == "" }

func (b *builder) hostname() string { return hostname(b.c, b.Host) }

func hostname(c *config.Container, h Host) string {
	switch {
	case c.Hostname != "":
		return c.Hostname
	case h.Hostname != "" && (c.NS.Network == "host" || c.NS.UTS == "host"):
		return h.Hostname
	}
	return c.ShortID()
}
