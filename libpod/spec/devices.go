package spec

import (
	"errors"
	"fmt"
	"os"
	"slices"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
)

// Device is a device node of the machine that a container gets.
type Device struct {
	Host, Container string // paths
	Type            string // "c" or "b"
	Major, Minor    int64
	Mode            uint32 // permission bits
	UID, GID        uint32
	Permissions     string // any of r, w, m; ignored when privileged
}

// devices gives the container the nodes that were asked for, and the default ones,
// which every OCI runtime adds by itself. In a user namespace no node can be made and
// no rule set, so the host's own nodes are mounted, with the host's permissions.
func (b *builder) devices() error {
	if len(b.c.Devices) > 0 && len(b.Host.Devices) == 0 {
		return errors.New("--device: the devices were not looked up on this machine")
	}
	privileged := b.c.Security.Privileged
	if b.Rootless {
		return b.bindDevices(privileged)
	}
	rules := []rspec.LinuxDeviceCgroup{{Allow: privileged, Access: "rwm"}}
	for _, d := range b.Host.Devices {
		mode, uid, gid := os.FileMode(d.Mode), d.UID, d.GID
		b.g.AddDevice(rspec.LinuxDevice{Path: d.Container, Type: d.Type, Major: d.Major, Minor: d.Minor, FileMode: &mode, UID: &uid, GID: &gid})
		if !privileged {
			major, minor := d.Major, d.Minor
			rules = append(rules, rspec.LinuxDeviceCgroup{Allow: true, Type: d.Type, Major: &major, Minor: &minor, Access: d.Permissions})
		}
	}
	b.g.Config.Linux.Resources = &rspec.LinuxResources{Devices: rules}
	return nil
}

func (b *builder) bindDevices(privileged bool) error {
	for _, d := range b.Host.Devices {
		if !privileged && (d.Permissions == "r" || d.Permissions == "w") {
			return fmt.Errorf("--device %s: permission %q alone cannot be enforced without root; use rw, which is the file's own permissions", d.Host, d.Permissions)
		}
		if slices.Contains(defaultDevices, d.Container) && d.Host == d.Container {
			continue
		}
		b.g.AddMount(rspec.Mount{Destination: d.Container, Type: "bind", Source: d.Host, Options: []string{"bind", "nosuid", "noexec", "rprivate"}})
	}
	return nil
}

// defaultDevices are in every container.
var defaultDevices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/random", "/dev/urandom", "/dev/ptmx", "/dev/console"}
