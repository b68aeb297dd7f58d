package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	mobyseccomp "github.com/moby/profiles/seccomp"
	rspec "github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// call is one system call as a program sees it.
type call struct {
	audit, number uint32
	args          [6]uint64
}

// run interprets the part of classic BPF that seccomp programs use.
func run(t testing.TB, program []unix.SockFilter, c call) uint32 {
	t.Helper()
	data := binary.LittleEndian.AppendUint32(nil, c.number)
	data = binary.LittleEndian.AppendUint32(data, c.audit)
	data = binary.LittleEndian.AppendUint64(data, 0)
	for _, a := range c.args {
		data = binary.LittleEndian.AppendUint64(data, a)
	}
	var acc uint32
	for pc := 0; ; pc++ {
		in := program[pc]
		taken := false
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = binary.LittleEndian.Uint32(data[in.K:])
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= in.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
			continue
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			taken = acc == in.K
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			taken = acc > in.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			taken = acc >= in.K
		default:
			t.Fatalf("instruction %#v", in)
		}
		if taken {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
}

// reference is what libseccomp makes of a profile, without runc's additions.
func reference(t testing.TB, p *rspec.LinuxSeccomp) []unix.SockFilter {
	t.Helper()
	filter, err := libseccomp.NewFilter(scmpAction(t, p.DefaultAction, p.DefaultErrnoRet))
	check(t, err)
	for _, a := range p.Architectures {
		check(t, filter.AddArch(abis[a].arch))
	}
	for _, group := range p.Syscalls {
		act := scmpAction(t, group.Action, group.ErrnoRet)
		for _, name := range group.Names {
			n, err := libseccomp.GetSyscallFromName(name)
			if err != nil || act == scmpAction(t, p.DefaultAction, p.DefaultErrnoRet) {
				continue
			}
			if len(group.Args) == 0 {
				check(t, filter.AddRule(n, act))
				continue
			}
			alternatives, err := alternatives(group.Args)
			check(t, err)
			for _, conditions := range alternatives {
				var scmp []libseccomp.ScmpCondition
				for _, c := range conditions {
					cond, err := libseccomp.MakeCondition(c.Index, scmpOperators[c.Op], c.Value, c.ValueTwo)
					check(t, err)
					scmp = append(scmp, cond)
				}
				check(t, filter.AddRuleConditional(n, act, scmp))
			}
		}
	}
	return export(t, filter)
}

func export(t testing.TB, filter *libseccomp.ScmpFilter) []unix.SockFilter {
	t.Helper()
	r, w, err := os.Pipe()
	check(t, err)
	go func() {
		filter.ExportBPF(w)
		w.Close()
	}()
	raw, err := io.ReadAll(r)
	check(t, err)
	var program []unix.SockFilter
	for ; len(raw) >= 8; raw = raw[8:] {
		program = append(program, unix.SockFilter{
			Code: binary.LittleEndian.Uint16(raw), Jt: raw[2], Jf: raw[3], K: binary.LittleEndian.Uint32(raw[4:]),
		})
	}
	return program
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func scmpAction(t testing.TB, a rspec.LinuxSeccompAction, errno *uint) libseccomp.ScmpAction {
	code := int16(unix.EPERM)
	if errno != nil {
		code = int16(*errno)
	}
	switch a {
	case rspec.ActAllow:
		return libseccomp.ActAllow
	case rspec.ActErrno:
		return libseccomp.ActErrno.SetReturnCode(code)
	case rspec.ActKillProcess:
		return libseccomp.ActKillProcess
	}
	t.Fatalf("action %s", a)
	return 0
}

var scmpOperators = map[rspec.LinuxSeccompOperator]libseccomp.ScmpCompareOp{
	rspec.OpEqualTo: libseccomp.CompareEqual, rspec.OpNotEqual: libseccomp.CompareNotEqual,
	rspec.OpMaskedEqual: libseccomp.CompareMaskedEqual, rspec.OpGreaterThan: libseccomp.CompareGreater,
	rspec.OpGreaterEqual: libseccomp.CompareGreaterEqual, rspec.OpLessThan: libseccomp.CompareLess,
	rspec.OpLessEqual: libseccomp.CompareLessOrEqual,
}

var audits = []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64}

// agree runs every call that a profile may know, with telling arguments, through
// both programs.
func agree(t *testing.T, p *rspec.LinuxSeccomp, values []uint64) {
	t.Helper()
	ours, err := Compile(p)
	check(t, err)
	theirs := reference(t, p)
	differ := 0
	for _, audit := range audits {
		for n := range uint32(500) {
			for _, base := range []uint32{0, x32Bit} {
				for _, v := range values {
					c := call{audit: audit, number: base + n, args: [6]uint64{v, v, v, v, v, v}}
					want := run(t, theirs, c)
					if got := run(t, ours, c); got != want && !accepted(c, got, want) {
						if differ++; differ < 20 {
							t.Errorf("machine %#x, call %#x, arguments %#x: got %#x, libseccomp has %#x", audit, c.number, v, got, want)
						}
					}
				}
			}
		}
	}
}

// accepted are the differences that are meant: a call beyond the profile's last is
// missing, as in runc; socketcall grants no more than the calls behind it.
func accepted(c call, got, want uint32) bool {
	if got == unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS) && want == unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM) {
		return true
	}
	return c.audit == unix.AUDIT_ARCH_I386 && c.number == socketcallNumber
}

func dockerProfile(t testing.TB, caps ...string) *rspec.LinuxSeccomp {
	t.Helper()
	spec := &rspec.Spec{Process: &rspec.Process{Capabilities: &rspec.LinuxCapabilities{Bounding: caps}}}
	p, err := mobyseccomp.GetDefaultProfile(spec)
	check(t, err)
	return p
}

func TestDockersProfile(t *testing.T) {
	// No upper halves: see TestIntArguments.
	values := []uint64{0, 1, 8, 37, 38, 39, 40, 41, 0x20000, 0x20008, 0xffffffff, 0x7e020000, 0x10000000, 0x10000}
	for _, caps := range [][]string{nil, {"CAP_SYS_CHROOT"}, {"CAP_SYS_ADMIN", "CAP_BPF"}} {
		t.Run(fmt.Sprint(caps), func(t *testing.T) { agree(t, dockerProfile(t, caps...), values) })
	}
}

func TestOperators(t *testing.T) {
	values := []uint64{0, 5, 6, 7, 0xffffffff, 0x100000000, 0x100000006, 0x500000005, 0x500000006, 0x500000007, 0x600000000, 1 << 63}
	for op := range scmpOperators {
		for _, value := range []uint64{0, 6, 0x500000006, 0xffffffff} {
			t.Run(fmt.Sprintf("%s %#x", op, value), func(t *testing.T) {
				agree(t, &rspec.LinuxSeccomp{
					DefaultAction: rspec.ActErrno,
					Architectures: []rspec.Arch{rspec.ArchX86_64},
					Syscalls: []rspec.LinuxSyscall{
						{Names: []string{"read"}, Action: rspec.ActAllow, Args: []rspec.LinuxSeccompArg{{Index: 1, Value: value, ValueTwo: 6, Op: op}}},
						{Names: []string{"write"}, Action: rspec.ActAllow, Args: []rspec.LinuxSeccompArg{{Index: 0, Value: 6, Op: rspec.OpGreaterEqual}, {Index: 2, Value: value, ValueTwo: 6, Op: op}}},
						{Names: []string{"open"}, Action: rspec.ActAllow, Args: []rspec.LinuxSeccompArg{{Index: 0, Value: 6, Op: rspec.OpEqualTo}, {Index: 0, Value: value, ValueTwo: 6, Op: op}}},
					},
				}, values)
			})
		}
	}
}

func TestDenyList(t *testing.T) {
	agree(t, &rspec.LinuxSeccomp{
		DefaultAction: rspec.ActAllow,
		Architectures: []rspec.Arch{rspec.ArchX86_64, rspec.ArchX86},
		Syscalls:      []rspec.LinuxSyscall{{Names: []string{"mkdir", "mkdirat", "bind"}, Action: rspec.ActErrno}},
	}, []uint64{0, 2})
}

// TestIntArguments calls socket(AF_VSOCK) as the kernel also understands it.
func TestIntArguments(t *testing.T) {
	p, err := Compile(dockerProfile(t))
	check(t, err)
	for _, family := range []uint64{40, 40 | 1<<32, 38, 38 | 1<<63} {
		if got := run(t, p, call{audit: unix.AUDIT_ARCH_X86_64, number: unix.SYS_SOCKET, args: [6]uint64{family}}); got != unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM) {
			t.Errorf("socket(%#x): %#x", family, got)
		}
	}
}

// TestSocketcall reaches for a denied family through the call that hides arguments.
func TestSocketcall(t *testing.T) {
	p := &rspec.LinuxSeccomp{
		DefaultAction: rspec.ActErrno,
		Architectures: []rspec.Arch{rspec.ArchX86_64, rspec.ArchX86},
		Syscalls: []rspec.LinuxSyscall{
			{Names: []string{"bind"}, Action: rspec.ActAllow},
			{Names: []string{"socket"}, Action: rspec.ActAllow, Args: []rspec.LinuxSeccompArg{{Index: 0, Value: 38, Op: rspec.OpLessThan}}},
		},
	}
	program, err := Compile(p)
	check(t, err)
	for sub, want := range map[uint64]uint32{1: unix.SECCOMP_RET_ERRNO | 1, 2: unix.SECCOMP_RET_ALLOW, 3: unix.SECCOMP_RET_ERRNO | 1} {
		if got := run(t, program, call{audit: unix.AUDIT_ARCH_I386, number: socketcallNumber, args: [6]uint64{sub}}); got != want {
			t.Errorf("socketcall(%d): got %#x, want %#x", sub, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, p := range []*rspec.LinuxSeccomp{
		{DefaultAction: rspec.ActNotify},
		{DefaultAction: rspec.ActErrno, Architectures: []rspec.Arch{rspec.ArchS390X}},
		{DefaultAction: rspec.ActErrno, Syscalls: []rspec.LinuxSyscall{{Names: []string{"read"}, Action: rspec.ActNotify}}},
		{DefaultAction: rspec.ActErrno, Syscalls: []rspec.LinuxSyscall{
			{Names: []string{"read"}, Action: rspec.ActAllow}, {Names: []string{"read"}, Action: rspec.ActKillProcess},
		}},
	} {
		var unsupported Unsupported
		if _, err := Compile(p); !errors.As(err, &unsupported) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	p := dockerProfile(b)
	for b.Loop() {
		if _, err := Compile(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLibseccomp(b *testing.B) {
	p := dockerProfile(b)
	for b.Loop() {
		reference(b, p)
	}
}
