//go:build amd64

package seccomp

import (
	"math/rand/v2"
	"slices"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

var dockerCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// dockerProfile is Docker's default profile for a container with capabilities.
func dockerProfile(t testing.TB, capabilities []string) profile {
	t.Helper()
	spec := &specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: capabilities}},
		Linux:   &specs.Linux{},
	}
	resolved, err := moby.GetDefaultProfile(spec)
	if err != nil {
		t.Fatal(err)
	}
	p := profile{fallback: ActErrno.SetReturnCode(int16(*resolved.DefaultErrnoRet)), archs: []ScmpArch{ArchX86, ArchX32}}
	operators := map[specs.LinuxSeccompOperator]ScmpCompareOp{
		specs.OpEqualTo: CompareEqual, specs.OpNotEqual: CompareNotEqual, specs.OpMaskedEqual: CompareMaskedEqual,
		specs.OpLessThan: CompareLess, specs.OpGreaterThan: CompareGreater,
	}
	for _, s := range resolved.Syscalls {
		action := ActAllow
		if s.Action == specs.ActErrno {
			action = ActErrno.SetReturnCode(int16(*s.ErrnoRet))
		}
		var conds []ScmpCondition
		for _, a := range s.Args {
			conds = append(conds, ScmpCondition{a.Index, operators[a.Op], a.Value, a.ValueTwo})
		}
		for _, name := range s.Names {
			p.rules = append(p.rules, testRule{name, action, conds})
		}
	}
	return p
}

// unknownOnX86 are the calls of Docker's profile that no kernel for x86 has.
var unknownOnX86 = []string{"riscv_hwprobe", "sync_file_range2", "swapcontext"}

func TestDockerProfileIsKnown(t *testing.T) {
	for _, r := range dockerProfile(t, nil).rules {
		if _, err := GetSyscallFromName(r.name); err != nil && !slices.Contains(unknownOnX86, r.name) {
			t.Errorf("%s: %v", r.name, err)
		}
	}
}

func TestDockerProfileDecidesAsLibseccomp(t *testing.T) {
	o := newOracle(t)
	for _, capabilities := range [][]string{
		nil, dockerCapabilities, {"CAP_SYS_ADMIN"}, append(dockerCapabilities, "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_BPF", "CAP_SYS_TIME", "CAP_SYS_NICE"),
	} {
		p := dockerProfile(t, capabilities)
		// What libseccomp does not know, it cannot be asked about.
		p.rules = slices.DeleteFunc(p.rules, func(r testRule) bool { return o.number("x86_64", r.name) == -1 })
		if len(p.rules) < 350 {
			t.Fatalf("only %d rules", len(p.rules))
		}
		g := generator{rand.New(rand.NewPCG(1, uint64(len(capabilities))))}
		for range 5 {
			if n := compare(t, o, g, p); n > 0 {
				t.Errorf("libseccomp contradicts itself about %d calls", n)
			}
		}
	}
}

func BenchmarkDockerProfile(b *testing.B) {
	p := dockerProfile(b, dockerCapabilities)
	var program []instruction
	for b.Loop() {
		f, err := NewFilter(p.fallback)
		if err != nil {
			b.Fatal(err)
		}
		for _, a := range p.archs {
			_ = f.AddArch(a)
		}
		for _, r := range p.rules {
			if number, err := GetSyscallFromName(r.name); err == nil {
				_ = f.AddRuleConditional(number, r.action, r.conds)
			}
		}
		program = f.compile()
	}
	b.ReportMetric(float64(len(program)), "instructions")
}
