package host

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/libpod/config"
	"ctr/libpod/spec"
)

// devices looks up what --device names and, for --privileged, all of /dev. Nothing
// is opened: opening some devices has effects, as with a watchdog or a tape.
func devices(c *config.Container, rootless bool) ([]spec.Device, error) {
	var found []spec.Device
	if c.Security.Privileged {
		found = allDevices(rootless)
	}
	for _, d := range c.Devices {
		nodes, err := lookup(d)
		if err != nil {
			return nil, err
		}
		found = append(found, nodes...)
	}
	return found, nil
}

// lookup is the device that d names, or every one below the directory that it names.
func lookup(d config.Device) ([]spec.Device, error) {
	hostPath, err := filepath.EvalSymlinks(d.Host)
	if err != nil {
		return nil, fmt.Errorf("error gathering device information while adding custom device %q: no such file or directory", d.Host)
	}
	if node, ok := stat(hostPath); ok {
		node.Container, node.Permissions = d.Container, d.Permissions
		return []spec.Device{node}, nil
	}
	var found []spec.Device
	_ = filepath.WalkDir(hostPath, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return nil // what cannot be read is not given
		}
		if node, ok := stat(p); ok {
			node.Container, node.Permissions = path.Join(d.Container, strings.TrimPrefix(p, hostPath)), d.Permissions
			found = append(found, node)
		}
		return nil
	})
	if len(found) == 0 {
		return nil, fmt.Errorf("error gathering device information while adding custom device %q: not a device node", d.Host)
	}
	return found, nil
}

// allDevices are the nodes below /dev that a privileged container sees; in a user
// namespace only those that this user may read and write, since the others would
// be of no use to it.
func allDevices(rootless bool) []spec.Device {
	var found []spec.Device
	_ = filepath.WalkDir("/dev", func(p string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case entry.IsDir():
			switch entry.Name() {
			case "pts", "shm", "fd", "mqueue", "hugepages", ".lxc", ".lxd-mounts", ".udev":
				return fs.SkipDir
			}
			return nil
		case p == "/dev/console", p == "/dev/ptmx", entry.Type()&fs.ModeDevice == 0:
			return nil
		case rootless && unix.Access(p, unix.R_OK|unix.W_OK) != nil:
			return nil
		}
		if node, ok := stat(p); ok {
			node.Permissions = "rwm"
			found = append(found, node)
		}
		return nil
	})
	return found
}

// stat is the device node at p; a FIFO or a file is none.
func stat(p string) (spec.Device, bool) {
	var st unix.Stat_t
	if unix.Lstat(p, &st) != nil {
		return spec.Device{}, false
	}
	d := spec.Device{
		Host: p, Container: p, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid,
		Major: int64(unix.Major(uint64(st.Rdev))), Minor: int64(unix.Minor(uint64(st.Rdev))),
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		d.Type = "c"
	case unix.S_IFBLK:
		d.Type = "b"
	default:
		return spec.Device{}, false
	}
	return d, true
}
