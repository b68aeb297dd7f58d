package seccomp

import (
	"errors"
	"fmt"
	"slices"
)

// ScmpArch is an architecture, or rather one of the ways to call the kernel that it
// has: x86 machines know three.
type ScmpArch uint

// The architectures. ArchNative is that of this program.
const (
	ArchInvalid ScmpArch = iota
	ArchNative
	ArchX86
	ArchAMD64
	ArchX32
	ArchARM
	ArchARM64
	ArchMIPS
	ArchMIPS64
	ArchMIPS64N32
	ArchMIPSEL
	ArchMIPSEL64
	ArchMIPSEL64N32
	ArchPPC
	ArchPPC64
	ArchPPC64LE
	ArchS390
	ArchS390X
	ArchPARISC
	ArchPARISC64
	ArchRISCV64
	ArchLOONGARCH64
	ArchM68K
	ArchSH
	ArchSHEB
)

// archNames are the architectures' names in profiles, in the order of the constants.
var archNames = [...]string{
	"Invalid architecture", "native", "x86", "amd64", "x32", "arm", "arm64", "mips", "mips64", "mips64n32",
	"mipsel", "mipsel64", "mipsel64n32", "ppc", "ppc64", "ppc64le", "s390", "s390x", "parisc", "parisc64",
	"riscv64", "loong64", "m68k", "sh", "sheb",
}

// String is the architecture's name.
func (a ScmpArch) String() string {
	if int(a) >= len(archNames) {
		return "Unknown architecture"
	}
	return archNames[a]
}

// GetArchFromString is the architecture of that name.
func GetArchFromString(name string) (ScmpArch, error) {
	if i := slices.Index(archNames[:], name); i > int(ArchInvalid) {
		return ScmpArch(i), nil
	}
	return ArchInvalid, fmt.Errorf("unrecognized architecture %q", name)
}

// GetNativeArch is the architecture of this program.
func GetNativeArch() (ScmpArch, error) {
	if len(abis) == 0 {
		return ArchInvalid, errNoTable
	}
	return abis[:][0].arch, nil
}

var errNoTable = errors.New("no table of system calls for this machine's architecture")

// abi is one way to call this machine's kernel.
type abi struct {
	arch  ScmpArch
	audit uint32 // the kernel's number for it, AUDIT_ARCH_X in <linux/audit.h>
	bit   uint32 // set in the numbers of all calls: x32's way to share an audit number
	wide  bool   // arguments have 64 bits
	multi bool   // has socketcall and ipc, which stand for many calls
}

// findABI is the place of an architecture in abis, the columns of calls, or -1 when
// this machine's kernel cannot run its programs.
func findABI(arch ScmpArch) int {
	if arch == ArchNative && len(abis) > 0 {
		return 0
	}
	return slices.IndexFunc(abis[:], func(a abi) bool { return a.arch == arch })
}
