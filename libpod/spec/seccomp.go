package spec

import (
	"fmt"
	"slices"

	"github.com/moby/profiles/seccomp"
	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// seccomp chooses the profile: moby's, none when privileged or unconfined, or the
// user's. All are resolved for this machine and for the container's capabilities.
func (b *builder) seccomp() error {
	profile := b.c.Security.Seccomp
	var err error
	switch {
	case profile == "unconfined", profile == "" && b.c.Security.Privileged:
		return nil
	case profile == "", profile == "builtin":
		b.g.Config.Linux.Seccomp, err = seccomp.GetDefaultProfile(b.g.Config)
		if err == nil {
			harden(b.g.Config.Linux.Seccomp, b.c.Platform)
		}
	default:
		b.g.Config.Linux.Seccomp, err = seccomp.LoadProfile(profile, b.g.Config)
	}
	if err != nil {
		return fmt.Errorf("seccomp profile: %w", err)
	}
	return nil
}

// harden differs from moby's profile in two ways of entering the kernel. x32, which
// no distribution's kernel switches on, is left out: calls through it end the
// process, and translating the profile for it costs a start 10 ms. And socketcall is
// denied, unless the user asked for the platform that has no other way to a socket.
func harden(profile *rspec.LinuxSeccomp, platform string) {
	profile.Architectures = slices.DeleteFunc(profile.Architectures, func(a rspec.Arch) bool { return a == rspec.ArchX32 })
	if platform != "linux/386" {
		denySocketcall(profile)
	}
}

// denySocketcall closes the way around the profile's rules for socket: 32-bit
// programs can reach it through socketcall, whose arguments no filter can see. The
// rule is the first, and its error not the default one, or libseccomp would allow
// socketcall again for the sake of the rules for socket.
func denySocketcall(profile *rspec.LinuxSeccomp) {
	for i := range profile.Syscalls {
		names := profile.Syscalls[i].Names
		profile.Syscalls[i].Names = slices.DeleteFunc(names, func(name string) bool { return name == "socketcall" })
	}
	enosys := uint(unix.ENOSYS)
	deny := rspec.LinuxSyscall{Names: []string{"socketcall"}, Action: rspec.ActErrno, ErrnoRet: &enosys}
	profile.Syscalls = slices.Insert(profile.Syscalls, 0, deny)
}
