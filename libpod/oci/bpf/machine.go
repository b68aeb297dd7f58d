package bpf

import (
	"slices"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// machine is what the kernel tells a program about the caller's instruction set.
type machine struct {
	audit uint32
	abis  []abi // ascending by base
	x32   bool  // an x32 ABI exists, whether the profile has it or not
}

// abi is one numbering of the system calls.
type abi struct {
	arch libseccomp.ScmpArch
	base uint32 // the lowest number
}

const x32Bit = 0x40000000

func (a abi) isX32() bool { return a.base == x32Bit }

// machinesOf groups a profile's architectures; the native one is always there.
func machinesOf(names []rspec.Arch) ([]machine, error) {
	var all []machine
	for _, m := range []struct {
		audit uint32
		abis  []rspec.Arch
	}{
		{unix.AUDIT_ARCH_X86_64, []rspec.Arch{rspec.ArchX86_64, rspec.ArchX32}},
		{unix.AUDIT_ARCH_I386, []rspec.Arch{rspec.ArchX86}},
		{unix.AUDIT_ARCH_AARCH64, []rspec.Arch{rspec.ArchAARCH64}},
		{unix.AUDIT_ARCH_ARM, []rspec.Arch{rspec.ArchARM}},
	} {
		found := machine{audit: m.audit, x32: m.audit == unix.AUDIT_ARCH_X86_64}
		for _, name := range m.abis {
			if slices.Contains(names, name) || name == native {
				found.abis = append(found.abis, abis[name])
			}
		}
		if len(found.abis) > 0 {
			all = append(all, found)
		}
	}
	for _, name := range names {
		if _, known := abis[name]; !known {
			return nil, Unsupported("architecture " + string(name))
		}
	}
	if native == "" || (len(all) > 0 && all[0].x32 && all[0].abis[0].isX32()) {
		return nil, Unsupported("this set of architectures")
	}
	return all, nil
}

var abis = map[rspec.Arch]abi{
	rspec.ArchX86_64:  {libseccomp.ArchAMD64, 0},
	rspec.ArchX32:     {libseccomp.ArchX32, x32Bit},
	rspec.ArchX86:     {libseccomp.ArchX86, 0},
	rspec.ArchAARCH64: {libseccomp.ArchARM64, 0},
	rspec.ArchARM:     {libseccomp.ArchARM, 0},
}

// number is the call's in this ABI, when it has one of its own.
func (a abi) number(name string) (uint32, bool) {
	if a.arch == libseccomp.ArchX86 {
		if n, ok := direct[name]; ok {
			return n, n != 0
		}
	}
	n, err := libseccomp.GetSyscallFromNameByArch(name, a.arch)
	if err != nil || n < 0 {
		return 0, false
	}
	return uint32(n), true
}

// direct are the numbers that 32-bit x86 gave, most in Linux 4.3 and 5.1, to calls
// that it also has as sub-calls of socketcall(2) and ipc(2); 0 is none. libseccomp
// answers with a pseudo number for these.
var direct = map[string]uint32{
	"socket": 359, "socketpair": 360, "bind": 361, "connect": 362, "listen": 363, "accept4": 364,
	"getsockopt": 365, "setsockopt": 366, "getsockname": 367, "getpeername": 368, "sendto": 369,
	"sendmsg": 370, "recvfrom": 371, "recvmsg": 372, "shutdown": 373, "recvmmsg": 337, "sendmmsg": 345,
	"accept": 0, "send": 0, "recv": 0,
	"semget": 393, "semctl": 394, "shmget": 395, "shmctl": 396, "shmat": 397, "shmdt": 398,
	"msgget": 399, "msgsnd": 400, "msgrcv": 401, "msgctl": 402, "semop": 0, "semtimedop": 0,
}

// socketCalls are the sub-calls of socketcall(2).
var socketCalls = map[string]uint64{
	"socket": 1, "bind": 2, "connect": 3, "listen": 4, "accept": 5, "getsockname": 6, "getpeername": 7,
	"socketpair": 8, "send": 9, "recv": 10, "sendto": 11, "recvfrom": 12, "shutdown": 13, "setsockopt": 14,
	"getsockopt": 15, "sendmsg": 16, "recvmsg": 17, "accept4": 18, "recvmmsg": 19, "sendmmsg": 20,
}

const socketcallNumber = 102

// multiplexed is r as a rule of socketcall(2). The sub-call's own arguments are in
// memory, where no program can see them: a rule with conditions grants nothing
// there, and denies always. What a profile forbids must not be had by another way.
func (a abi) multiplexed(name string, r rule) []rule {
	sub, ok := socketCalls[name]
	if a.arch != libseccomp.ArchX86 || !ok {
		return nil
	}
	if len(r.conditions) > 0 && (r.value == unix.SECCOMP_RET_ALLOW || r.value == unix.SECCOMP_RET_LOG) {
		return nil
	}
	return []rule{{conditions: []rspec.LinuxSeccompArg{{Index: 0, Value: sub, Op: rspec.OpEqualTo}}, short: true, value: r.value}}
}

// addMultiplexed adds the sub-calls' rules unless socketcall(2) has its own.
func (a abi) addMultiplexed(rules map[uint32][]rule, subs []rule) error {
	if len(rules[socketcallNumber]) > 0 {
		return nil
	}
	for _, r := range subs {
		if err := add(rules, socketcallNumber, r); err != nil {
			return Unsupported("the rules of socketcall")
		}
	}
	return nil
}
