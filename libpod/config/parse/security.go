package parse

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"ctr/libpod/config"
)

// CapAdd is the canonical name of a capability of --cap-add, or ALL.
func CapAdd(s string) (string, error) { return capability("CapAdd", s) }

// CapDrop is the canonical name of a capability of --cap-drop, or ALL.
func CapDrop(s string) (string, error) { return capability("CapDrop", s) }

func capability(field, s string) (string, error) {
	name, err := config.Capability(s)
	if err != nil {
		return "", fmt.Errorf("invalid %s: %w", field, err)
	}
	return name, nil
}

// SecurityOpts reads all --security-opt of a container into the fields of
// [config.Security] that they stand for. It reads the file of a seccomp profile.
func SecurityOpts(opts []string) (config.Security, error) {
	var s config.Security
	for _, opt := range opts {
		if err := securityOpt(&s, opt); err != nil {
			return config.Security{}, err
		}
		s.Opts = append(s.Opts, opt)
	}
	return s, nil
}

func securityOpt(s *config.Security, opt string) error {
	key, value, ok := strings.Cut(opt, "=")
	if !ok {
		key, value, ok = strings.Cut(opt, ":")
	}
	if key == "no-new-privileges" {
		s.NoNewPrivileges = true
		if !ok {
			return nil
		}
		var err error
		if s.NoNewPrivileges, err = strconv.ParseBool(value); err != nil {
			return fmt.Errorf("invalid --security-opt: %q", opt)
		}
		return nil
	}
	if opt == "disable" {
		key, value = "label", "disable"
	}
	if value == "" {
		return fmt.Errorf("invalid --security-opt: %q", opt)
	}
	switch key {
	case "seccomp":
		profile, err := seccompProfile(value)
		s.Seccomp = profile
		return err
	case "apparmor":
		s.AppArmor = value
	case "label":
		s.Label = append(s.Label, value)
	case "mask":
		s.Mask = append(s.Mask, strings.Split(value, ":")...)
	case "unmask":
		if strings.EqualFold(value, "all") {
			value = "ALL"
		}
		s.Unmask = append(s.Unmask, strings.Split(value, ":")...)
	case "systempaths":
		if value != "unconfined" {
			return fmt.Errorf("invalid --security-opt: %q", opt)
		}
		s.Unmask = append(s.Unmask, "ALL")
	default:
		return fmt.Errorf("invalid --security-opt: %q", opt)
	}
	return nil
}

// seccompProfile is what the configuration keeps of seccomp=: a word, or the
// profile itself, so that the file is not needed again.
func seccompProfile(value string) (string, error) {
	switch value {
	case "builtin", "unconfined":
		return value, nil
	}
	data, err := os.ReadFile(value)
	if err != nil {
		return "", fmt.Errorf("opening seccomp profile (%s) failed: %w", value, err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return "", fmt.Errorf("compacting json for seccomp profile (%s) failed: %w", value, err)
	}
	return compact.String(), nil
}
