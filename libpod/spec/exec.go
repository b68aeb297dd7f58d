package spec

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"ctr/libpod/config"
)

// ExecInput is everything that [ExecProcess] builds from.
type ExecInput struct {
	Config *config.Container
	Spec   *rspec.Spec // the running container's, from Build
	Args   []string
	Env    []string // KEY=VALUE added to the container's; a KEY alone takes it away
	// User is what rootfs.ResolveUser found for exec -u; nil is the container's user.
	User       *User
	WorkingDir string // "" is the container's
	TTY        bool
	Privileged bool // every capability, as docker exec --privileged: seccomp, masks and devices stay
	// Rootless, HasFullIDs and Host are as in [Input].
	Rootless, HasFullIDs bool
	Host                 Host
}

// ExecProcess makes the process of an exec in a running container. Limits, security
// profile and no_new_privs are the container's.
func ExecProcess(in ExecInput) (*rspec.Process, error) {
	if len(in.Args) == 0 {
		return nil, errors.New("no exec command specified")
	}
	first := in.Spec.Process
	p := &rspec.Process{
		Args:            in.Args,
		Cwd:             first.Cwd,
		Terminal:        in.TTY,
		User:            first.User,
		NoNewPrivileges: first.NoNewPrivileges,
		ApparmorProfile: first.ApparmorProfile,
		SelinuxLabel:    first.SelinuxLabel,
		OOMScoreAdj:     first.OOMScoreAdj,
		Rlimits:         slices.Clone(first.Rlimits),
	}
	if in.WorkingDir != "" {
		if !path.IsAbs(in.WorkingDir) {
			return nil, fmt.Errorf("the working directory '%s' is invalid, it needs to be an absolute path", in.WorkingDir)
		}
		p.Cwd = path.Clean(in.WorkingDir)
	}
	singleID := in.Rootless && !in.HasFullIDs
	home, uid := variable(first.Env, "HOME"), first.User.UID
	if in.User != nil {
		home, uid = in.User.Home, in.User.UID
		p.User = processUser(*in.User, singleID)
	}
	p.Env = withHome(mergeEnv(environment(in.Config, in.TTY, in.Host), in.Env), home)

	var bound []string
	switch {
	case in.Privileged:
		bound = allCapabilities(in.Host)
	case in.User == nil:
		bound = first.Capabilities.Bounding
	case singleID && uid != 0: // squashed, as in Build
	default:
		var err error
		if bound, err = bounding(in.Config.Security, in.Host); err != nil {
			return nil, err
		}
	}
	p.Capabilities = capabilitySets(slices.Clone(bound), uid)
	return p, nil
}

// variable is the value of key in env, "" when it is not there.
func variable(env []string, key string) string {
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, key+"="); ok {
			return value
		}
	}
	return ""
}
