package bpf

import (
	"slices"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// rule is what to return for a call when all conditions hold.
type rule struct {
	conditions []rspec.LinuxSeccompArg
	short      bool // the arguments are C ints: the kernel ignores their upper halves
	value      uint32
}

// rules are a profile's, by the number that a call has in this ABI.
func (a abi) rules(p *rspec.LinuxSeccomp, fallback uint32) (map[uint32][]rule, error) {
	byNumber := map[uint32][]rule{}
	var multiplexed []rule
	for _, group := range p.Syscalls {
		value, err := action(group.Action, group.ErrnoRet)
		if err != nil {
			return nil, err
		}
		alternatives, err := alternatives(group.Args)
		if err != nil {
			return nil, err
		}
		for _, name := range group.Names {
			number, known := a.number(name)
			if value == fallback {
				if _, have := byNumber[number]; known && !have {
					byNumber[number] = nil // no rule, but not unknown either
				}
				continue
			}
			for _, conditions := range alternatives {
				r := rule{conditions, hasIntArguments(name), value}
				if known {
					if err := add(byNumber, number, r); err != nil {
						return nil, Unsupported("the rules of " + name)
					}
				}
				multiplexed = append(multiplexed, a.multiplexed(name, r)...)
			}
		}
	}
	return byNumber, a.addMultiplexed(byNumber, multiplexed)
}

// add keeps the rules of a call few and unambiguous: one without conditions is all
// there is, and several with conditions return the same.
func add(rules map[uint32][]rule, number uint32, r rule) error {
	have := rules[number]
	switch {
	case len(have) == 0:
		rules[number] = []rule{r}
	case have[0].value != r.value:
		return Unsupported("different actions for one call")
	case len(have[0].conditions) == 0:
	case len(r.conditions) == 0:
		rules[number] = []rule{r}
	default:
		rules[number] = append(have, r)
	}
	return nil
}

// alternatives are the lists of conditions of which one must hold. Conditions on
// different arguments must hold together; as runc has it, when two are on the same
// argument each of the list stands alone.
func alternatives(conditions []rspec.LinuxSeccompArg) ([][]rspec.LinuxSeccompArg, error) {
	var seen [6]bool
	repeated := false
	for _, c := range conditions {
		if c.Index >= uint(len(seen)) {
			return nil, Unsupported("an argument after the sixth")
		}
		if !slices.Contains(operators, c.Op) {
			return nil, Unsupported("operator " + string(c.Op))
		}
		repeated = repeated || seen[c.Index]
		seen[c.Index] = true
	}
	if !repeated {
		return [][]rspec.LinuxSeccompArg{conditions}, nil
	}
	var each [][]rspec.LinuxSeccompArg
	for _, c := range conditions {
		each = append(each, []rspec.LinuxSeccompArg{c})
	}
	return each, nil
}

var operators = []rspec.LinuxSeccompOperator{
	rspec.OpEqualTo, rspec.OpNotEqual, rspec.OpMaskedEqual,
	rspec.OpGreaterThan, rspec.OpGreaterEqual, rspec.OpLessThan, rspec.OpLessEqual,
}

// hasIntArguments reports whether a call's arguments are ints. The kernel drops
// their upper 32 bits, and a program that compared them would let socket(40) be
// called as socket(40 + 2^32).
func hasIntArguments(name string) bool {
	return name == "socket" || name == "socketpair" || name == "personality"
}

// ruleCode is the code for one call.
func ruleCode(rules []rule, fallback uint32) []unix.SockFilter {
	if len(rules) > 0 && len(rules[0].conditions) == 0 {
		return []unix.SockFilter{ret(rules[0].value)}
	}
	code := []unix.SockFilter{ret(fallback)}
	for _, r := range slices.Backward(rules) {
		body := []unix.SockFilter{ret(r.value)}
		for _, c := range slices.Backward(r.conditions) {
			body = slices.Concat(conditionCode(c, r.short, len(body)), body)
		}
		code = slices.Concat(body, code)
	}
	return code
}

// conditionCode falls through when c holds and otherwise jumps over what follows.
// A program sees an argument as two words; the upper decides first.
func conditionCode(c rspec.LinuxSeccompArg, short bool, follows int) []unix.SockFilter {
	value, mask := c.Value, ^uint64(0)
	if c.Op == rspec.OpMaskedEqual {
		value, mask = c.ValueTwo&c.Value, c.Value
	}
	low := lowWord(c, uint32(value), uint32(mask), follows)
	if short {
		return low
	}
	head := []unix.SockFilter{load(offsetArgs + uint32(c.Index)*8 + 4)}
	if c.Op == rspec.OpMaskedEqual {
		head = append(head, and(uint32(mask>>32)))
	}
	upper, end := uint32(value>>32), len(low)+follows
	switch c.Op {
	case rspec.OpEqualTo, rspec.OpMaskedEqual:
		head = append(head, branch(unix.BPF_JEQ, upper, 0, end))
	case rspec.OpNotEqual:
		head = append(head, branch(unix.BPF_JEQ, upper, 0, len(low)))
	case rspec.OpGreaterThan, rspec.OpGreaterEqual:
		head = append(head, branch(unix.BPF_JGT, upper, len(low)+1, 0), branch(unix.BPF_JEQ, upper, 0, end))
	case rspec.OpLessThan, rspec.OpLessEqual:
		head = append(head, branch(unix.BPF_JGT, upper, end+1, 0), branch(unix.BPF_JEQ, upper, 0, len(low)))
	}
	return append(head, low...)
}

// lowWord is the test of the lower word, given that it decides.
func lowWord(c rspec.LinuxSeccompArg, value, mask uint32, follows int) []unix.SockFilter {
	code := []unix.SockFilter{load(offsetArgs + uint32(c.Index)*8)}
	switch c.Op {
	case rspec.OpMaskedEqual:
		code = append(code, and(mask), branch(unix.BPF_JEQ, value, 0, follows))
	case rspec.OpEqualTo:
		code = append(code, branch(unix.BPF_JEQ, value, 0, follows))
	case rspec.OpNotEqual:
		code = append(code, branch(unix.BPF_JEQ, value, follows, 0))
	case rspec.OpGreaterThan:
		code = append(code, branch(unix.BPF_JGT, value, 0, follows))
	case rspec.OpGreaterEqual:
		code = append(code, branch(unix.BPF_JGE, value, 0, follows))
	case rspec.OpLessThan:
		code = append(code, branch(unix.BPF_JGE, value, follows, 0))
	case rspec.OpLessEqual:
		code = append(code, branch(unix.BPF_JGT, value, follows, 0))
	}
	return code
}
