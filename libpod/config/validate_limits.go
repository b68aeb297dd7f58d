package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
)

// CapabilityAll stands for every capability in CapAdd and CapDrop.
const CapabilityAll = "ALL"

// Capability is the canonical name of a capability: upper case, with CAP_, or ALL.
func Capability(s string) (string, error) {
	name := strings.ToUpper(strings.TrimSpace(s))
	if name == CapabilityAll {
		return name, nil
	}
	if !strings.HasPrefix(name, "CAP_") {
		name = "CAP_" + name
	}
	for _, known := range capability.ListKnown() {
		if strings.EqualFold(known.String(), name[len("CAP_"):]) {
			return name, nil
		}
	}
	return "", fmt.Errorf("unknown capability: %q", name)
}

func checkCapabilities(field string, names []string) error {
	for _, name := range names {
		canonical, err := Capability(name)
		if err == nil && canonical != name {
			err = fmt.Errorf("unknown capability: %q", name)
		}
		if err != nil {
			return fmt.Errorf("invalid %s: %w", field, err)
		}
	}
	return nil
}

// CheckUlimit is nil when a limit's name is known and its soft limit is not above
// its hard limit; -1 is unlimited.
func CheckUlimit(u Ulimit) error {
	known := []string{
		"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice",
		"nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
	}
	if !slices.Contains(known, u.Name) {
		return fmt.Errorf("invalid ulimit type: %s", u.Name)
	}
	if u.Soft < -1 || u.Hard < -1 {
		return fmt.Errorf("invalid ulimit %s: a limit is a positive number, or -1 for unlimited", u.Name)
	}
	if u.Hard == -1 {
		return nil
	}
	if u.Soft == -1 {
		return fmt.Errorf("ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: %d", u.Hard)
	}
	if u.Soft > u.Hard {
		return fmt.Errorf("ulimit soft limit must be less than or equal to hard limit: %d > %d", u.Soft, u.Hard)
	}
	return nil
}

// CheckDevicePermissions is nil for a combination of r, w and m, each once.
func CheckDevicePermissions(s string) error {
	if !ValidDevicePermissions(s) {
		return fmt.Errorf("bad mode specified: %s", s)
	}
	return nil
}

// ValidDevicePermissions reports whether s is a combination of r, w and m, each once.
func ValidDevicePermissions(s string) bool {
	if s == "" || len(s) > 3 {
		return false
	}
	for i, c := range s {
		if !strings.ContainsRune("rwm", c) || strings.ContainsRune(s[:i], c) {
			return false
		}
	}
	return true
}
