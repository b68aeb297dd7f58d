package spec

import (
	"fmt"
	"math"
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

// harden keeps moby's profile from being got around: it denies AF_ALG and AF_VSOCK, which
// are doors to the kernel and to the host, but only to those who ask for them in one way.
// socketcall stays allowed for the platform whose programs know no other way to a socket.
func harden(profile *rspec.LinuxSeccomp, platform string) {
	boundFamilies(profile)
	if platform != "linux/386" {
		denySocketcall(profile)
	}
}

// families is more than the kernel has address families of sockets.
const families = 64

// boundFamilies replaces the rule that allows socket for families greater than a number.
// A filter compares 64 bits, of which the kernel then takes the lower half: 2^32 and
// AF_VSOCK is a greater number, and the same family.
func boundFamilies(profile *rspec.LinuxSeccomp) {
	var rules []rspec.LinuxSyscall
	for _, rule := range profile.Syscalls {
		if slices.Equal(rule.Names, []string{"socket"}) && len(rule.Args) == 1 && rule.Args[0].Op == rspec.OpGreaterThan {
			rules = append(rules, familiesFrom(rule, rule.Args[0].Value+1)...)
		} else {
			rules = append(rules, rule)
		}
	}
	profile.Syscalls = rules
}

// familiesFrom is rule for the families from first on, in blocks of a power of two that
// begin at a multiple of their size: a mask can tell those by the lower half alone.
func familiesFrom(rule rspec.LinuxSyscall, first uint64) (rules []rspec.LinuxSyscall) {
	for first < families {
		size := first & -first
		mask := uint64(math.MaxUint32) &^ (size - 1)
		rule.Args = []rspec.LinuxSeccompArg{{Index: rule.Args[0].Index, Value: mask, ValueTwo: first, Op: rspec.OpMaskedEqual}}
		rules = append(rules, rule)
		first += size
	}
	return rules
}

// denySocketcall closes the way around the rules for socket that 32-bit x86 has:
// socketcall, whose arguments are in memory, where no filter sees them. Docker allows it.
// To deny just the function of it that makes sockets cannot be said in a profile, for
// the rules for socket apply to that as well. musl's programs go on to use socket. glibc's
// and Go's for 386 do not: they have no network unless the platform is linux/386.
//
// The rule is the first, and its error not the default one, or the rules for socket would
// allow socketcall again.
func denySocketcall(profile *rspec.LinuxSeccomp) {
	for i := range profile.Syscalls {
		names := profile.Syscalls[i].Names
		profile.Syscalls[i].Names = slices.DeleteFunc(names, func(name string) bool { return name == "socketcall" })
	}
	enosys := uint(unix.ENOSYS)
	deny := rspec.LinuxSyscall{Names: []string{"socketcall"}, Action: rspec.ActErrno, ErrnoRet: &enosys}
	profile.Syscalls = slices.Insert(profile.Syscalls, 0, deny)
}
