package oci_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"ctr/libpod/oci"
)

// delegated is the cgroup that TestAsUserWithCgroup gives away.
const delegated = "oci-test"

// TestDelegated uses a cgroup of version 2 as an ordinary user.
func TestDelegated(t *testing.T) {
	if os.Getenv(insideEnv) == "" {
		t.Skip("run by TestAsUserWithCgroup")
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs("/sys/fs/cgroup", &fs); err != nil || fs.Type != 0x63677270 {
		t.Skip("no cgroup of version 2 can be mounted here")
	}
	all := executors(t)
	for _, name := range []string{"builtin", "crun", "runc"} {
		if all[name] == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			r := &rig{t: t, name: name, exec: all[name]}
			path := "/" + delegated + "/" + name
			c := r.idle(func(s *rspec.Spec) { s.Linux.CgroupsPath = path })
			if got := readFile(t, "/proc", c.Pid(), "cgroup"); !strings.Contains(got, "0::"+path+"\n") {
				t.Fatalf("the container is in %s", got)
			}
			if _, _, exit := r.execute(c, process(t, "true")); exit.Code != 0 {
				t.Errorf("exec: %+v", exit)
			}
			if err := c.Pause(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "frozen", func() bool {
				events, _ := os.ReadFile("/sys/fs/cgroup" + path + "/cgroup.events")
				return strings.Contains(string(events), "frozen 1")
			})
			if err := c.Resume(); err != nil {
				t.Fatal(err)
			}
			if err := c.Signal(syscall.SIGTERM, true); err != nil {
				t.Fatal(err)
			}
			if exit := wait(t, c); exit.Code != 0 {
				t.Errorf("got %+v", exit)
			}
			if err := c.Delete(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat("/sys/fs/cgroup" + path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the cgroup is still there: %v", err)
			}
		})
		t.Run(name+" elsewhere", func(t *testing.T) {
			r := &rig{t: t, name: name, exec: all[name]}
			spec := newSpec(t, "true")
			spec.Linux.CgroupsPath = "/not-ours/x"
			if _, _, exit := r.run(spec); exit != (oci.Exit{}) {
				t.Errorf("got %+v", exit)
			}
		})
	}
}
