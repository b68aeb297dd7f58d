package verbs

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"ctr/libpod/config"
	"ctr/storage"
)

// chosenImage is the image that a container is made from.
type chosenImage struct {
	storage.Image
	config *storage.ImageConfig
}

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// resolve makes the container's configuration of the flags and the image. What the
// image says is a default for what the flags leave open; it is never more than
// that. The flags are settled and checked.
func (o *createOptions) resolve(img chosenImage, argv []string) (*config.Container, error) {
	c := &config.Container{
		Version: config.Version,
		Name:    o.name,
		Image: config.ImageRef{
			Name: o.image, ID: img.ID, Digest: img.Digest, TopLayer: img.TopLayer,
			OS: img.config.OS, Arch: img.config.Architecture, Volumes: img.config.Volumes,
		},
		Env:           mergeEnv(img.config.Env, o.env),
		User:          first(o.user, img.config.User),
		GroupAdd:      o.groupAdd,
		TTY:           o.tty,
		OpenStdin:     o.interactive,
		Attach:        o.attached(),
		Hostname:      o.hostname,
		Domainname:    o.domainname,
		Labels:        mergeLabels(img.config.Labels, o.labels),
		Annotations:   pairs(o.annotations),
		ReadOnly:      o.readOnly,
		ShmSize:       o.shmSize,
		Devices:       o.devices,
		Init:          o.init,
		Security:      o.security,
		NS:            o.namespaces,
		DNS:           o.dns,
		Ulimits:       o.ulimits,
		Sysctls:       pairs(o.sysctls),
		OOMScoreAdj:   o.oomScoreAdj,
		StopSignal:    first(o.stopSignal, img.config.StopSignal),
		StopTimeout:   o.stopTimeout,
		Timeout:       time.Duration(o.timeout) * time.Second,
		Restart:       o.restart,
		Health:        o.health.resolve(img.config.Healthcheck),
		AutoRemove:    o.autoRemove,
		Log:           o.log,
		Runtime:       o.runtime,
		Platform:      o.platform,
		PidFile:       o.pidFile,
		CidFile:       o.cidFile,
		Exposed:       union(img.config.ExposedPorts, append(o.expose, o.net.exposed()...)),
		Networks:      o.net.endpoints,
		Ports:         o.net.ports,
		PublishAll:    o.net.publishAll,
		Links:         o.net.links,
		CreateCommand: argv,
	}
	c.NS.Network = o.net.mode
	if err := o.net.conflict(o.expose); err != nil {
		return nil, err
	}
	c.StdinOnce = c.OpenStdin && c.Attach.Stdin
	c.Entrypoint, c.Cmd = o.process(img.config)
	if len(c.Argv()) == 0 {
		return nil, errors.New("no command specified")
	}
	var err error
	if c.WorkingDir, err = o.directory(img.config.WorkingDir); err != nil {
		return nil, err
	}
	if c.Mounts, err = o.allMounts(img.config.Volumes); err != nil {
		return nil, err
	}
	return c, c.Validate()
}

// check finds contradictions between flags.
func (o *createOptions) check() error {
	switch {
	case o.autoRemove && o.restart.Policy != "" && o.restart.Policy != "no":
		return errors.New("conflicting options: cannot specify both --restart and --rm")
	case o.timeout < 0:
		return errors.New("--timeout cannot be negative")
	}
	return o.health.check()
}

// attached are the streams of the client that creates the container. Without -a
// these are the outputs, and the input with -i.
func (o *createOptions) attached() config.Attach {
	if o.detach {
		return config.Attach{}
	}
	if len(o.attach) == 0 {
		return config.Attach{Stdin: o.interactive, Stdout: true, Stderr: true}
	}
	return config.Attach{
		Stdin:  slices.Contains(o.attach, "stdin"),
		Stdout: slices.Contains(o.attach, "stdout"),
		Stderr: slices.Contains(o.attach, "stderr"),
	}
}

// process is the argv in its two parts. A new entrypoint, even an empty one, drops
// the image's command along with its entrypoint.
func (o *createOptions) process(img *storage.ImageConfig) (entrypoint, cmd []string) {
	if o.entrypoint != nil {
		if *o.entrypoint != "" {
			entrypoint = []string{*o.entrypoint}
		}
		return entrypoint, o.args
	}
	if len(o.args) > 0 {
		return img.Entrypoint, o.args
	}
	return img.Entrypoint, img.Cmd
}

func (o *createOptions) directory(image string) (string, error) {
	switch {
	case o.workdir != "" && !path.IsAbs(o.workdir):
		return "", fmt.Errorf("the working directory '%s' is invalid, it needs to be an absolute path", o.workdir)
	case o.workdir != "":
		return path.Clean(o.workdir), nil
	case image == "":
		return "", nil
	}
	return path.Join("/", image), nil
}

// allMounts adds an anonymous volume for every VOLUME of the image that no flag
// covers. The engine names the anonymous ones.
func (o *createOptions) allMounts(volumes []string) ([]config.Mount, error) {
	mounts := slices.Clone(o.mounts)
	taken := map[string]bool{}
	for i, m := range mounts {
		if taken[m.Destination] {
			return nil, fmt.Errorf("Duplicate mount point: %s", m.Destination)
		}
		taken[m.Destination] = true
		mounts[i].Anonymous = m.Type == config.MountVolume && m.Source == ""
	}
	for _, destination := range volumes {
		destination = path.Join("/", destination)
		if destination == "/" || taken[destination] {
			continue
		}
		taken[destination] = true
		mounts = append(mounts, config.Mount{Type: config.MountVolume, Destination: destination, Anonymous: true})
	}
	return mounts, nil
}

// resolve lays the flags over the image's check, field by field.
func (h healthOptions) resolve(image *storage.Healthcheck) *config.Health {
	if h.none {
		return &config.Health{Test: []string{"NONE"}}
	}
	var check config.Health
	if image != nil {
		check = config.Health{
			Test: image.Test, Interval: image.Interval, Timeout: image.Timeout,
			StartPeriod: image.StartPeriod, StartInterval: image.StartInterval, Retries: image.Retries,
		}
	}
	if h.cmd != "" {
		check.Test = []string{"CMD-SHELL", h.cmd}
	}
	check.Interval = first(h.interval, check.Interval)
	check.Timeout = first(h.timeout, check.Timeout)
	check.StartPeriod = first(h.startPeriod, check.StartPeriod)
	check.StartInterval = first(h.startInterval, check.StartInterval)
	check.Retries = first(h.retries, check.Retries)
	if len(check.Test) == 0 {
		return nil
	}
	return &check
}

// mergeEnv is the image's environment with the user's laid over it, variable by
// variable, and a PATH in any case. A user's entry without a value takes the
// variable away; an image's is dropped, it never means the host's variable.
func mergeEnv(image, user []string) []string {
	var env []string
	for _, entry := range image {
		if key, _, ok := strings.Cut(entry, "="); ok && key != "" {
			env = setVariable(env, key, entry)
		}
	}
	for _, entry := range user {
		key, _, ok := strings.Cut(entry, "=")
		if !ok {
			entry = ""
		}
		env = setVariable(env, key, entry)
	}
	if !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "PATH=") }) {
		env = slices.Insert(env, 0, defaultPath)
	}
	return env
}

// setVariable puts entry in the place of the variable key; an empty entry removes it.
func setVariable(env []string, key, entry string) []string {
	i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, key+"=") })
	switch {
	case i < 0 && entry == "":
		return env
	case i < 0:
		return append(env, entry)
	case entry == "":
		return slices.Delete(env, i, i+1)
	}
	env[i] = entry
	return env
}

func mergeLabels(image map[string]string, user []string) map[string]string {
	labels := maps.Clone(image)
	if labels == nil {
		return pairs(user)
	}
	maps.Copy(labels, pairs(user))
	return labels
}

// pairs makes a map of KEY=VALUE words, of which the last of a key counts.
func pairs(words []string) map[string]string {
	if len(words) == 0 {
		return nil
	}
	m := make(map[string]string, len(words))
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		m[key] = value
	}
	return m
}

func union(a, b []string) []string {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

// first is the first value that is not zero.
func first[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}
