package seccomp

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// ScmpFilter is a filter in the making. The zero value is not valid, get one from
// [NewFilter].
type ScmpFilter struct {
	valid    bool
	fallback ScmpAction
	foreign  ScmpAction // for calls of architectures that are not in the filter
	optimize int
	bits     map[attribute]bool
	archs    []ScmpArch
	rules    [len(abis)]ruleSet // of the abis in archs
	unknown  []uint32           // numbers with rules that are not in calls
	pool     []rule
}

var errInvalid = errors.New("filter is invalid or uninitialized")

// NewFilter makes a filter for the native architecture that does the given with all
// calls.
func NewFilter(defaultAction ScmpAction) (*ScmpFilter, error) {
	if !defaultAction.valid() {
		return nil, fmt.Errorf("invalid default action %v", defaultAction)
	}
	native, err := GetNativeArch()
	if err != nil {
		return nil, err
	}
	f := &ScmpFilter{valid: true, fallback: defaultAction, foreign: ActKillThread}
	f.bits = map[attribute]bool{noNewPrivs: true}
	return f, f.AddArch(native)
}

// IsValid reports whether f came from [NewFilter] and was not released.
func (f *ScmpFilter) IsValid() bool { return f.valid }

// Release ends the use of f. There is nothing that it frees.
func (f *ScmpFilter) Release() { *f = ScmpFilter{} }

// AddArch adds an architecture, to which the rules apply that are added from now on.
// Adding one again does nothing, nor does adding one that cannot run here.
func (f *ScmpFilter) AddArch(arch ScmpArch) error {
	if !f.valid {
		return errInvalid
	}
	if arch <= ArchInvalid || int(arch) >= len(archNames) {
		return fmt.Errorf("unrecognized architecture %d", arch)
	}
	if n := findABI(arch); n >= 0 {
		arch = abis[n].arch
	}
	if !slices.Contains(f.archs, arch) {
		f.archs = append(f.archs, arch)
	}
	return nil
}

// has reports whether the n-th abi is in the filter.
func (f *ScmpFilter) has(n int) bool { return slices.Contains(f.archs, abis[n].arch) }

// GetDefaultAction is what happens to calls that no rule matches.
func (f *ScmpFilter) GetDefaultAction() (ScmpAction, error) {
	if !f.valid {
		return ActInvalid, errInvalid
	}
	return f.fallback, nil
}

// SetBadArchAction sets what happens to calls of architectures that are not in the
// filter. It is ActKillThread otherwise.
func (f *ScmpFilter) SetBadArchAction(action ScmpAction) error {
	if !f.valid {
		return errInvalid
	}
	if !action.valid() {
		return fmt.Errorf("invalid action %v", action)
	}
	f.foreign = action
	return nil
}

// AddRule adds a rule for all uses of a call, whose number is the native
// architecture's. It takes the place of earlier rules with conditions; when there is
// one without, that one stays. An architecture that does not have the call is left
// alone.
func (f *ScmpFilter) AddRule(call ScmpSyscall, action ScmpAction) error {
	return f.addRule(call, action, nil, false)
}

// AddRuleConditional adds a rule for the uses of a call that fulfil all conditions. No
// two of them may be about the same argument. On architectures whose arguments have
// 32 bits, only the lower half of operands counts.
func (f *ScmpFilter) AddRuleConditional(call ScmpSyscall, action ScmpAction, conds []ScmpCondition) error {
	return f.addRule(call, action, conds, false)
}

// AddRuleExact is [ScmpFilter.AddRule], but fails when one of the filter's
// architectures does not have the call by a number of its own.
func (f *ScmpFilter) AddRuleExact(call ScmpSyscall, action ScmpAction) error {
	return f.addRule(call, action, nil, true)
}

// AddRuleConditionalExact is to [ScmpFilter.AddRuleConditional] what AddRuleExact is to
// AddRule.
func (f *ScmpFilter) AddRuleConditionalExact(call ScmpSyscall, action ScmpAction, conds []ScmpCondition) error {
	return f.addRule(call, action, conds, true)
}

// ExportBPFMem is the filter as a program: struct sock_filter after struct sock_filter,
// in the machine's byte order. It fails when the program is longer than the kernel
// takes.
func (f *ScmpFilter) ExportBPFMem() ([]byte, error) {
	if !f.valid {
		return nil, errInvalid
	}
	program := f.compile()
	if len(program) > maxProgram {
		return nil, fmt.Errorf("the filter has %d instructions, the kernel takes %d", len(program), maxProgram)
	}
	return encode(program), nil
}

// ExportBPF writes what [ScmpFilter.ExportBPFMem] returns.
func (f *ScmpFilter) ExportBPF(file *os.File) error {
	program, err := f.ExportBPFMem()
	if err != nil {
		return err
	}
	if _, err := file.Write(program); err != nil {
		return fmt.Errorf("writing the filter: %w", err)
	}
	return nil
}
