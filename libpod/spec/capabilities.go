package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"ctr/libpod/config"
)

// DefaultCapabilities are the capabilities that Docker leaves to a container.
func DefaultCapabilities() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
		"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}
}

func (b *builder) capabilities() error {
	bounding, err := bounding(b.c.Security, b.Host)
	if err != nil {
		return err
	}
	if b.singleID() && b.User.UID != 0 {
		bounding = nil // asked to be nobody in particular, but runs as the namespace's root
	}
	b.g.Config.Process.Capabilities = capabilitySets(bounding, b.User.UID)
	return nil
}

// capabilitySets gives root its capabilities and others only the bound of what a
// set-uid program may give them, as execve would. Inheritable and ambient stay
// empty: with them, a program's file capabilities would give more than Docker's do.
func capabilitySets(bounding []string, uid uint32) *rspec.LinuxCapabilities {
	sets := &rspec.LinuxCapabilities{Bounding: bounding}
	if uid == 0 {
		sets.Effective, sets.Permitted = bounding, bounding
	}
	return sets
}

// bounding applies --cap-add and --cap-drop to the default, or to everything when privileged.
func bounding(s config.Security, h Host) ([]string, error) {
	if s.Privileged {
		return allCapabilities(h), nil
	}
	if len(s.CapAdd)+len(s.CapDrop) == 0 && h.Capabilities == 0 {
		return DefaultCapabilities(), nil
	}
	add, drop := s.CapAdd, s.CapDrop
	var all []string
	if slices.Contains(add, config.CapabilityAll) || len(add) > 0 || h.Capabilities != 0 {
		all = allCapabilities(h)
	}
	for _, name := range add {
		if name != config.CapabilityAll && !slices.Contains(all, name) {
			return nil, fmt.Errorf("invalid CapAdd: capability not supported by your kernel or not available in the current environment: %q", name)
		}
	}
	switch {
	case slices.Contains(add, config.CapabilityAll):
		return slices.DeleteFunc(all, func(name string) bool { return slices.Contains(drop, name) }), nil
	case slices.Contains(drop, config.CapabilityAll):
		return slices.Compact(slices.Sorted(slices.Values(add))), nil
	}
	caps := slices.DeleteFunc(DefaultCapabilities(), func(name string) bool {
		return slices.Contains(drop, name) || all != nil && !slices.Contains(all, name)
	})
	for _, name := range add {
		if !slices.Contains(caps, name) {
			caps = append(caps, name)
		}
	}
	return caps, nil
}

func allCapabilities(h Host) []string {
	known := capability.ListKnown()
	names := make([]string, 0, len(known))
	for _, c := range known {
		if h.Capabilities == 0 || h.Capabilities&(1<<uint(c)) != 0 {
			names = append(names, "CAP_"+strings.ToUpper(c.String()))
		}
	}
	return names
}
