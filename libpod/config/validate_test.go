package config

import (
	"strings"
	"testing"
	"time"
)

func valid() *Container {
	return &Container{
		Version: Version, ID: strings.Repeat("a1", 32), Name: "web", Cmd: []string{"true"},
		Image:    ImageRef{Name: "busybox"},
		Mounts:   []Mount{{Type: MountBind, Source: "/srv", Destination: "/srv"}, {Type: MountVolume, Source: "data", Destination: "/data"}, {Type: MountTmpfs, Destination: "/tmp"}},
		Devices:  []Device{{Host: "/dev/fuse", Container: "/dev/fuse", Permissions: "rwm"}},
		Security: Security{CapAdd: []string{"CAP_NET_ADMIN"}, CapDrop: []string{"ALL"}},
		Ulimits:  []Ulimit{{Name: "nofile", Soft: 1, Hard: -1}},
		Sysctls:  map[string]string{"net.ipv4.ip_forward": "1"},
		Restart:  Restart{Policy: "on-failure", Retries: 3},
		Health:   &Health{Test: []string{"CMD", "true"}, Interval: time.Second},
		Log:      Log{Driver: "json-file", Opts: map[string]string{"max-size": "10m", "max-file": "3"}},
	}
}

func TestValidate(t *testing.T) {
	if err := valid().Validate(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(c *Container){
		"has format 2, this ctr understands up to 1":                               func(c *Container) { c.Version = 2 },
		"invalid container ID":                                                     func(c *Container) { c.ID = "../../etc" },
		"Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed": func(c *Container) { c.Name = "a b" },
		"no command specified":                                                     func(c *Container) { c.Cmd = nil },
		"the working directory 'x' is invalid, it needs to be an absolute path":    func(c *Container) { c.WorkingDir = "x" },
		"invalid hostname":                                                         func(c *Container) { c.Hostname = "a\n1.2.3.4 bank" },
		"longer than the 64 characters":                                            func(c *Container) { c.Domainname = strings.Repeat("x", 65) },
		"has more than one colon":                                                  func(c *Container) { c.User = "a:b:c" },
		"--pid: invalid PID mode":                                                  func(c *Container) { c.NS.PID = "container:" },
		"--uts: invalid UTS mode":                                                  func(c *Container) { c.NS.UTS = "shareable" },
		"--cgroupns: invalid CGROUP":                                               func(c *Container) { c.NS.Cgroup = "x" },
		"--userns: invalid USER mode":                                              func(c *Container) { c.NS.User = "keep-id" },
		"invalid IPC mode: x":                                                      func(c *Container) { c.NS.IPC = "x" },
		"network foo not found":                                                    func(c *Container) { c.NS.Network = "foo" },
		"invalid container format":                                                 func(c *Container) { c.NS.Network = "container:" },
		"hostname and the UTS mode":                                                func(c *Container) { c.NS.UTS, c.Hostname = "host", "x" },
		"hostname and the network mode":                                            func(c *Container) { c.NS.Network, c.Hostname, c.Sysctls = "container:x", "x", nil },
		"dns and the network mode":                                                 func(c *Container) { c.NS.Network, c.DNS.Servers = "container:x", []string{"1.1.1.1"} },
		"not allowed in host network":                                              func(c *Container) { c.NS.Network = "host" },
		"sysctl 'vm.x' is not allowed":                                             func(c *Container) { c.Sysctls = map[string]string{"vm.x": "1"} },
		"Duplicate mount point: /srv":                                              func(c *Container) { c.Mounts[1].Destination = "/srv/" },
		"destination can't be '/'":                                                 func(c *Container) { c.Mounts[1].Destination = "/x/.." },
		`"../x" includes invalid chara`:                                            func(c *Container) { c.Mounts[1].Source = "../x" },
		"volume name is too short":                                                 func(c *Container) { c.Mounts[1].Source = "d" },
		"subpath must be a relative":                                               func(c *Container) { c.Mounts[1].Subpath = "../../etc" },
		`for type "bind": field Source must not be empty`:                          func(c *Container) { c.Mounts[0].Source = "" },
		"invalid mount path: 'srv' mount path must be absolut":                     func(c *Container) { c.Mounts[0].Source = "srv" },
		"invalid propagation mode: rprivat":                                        func(c *Container) { c.Mounts[0].Propagation = "rprivat" },
		"bind-recursive=readonly' requires 'readonly'":                             func(c *Container) { c.Mounts[0].Recursive = "readonly" },
		`invalid tmpfs option "bind"`:                                              func(c *Container) { c.Mounts[2].Options = []string{"bind"} },
		"mount type unknown":                                                       func(c *Container) { c.Mounts[2].Type = "overlay" },
		"SHM size can not be less than 0":                                          func(c *Container) { c.ShmSize = -1 },
		`invalid CapAdd: unknown capability: "CAP_X"`:                              func(c *Container) { c.Security.CapAdd = []string{"CAP_X"} },
		`invalid CapDrop: unknown capability: "chown"`:                             func(c *Container) { c.Security.CapDrop = []string{"chown"} },
		"bad mode specified: rx":                                                   func(c *Container) { c.Devices[0].Permissions = "rx" },
		"a device is an absolute path":                                             func(c *Container) { c.Devices[0].Container = "dev" },
		"masked path":                                                              func(c *Container) { c.Security.Unmask = []string{"proc"} },
		"the empty string is not permitted as an annotation":                       func(c *Container) { c.Annotations = map[string]string{"": "x"} },
		"invalid ulimit type: as":                                                  func(c *Container) { c.Ulimits[0].Name = "as" },
		"ulimit soft limit must be less than or equal to hard limit: 5 > 2":        func(c *Container) { c.Ulimits[0] = Ulimit{"core", 5, 2} },
		"range for oom score adj is [-1000, 1000]":                                 func(c *Container) { n := 1001; c.OOMScoreAdj = &n },
		"unknown policy 'foo'":                                                     func(c *Container) { c.Restart.Policy = "foo" },
		"can only be used with 'on-failure'":                                       func(c *Container) { c.Restart.Policy = "always" },
		"can't create 'AutoRemove' container with restart policy":                  func(c *Container) { c.AutoRemove = true },
		"invalid signal: SIGFOO":                                                   func(c *Container) { c.StopSignal = "SIGFOO" },
		"--timeout cannot be negative":                                             func(c *Container) { c.Timeout = -1 },
		"Interval in Healthcheck cannot be less than 1ms":                          func(c *Container) { c.Health.Interval = 1 },
		"Retries in Healthcheck cannot be negative":                                func(c *Container) { c.Health.Retries = -1 },
		"no log driver named 'syslog' is registered":                               func(c *Container) { c.Log.Driver = "syslog" },
		"unknown log opt 'x' for json-file log driver":                             func(c *Container) { c.Log.Opts["x"] = "" },
		"max-file cannot be less than 1":                                           func(c *Container) { c.Log.Opts["max-file"] = "0" },
		"invalid value for max-size: 10q":                                          func(c *Container) { c.Log.Opts["max-size"] = "10q" },
		"invalid logging opts for driver none":                                     func(c *Container) { c.Log.Driver = "none" },
	} {
		c := valid()
		spoil(c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}

// An image decides neither the log nor devices nor host paths (CVE-2026-94603, -53488):
// what it can say ends in fields that Validate lets through only when they are harmless.
func TestSecurityImageFieldsAreChecked(t *testing.T) {
	for _, spoil := range []func(c *Container){
		func(c *Container) { c.User = "0\n0" },
		func(c *Container) { c.StopSignal = "9999" },
		func(c *Container) { c.Mounts = []Mount{{Type: MountVolume, Source: "x/../../y", Destination: "/d"}} },
		func(c *Container) { c.Mounts = []Mount{{Type: MountVolume, Source: "data", Destination: "/d\x00/e"}} },
	} {
		c := valid()
		spoil(c)
		if err := c.Validate(); err == nil {
			t.Errorf("accepts %+v", c)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]int{
		"": 15, "TERM": 15, "SIGTERM": 15, "sigkill": 9, "9": 9, "HUP": 1, "SIGUSR1": 10, "winch": 28, "CLD": 17, "IOT": 6, "POLL": 29,
		"RTMIN": 34, "SIGRTMIN+3": 37, "RTMAX": 64, "rtmax-1": 63, "64": 64,
		"0": 0, "65": 0, "-9": 0, "FOO": 0, "RTMIN+31": 0, "RTMIN-1": 0, "RTMAX+1": 0, "RTMINx": 0, "SIG": 0, "RTMIN+": 0,
	} {
		got, err := ParseSignal(s)
		if want == 0 {
			if err == nil || err.Error() != "invalid signal: "+s {
				t.Errorf("%q: %v, %v", s, got, err)
			}
		} else if err != nil || int(got) != want {
			t.Errorf("%q: %d, %v, want %d", s, got, err, want)
		}
	}
}

func TestTmpfsOptions(t *testing.T) {
	for options, want := range map[string]string{
		"":                                   "noexec,nosuid,nodev",
		"exec,size=1m,mode=1777":             "nosuid,nodev,exec,size=1m,mode=1777",
		"size=1m,size=2m":                    "noexec,nosuid,nodev,size=2m",
		"dev,suid,exec,rw,uid=5,nr_inodes=9": "dev,suid,exec,rw,uid=5,nr_inodes=9",
		"rslave":                             "noexec,nosuid,nodev,rslave",
	} {
		got, err := TmpfsOptions(Mount{Options: strings.Split(options, ",")})
		if err != nil || strings.Join(got, ",") != want {
			t.Errorf("%q: %v, %v, want %s", options, got, err, want)
		}
	}
	for _, option := range []string{"bind", "loop=/x", "remount", "nope", "no"} {
		if got, err := TmpfsOptions(Mount{Options: []string{option}}); err == nil {
			t.Errorf("%q: %v", option, got)
		}
	}
}
