package config

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// CheckMount is nil when a mount is complete and consistent. It does not look at the disk.
func CheckMount(m Mount) error {
	if err := checkMount(m); err != nil {
		return fmt.Errorf("invalid mount config for type %q: %w", m.Type, err)
	}
	if m.Type == MountVolume && m.Source != "" {
		return CheckVolumeName(m.Source)
	}
	return nil
}

func checkMount(m Mount) error {
	if err := CheckDestination(m.Destination); err != nil {
		return err
	}
	if strings.Contains(m.Source+m.Destination, "\x00") {
		return errors.New("a path may not contain NUL")
	}
	switch m.Type {
	case MountBind:
		return checkBind(m)
	case MountVolume:
		if m.Subpath != "" && m.Source == "" {
			return errors.New("must not set Subpath when using anonymous volumes")
		}
		if m.Subpath != "" && !filepath.IsLocal(m.Subpath) {
			return errors.New("subpath must be a relative path within the volume")
		}
		return nil
	case MountTmpfs:
		if m.Source != "" {
			return errors.New("field Source must not be specified")
		}
		_, err := TmpfsOptions(m)
		return err
	}
	return errors.New("mount type unknown")
}

func checkBind(m Mount) error {
	if m.Source == "" {
		return errors.New("field Source must not be empty")
	}
	if !path.IsAbs(m.Source) {
		return fmt.Errorf("invalid mount path: '%s' mount path must be absolute", m.Source)
	}
	if m.Propagation != "" && !ValidPropagation(m.Propagation) {
		return fmt.Errorf("invalid propagation mode: %s", m.Propagation)
	}
	switch m.Recursive {
	case "", "disabled":
		return nil
	case "writable", "readonly":
		if !m.ReadOnly {
			return fmt.Errorf("option 'bind-recursive=%s' requires 'readonly' to be specified in conjunction", m.Recursive)
		}
		return nil
	}
	return fmt.Errorf("invalid bind-recursive mode: %s", m.Recursive)
}

// CheckDestination is nil when something may be mounted at p in a container.
func CheckDestination(p string) error {
	switch {
	case p == "":
		return errors.New("field Target must not be empty")
	case path.Clean(p) == "/":
		return errors.New("invalid specification: destination can't be '/'")
	case !path.IsAbs(p):
		return fmt.Errorf("invalid mount path: '%s' mount path must be absolute", p)
	}
	return nil
}

// ValidPropagation reports whether s is a bind propagation that Docker knows.
func ValidPropagation(s string) bool {
	return slices.Contains([]string{"private", "rprivate", "shared", "rshared", "slave", "rslave"}, s)
}

// TmpfsOptions are the mount options of a tmpfs: Docker's noexec, nosuid and nodev,
// and what was asked for laid over them. Of options that exclude each other the last counts.
func TmpfsOptions(m Mount) ([]string, error) {
	asked := append([]string{"noexec", "nosuid", "nodev"}, m.Options...)
	if m.ReadOnly {
		asked = append(asked, "ro")
	}
	var merged []string
	seen := map[string]bool{}
	for _, option := range slices.Backward(asked) {
		if option == "" || option == "defaults" {
			continue
		}
		kind, ok := tmpfsOptionKind(option)
		if !ok {
			name, _, _ := strings.Cut(option, "=")
			return nil, fmt.Errorf("invalid tmpfs option %q", name)
		}
		if !seen[kind] {
			seen[kind] = true
			merged = append(merged, option)
		}
	}
	slices.Reverse(merged)
	return merged, nil
}

// tmpfsOptionKind names what an option decides: exec and noexec decide the same.
func tmpfsOptionKind(option string) (kind string, ok bool) {
	if name, _, hasValue := strings.Cut(option, "="); hasValue {
		return name, slices.Contains([]string{"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"}, name)
	}
	if ValidPropagation(option) {
		return "propagation", true
	}
	switch option {
	case "ro", "rw":
		return "ro", true
	case "sync", "async":
		return "sync", true
	}
	kind = strings.TrimPrefix(option, "no")
	switch kind {
	case "exec", "suid", "dev", "atime", "diratime", "relatime", "strictatime":
		return kind, true
	}
	return "", false
}
