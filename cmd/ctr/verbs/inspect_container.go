package verbs

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"ctr/libpod"
	"ctr/libpod/config"
	"ctr/libpod/logs"
	"ctr/libpod/state"
	"ctr/netns/network"
	"ctr/storage"
)

// describeContainer reads what is known of c now.
func describeContainer(c *libpod.Container, store *storage.Store, size bool) (*containerInfo, error) {
	st, err := c.State()
	if err != nil {
		return nil, err
	}
	data := filepath.Dir(filepath.Dir(c.Dir()))
	d := describe(c.Config(), st, places{dir: c.Dir(), run: c.RunDir(), volumes: filepath.Join(data, "volumes")})
	if mode := c.Config().NS.Network; st.Active() && (mode == network.Host || mode == "none") {
		n, err := network.Open(data).Lookup(mode) // these two are no files
		if err != nil {
			return nil, err
		}
		d.NetworkSettings.Networks[mode].NetworkID = n.ID
	}
	if cfg := c.Config(); cfg.NS.Network == network.Host && cfg.Hostname == "" && cfg.NS.UTS == "" {
		if name, err := os.Hostname(); err == nil {
			d.Config.Hostname = name
		}
	}
	if size {
		written, err := c.Size()
		if err != nil {
			return nil, err
		}
		total := written
		if img, err := store.Lookup(c.Config().Image.ID); err == nil {
			if image, err := store.Size(img); err == nil {
				total += image
			}
		}
		d.SizeRw, d.SizeRootFs = &written, &total
	}
	return d, nil
}

// places are the directories of a container's files.
type places struct{ dir, run, volumes string }

// describe is pure: a configuration and a state in, Docker's words out.
func describe(cfg *config.Container, st state.State, at places) *containerInfo {
	argv := append(cfg.Argv(), "")
	image := cfg.Image.ID
	if image != "" {
		image = "sha256:" + image
	}
	return &containerInfo{
		ID:              cfg.ID,
		Created:         cfg.Created.UTC().Format(time.RFC3339Nano),
		Path:            argv[0],
		Args:            argv[min(1, len(argv)-1) : len(argv)-1],
		State:           describeState(cfg, st),
		Image:           image,
		ResolvConfPath:  filepath.Join(at.run, "resolv.conf"),
		HostnamePath:    filepath.Join(at.run, "hostname"),
		HostsPath:       filepath.Join(at.run, "hosts"),
		LogPath:         logs.Path(cfg.Log, at.dir),
		Name:            "/" + cfg.Name,
		RestartCount:    st.RestartCount,
		Driver:          first(st.Driver, "overlay"),
		Platform:        first(cfg.Image.OS, "linux"),
		AppArmorProfile: cfg.Security.AppArmor,
		HostConfig:      describeHost(cfg),
		GraphDriver: graphDriver{Name: first(st.Driver, "overlay"), Data: map[string]string{
			"UpperDir": filepath.Join(at.dir, "diff"), "WorkDir": filepath.Join(at.dir, "work"),
		}},
		Mounts:          describeMounts(cfg, at.volumes),
		Config:          describeConfig(cfg),
		NetworkSettings: describeNetwork(cfg, st),
	}
}

func describeState(cfg *config.Container, st state.State) containerState {
	s := containerState{
		Status:     string(st.Status),
		Running:    st.Active(),
		Paused:     st.Status == state.Paused,
		Restarting: st.Status == state.Restarting,
		OOMKilled:  st.Exit.OOM,
		Pid:        st.Pid,
		ExitCode:   st.Exit.Code,
		Error:      st.Exit.Error,
		StartedAt:  st.StartedAt.UTC().Format(time.RFC3339Nano),
		FinishedAt: st.Exit.FinishedAt.UTC().Format(time.RFC3339Nano),
	}
	if st.Health != nil {
		s.Health = &healthState{Status: st.Health.Status, FailingStreak: st.Health.FailingStreak, Log: []healthResult{}}
		for _, r := range st.Health.Log {
			s.Health.Log = append(s.Health.Log, healthResult(r))
		}
	} else if h := cfg.Health; h != nil && len(h.Test) > 0 && h.Test[0] != "NONE" {
		// as Docker says of a check that does not run
		s.Health = &healthState{Status: "unhealthy", Log: []healthResult{}}
		if st.Status == state.Created {
			s.Health.Status = "starting"
		}
	}
	return s
}

func describeConfig(cfg *config.Container) containerConfig {
	c := containerConfig{
		Hostname:     first(cfg.Hostname, cfg.ShortID()),
		Domainname:   cfg.Domainname,
		User:         cfg.User,
		AttachStdin:  cfg.Attach.Stdin,
		AttachStdout: cfg.Attach.Stdout,
		AttachStderr: cfg.Attach.Stderr,
		ExposedPorts: set(cfg.Exposed),
		Tty:          cfg.TTY,
		OpenStdin:    cfg.OpenStdin,
		StdinOnce:    cfg.StdinOnce,
		Env:          cfg.Env,
		Cmd:          cfg.Cmd,
		Image:        cfg.Image.Name,
		Volumes:      set(cfg.Image.Volumes),
		WorkingDir:   cfg.WorkingDir,
		Entrypoint:   cfg.Entrypoint,
		Labels:       cfg.Labels,
		StopSignal:   cfg.StopSignal,
		StopTimeout:  cfg.StopTimeout,
	}
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	if len(cfg.Networks) > 0 {
		c.MacAddress = cfg.Networks[0].MAC
	}
	if h := cfg.Health; h != nil {
		check := healthcheck(*h)
		c.Healthcheck = &check
	}
	return c
}

func describeMounts(cfg *config.Container, volumes string) []mountPoint {
	points := []mountPoint{}
	for _, m := range cfg.Mounts {
		point := mountPoint{
			Type: string(m.Type), Source: m.Source, Destination: m.Destination,
			Mode: strings.Join(m.Options, ","), RW: !m.ReadOnly,
		}
		switch m.Type {
		case config.MountBind:
			point.Propagation = first(m.Propagation, "rprivate")
		case config.MountVolume:
			point.Name, point.Driver = m.Source, "local"
			point.Source = filepath.Join(volumes, m.Source, "_data")
		}
		points = append(points, point)
	}
	return points
}
