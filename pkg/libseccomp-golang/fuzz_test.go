//go:build amd64 || arm64

package seccomp

import (
	"encoding/binary"
	"testing"
)

// check fails when the kernel would not take a program: it goes through all instructions,
// of which the last must return, and none may jump out.
func check(t *testing.T, program []instruction) {
	t.Helper()
	for i, in := range program {
		last := i
		switch in.op {
		case opLoad:
			last = i + 1
			if in.k%4 != 0 || in.k > 60 {
				t.Fatalf("%d loads from %d", i, in.k)
			}
		case opAnd:
			last = i + 1
		case opJump:
			last = i + 1 + int(in.k)
		case opEqual, opMore, opAtLeast:
			last = i + 1 + int(max(in.jt, in.jf))
		case opReturn:
		default:
			t.Fatalf("%d is operation %#x", i, in.op)
		}
		if last >= len(program) {
			t.Fatalf("%d of %d goes to %d", i, len(program), last)
		}
	}
}

// reader takes values from the fuzzer's bytes, and zeros after their end.
type reader []byte

func (r *reader) take(n int) []byte {
	b := make([]byte, n)
	*r = (*r)[copy(b, *r):]
	return b
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

// FuzzCompile adds whatever rules, and runs the program on calls near them.
func FuzzCompile(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{6, 3, 1, 0, 0, 6, 0, 1, 2, 0, 0, 4, 0, 1, 1, 4, 1, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, input []byte) {
		in := reader(input)
		filter, err := NewFilter(ScmpAction(in.byte()))
		if err != nil {
			return
		}
		for range in.byte() % 4 {
			_ = filter.AddArch(ScmpArch(in.byte()))
		}
		var tried []data
		for len(in) > 0 {
			number := ScmpSyscall(int16(binary.LittleEndian.Uint16(in.take(2))))
			action := ScmpAction(in.byte()).SetReturnCode(int16(in.byte()))
			var conds []ScmpCondition
			d := data{number: uint32(number), arch: abis[in.byte()%byte(len(abis))].audit}
			for range in.byte() % 8 {
				c := ScmpCondition{uint(in.byte() % 8), ScmpCompareOp(in.byte() % 9), in.uint64(), in.uint64()}
				if c.Argument < maxArguments {
					d.args[c.Argument] = c.Operand1
				}
				conds = append(conds, c)
			}
			_ = filter.AddRuleConditional(number, action, conds)
			tried = append(tried, d)
		}
		b, err := filter.ExportBPFMem()
		if err != nil {
			return // too long
		}
		program := decodeBytes(b)
		check(t, program)
		for _, d := range tried {
			run(program, d)
		}
	})
}

// A filter of many rules needs jumps that are longer than a branch.
func TestLongPrograms(t *testing.T) {
	filter, err := NewFilter(ActErrno.SetReturnCode(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range abis {
		if err := filter.AddArch(a.arch); err != nil {
			t.Fatal(err)
		}
	}
	native := abis[:][0]
	for n := ScmpSyscall(0); n < 300; n += 2 {
		conds := []ScmpCondition{{0, CompareEqual, uint64(n) << 32, 0}, {1, CompareGreater, 7, 0}}
		if err := filter.AddRuleConditional(n, ActAllow, conds); err != nil && find(n) >= 0 {
			t.Fatal(n, err)
		}
	}
	b, err := filter.ExportBPFMem()
	if err != nil {
		t.Fatal(err)
	}
	program := decodeBytes(b)
	if len(program) < 1000 {
		t.Fatalf("only %d instructions", len(program))
	}
	check(t, program)
	for n := uint32(0); n < 300; n++ {
		for _, second := range []uint64{7, 8} {
			d := data{number: n, arch: native.audit, args: [maxArguments]uint64{uint64(n) << 32, second}}
			want := uint32(0x50001)
			if n%2 == 0 && second == 8 && find(ScmpSyscall(n)) >= 0 {
				want = ActAllow.value()
			}
			if got := run(program, d); got != want {
				t.Errorf("%v: %#x, want %#x", d, got, want)
			}
		}
	}
}
