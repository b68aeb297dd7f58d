package seccomp

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// oracle is a process that answers with what libseccomp does.
type oracle struct {
	t  testing.TB
	in io.Writer
	// out has one line for each line that was written to in.
	out *bufio.Reader
}

func newOracle(t testing.TB) *oracle {
	t.Helper()
	program := filepath.Join(t.TempDir(), "oracle")
	if out, err := exec.Command("gcc", "-Wall", "-o", program, "testdata/oracle.c", "-lseccomp").CombinedOutput(); err != nil {
		t.Skipf("needs gcc and libseccomp's header to compare with libseccomp: %v\n%s", err, out)
	}
	cmd := exec.Command(program)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &oracle{t, in, bufio.NewReader(out)}
}

func (o *oracle) ask(format string, args ...any) string {
	o.t.Helper()
	if _, err := fmt.Fprintf(o.in, format+"\n", args...); err != nil {
		o.t.Fatal(err)
	}
	line, err := o.out.ReadString('\n')
	if err != nil {
		o.t.Fatalf(format+": %v", append(args, err)...)
	}
	return strings.TrimSpace(line)
}

func (o *oracle) number(arch, name string) int {
	o.t.Helper()
	n, err := strconv.Atoi(o.ask("number %s %s", arch, name))
	if err != nil {
		o.t.Fatal(err)
	}
	return n
}

// testRule is a rule of a profile.
type testRule struct {
	name   string
	action ScmpAction
	conds  []ScmpCondition
}

func (r testRule) String() string {
	text := r.name + " " + r.action.String()
	for _, c := range r.conds {
		text += fmt.Sprintf(" [%d op%d %#x %#x]", c.Argument, c.Op, c.Operand1, c.Operand2)
	}
	return text
}

// profile is the input for both compilers.
type profile struct {
	fallback ScmpAction
	archs    []ScmpArch
	rules    []testRule
}

// oracleArchs are libseccomp's names.
var oracleArchs = map[ScmpArch]string{ArchAMD64: "x86_64", ArchX86: "x86", ArchX32: "x32"}

// reference compiles p by libseccomp. failed are the rules that it refused.
func (o *oracle) reference(p profile) (program []instruction, failed map[int]bool) {
	o.t.Helper()
	o.ask("begin %x", p.fallback.value())
	for _, a := range p.archs {
		o.ask("arch %s", oracleArchs[a])
	}
	failed = map[int]bool{}
	for i, r := range p.rules {
		var conds strings.Builder
		for _, c := range r.conds {
			fmt.Fprintf(&conds, " %d %d %x %x", c.Argument, c.Op, c.Operand1, c.Operand2)
		}
		answer := o.ask("rule %x %s %d%s", r.action.value(), r.name, len(r.conds), conds.String())
		failed[i] = answer != "0"
	}
	return decode(o.t, o.ask("end")), failed
}

func decode(t testing.TB, text string) []instruction {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || len(b) == 0 {
		t.Fatalf("no program: %q", text)
	}
	return decodeBytes(b)
}

func decodeBytes(b []byte) []instruction {
	var program []instruction
	for ; len(b) >= instructionSize; b = b[instructionSize:] {
		program = append(program, instruction{binary.NativeEndian.Uint16(b), b[2], b[3], binary.NativeEndian.Uint32(b[4:])})
	}
	return program
}

// ours compiles p by this package.
func ours(t testing.TB, p profile) (program []instruction, failed map[int]bool) {
	t.Helper()
	f, err := NewFilter(p.fallback)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range p.archs {
		if err := f.AddArch(a); err != nil {
			t.Fatal(err)
		}
	}
	failed = map[int]bool{}
	for i, r := range p.rules {
		number, err := GetSyscallFromName(r.name)
		if err == nil {
			err = f.AddRuleConditional(number, r.action, r.conds)
		}
		failed[i] = err != nil
	}
	b, err := f.ExportBPFMem()
	if err != nil {
		t.Fatal(err)
	}
	return decodeBytes(b), failed
}

// data is struct seccomp_data, less the instruction pointer.
type data struct {
	number, arch uint32
	args         [maxArguments]uint64
}

func (d data) String() string {
	return fmt.Sprintf("arch %#x call %#x args %#x", d.arch, d.number, d.args)
}

func (d data) word(offset uint32) uint32 {
	switch {
	case offset == offsetNumber:
		return d.number
	case offset == offsetArch:
		return d.arch
	}
	return uint32(d.args[(offset-offsetArguments)/8] >> (offset % 8 * 8))
}

// run executes a program. An instruction that the kernel would not accept panics, as
// does leaving the program.
func run(program []instruction, d data) uint32 {
	var a, x uint32
	for pc := 0; ; pc++ {
		i := program[pc]
		taken := false
		switch i.op {
		case opLoad:
			a = d.word(i.k)
			continue
		case opAnd:
			a &= i.k
			continue
		case 0x07: // BPF_MISC | BPF_TAX, which libseccomp uses
			x = a
			continue
		case 0x87: // BPF_MISC | BPF_TXA
			a = x
			continue
		case opJump:
			pc += int(i.k)
			continue
		case opReturn:
			return i.k
		case opEqual:
			taken = a == i.k
		case opMore:
			taken = a > i.k
		case opAtLeast:
			taken = a >= i.k
		default:
			panic(fmt.Sprintf("operation %#x", i.op))
		}
		if taken {
			pc += int(i.jt)
		} else {
			pc += int(i.jf)
		}
	}
}
