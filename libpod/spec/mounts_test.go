package spec

import (
	"strings"
	"testing"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"ctr/libpod/config"
)

func userMounts(mounts ...config.Mount) func(*Input) {
	return func(in *Input) { in.Config.Mounts = mounts }
}

func hostNamespace(t rspec.LinuxNamespaceType) func(*Input) {
	return func(in *Input) { in.Namespaces = map[rspec.LinuxNamespaceType]string{t: NamespaceHost} }
}

func TestParentsAreMountedBeforeChildren(t *testing.T) {
	s := build(t, userMounts(
		config.Mount{Type: config.MountBind, Source: "/x", Destination: "/a/b/c"},
		config.Mount{Type: config.MountTmpfs, Destination: "/a"},
		config.Mount{Type: config.MountBind, Source: "/y", Destination: "/dev/extra"},
	), func(in *Input) { in.Mounts = []rspec.Mount{{Destination: "/a/b", Type: "bind", Source: "/vol"}} })
	got := destinations(s)
	if !strings.HasSuffix(got, "/dev/shm /a /a/b /dev/extra /a/b/c") {
		t.Errorf("order %s", got)
	}
}

func TestUserMountsReplaceDefaults(t *testing.T) {
	s := build(t, userMounts(config.Mount{Type: config.MountBind, Source: "/dev", Destination: "/dev"}))
	if got := destinations(s); got != "/proc /sys /sys/fs/cgroup /dev" {
		t.Errorf("mounts %s", got)
	}
	s = build(t, userMounts(config.Mount{Type: config.MountTmpfs, Destination: "/dev/shm", Options: []string{"size=1m"}}))
	wantOptions(t, mountAt(s, "/dev/shm"), "noexec,nosuid,nodev,size=1m,rprivate")
	s = build(t, userMounts(config.Mount{Type: config.MountBind, Source: "/mine", Destination: "/etc/hosts"}), func(in *Input) {
		in.Mounts = []rspec.Mount{{Destination: "/etc/hosts", Type: "bind", Source: "/run/hosts"}}
	})
	if m := mountAt(s, "/etc/hosts"); m.Source != "/mine" || strings.Count(destinations(s), "/etc/hosts") != 1 {
		t.Errorf("hosts from %s in %s", m.Source, destinations(s))
	}
}

func TestVolumesComeResolved(t *testing.T) {
	volume := userMounts(config.Mount{Type: config.MountVolume, Source: "data", Destination: "/data"})
	wantError(t, "volume data at /data was not resolved", volume)
	s := build(t, volume, func(in *Input) { in.Mounts = []rspec.Mount{{Destination: "/data", Type: "bind", Source: "/v/data"}} })
	if m := mountAt(s, "/data"); m == nil || m.Source != "/v/data" {
		t.Errorf("volume mount %+v", m)
	}
}

func TestBindOptions(t *testing.T) {
	for _, c := range []struct {
		mount config.Mount
		host  Host
		want  string // options, or an error's text when it has a space
	}{
		{config.Mount{}, Host{}, "rbind,rprivate"},
		{config.Mount{ReadOnly: true}, Host{}, "rbind,rro,rprivate"},
		{config.Mount{ReadOnly: true}, Host{NoRecursiveReadOnly: true}, "rbind,ro,rprivate"},
		{config.Mount{ReadOnly: true, Recursive: "writable"}, Host{}, "rbind,ro,rprivate"},
		{config.Mount{ReadOnly: true, Recursive: "disabled"}, Host{}, "bind,ro,rprivate"},
		{config.Mount{ReadOnly: true, Recursive: "readonly"}, Host{}, "rbind,rro,rprivate"},
		{config.Mount{ReadOnly: true, Recursive: "readonly"}, Host{NoRecursiveReadOnly: true}, "needs Linux 5.12"},
		{config.Mount{Propagation: "rslave"}, Host{}, "rbind,rslave"},
		{config.Mount{Propagation: "rshared"}, Host{}, "is not a shared mount"},
		{config.Mount{Options: []string{"z", "U", "noexec"}}, Host{}, "rbind,rprivate,noexec"},
	} {
		m, err := Bind(c.mount, "/src", c.host)
		if strings.Contains(c.want, " ") {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: error %v, want %q", c.mount, err, c.want)
			}
		} else if got := strings.Join(m.Options, ","); err != nil || got != c.want {
			t.Errorf("%+v: options %s, %v, want %s", c.mount, got, err, c.want)
		}
	}
	s := build(t, userMounts(config.Mount{Type: config.MountBind, Source: "/x", Destination: "/x", Propagation: "rslave"}))
	if s.Linux.RootfsPropagation != "rslave" {
		t.Errorf("root propagation %q", s.Linux.RootfsPropagation)
	}
}

// What only a namespace's owner may mount is the host's where the namespace is.
func TestSharedNamespacesInAUserNamespace(t *testing.T) {
	s := build(t, rootless, hostNamespace(rspec.NetworkNamespace))
	wantOptions(t, mountAt(s, "/sys"), "rbind,rslave,nosuid,noexec,nodev,rro")
	s = build(t, hostNamespace(rspec.NetworkNamespace))
	wantOptions(t, mountAt(s, "/sys"), "nosuid,noexec,nodev,ro")
	s = build(t, rootless, hostNamespace(rspec.PIDNamespace))
	wantOptions(t, mountAt(s, "/proc"), "rbind,nosuid,noexec,nodev")
	s = build(t, rootless, hostNamespace(rspec.IPCNamespace))
	wantOptions(t, mountAt(s, "/dev/mqueue"), "rbind,nosuid,noexec,nodev")
	wantOptions(t, mountAt(s, "/dev/shm"), "rbind,nosuid,noexec,nodev")
	s = build(t, rootless, hostNamespace(rspec.IPCNamespace), func(in *Input) { in.Host.NoMqueue = true })
	if mountAt(s, "/dev/mqueue") != nil {
		t.Error("binds a /dev/mqueue that the host does not have")
	}
	s = build(t, func(in *Input) { in.Config.NS.IPC = "none" })
	if mountAt(s, "/dev/shm") != nil {
		t.Error("--ipc none has a /dev/shm")
	}
}

func TestCgroupMountNeedsACgroupToShow(t *testing.T) {
	v1 := func(in *Input) { in.Host.CgroupV1 = true }
	if s := build(t, rootless, v1); mountAt(s, "/sys/fs/cgroup") != nil {
		t.Error("shows the host's cgroups to a container that has none")
	}
	if s := build(t, v1); mountAt(s, "/sys/fs/cgroup") == nil {
		t.Error("root's container has no cgroup mount")
	}
	if s := build(t, rootless); mountAt(s, "/sys/fs/cgroup") == nil {
		t.Error("no cgroup mount in a version 2 hierarchy")
	}
}

func TestShmSize(t *testing.T) {
	s := build(t, func(in *Input) { in.Config.ShmSize = 1 << 20 })
	wantOptions(t, mountAt(s, "/dev/shm"), "nosuid,noexec,nodev,mode=1777,size=1048576")
}

// A mount inside /proc could fake or hide what the kernel says (CVE-2019-16884 and its kin).
func TestSecurityMountsInsideProc(t *testing.T) {
	for destination, allowed := range map[string]bool{
		"/proc": false, "/proc/self/attr": false, "/proc/sys/kernel": false, "/proc/../proc/keys": false,
		"/proc/cpuinfo": true, "/proc/meminfo": true, "/process": true,
	} {
		_, err := Build(input(userMounts(config.Mount{Type: config.MountBind, Source: "/x", Destination: destination})))
		if (err == nil) != allowed {
			t.Errorf("%s: %v", destination, err)
		}
	}
	if _, err := Build(input(userMounts(config.Mount{Type: config.MountBind, Source: "/proc", Destination: "/proc"}))); err != nil {
		t.Errorf("-v /proc:/proc: %v", err)
	}
	wantError(t, `"/proc/keys" cannot be mounted because it is inside /proc`, func(in *Input) {
		in.Mounts = []rspec.Mount{{Destination: "/proc/keys", Type: "bind", Source: "/v"}}
	})
}
