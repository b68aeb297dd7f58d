package parse

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ctr/libpod/config"
)

// Volume reads a -v: [name|host-path:]container-path[:mode]. A host path that
// begins with a dot is made absolute from the working directory.
func Volume(s string) (config.Mount, error) {
	var m config.Mount
	if s == "" {
		return m, errors.New("invalid empty volume spec")
	}
	parts := strings.Split(s, ":")
	if slices.Contains(parts, "") {
		return m, fmt.Errorf("invalid spec: %s: empty section between colons", s)
	}
	if len(parts) > 3 || len(parts) == 2 && validVolumeMode(parts[1]) {
		return m, fmt.Errorf("invalid volume specification: '%s'", s)
	}
	m.Type = config.MountVolume
	m.Destination = parts[0]
	if len(parts) > 1 {
		m.Source, m.Destination = parts[0], parts[1]
		if err := setVolumeSource(&m); err != nil {
			return m, err
		}
	}
	if len(parts) == 3 {
		if !validVolumeMode(parts[2]) {
			return m, fmt.Errorf("invalid mode: %s", parts[2])
		}
		setVolumeMode(&m, parts[2])
	}
	if err := checkVolume(m); err != nil {
		return m, fmt.Errorf("invalid volume specification: '%s': %w", s, err)
	}
	m.Destination = path.Clean(m.Destination)
	return m, nil
}

func setVolumeSource(m *config.Mount) error {
	if strings.HasPrefix(m.Source, ".") {
		absolute, err := filepath.Abs(m.Source)
		if err != nil {
			return fmt.Errorf("resolving %s: %w", m.Source, err)
		}
		m.Source = absolute
	}
	if path.IsAbs(m.Source) {
		m.Type, m.Create, m.Source = config.MountBind, true, path.Clean(m.Source)
	}
	return nil
}

// volumeModes are the words of a mode by what they decide; of each kind only one may be given.
var volumeModes = [][]string{
	{"ro", "rw"},
	{"z", "Z"},
	{"private", "rprivate", "shared", "rshared", "slave", "rslave"},
	{"copy", "nocopy"},
	{"consistent", "cached", "delegated"},
	{"bind", "rbind"},
	{"exec", "noexec"}, {"dev", "nodev"}, {"suid", "nosuid"},
	{"U"},
}

func validVolumeMode(mode string) bool {
	var seen [16]bool
	for word := range strings.SplitSeq(mode, ",") {
		kind := slices.IndexFunc(volumeModes, func(words []string) bool { return slices.Contains(words, word) })
		if kind < 0 || seen[kind] {
			return false
		}
		seen[kind] = true
	}
	return true
}

func setVolumeMode(m *config.Mount, mode string) {
	for word := range strings.SplitSeq(mode, ",") {
		switch {
		case word == "ro":
			m.ReadOnly = true
		case word == "nocopy":
			m.NoCopy = true
		case word == "bind":
			m.Recursive = "disabled"
		case config.ValidPropagation(word):
			m.Propagation = word
		case slices.Contains([]string{"rw", "copy", "rbind", "consistent", "cached", "delegated"}, word):
			// the default, or without meaning on Linux
		default:
			m.Options = append(m.Options, word)
		}
	}
}

func checkVolume(m config.Mount) error {
	if m.Type == config.MountVolume && (m.Propagation != "" || m.Recursive != "") {
		return fmt.Errorf("invalid mount config for type %q: field BindOptions must not be specified", m.Type)
	}
	if m.Type == config.MountBind && m.NoCopy {
		return fmt.Errorf("invalid mount config for type %q: field VolumeOptions must not be specified", m.Type)
	}
	return config.CheckMount(m)
}

// PrepareSource makes sure that the source of a bind mount is there. A missing one
// is an error for --mount, and becomes a directory for -v, as it does with Docker.
// It is called as the user who asked, when the container is created.
func PrepareSource(m config.Mount) error {
	if m.Type != config.MountBind {
		return nil
	}
	_, err := os.Stat(m.Source)
	switch {
	case err == nil:
		return nil
	case !os.IsNotExist(err):
		return fmt.Errorf("invalid mount config for type %q: %w", m.Type, err)
	case !m.Create:
		return fmt.Errorf("invalid mount config for type %q: bind source path does not exist: %s", m.Type, m.Source)
	}
	if err := os.MkdirAll(m.Source, 0o755); err != nil {
		return fmt.Errorf("error while creating mount source path '%s': %w", m.Source, err)
	}
	return nil
}
