// Package bpf compiles seccomp profiles of the OCI runtime spec to the programs that
// the kernel runs on every system call.
//
// It gives the profiles the meaning that runc and libseccomp give them, in a
// hundredth of the time: libseccomp needs 20 ms and more for Docker's profile, as
// much as all the rest of a container's start. What it does not know, such as
// notification and some architectures, it refuses, and libseccomp does it.
package bpf

import (
	"fmt"
	"slices"
	"strconv"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Unsupported says what in a profile this package does not compile.
type Unsupported string

func (u Unsupported) Error() string { return "seccomp profile: no fast way for " + string(u) }

// Compile translates a profile. An error that is an [Unsupported] is no fault of the
// profile's: another compiler may do it.
func Compile(p *rspec.LinuxSeccomp) ([]unix.SockFilter, error) {
	fallback, err := action(p.DefaultAction, p.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	machines, err := machinesOf(p.Architectures)
	if err != nil {
		return nil, err
	}
	// A program for each machine, tried in order; a foreign one's calls are fatal.
	code := []unix.SockFilter{ret(unix.SECCOMP_RET_KILL_THREAD)}
	for _, m := range slices.Backward(machines) {
		section, err := m.compile(p, fallback)
		if err != nil {
			return nil, err
		}
		code = slices.Concat(jumpUnless(m.audit, section), code)
	}
	code = slices.Concat([]unix.SockFilter{load(offsetArch)}, code)
	if len(code) > unix.BPF_MAXINSNS {
		return nil, Unsupported("a program of " + strconv.Itoa(len(code)) + " instructions")
	}
	return code, nil
}

// action is what the kernel does, encoded as the value that a program returns.
func action(a rspec.LinuxSeccompAction, errno *uint) (uint32, error) {
	code := uint32(unix.EPERM)
	if errno != nil {
		if *errno > 0xfff {
			return 0, fmt.Errorf("seccomp profile: error number %d is too large", *errno)
		}
		code = uint32(*errno)
	}
	switch a {
	case rspec.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case rspec.ActErrno:
		return unix.SECCOMP_RET_ERRNO | code, nil
	case rspec.ActKill, rspec.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case rspec.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case rspec.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case rspec.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	case rspec.ActTrace:
		return unix.SECCOMP_RET_TRACE | code, nil
	}
	return 0, Unsupported("action " + string(a))
}

// compile is the part of the program for one machine: a search for the call's number.
func (m machine) compile(p *rspec.LinuxSeccomp, fallback uint32) ([]unix.SockFilter, error) {
	unknown := fallback
	if !slices.Contains([]rspec.LinuxSeccompAction{rspec.ActAllow, rspec.ActLog, rspec.ActTrace}, p.DefaultAction) {
		// A call newer than the profile must look missing, not forbidden, or programs
		// do not fall back to an older one.
		unknown = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	}
	var spans []span
	for _, abi := range m.abis {
		rules, err := abi.rules(p, fallback)
		if err != nil {
			return nil, err
		}
		spans = append(spans, cover(abi, rules, fallback, unknown)...)
	}
	if last := m.abis[len(m.abis)-1]; m.x32 && !last.isX32() {
		// -1 is no call but how a tracer cancels one.
		spans = append(spans, span{x32Bit, []unix.SockFilter{ret(unix.SECCOMP_RET_KILL_THREAD)}}, span{^uint32(0), []unix.SockFilter{ret(unknown)}})
	}
	return slices.Concat([]unix.SockFilter{load(offsetNumber)}, search(merge(spans))), nil
}

// span is the code for the numbers from first up to the next span's.
type span struct {
	first uint32
	code  []unix.SockFilter
}

// cover lays the rules of one ABI over its range of numbers.
func cover(abi abi, rules map[uint32][]rule, fallback, unknown uint32) []span {
	numbers := make([]uint32, 0, len(rules))
	for n := range rules {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	next := abi.base
	var spans []span
	for _, n := range numbers {
		if n > next {
			spans = append(spans, span{next, []unix.SockFilter{ret(fallback)}})
		}
		spans = append(spans, span{n, ruleCode(rules[n], fallback)})
		next = n + 1
	}
	return append(spans, span{next, []unix.SockFilter{ret(unknown)}})
}

// merge joins neighbours that do the same.
func merge(spans []span) []span {
	merged := spans[:1]
	for _, s := range spans[1:] {
		if !slices.Equal(s.code, merged[len(merged)-1].code) {
			merged = append(merged, s)
		}
	}
	return merged
}

// search is a binary search over spans for the number in the accumulator.
func search(spans []span) []unix.SockFilter {
	if len(spans) == 1 {
		return spans[0].code
	}
	middle := len(spans) / 2
	low, high := search(spans[:middle]), search(spans[middle:])
	return slices.Concat(jumpIfAtLeast(spans[middle].first, low), high)
}
