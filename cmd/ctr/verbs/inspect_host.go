package verbs

import (
	"strings"

	"ctr/libpod/config"
)

// defaultShm is the size of /dev/shm that nothing else was asked for.
const defaultShm = 64 << 20

// describeHost is what a container was given of the host, under Docker's names.
func describeHost(cfg *config.Container) hostConfig {
	h := hostConfig{
		ContainerIDFile: cfg.CidFile,
		LogConfig:       logConfig{Type: first(cfg.Log.Driver, "json-file"), Config: cfg.Log.Opts},
		NetworkMode:     networkMode(cfg),
		PortBindings:    portBindings(cfg.Ports),
		PublishAllPorts: cfg.PublishAll,
		Links:           shownLinks(cfg),
		RestartPolicy:   restartPolicy{Name: first(cfg.Restart.Policy, "no"), MaximumRetryCount: cfg.Restart.Retries},
		AutoRemove:      cfg.AutoRemove,
		Annotations:     cfg.Annotations,
		CapAdd:          cfg.Security.CapAdd,
		CapDrop:         cfg.Security.CapDrop,
		CgroupnsMode:    first(cfg.NS.Cgroup, "private"),
		DNS:             orEmpty(cfg.DNS.Servers),
		DNSOptions:      orEmpty(cfg.DNS.Options),
		DNSSearch:       orEmpty(cfg.DNS.Search),
		ExtraHosts:      cfg.DNS.ExtraHosts,
		GroupAdd:        cfg.GroupAdd,
		IpcMode:         first(cfg.NS.IPC, "private"),
		PidMode:         cfg.NS.PID,
		UTSMode:         cfg.NS.UTS,
		UsernsMode:      cfg.NS.User,
		Privileged:      cfg.Security.Privileged,
		ReadonlyRootfs:  cfg.ReadOnly,
		SecurityOpt:     cfg.Security.Opts,
		ShmSize:         first(cfg.ShmSize, int64(defaultShm)),
		Sysctls:         cfg.Sysctls,
		Runtime:         first(cfg.Runtime, "builtin"),
		resources:       resources{Devices: []deviceMapping{}},
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
		h.Devices = append(h.Devices, deviceMapping{PathOnHost: d.Host, PathInContainer: d.Container, CgroupPermissions: d.Permissions})
	}
	for _, u := range cfg.Ulimits {
		h.Ulimits = append(h.Ulimits, ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	for _, m := range cfg.Mounts {
		addMount(&h, m)
	}
	return h
}

// addMount puts a mount where Docker shows it. Anonymous volumes are not shown here.
func addMount(h *hostConfig, m config.Mount) {
	switch {
	case m.Anonymous:
	case m.Type == config.MountTmpfs:
		if h.Tmpfs == nil {
			h.Tmpfs = map[string]string{}
		}
		h.Tmpfs[m.Destination] = strings.Join(m.Options, ",")
	case m.Type == config.MountBind && !m.Create || m.Subpath != "":
		h.Mounts = append(h.Mounts, mountRequest{Type: string(m.Type), Source: m.Source, Target: m.Destination, ReadOnly: m.ReadOnly})
	default:
		bind := m.Source + ":" + m.Destination
		if m.ReadOnly {
			bind += ":ro"
		}
		h.Binds = append(h.Binds, bind)
	}
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
