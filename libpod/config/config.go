// Package config holds the one description of a container that is kept on disk.
//
// A flag is parsed once at the edge into a field of [Container], validated by
// [Container.Validate], stored, and turned into the OCI runtime spec in
// libpod/spec. Everything that comes from the image (entrypoint, environment,
// working directory, user, health check, volumes, stop signal) is resolved at
// create, so starting a container never reads the image's configuration again.
//
// The package does no I/O. JSON keys are part of the on-disk format: add fields,
// never change the meaning of one, and raise [Version] when an older ctr must
// not touch the result.
package config

import (
	"time"

	"ctr/cgroups"
)

// Version is the newest format of a container's configuration that this program
// writes and understands. A file with a higher number is refused, not guessed at.
const Version = 1

// Container is everything that was asked for, fixed when the container is created.
type Container struct {
	Version int       `json:"version"`
	ID      string    `json:"id"` // 64 hexadecimal digits
	Name    string    `json:"name"`
	Created time.Time `json:"created"`

	Image ImageRef `json:"image"`

	// Entrypoint and Cmd are the resolved words; together they are the process's argv.
	Entrypoint []string `json:"entrypoint,omitempty"`
	Cmd        []string `json:"cmd,omitempty"`
	Env        []string `json:"env,omitempty"`        // KEY=VALUE, image's first, then the user's; PATH is always there
	WorkingDir string   `json:"workingDir,omitempty"` // absolute; "" means /
	User       string   `json:"user,omitempty"`       // as typed: name|uid[:group|gid]; resolved against the rootfs at start
	GroupAdd   []string `json:"groupAdd,omitempty"`
	TTY        bool     `json:"tty,omitempty"`
	OpenStdin  bool     `json:"openStdin,omitempty"`
	StdinOnce  bool     `json:"stdinOnce,omitempty"` // stdin closes when the first attached client's does
	Attach     Attach   `json:"attach"`              // what `run`/`create` asked to attach; shown by inspect
	Hostname   string   `json:"hostname,omitempty"`  // "" means the short ID
	Domainname string   `json:"domainname,omitempty"`

	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`

	ReadOnly bool       `json:"readOnly,omitempty"` // root file system
	Mounts   []Mount    `json:"mounts,omitempty"`
	ShmSize  int64      `json:"shmSize,omitempty"` // bytes; 0 means 64 MiB
	Devices  []Device   `json:"devices,omitempty"`
	Init     bool       `json:"init,omitempty"` // run under a reaping PID 1 of ours
	Security Security   `json:"security"`
	NS       Namespaces `json:"namespaces"`
	DNS      DNS        `json:"dns"`

	Networks   []Endpoint    `json:"networks,omitempty"` // that the container is wired to, when NS.Network is ""; the first gave the network mode its name
	Ports      []PortMapping `json:"ports,omitempty"`
	PublishAll bool          `json:"publishAll,omitempty"` // -P: every exposed port on a free one of the host
	Links      []string      `json:"links,omitempty"`      // --link: container[:alias]

	Limits      cgroups.Limits    `json:"limits"`
	Ulimits     []Ulimit          `json:"ulimits,omitempty"`
	Sysctls     map[string]string `json:"sysctls,omitempty"`
	OOMScoreAdj *int              `json:"oomScoreAdj,omitempty"`

	StopSignal  string        `json:"stopSignal,omitempty"`  // name or number; "" means SIGTERM
	StopTimeout *int          `json:"stopTimeout,omitempty"` // seconds; nil means 10; negative waits for ever
	Timeout     time.Duration `json:"timeout,omitempty"`     // kill after this long; 0 means never
	Restart     Restart       `json:"restart"`
	Health      *Health       `json:"health,omitempty"`
	AutoRemove  bool          `json:"autoRemove,omitempty"`
	Log         Log           `json:"log"`

	Runtime  string   `json:"runtime,omitempty"` // "" is the built-in executor; else an OCI runtime's name or path
	Platform string   `json:"platform,omitempty"`
	PidFile  string   `json:"pidFile,omitempty"` // absolute host path, written at start
	CidFile  string   `json:"cidFile,omitempty"` // absolute host path; removed with the container
	Exposed  []string `json:"exposed,omitempty"` // port/proto from image and --expose

	CreateCommand []string `json:"createCommand,omitempty"` // argv of ctr, for inspect
}

// ImageRef says which image a container was made from.
type ImageRef struct {
	Name     string   `json:"name"`             // as the user typed it; ps shows this
	ID       string   `json:"id"`               // containers/storage image ID; "" for --rootfs
	Digest   string   `json:"digest,omitempty"` // manifest digest
	TopLayer string   `json:"topLayer,omitempty"`
	OS, Arch string   `json:",omitempty"`
	Volumes  []string `json:"volumes,omitempty"` // VOLUME destinations, kept for inspect
}

// Attach says which of the container's streams the creating client asked for.
type Attach struct {
	Stdin, Stdout, Stderr bool
}

// Mount is one -v, --mount, --tmpfs or VOLUME, normalised.
type Mount struct {
	Type        MountType `json:"type"`
	Source      string    `json:"source,omitempty"` // bind: absolute host path; volume: its name; tmpfs: empty
	Destination string    `json:"destination"`      // absolute, clean, inside the container
	ReadOnly    bool      `json:"readOnly,omitempty"`
	Propagation string    `json:"propagation,omitempty"` // private, rprivate, shared, rshared, slave, rslave; "" is rprivate
	Recursive   string    `json:"recursive,omitempty"`   // bind-recursive: "" (enabled), disabled, writable, readonly
	NoCopy      bool      `json:"noCopy,omitempty"`      // volume: do not copy the image's content into an empty volume
	Anonymous   bool      `json:"anonymous,omitempty"`   // volume: goes away with rm -v and --rm
	Create      bool      `json:"create,omitempty"`      // bind by -v: Docker makes a missing source directory
	Subpath     string    `json:"subpath,omitempty"`     // volume-subpath
	Options     []string  `json:"options,omitempty"`     // further options: exec, nodev, size=64m, mode=1777, U, z …
}

// MountType is bind, volume or tmpfs.
type MountType string

// The kinds of [Mount].
const (
	MountBind   MountType = "bind"
	MountVolume MountType = "volume"
	MountTmpfs  MountType = "tmpfs"
)

// Device is one --device.
type Device struct {
	Host        string `json:"host"`
	Container   string `json:"container"`
	Permissions string `json:"permissions"` // any of r, w, m
}

// Security is what separates the container from the host, as far as it was changed from Docker's defaults.
type Security struct {
	Privileged      bool     `json:"privileged,omitempty"`
	CapAdd          []string `json:"capAdd,omitempty"`  // canonical: CAP_NET_ADMIN, or ALL
	CapDrop         []string `json:"capDrop,omitempty"` // likewise
	Seccomp         string   `json:"seccomp,omitempty"` // "" is the default profile, "unconfined", or the profile's JSON itself
	NoNewPrivileges bool     `json:"noNewPrivileges,omitempty"`
	Mask            []string `json:"mask,omitempty"`   // additional masked paths
	Unmask          []string `json:"unmask,omitempty"` // paths, or ALL
	AppArmor        string   `json:"appArmor,omitempty"`
	Label           []string `json:"label,omitempty"` // SELinux label options; "disable"
	Opts            []string `json:"opts,omitempty"`  // --security-opt as typed, for inspect
}

// Namespaces holds the mode of each namespace as Docker spells it: "" is the
// default, else private, host, none, shareable, container:ID, ns:PATH.
type Namespaces struct {
	Network string `json:"network,omitempty"` // "" is Container.Networks | none | host | pasta[:OPTIONS] | slirp4netns[:OPTIONS] | container:ID | ns:PATH
	IPC     string `json:"ipc,omitempty"`
	PID     string `json:"pid,omitempty"`
	UTS     string `json:"uts,omitempty"`
	Cgroup  string `json:"cgroup,omitempty"`
	User    string `json:"user,omitempty"` // only "" and host for now
}

// DNS is what goes into the container's resolv.conf and hosts.
type DNS struct {
	Servers    []string `json:"servers,omitempty"`
	Search     []string `json:"search,omitempty"`
	Options    []string `json:"options,omitempty"`
	ExtraHosts []string `json:"extraHosts,omitempty"` // name:address
}

// Endpoint is a container's place in one network, as far as it was asked for.
type Endpoint struct {
	Network    string            `json:"network"` // name; "bridge" is the default one
	Aliases    []string          `json:"aliases,omitempty"`
	Links      []string          `json:"links,omitempty"` // container:alias, names that only this container sees
	IPv4       string            `json:"ipv4,omitempty"`  // "" takes a free one
	IPv6       string            `json:"ipv6,omitempty"`
	MAC        string            `json:"mac,omitempty"`
	LinkLocal  []string          `json:"linkLocal,omitempty"`
	Interface  string            `json:"interface,omitempty"` // "" is the next ethN
	Priority   int               `json:"priority,omitempty"`  // of its gateway; the highest is the default route
	DriverOpts map[string]string `json:"driverOpts,omitempty"`
}

// PortMapping is one published port.
type PortMapping struct {
	HostIP   string `json:"hostIP,omitempty"`   // "" is all addresses
	HostPort uint16 `json:"hostPort,omitempty"` // 0 takes a free one, or one of HostLast's range
	HostLast uint16 `json:"hostLast,omitempty"` // end of the range to choose from; 0 for none
	Port     uint16 `json:"port"`               // in the container
	Protocol string `json:"protocol"`           // tcp or udp
}

// Ulimit is one --ulimit; Name is without RLIMIT_ and lower case, as Docker has it.
type Ulimit struct {
	Name string
	Soft int64
	Hard int64 // -1 is unlimited
}

// Restart is Docker's restart policy.
type Restart struct {
	Policy  string `json:"policy,omitempty"` // "" or no, always, on-failure, unless-stopped
	Retries int    `json:"retries,omitempty"`
}

// Health is a health check, resolved from the image and the --health flags.
type Health struct {
	Test          []string      `json:"test"` // ["CMD", …], ["CMD-SHELL", line] or ["NONE"]
	Interval      time.Duration `json:"interval,omitempty"`
	Timeout       time.Duration `json:"timeout,omitempty"`
	StartPeriod   time.Duration `json:"startPeriod,omitempty"`
	StartInterval time.Duration `json:"startInterval,omitempty"`
	Retries       int           `json:"retries,omitempty"`
}

// Log is the log driver and its options.
type Log struct {
	Driver string            `json:"driver,omitempty"` // "" is json-file
	Opts   map[string]string `json:"opts,omitempty"`
}

// ShortID is the first 12 digits of the container's ID.
func (c *Container) ShortID() string { return c.ID[:12] }

// Argv is the process that runs in the container.
func (c *Container) Argv() []string {
	return append(append([]string(nil), c.Entrypoint...), c.Cmd...)
}
