package bpf

import "golang.org/x/sys/unix"

// Offsets into struct seccomp_data: nr, arch, instruction pointer, six arguments.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func ret(value uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value}
}

func and(mask uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask}
}

func jump(over int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(over)}
}

func branch(test uint16, k uint32, ifTrue, ifFalse int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, Jt: uint8(ifTrue), Jf: uint8(ifFalse), K: k}
}

// farthest is how far a conditional jump reaches.
const farthest = 255

// jumpIfAtLeast is body, skipped when the accumulator is k or more.
func jumpIfAtLeast(k uint32, body []unix.SockFilter) []unix.SockFilter {
	if len(body) <= farthest {
		return append([]unix.SockFilter{branch(unix.BPF_JGE, k, len(body), 0)}, body...)
	}
	return append([]unix.SockFilter{branch(unix.BPF_JGE, k, 0, 1), jump(len(body))}, body...)
}

// jumpUnless is body, skipped when the accumulator is not k.
func jumpUnless(k uint32, body []unix.SockFilter) []unix.SockFilter {
	if len(body) <= farthest {
		return append([]unix.SockFilter{branch(unix.BPF_JEQ, k, 0, len(body))}, body...)
	}
	return append([]unix.SockFilter{branch(unix.BPF_JEQ, k, 1, 0), jump(len(body))}, body...)
}
