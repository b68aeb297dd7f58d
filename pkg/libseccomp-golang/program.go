package seccomp

import "encoding/binary"

// instruction is struct sock_filter of <linux/filter.h>.
type instruction struct {
	op     uint16
	jt, jf uint8
	k      uint32
}

// The operations that programs here consist of, see <linux/bpf_common.h>.
const (
	opLoad    = 0x20 // BPF_LD | BPF_W | BPF_ABS
	opAnd     = 0x54 // BPF_ALU | BPF_AND | BPF_K
	opJump    = 0x05 // BPF_JMP | BPF_JA
	opEqual   = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
	opMore    = 0x25 // BPF_JMP | BPF_JGT | BPF_K
	opAtLeast = 0x35 // BPF_JMP | BPF_JGE | BPF_K
	opReturn  = 0x06 // BPF_RET | BPF_K
)

// maxProgram is BPF_MAXINSNS.
const maxProgram = 4096

const instructionSize = 8

func encode(program []instruction) []byte {
	b := make([]byte, 0, len(program)*instructionSize)
	for _, i := range program {
		b = binary.NativeEndian.AppendUint16(b, i.op)
		b = append(b, i.jt, i.jf)
		b = binary.NativeEndian.AppendUint32(b, i.k)
	}
	return b
}

// label is an instruction to jump to, counted from the program's end.
type label int

// writer writes a program from its end, for jumps only go forward: whatever an
// instruction jumps to is written already.
type writer struct {
	code    []instruction // the last one first
	returns map[uint32]label
}

// reach is how far a branch may jump, but for one instruction that may still come
// between.
const reach = 254

func (w *writer) add(op uint16, k uint32, jt, jf uint8) label {
	w.code = append(w.code, instruction{op, jt, jf, k})
	return label(len(w.code) - 1)
}

// distance is how many instructions one that is written now would have to skip.
func (w *writer) distance(to label) int { return len(w.code) - int(to) - 1 }

// ret returns value.
func (w *writer) ret(value uint32) label {
	if at, ok := w.returns[value]; ok && w.distance(at) < reach {
		return at
	}
	at := w.add(opReturn, value, 0, 0)
	w.returns[value] = at
	return at
}

// near is to, or another place within reach that has the same effect.
func (w *writer) near(to label) label {
	if w.distance(to) < reach {
		return to
	}
	return w.again(to)
}

// again is an instruction, written now, with the effect of jumping to to.
func (w *writer) again(to label) label {
	if target := w.code[to]; target.op == opReturn {
		w.returns[target.k] = w.add(opReturn, target.k, 0, 0)
		return w.returns[target.k]
	}
	return w.add(opJump, uint32(w.distance(to)), 0, 0)
}

// branch compares the accumulator with k.
func (w *writer) branch(op uint16, k uint32, yes, no label) label {
	if yes == no {
		return yes
	}
	yes = w.near(yes)
	no = w.near(no)
	return w.add(op, k, uint8(w.distance(yes)), uint8(w.distance(no)))
}

// load gets a word of struct seccomp_data into the accumulator and goes on with next.
func (w *writer) load(offset uint32, next label) label {
	w.before(next)
	return w.add(opLoad, offset, 0, 0)
}

// mask clears bits of the accumulator and goes on with next.
func (w *writer) mask(bits uint32, next label) label {
	w.before(next)
	return w.add(opAnd, bits, 0, 0)
}

// before makes sure that what is written next is followed by next.
func (w *writer) before(next label) {
	if w.distance(next) != 0 {
		w.again(next)
	}
}
