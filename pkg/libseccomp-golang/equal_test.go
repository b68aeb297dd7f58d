//go:build amd64

package seccomp

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestNumbersAreLibseccomps(t *testing.T) {
	o := newOracle(t)
	for arch, name := range oracleArchs {
		bit := 0
		if arch == ArchX32 {
			bit = x32Bit
		}
		known := 0
		for n := range 1000 {
			call := o.ask("name %s %d", name, n|bit)
			if call == "-" {
				continue
			}
			known++
			want := o.number(name, call)
			got, err := GetSyscallFromNameByArch(call, arch)
			if err != nil || (want >= 0 && int(got) != want) || (want < 0 && got >= 0) {
				t.Errorf("%s on %s: %d, %v; want %d", call, name, got, err, want)
			}
		}
		if known < 300 {
			t.Errorf("libseccomp knows only %d calls of %s", known, name)
		}
	}
	for i := range calls {
		for arch, name := range oracleArchs {
			want := o.number(name, calls[i].name)
			if want == -1 {
				continue // newer than the library
			}
			got, err := GetSyscallFromNameByArch(calls[i].name, arch)
			if err != nil || (want >= 0 && int(got) != want) || (want < 0 && got >= 0) {
				t.Errorf("%s on %s: %d, %v; want %d", calls[i].name, name, got, err, want)
			}
		}
	}
}

// generator makes profiles and calls at random, from values that are likely to matter.
type generator struct{ *rand.Rand }

var interesting = []uint64{0, 1, 2, 38, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1<<32 + 38, 1 << 63, 1<<64 - 1}

func (g generator) value() uint64 {
	if g.IntN(8) == 0 {
		return g.Uint64()
	}
	return interesting[g.IntN(len(interesting))] + uint64(g.IntN(3)) - 1
}

func (g generator) condition(arg uint) ScmpCondition {
	op := ScmpCompareOp(1 + g.IntN(int(CompareMaskedEqual)))
	return ScmpCondition{arg, op, g.value(), g.value()}
}

func (g generator) conditions(max int) []ScmpCondition {
	var conds []ScmpCondition
	for _, arg := range g.Perm(maxArguments)[:g.IntN(max+1)] {
		conds = append(conds, g.condition(uint(arg)))
	}
	return conds
}

func (g generator) action() ScmpAction {
	return []ScmpAction{
		ActAllow, ActErrno.SetReturnCode(1), ActErrno.SetReturnCode(38), ActErrno.SetReturnCode(-1), ActKillThread,
		ActKillProcess, ActTrap, ActTrace.SetReturnCode(7), ActLog, ActNotify,
	}[g.IntN(10)]
}

// profile has calls with one rule, or with several for different values of one argument.
// With others, libseccomp sometimes does not come to an end.
func (g generator) profile(names []string) profile {
	p := profile{fallback: g.action()}
	for !p.fallback.valid() {
		p.fallback = g.action()
	}
	for _, a := range []ScmpArch{ArchX86, ArchX32} {
		if g.IntN(2) == 0 {
			p.archs = append(p.archs, a)
		}
	}
	for range 1 + g.IntN(120) {
		name, action := names[g.IntN(len(names))], g.action()
		if action == p.fallback || slices.ContainsFunc(p.rules, func(r testRule) bool { return r.name == name }) {
			continue
		}
		if g.IntN(3) > 0 {
			p.rules = append(p.rules, testRule{name, action, g.conditions(maxArguments)})
			continue
		}
		for range g.IntN(4) {
			p.rules = append(p.rules, testRule{name, action, []ScmpCondition{{0, CompareEqual, g.value(), 0}}})
		}
	}
	return p
}

// names are calls that libseccomp knows: those that are functions of another one on x86,
// or all others. Those other ones are neither, for their rules overlap the functions'.
func names(t *testing.T, o *oracle, multiplexed bool) []string {
	t.Helper()
	var all []string
	index.once.Do(makeIndex)
	for i := range calls {
		via := index.routes[i].through > 0
		if calls[i].name == "socketcall" || calls[i].name == "ipc" || calls[i].name == plainName {
			continue
		}
		if via == multiplexed && o.number("x86_64", calls[i].name) != -1 {
			all = append(all, calls[i].name)
		}
	}
	return all
}

// values are those around which p's conditions change.
func (p profile) values() []uint64 {
	values := slices.Clone(interesting)
	for _, r := range p.rules {
		for _, c := range r.conds {
			values = append(values, c.Operand1, c.Operand1+1, c.Operand1-1, c.Operand1&c.Operand2, c.Operand2, uint64(uint32(c.Operand1)))
		}
	}
	return values
}

// data is a call with arguments of those values.
func (g generator) data(values []uint64, arch, number uint32) data {
	d := data{number: number, arch: arch}
	for i := range d.args {
		d.args[i] = values[g.IntN(len(values))]
	}
	return d
}

// difference is a call that returns one or the other.
type difference struct {
	data
	one, two uint32
}

// rules are those of the call.
func (d difference) rules(p profile) (involved []testRule) {
	for _, r := range p.rules {
		for _, arch := range append(p.archs, ArchAMD64) {
			n, err := GetSyscallFromNameByArch(r.name, arch)
			multi := index.routes[index.byName[r.name]].through > 0
			if err == nil && (uint32(n) == d.number || multi && abis[findABI(arch)].audit == d.arch) {
				involved = append(involved, r)
				break
			}
		}
	}
	return involved
}

// differences are the calls about which two programs decide differently.
func differences(g generator, p profile, one, two []instruction) []difference {
	values := p.values()
	var found []difference
	for _, arch := range []uint32{0xc000003e, 0x40000003, 0xc00000b7} {
		for n := uint32(0); n < 620; n++ {
			number := n
			for _, bit := range []uint32{0, x32Bit, 1 << 31} {
				number = n | bit
				if n == 610 {
					number = ^uint32(0)
				}
				for range 12 {
					d := g.data(values, arch, number)
					if a, b := run(one, d), run(two, d); a != b {
						found = append(found, difference{d, a, b})
					}
				}
			}
		}
	}
	return found
}

// plain is a rule without conditions. Without one, libseccomp forgets to load the call's
// number when the first rule that it tries has conditions.
func plain(fallback ScmpAction) testRule {
	if fallback == ActAllow {
		return testRule{plainName, ActLog, nil}
	}
	return testRule{plainName, ActAllow, nil}
}

const plainName = "getpid"

// alone is what libseccomp makes of the rules for a call one by one, the first of which
// that matches counts.
func (o *oracle) alone(p profile, d difference) uint32 {
	archs := []ScmpArch{ArchX86}
	if d.number&x32Bit != 0 {
		archs = []ScmpArch{ArchX32}
	}
	for _, r := range d.rules(p) {
		program, _ := o.reference(profile{p.fallback, archs, []testRule{plain(p.fallback), r}})
		if v := run(program, d.data); v != p.fallback.value() {
			return v
		}
	}
	return p.fallback.value()
}

// compare fails when this package does not do what libseccomp does with p, unless
// libseccomp contradicts what it does with p's rules one by one: when it makes them
// share code, it sometimes forgets to load the word that the code is about. It returns
// how many calls that is.
func compare(t *testing.T, o *oracle, g generator, p profile) (contradictions int) {
	t.Helper()
	want, wantFailed := o.reference(p)
	got, gotFailed := ours(t, p)
	for i, r := range p.rules {
		if wantFailed[i] != gotFailed[i] {
			t.Errorf("%v: refused by libseccomp %v, here %v", r, wantFailed[i], gotFailed[i])
		}
	}
	for _, d := range differences(g, p, want, got) {
		if alone := o.alone(p, d); alone != d.two {
			t.Fatalf("%v: libseccomp %#x (rules alone: %#x), here %#x\n%v %v %v", d.data, d.one, alone, d.two, p.fallback, p.archs, d.rules(p))
		}
		contradictions++
	}
	return contradictions
}

func TestDecidesAsLibseccomp(t *testing.T) {
	const profiles = 60
	o := newOracle(t)
	for _, multiplexed := range []bool{false, true} {
		known := names(t, o, multiplexed)
		affected, contradictions := 0, 0
		for seed := range uint64(profiles) {
			g := generator{rand.New(rand.NewPCG(seed, 1))}
			n := compare(t, o, g, g.profile(known))
			if t.Failed() {
				t.Fatalf("multiplexed %v, seed %d", multiplexed, seed)
			}
			contradictions += n
			affected += min(n, 1)
		}
		t.Logf("libseccomp contradicts itself about %d calls in %d of %d profiles", contradictions, affected, profiles)
	}
}

// Several rules for a call are their union, each as libseccomp understands it alone. Of
// several together it loses some, and with some it does not come to an end.
func TestRulesAreAUnion(t *testing.T) {
	o := newOracle(t)
	targets := map[ScmpArch]data{
		ArchAMD64: {number: 9, arch: 0xc000003e},
		ArchX86:   {number: 90, arch: 0x40000003},
		ArchX32:   {number: 9 | x32Bit, arch: 0xc000003e},
	}
	for seed := range uint64(200) {
		g := generator{rand.New(rand.NewPCG(seed, 2))}
		p := profile{fallback: ActKillThread, archs: []ScmpArch{ArchX86, ArchX32}}
		var alone [][]instruction
		for range 2 + g.IntN(4) {
			r := testRule{"mmap", ActAllow, g.conditions(3)}
			program, _ := o.reference(profile{p.fallback, p.archs, []testRule{plain(p.fallback), r}})
			p.rules, alone = append(p.rules, r), append(alone, program)
		}
		got, _ := ours(t, p)
		values := p.values()
		for _, target := range targets {
			for range 1000 {
				d := g.data(values, target.arch, target.number)
				want := ActKillThread.value()
				for _, program := range alone {
					if run(program, d) == ActAllow.value() {
						want = ActAllow.value()
					}
				}
				if v := run(got, d); v != want {
					t.Fatalf("seed %d: %v: %#x, want %#x\n%v", seed, d, v, want, p.rules)
				}
			}
		}
	}
}
