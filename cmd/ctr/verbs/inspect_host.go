package verbs

import (
	"net/netip"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"

	"ctr/libpod/config"
)

// defaultShm is the size of /dev/shm that nothing else was asked for.
const defaultShm = 64 << 20

// describeHost is what a container was given of the host, under Docker's names.
func describeHost(cfg *config.Container) *container.HostConfig {
	h := &container.HostConfig{
		ContainerIDFile: cfg.CidFile,
		LogConfig:       container.LogConfig{Type: first(cfg.Log.Driver, "json-file"), Config: cfg.Log.Opts},
		NetworkMode:     container.NetworkMode(networkName(cfg)),
		PortBindings:    network.PortMap{},
		RestartPolicy:   container.RestartPolicy{Name: container.RestartPolicyMode(first(cfg.Restart.Policy, "no")), MaximumRetryCount: cfg.Restart.Retries},
		AutoRemove:      cfg.AutoRemove,
		Annotations:     cfg.Annotations,
		CapAdd:          cfg.Security.CapAdd,
		CapDrop:         cfg.Security.CapDrop,
		CgroupnsMode:    container.CgroupnsMode(first(cfg.NS.Cgroup, "private")),
		DNS:             addresses(cfg.DNS.Servers),
		DNSOptions:      orEmpty(cfg.DNS.Options),
		DNSSearch:       orEmpty(cfg.DNS.Search),
		ExtraHosts:      cfg.DNS.ExtraHosts,
		GroupAdd:        cfg.GroupAdd,
		IpcMode:         container.IpcMode(first(cfg.NS.IPC, "private")),
		PidMode:         container.PidMode(cfg.NS.PID),
		UTSMode:         container.UTSMode(cfg.NS.UTS),
		UsernsMode:      container.UsernsMode(cfg.NS.User),
		Privileged:      cfg.Security.Privileged,
		ReadonlyRootfs:  cfg.ReadOnly,
		SecurityOpt:     cfg.Security.Opts,
		ShmSize:         first(cfg.ShmSize, int64(defaultShm)),
		Sysctls:         cfg.Sysctls,
		Runtime:         first(cfg.Runtime, "builtin"),
		Resources:       container.Resources{Devices: []container.DeviceMapping{}},
	}
	if h.LogConfig.Config == nil {
		h.LogConfig.Config = map[string]string{}
	}
	if cfg.OOMScoreAdj != nil {
		h.OomScoreAdj = *cfg.OOMScoreAdj
	}
	if cfg.Init {
		h.Init = &cfg.Init
	}
	for _, d := range cfg.Devices {
		h.Devices = append(h.Devices, container.DeviceMapping{PathOnHost: d.Host, PathInContainer: d.Container, CgroupPermissions: d.Permissions})
	}
	for _, u := range cfg.Ulimits {
		h.Ulimits = append(h.Ulimits, &units.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	for _, m := range cfg.Mounts {
		addMount(h, m)
	}
	return h
}

// addMount puts a mount where Docker shows it. Anonymous volumes are not shown here.
func addMount(h *container.HostConfig, m config.Mount) {
	switch {
	case m.Anonymous:
	case m.Type == config.MountTmpfs:
		if h.Tmpfs == nil {
			h.Tmpfs = map[string]string{}
		}
		h.Tmpfs[m.Destination] = strings.Join(m.Options, ",")
	case m.Type == config.MountBind && !m.Create || m.Subpath != "":
		h.Mounts = append(h.Mounts, mount.Mount{Type: mount.Type(m.Type), Source: m.Source, Target: m.Destination, ReadOnly: m.ReadOnly})
	default:
		bind := m.Source + ":" + m.Destination
		if m.ReadOnly {
			bind += ":ro"
		}
		h.Binds = append(h.Binds, bind)
	}
}

func addresses(words []string) []netip.Addr {
	list := []netip.Addr{}
	for _, word := range words {
		if addr, err := netip.ParseAddr(word); err == nil {
			list = append(list, addr)
		}
	}
	return list
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
