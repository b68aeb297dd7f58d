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

// ruleSet has the rules of an abi by the call's place in calls. Calls that only the kernel
// knows follow after these, in the order of the filter's unknown. Of a call's rules, the
// first that holds counts.
type ruleSet [][]rule

func (s ruleSet) get(place int) []rule {
	if place < len(s) {
		return s[place]
	}
	return nil
}

func (s *ruleSet) set(place int, rules []rule) {
	if place >= len(*s) {
		grown := make(ruleSet, max(len(calls), place+1))
		copy(grown, *s)
		*s = grown
	}
	(*s)[place] = rules
}

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
	place := f.place(number)
	if place < 0 {
		return fmt.Errorf("unrecognized syscall %#x", int32(number))
	}
	var changes [2 * len(abis)]change
	count := 0
	for n := range abis {
		if !f.has(n) {
			continue
		}
		targets, err := abis[n].targets(n, place, conds, exact)
		if err != nil {
			return err
		}
		for _, t := range targets {
			if t.place < 0 {
				continue
			}
			rules, err := f.insert(f.rules[n].get(t.place), rule{t.conditions, action})
			if err != nil {
				return fmt.Errorf("rule for %s: %w", abis[n].arch, err)
			}
			changes[count] = change{n, t.place, rules}
			count++
		}
	}
	for _, c := range changes[:count] {
		f.rules[c.abi].set(c.place, c.rules)
	}
	return nil
}

// change is what adding a rule does to the rules of one call of one abi.
type change struct {
	abi, place int
	rules      []rule
}

// place is where a call with a native number has its rules, or -1. A number that has no
// name only means something in a filter for the native architecture alone.
func (f *ScmpFilter) place(number ScmpSyscall) int {
	if i := find(number); i >= 0 {
		return i
	}
	if number < 0 || len(f.archs) > 1 {
		return -1
	}
	i := slices.Index(f.unknown, uint32(number))
	if i < 0 {
		i = len(f.unknown)
		f.unknown = append(f.unknown, uint32(number))
	}
	return len(calls) + i
}

// number is the opposite of place, for the n-th abi.
func (f *ScmpFilter) number(place, n int) uint32 {
	if place >= len(calls) {
		return f.unknown[place-len(calls)]
	}
	return uint32(numberIn(place, n))
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

// target is where a rule goes in an abi: nowhere when place is negative.
type target struct {
	place      int
	conditions []condition
}

// targets are the calls by which a call can be made in the n-th abi, which is a. There
// are two where it is also a function of socketcall or ipc: the function's number is then
// what the first argument must be. The other conditions are kept as they are, as
// libseccomp does, though socketcall's arguments are others.
func (a abi) targets(n, place int, conds []ScmpCondition, exact bool) (found [2]target, err error) {
	conditions := a.conditions(conds)
	found[0], found[1] = target{-1, nil}, target{-1, nil}
	if place >= len(calls) {
		found[0] = target{place, conditions}
		return found, nil
	}
	if numberIn(place, n) >= 0 {
		found[0] = target{place, conditions}
	}
	via := index.routes[place]
	if a.multi && via.through > 0 {
		found[1] = target{via.through - 1, throughFunction(via.function, conditions)}
	}
	if exact && (found[0].place < 0 || found[1].place >= 0) {
		return found, fmt.Errorf("%s has no number of its own for %s, or not only", a.arch, calls[place].name)
	}
	return found, nil
}

// conditions are conds for a, sorted.
func (a abi) conditions(conds []ScmpCondition) []condition {
	if len(conds) == 0 {
		return nil
	}
	conditions := make([]condition, 0, len(conds))
	for _, c := range conds {
		conditions = append(conditions, a.condition(c))
	}
	slices.SortFunc(conditions, func(x, y condition) int { return int(x.argument) - int(y.argument) })
	return conditions
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

// insert is rules with another rule. rules itself stays as it is. A rule that has all conditions of
// another one says nothing that the other does not, and gives way to it.
func (f *ScmpFilter) insert(rules []rule, r rule) ([]rule, error) {
	for _, have := range rules {
		if !includes(r.conditions, have.conditions) {
			continue
		}
		if len(r.conditions) == len(have.conditions) && len(r.conditions) > 0 && r.action != have.action {
			return nil, fmt.Errorf("another action for the same conditions: %w", syscall.EEXIST)
		}
		return rules, nil
	}
	kept := f.space(len(rules) + 1)
	for _, have := range rules {
		if !includes(have.conditions, r.conditions) {
			kept = append(kept, have)
		}
	}
	return append(kept, r), nil
}

// space is memory for n rules. It is taken from larger pieces, for most calls have a
// single rule.
func (f *ScmpFilter) space(n int) []rule {
	if cap(f.pool)-len(f.pool) < n {
		f.pool = make([]rule, 0, max(n, 256))
	}
	start := len(f.pool)
	f.pool = f.pool[:start+n]
	return f.pool[start : start : start+n]
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
