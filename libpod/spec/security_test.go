package spec

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/moby/profiles/seccomp"
	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"ctr/libpod/config"
)

func security(s config.Security) func(*Input) {
	return func(in *Input) { in.Config.Security = s }
}

// Inheritable or ambient capabilities give programs with file capabilities more
// than Docker's containers have (CVE-2022-29162).
func TestSecurityCapabilities(t *testing.T) {
	for name, c := range map[string]struct {
		security config.Security
		host     uint64
		uid      uint32
		bounding string // "+X" and "-X" against the default, or a whole list
	}{
		"default":     {},
		"user":        {uid: 1000},
		"add":         {security: config.Security{CapAdd: []string{"CAP_NET_ADMIN"}}, bounding: "+CAP_NET_ADMIN"},
		"add twice":   {security: config.Security{CapAdd: []string{"CAP_CHOWN"}}},
		"drop":        {security: config.Security{CapDrop: []string{"CAP_CHOWN"}}, bounding: "-CAP_CHOWN"},
		"drop all":    {security: config.Security{CapDrop: []string{"ALL"}}, bounding: "none"},
		"drop others": {security: config.Security{CapDrop: []string{"ALL"}, CapAdd: []string{"CAP_KILL"}}, bounding: "CAP_KILL"},
		"nested":      {host: 1<<0 | 1<<5, bounding: "CAP_CHOWN CAP_KILL"},
	} {
		t.Run(name, func(t *testing.T) {
			s := build(t, security(c.security), func(in *Input) { in.User.UID, in.Host.Capabilities = c.uid, c.host })
			caps := s.Process.Capabilities
			if len(caps.Inheritable) != 0 || len(caps.Ambient) != 0 {
				t.Errorf("inheritable %v, ambient %v", caps.Inheritable, caps.Ambient)
			}
			want := expand(c.bounding)
			if got := slices.Sorted(slices.Values(caps.Bounding)); !slices.Equal(got, want) {
				t.Errorf("bounding %v, want %v", got, want)
			}
			active := want
			if c.uid != 0 {
				active = nil
			}
			for _, set := range [][]string{caps.Effective, caps.Permitted} {
				if got := slices.Sorted(slices.Values(set)); !slices.Equal(got, active) {
					t.Errorf("effective or permitted %v, want %v", got, active)
				}
			}
		})
	}
}

func expand(bounding string) []string {
	caps := DefaultCapabilities()
	switch {
	case bounding == "none":
		return nil
	case strings.HasPrefix(bounding, "+"):
		caps = append(caps, bounding[1:])
	case strings.HasPrefix(bounding, "-"):
		caps = slices.DeleteFunc(caps, func(c string) bool { return c == bounding[1:] })
	case bounding != "":
		caps = strings.Fields(bounding)
	}
	return slices.Sorted(slices.Values(caps))
}

func TestSecurityUnavailableCapabilityIsRefused(t *testing.T) {
	wantError(t, `not available in the current environment: "CAP_SYS_ADMIN"`,
		security(config.Security{CapAdd: []string{"CAP_SYS_ADMIN"}}), func(in *Input) { in.Host.Capabilities = 1 })
}

func TestAllCapabilitiesMinusDropped(t *testing.T) {
	s := build(t, security(config.Security{CapAdd: []string{"ALL"}, CapDrop: []string{"CAP_SYS_ADMIN"}}))
	if b := s.Process.Capabilities.Bounding; len(b) < 40 || slices.Contains(b, "CAP_SYS_ADMIN") {
		t.Errorf("bounding %v", b)
	}
}

func TestPrivileged(t *testing.T) {
	s := build(t, security(config.Security{Privileged: true}), func(in *Input) {
		in.Host.Devices = []Device{{Host: "/dev/kvm", Container: "/dev/kvm", Type: "c", Major: 10, Minor: 232, Permissions: "rwm"}}
	})
	if s.Linux.Seccomp != nil || len(s.Linux.MaskedPaths)+len(s.Linux.ReadonlyPaths) != 0 {
		t.Errorf("privileged, but %+v", s.Linux)
	}
	wantOptions(t, mountAt(s, "/sys"), "nosuid,noexec,nodev")
	wantOptions(t, mountAt(s, "/sys/fs/cgroup"), "nosuid,noexec,nodev")
	if rules := s.Linux.Resources.Devices; len(rules) != 1 || !rules[0].Allow {
		t.Errorf("device rules %+v", rules)
	}
	if len(s.Linux.Devices) != 1 || s.Linux.Devices[0].Path != "/dev/kvm" || len(s.Process.Capabilities.Effective) < 40 {
		t.Errorf("devices %+v, capabilities %v", s.Linux.Devices, s.Process.Capabilities.Effective)
	}
}

// /proc/keys and the like are masked (keyring leaks; release_agent and procfs writes go by the read-only paths).
func TestSecurityMaskedPaths(t *testing.T) {
	s := build(t, func(in *Input) { in.Host.MaskedPaths = []string{"/sys/devices/system/cpu/cpu0/thermal_throttle"} })
	for _, p := range []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
		"/sys/devices/system/cpu/cpu0/thermal_throttle",
	} {
		if !slices.Contains(s.Linux.MaskedPaths, p) {
			t.Errorf("%s is not masked", p)
		}
	}
	for _, p := range []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"} {
		if !slices.Contains(s.Linux.ReadonlyPaths, p) {
			t.Errorf("%s is not read-only", p)
		}
	}
}

func TestUnmask(t *testing.T) {
	all := len(maskedPaths()) + len(readonlyPaths())
	for _, c := range []struct {
		unmask, mask []string
		want         int
	}{
		{[]string{"ALL"}, nil, 0},
		{[]string{"/proc/keys/"}, nil, all - 1},
		{[]string{"/proc/sys", "/sys/firmware"}, nil, all - 2},
		{[]string{"/proc/*"}, nil, 2},
		{nil, []string{"/etc/secret", "/proc/keys"}, all + 1},
		{[]string{"ALL"}, []string{"/proc/keys"}, 1},
	} {
		s := build(t, security(config.Security{Unmask: c.unmask, Mask: c.mask}))
		if got := len(s.Linux.MaskedPaths) + len(s.Linux.ReadonlyPaths); got != c.want {
			t.Errorf("unmask %v, mask %v: %d paths, want %d", c.unmask, c.mask, got, c.want)
		}
	}
}

// With one id there is no setgroups and nobody else to become.
func TestSecuritySingleIDHasNoGroupsAndNoOtherUser(t *testing.T) {
	postgres := func(in *Input) { in.User = User{UID: 999, GID: 999, Groups: []uint32{10}, Home: "/var/lib/postgresql"} }
	in := input(singleID, postgres)
	s, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	if u := s.Process.User; !in.Squashed() || u.UID != 0 || u.GID != 0 || len(u.AdditionalGids) != 0 {
		t.Errorf("squashed %t, user %+v", in.Squashed(), u)
	}
	if c := s.Process.Capabilities; len(c.Bounding)+len(c.Effective)+len(c.Permitted) != 0 {
		t.Errorf("a squashed user has capabilities %+v", c)
	}
	if !slices.Contains(s.Process.Env, "HOME=/var/lib/postgresql") {
		t.Errorf("environment %q", s.Process.Env)
	}
	wantOptions(t, mountAt(s, "/dev/pts"), "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620")

	root := input(singleID)
	s, err = Build(root)
	if err != nil || root.Squashed() || len(s.Process.Capabilities.Effective) != 14 || len(s.Process.User.AdditionalGids) != 0 {
		t.Errorf("root with one id: %+v, %v", s.Process, err)
	}
	s = build(t, rootless, postgres)
	if u := s.Process.User; u.UID != 999 || !slices.Equal(u.AdditionalGids, []uint32{999, 10}) {
		t.Errorf("with all ids: %+v", u)
	}
}

// An image's Env must never bring in the host's variables (CVE-2026-57231).
func TestSecurityEnvironment(t *testing.T) {
	t.Setenv("CTR_TEST_SECRET", "leak")
	s := build(t, func(in *Input) {
		in.Config.Env = []string{"*", "CTR_TEST_*", "CTR_TEST_SECRET", "", "=x", "NUL=a\x00b", "${CTR_TEST_SECRET}=1", "A=${CTR_TEST_SECRET}", "B==", "B=2"}
	})
	want := []string{defaultPath, "HOSTNAME=0123456789ab", "${CTR_TEST_SECRET}=1", "A=${CTR_TEST_SECRET}", "B=2", "HOME=/"}
	if !slices.Equal(s.Process.Env, want) {
		t.Errorf("environment %q, want %q", s.Process.Env, want)
	}
	for _, e := range s.Process.Env {
		if strings.Contains(e, "leak") {
			t.Errorf("leaked the host's %q", e)
		}
	}
}

func TestEnvironment(t *testing.T) {
	s := build(t, func(in *Input) {
		in.Config.TTY = true
		in.Config.Hostname = "web"
		in.Config.Env = []string{"PATH=/bin", "TERM", "HOME="}
		in.User.Home = "/root"
	})
	if want := []string{"PATH=/bin", "HOSTNAME=web", "HOME=/root"}; !slices.Equal(s.Process.Env, want) {
		t.Errorf("environment %q, want %q", s.Process.Env, want)
	}
	s = build(t, func(in *Input) { in.Config.TTY = true })
	if !s.Process.Terminal || !slices.Contains(s.Process.Env, "TERM=xterm") || s.Process.ConsoleSize != nil {
		t.Errorf("process %+v", s.Process)
	}
}

// Labels and the image's own data are shown, never obeyed (CVE-2026-94603, -53488).
func TestSecurityLabelsChangeNothing(t *testing.T) {
	plain, _ := json.Marshal(build(t))
	labelled := build(t, func(in *Input) {
		in.Config.Labels = map[string]string{
			"io.podman.annotations.privileged": "TRUE", "org.systemd.property.DeviceAllow": "['/dev/sda rwm']",
			"run.oci.keep_original_groups": "1", "io.kubernetes.cri-o.Devices": "/dev/sda", "org.opencontainers.image.stopSignal": "9",
		}
		in.Config.Image = config.ImageRef{Name: "evil", Volumes: []string{"/proc"}}
	})
	if got, _ := json.Marshal(labelled); string(got) != string(plain) {
		t.Errorf("labels change the spec\nfrom %s\nto   %s", plain, got)
	}
	s := build(t, func(in *Input) { in.Config.Annotations = map[string]string{"mine": "1"} })
	if len(s.Annotations) != 1 || s.Annotations["mine"] != "1" {
		t.Errorf("annotations %v", s.Annotations)
	}
}

func TestSecurityDevices(t *testing.T) {
	fuse := Device{Host: "/dev/fuse", Container: "/dev/f", Type: "c", Major: 10, Minor: 229, Mode: 0o666, Permissions: "rw"}
	asked := func(in *Input) {
		in.Config.Devices = []config.Device{{Host: "/dev/fuse", Container: "/dev/f", Permissions: "rw"}}
		in.Host.Devices = []Device{fuse}
	}
	s := build(t, asked)
	rules := s.Linux.Resources.Devices
	if len(rules) != 2 || rules[0].Allow || *rules[1].Minor != 229 || rules[1].Access != "rw" {
		t.Errorf("rules %+v", rules)
	}
	if d := s.Linux.Devices; len(d) != 1 || d[0].Path != "/dev/f" || *d[0].FileMode != os.FileMode(0o666) {
		t.Errorf("devices %+v", d)
	}
	s = build(t, rootless, asked)
	if m := mountAt(s, "/dev/f"); m == nil || m.Source != "/dev/fuse" || len(s.Linux.Devices) != 0 || s.Linux.Resources != nil {
		t.Errorf("rootless: mount %+v, %+v", m, s.Linux)
	}
	wantError(t, `permission "r" alone cannot be enforced`, rootless, asked, func(in *Input) { in.Host.Devices[0].Permissions = "r" })
	wantError(t, "not looked up", asked, func(in *Input) { in.Host.Devices = nil })
}

// The filter cannot see socketcall's arguments, so it must not be a way to the
// sockets that the profile denies (CVE-2026-123876).
func TestSecuritySocketcall(t *testing.T) {
	upstream, err := seccomp.GetDefaultProfile(build(t))
	if err != nil {
		t.Fatal(err)
	}
	names := func(p *rspec.LinuxSeccomp) (n int, socketcall []rspec.LinuxSeccompAction) {
		for _, rule := range p.Syscalls {
			n += len(rule.Names)
			if slices.Contains(rule.Names, "socketcall") {
				socketcall = append(socketcall, rule.Action)
			}
		}
		return n, socketcall
	}
	all, _ := names(upstream)
	p := build(t).Linux.Seccomp
	n, actions := names(p)
	if n != all+3 || len(actions) != 1 || actions[0] != rspec.ActErrno || p.Syscalls[0].Names[0] != "socketcall" || *p.Syscalls[0].ErrnoRet == *p.DefaultErrnoRet {
		t.Errorf("%d of %d system calls, socketcall %v, first rule %+v", n, all, actions, p.Syscalls[0])
	}
	for _, rule := range p.Syscalls {
		if slices.Contains(rule.Names, "socket") && len(rule.Args) == 0 {
			t.Error("socket is allowed for every family")
		}
	}
	if !slices.Equal(p.Architectures, upstream.Architectures) {
		t.Errorf("architectures %v, Docker's are %v", p.Architectures, upstream.Architectures)
	}
	p = build(t, func(in *Input) { in.Config.Platform = "linux/386" }).Linux.Seccomp
	if _, actions := names(p); len(actions) != 1 || actions[0] != rspec.ActAllow {
		t.Errorf("--platform linux/386: socketcall %v", actions)
	}
}

// The kernel sees the lower half of the family alone, seccomp's comparisons both halves.
func TestSocketFamilies(t *testing.T) {
	var conditions []rspec.LinuxSeccompArg
	for _, rule := range build(t).Linux.Seccomp.Syscalls {
		if slices.Contains(rule.Names, "socket") {
			if len(rule.Args) != 1 || rule.Args[0].Index != 0 || rule.Action != rspec.ActAllow {
				t.Fatalf("rule for socket: %+v", rule)
			}
			conditions = append(conditions, rule.Args[0])
		}
	}
	allowed := func(family uint64) bool {
		return slices.ContainsFunc(conditions, func(c rspec.LinuxSeccompArg) bool {
			switch c.Op {
			case rspec.OpLessThan:
				return family < c.Value
			case rspec.OpEqualTo:
				return family == c.Value
			case rspec.OpGreaterThan:
				return family > c.Value
			case rspec.OpMaskedEqual:
				return family&c.Value == c.ValueTwo
			}
			t.Fatalf("condition %+v", c)
			return false
		})
	}
	for family := range uint64(64) {
		denied := family == unix.AF_ALG || family == unix.AF_VSOCK
		if allowed(family) == denied {
			t.Errorf("family %d allowed: %v", family, !denied)
		}
		for _, upper := range []uint64{1 << 32, 1 << 63, math.MaxUint32 << 32} {
			if denied && allowed(family|upper) {
				t.Errorf("family %d is allowed as %#x", family, family|upper)
			}
		}
	}
}

func TestSeccompProfiles(t *testing.T) {
	allows := func(s *rspec.Spec, name string) bool {
		return slices.ContainsFunc(s.Linux.Seccomp.Syscalls, func(r rspec.LinuxSyscall) bool {
			return r.Action == rspec.ActAllow && slices.Contains(r.Names, name) && len(r.Args) == 0
		})
	}
	if s := build(t); allows(s, "mount") || !allows(s, "chroot") {
		t.Error("the default profile does not follow the default capabilities")
	}
	if s := build(t, security(config.Security{CapAdd: []string{"CAP_SYS_ADMIN"}})); !allows(s, "mount") {
		t.Error("CAP_SYS_ADMIN does not bring mount")
	}
	if s := build(t, security(config.Security{Seccomp: "unconfined"})); s.Linux.Seccomp != nil {
		t.Error("unconfined has a profile")
	}
	custom := `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["kill"],"action":"SCMP_ACT_ERRNO"}]}`
	for _, privileged := range []bool{false, true} {
		s := build(t, security(config.Security{Seccomp: custom, Privileged: privileged}))
		if p := s.Linux.Seccomp; p == nil || p.DefaultAction != rspec.ActAllow || len(p.Syscalls) != 1 {
			t.Errorf("privileged %t: profile %+v", privileged, p)
		}
	}
	wantError(t, "seccomp profile", security(config.Security{Seccomp: "{"}))
}
