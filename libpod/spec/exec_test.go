package spec

import (
	"slices"
	"strings"
	"testing"

	"ctr/libpod/config"
)

func TestExecProcess(t *testing.T) {
	in := input(func(in *Input) {
		in.Config.Env = []string{"A=1", "B=2"}
		in.Config.WorkingDir = "/srv"
		in.Config.Security.NoNewPrivileges = true
		in.Config.Ulimits = []config.Ulimit{{Name: "nofile", Soft: 1, Hard: 2}}
		in.User = User{UID: 1000, GID: 1000, Home: "/home/bob"}
	})
	s, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ExecProcess(ExecInput{Config: in.Config, Spec: s, Args: []string{"sh"}, Env: []string{"B=3", "A", "C=4"}, HasFullIDs: true, TTY: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{defaultPath, "HOSTNAME=0123456789ab", "TERM=xterm", "B=3", "C=4", "HOME=/home/bob"}
	if !slices.Equal(p.Env, want) || p.Cwd != "/srv" || !p.NoNewPrivileges || p.User.UID != 1000 || len(p.Rlimits) != 1 || !p.Terminal {
		t.Errorf("environment %q, process %+v", p.Env, p)
	}
	if len(p.Capabilities.Effective) != 0 || len(p.Capabilities.Bounding) != 14 {
		t.Errorf("capabilities %+v", p.Capabilities)
	}

	p, err = ExecProcess(ExecInput{Config: in.Config, Spec: s, Args: []string{"sh"}, User: &User{Home: "/root"}, WorkingDir: "/tmp/../etc", HasFullIDs: true})
	if err != nil || len(p.Capabilities.Effective) != 14 || p.User.UID != 0 || p.Cwd != "/etc" || !slices.Contains(p.Env, "HOME=/root") {
		t.Errorf("exec -u root: %+v, %v", p, err)
	}
	p, err = ExecProcess(ExecInput{Config: in.Config, Spec: s, Args: []string{"sh"}, User: &User{}, Privileged: true, HasFullIDs: true})
	if err != nil || len(p.Capabilities.Effective) < 40 || len(p.Capabilities.Inheritable)+len(p.Capabilities.Ambient) != 0 {
		t.Errorf("exec --privileged: %+v, %v", p, err)
	}
}

func TestExecInASingleIDNamespace(t *testing.T) {
	in := input(singleID, func(in *Input) { in.User = User{UID: 999, GID: 999} })
	s, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		user *User
		caps int
	}{
		"the container's user": {nil, 0},
		"another user":         {&User{UID: 5, GID: 5, Groups: []uint32{6}}, 0},
		"root":                 {&User{}, 14},
	} {
		p, err := ExecProcess(ExecInput{Config: in.Config, Spec: s, Args: []string{"x"}, User: c.user, Rootless: true})
		if err != nil || p.User.UID != 0 || len(p.User.AdditionalGids) != 0 || len(p.Capabilities.Bounding) != c.caps {
			t.Errorf("%s: %+v %+v, %v", name, p.User, p.Capabilities, err)
		}
	}
}

func TestExecErrors(t *testing.T) {
	in := input()
	s := build(t)
	for want, exec := range map[string]ExecInput{
		"no exec command specified":                           {},
		"working directory 'x' is invalid, it needs to be an": {Args: []string{"a"}, WorkingDir: "x"},
	} {
		exec.Config, exec.Spec = in.Config, s
		if _, err := ExecProcess(exec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
