package seccomp

import "fmt"

// ScmpAction is what to do about a call: one of the Act constants, with a return code
// in the upper half of its low 32 bits where the action has one.
type ScmpAction uint

// The actions. seccomp(2) describes what each does.
const (
	ActInvalid     ScmpAction = iota // the zero value is no action
	ActKillThread                    // end the thread
	ActTrap                          // send SIGSYS
	ActNotify                        // ask whoever holds the notification descriptor
	ActErrno                         // fail with the return code as errno
	ActTrace                         // ask the tracer, which gets the return code
	ActAllow                         // go on
	ActLog                           // log, and go on
	ActKillProcess                   // end the process
)

const (
	actionBits = 0xffff
	codeShift  = 16
	maxErrno   = 4095
)

// returns is what a program returns to the kernel for each action, see
// <linux/seccomp.h>.
var returns = [...]uint32{
	ActKillThread:  0x00000000,
	ActTrap:        0x00030000,
	ActNotify:      0x7fc00000,
	ActErrno:       0x00050000,
	ActTrace:       0x7ff00000,
	ActAllow:       0x7fff0000,
	ActLog:         0x7ffc0000,
	ActKillProcess: 0x80000000,
}

var actionNames = [...]string{"Invalid", "KillThread", "Trap", "Notify", "Errno", "Trace", "Allow", "Log", "KillProcess"}

// String names the action, with its return code if it has one.
func (a ScmpAction) String() string {
	kind := a & actionBits
	if int(kind) >= len(actionNames) {
		return "Action: Unrecognized"
	}
	if a.hasCode() {
		return fmt.Sprintf("Action: %s(%d)", actionNames[kind], a.GetReturnCode())
	}
	return "Action: " + actionNames[kind]
}

func (a ScmpAction) hasCode() bool {
	kind := a & actionBits
	return kind == ActErrno || kind == ActTrace
}

// SetReturnCode is a with that return code. Only ActErrno and ActTrace have one; other
// actions are returned as they are.
func (a ScmpAction) SetReturnCode(code int16) ScmpAction {
	if !a.hasCode() {
		return a
	}
	return a&actionBits | ScmpAction(uint16(code))<<codeShift
}

// GetReturnCode is the action's return code.
func (a ScmpAction) GetReturnCode() int16 { return int16(a >> codeShift) }

// valid reports whether a is one of the actions, and its return code one that the
// kernel would not change.
func (a ScmpAction) valid() bool {
	kind := a & actionBits
	if kind == ActErrno && uint16(a.GetReturnCode()) > maxErrno {
		return false
	}
	return kind > ActInvalid && int(kind) < len(returns)
}

// value is what the program returns for a.
func (a ScmpAction) value() uint32 {
	v := returns[a&actionBits]
	if a.hasCode() {
		v |= uint32(uint16(a.GetReturnCode()))
	}
	return v
}
