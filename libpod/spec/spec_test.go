package spec

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"ctr/cgroups"
	"ctr/libpod/config"
)

// input is a container that runs `true` as root with Docker's defaults.
func input(change ...func(*Input)) Input {
	in := Input{
		Config:     &config.Container{ID: strings.Repeat("0123456789abcdef", 4), Cmd: []string{"true"}},
		Rootfs:     "/root-of-the-test",
		HasFullIDs: true,
	}
	for _, f := range change {
		f(&in)
	}
	return in
}

func build(t testing.TB, change ...func(*Input)) *rspec.Spec {
	t.Helper()
	s, err := Build(input(change...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantError(t *testing.T, want string, change ...func(*Input)) {
	t.Helper()
	_, err := Build(input(change...))
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line with %q", err, want)
	}
}

func rootless(in *Input) { in.Rootless = true }
func singleID(in *Input) { in.Rootless, in.HasFullIDs = true, false }

func mountAt(s *rspec.Spec, destination string) *rspec.Mount {
	i := slices.IndexFunc(s.Mounts, func(m rspec.Mount) bool { return m.Destination == destination })
	if i < 0 {
		return nil
	}
	return &s.Mounts[i]
}

func destinations(s *rspec.Spec) string {
	var all []string
	for _, m := range s.Mounts {
		all = append(all, m.Destination)
	}
	return strings.Join(all, " ")
}

func wantOptions(t *testing.T, m *rspec.Mount, want string) {
	t.Helper()
	if m == nil {
		t.Error("no such mount")
	} else if got := strings.Join(m.Options, ","); got != want {
		t.Errorf("%s mounted with %s, want %s", m.Destination, got, want)
	}
}

func TestDefaultsAreDockers(t *testing.T) {
	s := build(t)
	if got := destinations(s); got != "/proc /dev /dev/pts /sys /sys/fs/cgroup /dev/mqueue /dev/shm" {
		t.Errorf("mounts %s", got)
	}
	wantOptions(t, mountAt(s, "/dev"), "nosuid,strictatime,mode=755,size=65536k")
	wantOptions(t, mountAt(s, "/dev/pts"), "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5")
	wantOptions(t, mountAt(s, "/dev/shm"), "nosuid,noexec,nodev,mode=1777,size=67108864")
	wantOptions(t, mountAt(s, "/sys"), "nosuid,noexec,nodev,ro")
	wantOptions(t, mountAt(s, "/sys/fs/cgroup"), "ro,nosuid,noexec,nodev")
	if got := strings.Join(s.Process.Env, " "); got != defaultPath+" HOSTNAME=0123456789ab HOME=/" {
		t.Errorf("environment %s", got)
	}
	if s.Hostname != "0123456789ab" || s.Process.Cwd != "/" || s.Process.NoNewPrivileges || s.Process.Terminal || len(s.Process.Rlimits) != 0 {
		t.Errorf("hostname %q, process %+v", s.Hostname, s.Process)
	}
	var types []string
	for _, ns := range s.Linux.Namespaces {
		types = append(types, string(ns.Type)+ns.Path)
	}
	if got := strings.Join(types, " "); got != "mount network uts pid ipc cgroup" {
		t.Errorf("namespaces %s", got)
	}
	rules := s.Linux.Resources.Devices
	if len(rules) != 1 || rules[0].Allow || rules[0].Access != "rwm" {
		t.Errorf("device rules %+v", rules)
	}
}

func TestNamespaces(t *testing.T) {
	s := build(t, func(in *Input) {
		in.Namespaces = map[rspec.LinuxNamespaceType]string{
			rspec.NetworkNamespace: "/proc/7/fd/9", rspec.UTSNamespace: NamespaceHost, rspec.MountNamespace: NamespaceHost,
		}
		in.Config.NS.UTS = "host"
		in.Host.Hostname = "machine"
	})
	if s.Linux.Namespaces[1].Path != "/proc/7/fd/9" {
		t.Errorf("network namespace %+v", s.Linux.Namespaces[1])
	}
	if s.Hostname != "" || !slices.Contains(s.Process.Env, "HOSTNAME=machine") {
		t.Errorf("hostname %q, environment %q", s.Hostname, s.Process.Env)
	}
	for _, ns := range s.Linux.Namespaces {
		if ns.Type == rspec.UTSNamespace {
			t.Error("has a UTS namespace of its own")
		}
	}
	if s.Linux.Namespaces[0].Type != rspec.MountNamespace {
		t.Error("has no mount namespace of its own")
	}
	s = build(t, func(in *Input) { in.Host.CgroupV1 = true })
	if last := s.Linux.Namespaces[len(s.Linux.Namespaces)-1]; last.Type == rspec.CgroupNamespace {
		t.Error("unshares the cgroup namespace of a version 1 hierarchy without being asked")
	}
	s = build(t, func(in *Input) { in.Host.CgroupV1, in.Config.NS.Cgroup = true, "private" })
	if last := s.Linux.Namespaces[len(s.Linux.Namespaces)-1]; last.Type != rspec.CgroupNamespace {
		t.Error("--cgroupns private gives no cgroup namespace")
	}
}

func TestInitRunsTheCommandInAPrivatePidNamespaceOnly(t *testing.T) {
	s := build(t, func(in *Input) { in.Config.Init = true })
	if got := strings.Join(s.Process.Args, " "); got != "/sbin/docker-init -- true" {
		t.Errorf("args %s", got)
	}
	s = build(t, func(in *Input) {
		in.Config.Init = true
		in.Namespaces = map[rspec.LinuxNamespaceType]string{rspec.PIDNamespace: NamespaceHost}
	})
	if got := strings.Join(s.Process.Args, " "); got != "true" {
		t.Errorf("args %s", got)
	}
}

func TestSysctls(t *testing.T) {
	s := build(t)
	if s.Linux.Sysctl["net.ipv4.ip_unprivileged_port_start"] != "0" || s.Linux.Sysctl["net.ipv4.ping_group_range"] != "0 2147483647" {
		t.Errorf("default sysctls %v", s.Linux.Sysctl)
	}
	if s = build(t, rootless); s.Linux.Sysctl["net.ipv4.ping_group_range"] != "" {
		t.Error("sets a group range that a user namespace does not map")
	}
	for _, mode := range []string{"host", "container:x", "ns:/run/x"} {
		if s = build(t, func(in *Input) { in.Config.NS.Network = mode }); len(s.Linux.Sysctl) != 0 {
			t.Errorf("network %s: changes %v of somebody else's namespace", mode, s.Linux.Sysctl)
		}
	}
	set := func(key string) func(*Input) {
		return func(in *Input) { in.Config.Sysctls = map[string]string{key: "1"} }
	}
	hostNet := func(in *Input) {
		in.Namespaces = map[rspec.LinuxNamespaceType]string{rspec.NetworkNamespace: NamespaceHost}
	}
	hostIPC := func(in *Input) {
		in.Namespaces = map[rspec.LinuxNamespaceType]string{rspec.IPCNamespace: NamespaceHost}
	}
	if s = build(t, set("net.ipv4.ip_forward")); s.Linux.Sysctl["net.ipv4.ip_forward"] != "1" {
		t.Errorf("sysctls %v", s.Linux.Sysctl)
	}
	wantError(t, `sysctl "net.ipv4.ip_forward" not allowed in host network namespace`, set("net.ipv4.ip_forward"), hostNet)
	wantError(t, `sysctl "kernel.shmmax" is not allowed in the hosts ipc namespace`, set("kernel.shmmax"), hostIPC)
	wantError(t, `sysctl 'kernel.core_pattern' is not allowed`, set("kernel.core_pattern"))
	wantError(t, `sysctl 'net.x/../../kernel/core_pattern' is not allowed`, set("net.x/../../kernel/core_pattern"))
}

func TestRlimitsAndOOMScore(t *testing.T) {
	ulimit := func(soft, hard int64) func(*Input) {
		return func(in *Input) { in.Config.Ulimits = []config.Ulimit{{Name: "nofile", Soft: soft, Hard: hard}} }
	}
	confined := func(in *Input) {
		in.Host = Host{Confined: true, OOMScoreAdj: 100, HardLimits: map[string]uint64{"nofile": 4096}}
	}
	s := build(t, ulimit(1024, -1))
	if got := s.Process.Rlimits[0]; got.Type != "RLIMIT_NOFILE" || got.Soft != 1024 || got.Hard != math.MaxUint64 {
		t.Errorf("rlimit %+v", got)
	}
	build(t, ulimit(1024, 4096), confined)
	wantError(t, "hard limit 4097 is above ctr's own of 4096", ulimit(1024, 4097), confined)
	wantError(t, "hard limit unlimited is above ctr's own of 4096", ulimit(1024, -1), confined)

	score := func(n int) func(*Input) { return func(in *Input) { in.Config.OOMScoreAdj = &n } }
	if s := build(t, score(-500)); *s.Process.OOMScoreAdj != -500 {
		t.Errorf("root's score %d", *s.Process.OOMScoreAdj)
	}
	if s := build(t, score(-500), confined); *s.Process.OOMScoreAdj != 100 {
		t.Errorf("a user's score %d is below its own", *s.Process.OOMScoreAdj)
	}
	if s := build(t, score(300), confined); *s.Process.OOMScoreAdj != 300 {
		t.Errorf("a user's score %d", *s.Process.OOMScoreAdj)
	}
	if s := build(t); s.Process.OOMScoreAdj != nil {
		t.Error("sets a score that nobody asked for")
	}
}

func TestLimitsKeepTheDeviceRules(t *testing.T) {
	s := build(t, func(in *Input) {
		in.Config.Limits = cgroups.Limits{PidsLimit: 50}
		in.CgroupsPath = "/ctr/x"
	})
	if r := s.Linux.Resources; *r.Pids.Limit != 50 || len(r.Devices) != 1 || s.Linux.CgroupsPath != "/ctr/x" {
		t.Errorf("resources %+v, cgroup %q", r, s.Linux.CgroupsPath)
	}
}

func TestBuildLeavesTheConfigurationAlone(t *testing.T) {
	in := input(func(in *Input) {
		in.Config.Env = []string{"A=1", "PATH=/x", "HOME="}
		in.Config.Security.Mask = []string{"/etc/x"}
		in.Config.Security.CapAdd = []string{"CAP_NET_ADMIN"}
		in.Config.Annotations = map[string]string{"a": "b"}
		in.Config.Mounts = []config.Mount{{Type: config.MountTmpfs, Destination: "/t/"}}
		in.Mounts = []rspec.Mount{{Destination: "/a/b", Type: "bind", Source: "/x"}, {Destination: "/c", Type: "bind", Source: "/y"}}
	})
	before, _ := json.Marshal(in)
	s, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	s.Process.Env[0] = "changed"
	s.Annotations["a"] = "changed"
	s.Process.Capabilities.Bounding[0] = "changed"
	if after, _ := json.Marshal(in); string(after) != string(before) {
		t.Errorf("changed its input\nfrom %s\nto   %s", before, after)
	}
}

func BenchmarkBuild(b *testing.B) {
	in := input(rootless, func(in *Input) {
		in.Config.Env = []string{"A=1", "PATH=/bin"}
		in.Config.Mounts = []config.Mount{{Type: config.MountBind, Source: "/srv", Destination: "/srv"}, {Type: config.MountTmpfs, Destination: "/tmp"}}
		in.Mounts = []rspec.Mount{{Destination: "/etc/hosts", Type: "bind", Source: "/run/x/hosts"}, {Destination: "/etc/resolv.conf", Type: "bind", Source: "/run/x/resolv.conf"}}
		in.User.Groups = []uint32{10, 20}
	})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Build(in); err != nil {
			b.Fatal(err)
		}
	}
}
