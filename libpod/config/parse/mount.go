package parse

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"ctr/libpod/config"
)

// Mount reads a --mount: comma-separated key=value pairs in CSV form. A source that
// begins with a dot is made absolute from the working directory.
func Mount(s string) (config.Mount, error) {
	fields, err := csv.NewReader(strings.NewReader(strings.TrimSpace(s))).Read()
	if errors.Is(err, io.EOF) {
		return config.Mount{}, errors.New("value is empty")
	}
	if err != nil {
		return config.Mount{}, err
	}
	p := mountParser{Mount: config.Mount{Type: config.MountVolume}}
	for _, field := range fields {
		if err := p.field(field); err != nil {
			return config.Mount{}, err
		}
	}
	if err := p.check(); err != nil {
		return config.Mount{}, err
	}
	p.Destination = path.Clean(p.Destination)
	return p.Mount, nil
}

type mountParser struct {
	config.Mount
	families []string // the bind-, volume- and tmpfs- prefixes of the keys seen
}

func (p *mountParser) field(field string) error {
	key, value, hasValue := strings.Cut(field, "=")
	if trimmed := strings.TrimSpace(key); trimmed != key {
		return fmt.Errorf("invalid option '%s' in '%s': option should not have whitespace", trimmed, field)
	}
	if hasValue {
		trimmed := strings.TrimSpace(value)
		if trimmed == "" {
			return fmt.Errorf("invalid value for '%s': value is empty", key)
		}
		if trimmed != value {
			return fmt.Errorf("invalid value for '%s' in '%s': value should not have whitespace", key, field)
		}
	}
	key = strings.ToLower(key)
	if family, _, ok := strings.Cut(key, "-"); ok && slices.Contains([]string{"bind", "volume", "tmpfs"}, family) {
		p.families = append(p.families, family)
	}
	if target := p.flag(key); target != nil {
		on, err := boolean(key, value, hasValue)
		*target = on
		return err
	}
	if key == "bind-nonrecursive" {
		on, err := boolean(key, value, hasValue)
		if on {
			p.Recursive = "disabled"
		}
		return err
	}
	if !hasValue {
		return fmt.Errorf("invalid field '%s' must be a key=value pair", field)
	}
	return p.pair(key, value, field)
}

// flag is the field that a key without a value switches on.
func (p *mountParser) flag(key string) *bool {
	switch key {
	case "readonly", "ro":
		return &p.ReadOnly
	case "volume-nocopy":
		return &p.NoCopy
	case "bind-create-src":
		return &p.Create
	}
	return nil
}

func boolean(key, value string, hasValue bool) (bool, error) {
	if !hasValue {
		return true, nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf("invalid value for %s: %s", key, value)
	}
	return on, nil
}

func (p *mountParser) pair(key, value, field string) error {
	switch key {
	case "type":
		p.Type = config.MountType(strings.ToLower(value))
	case "source", "src":
		p.Source = value
		if strings.HasPrefix(value, ".") {
			absolute, err := filepath.Abs(value)
			if err != nil {
				return fmt.Errorf("resolving %s: %w", value, err)
			}
			p.Source = absolute
		}
	case "target", "dst", "destination":
		p.Destination = value
	case "consistency": // means nothing on Linux
	case "bind-propagation":
		p.Propagation = strings.ToLower(value)
	case "bind-recursive":
		return p.recursive(value)
	case "volume-subpath":
		p.Subpath = value
	case "volume-driver":
		if value != "local" {
			return fmt.Errorf("volume driver %q is not supported, only local is", value)
		}
	case "volume-label", "volume-opt":
		return fmt.Errorf("'%s' is not supported by --mount: create the volume with it first, by `ctr volume create`", key)
	case "tmpfs-size":
		size, err := units.RAMInBytes(value)
		if err != nil {
			return fmt.Errorf("invalid value for %s: %s", key, value)
		}
		p.Options = append(p.Options, "size="+strconv.FormatInt(size, 10))
	case "tmpfs-mode":
		mode, err := strconv.ParseUint(value, 8, 32)
		if err != nil || mode > 0o7777 {
			return fmt.Errorf("invalid value for %s: %s", key, value)
		}
		p.Options = append(p.Options, "mode="+strconv.FormatUint(mode, 8))
	default:
		return fmt.Errorf("unexpected key '%s' in '%s'", key, field)
	}
	return nil
}

func (p *mountParser) recursive(value string) error {
	switch value {
	case "enabled":
		p.Recursive = ""
	case "disabled", "writable", "readonly":
		p.Recursive = value
	default:
		return fmt.Errorf(`invalid value for bind-recursive: %s (must be "enabled", "disabled", "writable", or "readonly")`, value)
	}
	return nil
}

func (p *mountParser) check() error {
	if p.Destination == "" {
		return errors.New("target is required")
	}
	for _, family := range p.families {
		if family != string(p.Type) {
			return fmt.Errorf("cannot mix '%s-*' options with mount type '%s'", family, p.Type)
		}
	}
	if (p.Recursive == "writable" || p.Recursive == "readonly") && !p.ReadOnly {
		return fmt.Errorf("option 'bind-recursive=%s' requires 'readonly' to be specified in conjunction", p.Recursive)
	}
	if p.Recursive == "readonly" && p.Propagation != "rprivate" {
		return errors.New("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction")
	}
	return config.CheckMount(p.Mount)
}

// Tmpfs reads a --tmpfs: container-path[:option,option].
func Tmpfs(s string) (config.Mount, error) {
	destination, options, _ := strings.Cut(s, ":")
	m := config.Mount{Type: config.MountTmpfs, Destination: destination}
	if err := config.CheckDestination(destination); err != nil {
		return m, err
	}
	m.Destination = path.Clean(destination)
	for option := range strings.SplitSeq(options, ",") {
		if option != "" {
			m.Options = append(m.Options, option)
		}
	}
	_, err := config.TmpfsOptions(m)
	return m, err
}
