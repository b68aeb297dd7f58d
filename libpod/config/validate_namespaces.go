package config

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// SysctlNamespace names the namespace that a kernel parameter belongs to, "ipc" or
// "network"; "" when it belongs to none that a container has of its own.
func SysctlNamespace(key string) string {
	switch key {
	case "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
		"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced":
		return "ipc"
	}
	switch {
	case strings.ContainsAny(key, "/\x00") || strings.Contains(key, ".."):
		return "" // becomes a path below /proc/sys
	case strings.HasPrefix(key, "fs.mqueue."):
		return "ipc"
	case strings.HasPrefix(key, "net."):
		return "network"
	}
	return ""
}

// CheckSysctl is nil when a container may set the kernel parameter key in the given namespaces.
func CheckSysctl(key string, ns Namespaces) error {
	switch SysctlNamespace(key) {
	case "network":
		if ns.Network == "host" {
			return fmt.Errorf("sysctl %q not allowed in host network namespace", key)
		}
		return nil
	case "ipc":
		if ns.IPC == "host" {
			return fmt.Errorf("sysctl %q is not allowed in the hosts ipc namespace", key)
		}
		return nil
	}
	return fmt.Errorf("sysctl '%s' is not allowed", key)
}

// The modes that each namespace has beside "", container:ID and ns:PATH.
var (
	networkModes = []string{"none", "host", "pasta", "slirp4netns"}
	ipcModes     = []string{"none", "private", "shareable", "host"}
	pidModes     = []string{"private", "host"}
	utsModes     = []string{"private", "host"}
	cgroupModes  = []string{"private", "host"}
)

// Check is nil when every mode is one that its namespace has.
func (n Namespaces) Check() error {
	switch {
	case n.Network == "container:" || n.Network == "container":
		return errors.New("invalid network mode: invalid container format container:<name|id>")
	case !validMode(withoutOptions(n.Network), networkModes):
		return fmt.Errorf("network %s not found", n.Network)
	case !validMode(n.IPC, ipcModes):
		return fmt.Errorf("invalid IPC mode: %s", n.IPC)
	case !validMode(n.PID, pidModes):
		return errors.New("--pid: invalid PID mode")
	case !validMode(n.UTS, utsModes):
		return errors.New("--uts: invalid UTS mode")
	case !validMode(n.Cgroup, cgroupModes):
		return errors.New("--cgroupns: invalid CGROUP mode")
	case n.User != "" && n.User != "host":
		return errors.New("--userns: invalid USER mode")
	}
	return nil
}

// withoutOptions takes Podman's options away from the modes that have them.
func withoutOptions(mode string) string {
	name, _, _ := strings.Cut(mode, ":")
	switch name {
	case "pasta", "slirp4netns":
		return name
	}
	return mode
}

func validMode(mode string, known []string) bool {
	if id, ok := strings.CutPrefix(mode, "container:"); ok {
		return id != ""
	}
	if p, ok := strings.CutPrefix(mode, "ns:"); ok {
		return path.IsAbs(p)
	}
	return mode == "" || slices.Contains(known, mode)
}
