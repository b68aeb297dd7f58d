package cgroups

import (
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

const mountpoint = "/sys/fs/cgroup"

// ForContainer is where this process can make the cgroup of the container id, as
// a path for the runtime spec, or false when it can make none. Root has /ctr/<id> in
// every hierarchy; another user a group below its own in a version 2 hierarchy, where
// that was delegated to it, as systemd does for user services. In a version 1 or
// hybrid hierarchy a user has none. Nothing is made here.
func ForContainer(id string) (string, bool) {
	return forContainer(mountpoint, "/proc/self/cgroup", id)
}

func forContainer(mount, self, id string) (string, bool) {
	unified := isUnified(mount)
	top := mount
	if !unified {
		top = path.Join(mount, "freezer") // stands for all: pause needs it
	}
	if writable(top) {
		return "/ctr/" + id, true
	}
	if !unified {
		return "", false
	}
	data, err := os.ReadFile(self)
	if err != nil {
		return "", false
	}
	own, ok := unifiedPath(string(data))
	if !ok || !delegated(path.Join(mount, own)) {
		return "", false
	}
	return path.Join(own, "ctr-"+id), true
}

// Unified reports whether the machine has a pure version 2 hierarchy.
func Unified() bool { return isUnified(mountpoint) }

func isUnified(mount string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(mount, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
}

// unifiedPath is the version 2 entry of a /proc/PID/cgroup file.
func unifiedPath(content string) (string, bool) {
	for line := range strings.Lines(content) {
		if own, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			// A group outside this cgroup namespace is shown with .. and cannot be reached.
			return own, path.IsAbs(own) && !strings.Contains(own, "/..")
		}
	}
	return "", false
}

// delegated reports whether groups can be made in dir and processes moved from it.
func delegated(dir string) bool {
	return writable(dir) && unix.Access(path.Join(dir, "cgroup.procs"), unix.W_OK) == nil
}

func writable(dir string) bool {
	return unix.Access(dir, unix.W_OK|unix.X_OK) == nil
}
