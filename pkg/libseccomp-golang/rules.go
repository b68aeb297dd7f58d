package seccomp

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
)

// ScmpCompareOp is how a condition compares.
type ScmpCompareOp uint

// The comparisons, unsigned, of an argument with a condition's operand.
const (
	CompareInvalid ScmpCompareOp = iota
	CompareNotEqual
	CompareLess
	CompareLessOrEqual
	CompareEqual
	CompareGreaterEqual
	CompareGreater
	CompareMaskedEqual // the argument masked by Operand1 equals Operand2, masked likewise
)

// maxArguments is how many arguments a call has.
const maxArguments = 6

// ScmpCondition is a condition on one argument of a call.
type ScmpCondition struct {
	Argument uint          `json:"argument,omitempty"`
	Op       ScmpCompareOp `json:"operator,omitempty"`
	Operand1 uint64        `json:"operand_one,omitempty"`
	Operand2 uint64        `json:"operand_two,omitempty"`
}

// MakeCondition makes a condition on an argument, counted from 0, with one value or, for
// CompareMaskedEqual, mask and value.
func MakeCondition(arg uint, comparison ScmpCompareOp, values ...uint64) (ScmpCondition, error) {
	c := ScmpCondition{Argument: arg, Op: comparison}
	switch {
	case comparison <= CompareInvalid || comparison > CompareMaskedEqual:
		return ScmpCondition{}, fmt.Errorf("unrecognized comparison operator %d", comparison)
	case arg >= maxArguments:
		return ScmpCondition{}, fmt.Errorf("system calls have %d arguments, there is no number %d", maxArguments, arg)
	case len(values) == 0 || len(values) > 2:
		return ScmpCondition{}, fmt.Errorf("a condition takes one or two values, not %d", len(values))
	}
	c.Operand1 = values[0]
	if len(values) == 2 {
		c.Operand2 = values[1]
	}
	return c, nil
}

// condition is a condition of an abi: value and mask have no bits that do not count.
type condition struct {
	argument    uint
	op          ScmpCompareOp
	value, mask uint64
}

// rule is what to do when all conditions hold, which are sorted by argument.
type rule struct {
	conditions []condition
	action     ScmpAction
}

// ruleSet has the rules of an abi by number. The first that holds counts.
type ruleSet map[uint32][]rule

// condition makes a condition fit for an abi.
func (a abi) condition(c ScmpCondition) condition {
	width := ^uint64(0)
	if !a.wide {
		width >>= 32
	}
	made := condition{c.Argument, c.Op, c.Operand1 & width, width}
	if c.Op == CompareMaskedEqual {
		made.mask = c.Operand1 & width
		made.value = c.Operand2 & made.mask
	}
	return made
}

// addRule adds a rule to all architectures, or to none when there is an error.
func (f *ScmpFilter) addRule(number ScmpSyscall, action ScmpAction, conds []ScmpCondition, exact bool) error {
	if !f.valid {
		return errInvalid
	}
	if !action.valid() {
		return fmt.Errorf("invalid action %v", action)
	}
	if action == f.fallback {
		return errors.New("the action is what the filter does by default")
	}
	if err := checkConditions(conds); err != nil {
		return err
	}
	var added [len(abis)]map[uint32][]rule
	for n := range abis {
		if !f.has(n) {
			continue
		}
		targets, err := abis[n].targets(n, number, conds, exact)
		if err != nil {
			return err
		}
		for _, t := range targets {
			rules, err := insert(f.rules[n][t.number], rule{t.conditions, action})
			if err != nil {
				return fmt.Errorf("rule for %s: %w", abis[n].arch, err)
			}
			if added[n] == nil {
				added[n] = map[uint32][]rule{}
			}
			added[n][t.number] = rules
		}
	}
	for n, numbers := range added {
		for number, rules := range numbers {
			if f.rules[n] == nil {
				f.rules[n] = make(ruleSet, len(calls))
			}
			f.rules[n][number] = rules
		}
	}
	return nil
}

func checkConditions(conds []ScmpCondition) error {
	var seen [maxArguments]bool
	for _, c := range conds {
		if c.Argument >= maxArguments || c.Op <= CompareInvalid || c.Op > CompareMaskedEqual {
			return fmt.Errorf("invalid condition %+v", c)
		}
		if seen[c.Argument] {
			return fmt.Errorf("two conditions on argument %d", c.Argument)
		}
		seen[c.Argument] = true
	}
	return nil
}

// target is where a rule goes in an abi.
type target struct {
	number     uint32
	conditions []condition
}

// targets are the calls by which the call with a native number can be made in the n-th
// abi, which is a. There are two where it is also a function of socketcall or ipc: the
// function's number is then what the first argument must be. The other conditions are
// kept as they are, as libseccomp does, though socketcall's arguments are others.
func (a abi) targets(n int, number ScmpSyscall, conds []ScmpCondition, exact bool) ([]target, error) {
	conditions := make([]condition, 0, len(conds)+1)
	for _, c := range conds {
		conditions = append(conditions, a.condition(c))
	}
	slices.SortFunc(conditions, func(x, y condition) int { return int(x.argument) - int(y.argument) })
	i := find(number)
	if i < 0 {
		if n == 0 && number >= 0 { // a call that only the kernel knows
			return []target{{uint32(number), conditions}}, nil
		}
		return nil, fmt.Errorf("unrecognized syscall %#x", int32(number))
	}
	var found []target
	if own := numberIn(i, n); own >= 0 {
		found = append(found, target{uint32(own), conditions})
	}
	if via, ok := multiplexedBy(calls[i].name); ok && a.multi {
		if exact {
			return nil, fmt.Errorf("%s is also a function of %s on %s", calls[i].name, via.through, a.arch)
		}
		through, err := GetSyscallFromNameByArch(via.through, a.arch)
		if err != nil {
			return nil, err
		}
		found = append(found, target{uint32(through), throughFunction(via.function, conditions)})
	}
	if exact && len(found) == 0 {
		return nil, fmt.Errorf("%s does not exist on %s", calls[i].name, a.arch)
	}
	return found, nil
}

// throughFunction has a condition on the function in the place of one on the first
// argument.
func throughFunction(function uint64, conditions []condition) []condition {
	others := conditions
	if len(others) > 0 && others[0].argument == 0 {
		others = others[1:]
	}
	return slices.Insert(slices.Clone(others), 0, condition{0, CompareEqual, function, 1<<32 - 1})
}

// insert adds a rule to those of a call, in new memory. A rule that has all conditions of
// another one says nothing that the other does not, and gives way to it.
func insert(rules []rule, r rule) ([]rule, error) {
	for _, have := range rules {
		if !includes(r.conditions, have.conditions) {
			continue
		}
		if len(r.conditions) == len(have.conditions) && len(r.conditions) > 0 && r.action != have.action {
			return nil, fmt.Errorf("another action for the same conditions: %w", syscall.EEXIST)
		}
		return rules, nil
	}
	kept := make([]rule, 0, len(rules)+1)
	for _, have := range rules {
		if !includes(have.conditions, r.conditions) {
			kept = append(kept, have)
		}
	}
	return append(kept, r), nil
}

// includes reports whether all conditions in some are also in all.
func includes(all, some []condition) bool {
	for _, c := range some {
		if !slices.Contains(all, c) {
			return false
		}
	}
	return true
}
