package seccomp

import (
	"fmt"
	"sync"
	"syscall"
)

// attribute is a property of loading that a filter carries for whoever loads it.
type attribute int

const (
	noNewPrivs attribute = iota
	logging
	speculation
	waitKillable
	synchronized
)

// VersionError says that the kernel is too old for something.
type VersionError struct {
	what     string
	has, min uint
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s needs seccomp API level %d, the kernel has %d", e.what, e.min, e.has)
}

// set records an attribute that kernels of an API level have.
func (f *ScmpFilter) set(a attribute, on bool, what string, level uint) error {
	if has, _ := GetAPI(); has < level {
		return &VersionError{what, has, level}
	}
	if !f.valid {
		return errInvalid
	}
	f.bits[a] = on
	return nil
}

func (f *ScmpFilter) get(a attribute, what string, level uint) (bool, error) {
	if has, _ := GetAPI(); has < level {
		return false, &VersionError{what, has, level}
	}
	if !f.valid {
		return false, errInvalid
	}
	return f.bits[a], nil
}

// SetNoNewPrivsBit says whether no_new_privs is to be set before the filter is loaded,
// which is the default.
func (f *ScmpFilter) SetNoNewPrivsBit(on bool) error { return f.set(noNewPrivs, on, "no_new_privs", 1) }

// GetNoNewPrivsBit is what SetNoNewPrivsBit set.
func (f *ScmpFilter) GetNoNewPrivsBit() (bool, error) { return f.get(noNewPrivs, "no_new_privs", 1) }

// SetTsync says whether all threads are to get the filter. Off is the default.
func (f *ScmpFilter) SetTsync(on bool) error {
	return f.set(synchronized, on, "thread synchronization", 2)
}

// GetTsync is what SetTsync set.
func (f *ScmpFilter) GetTsync() (bool, error) {
	return f.get(synchronized, "thread synchronization", 2)
}

// SetLogBit says whether the kernel is to log all actions but ActAllow.
func (f *ScmpFilter) SetLogBit(on bool) error { return f.set(logging, on, "the log flag", 3) }

// GetLogBit is what SetLogBit set.
func (f *ScmpFilter) GetLogBit() (bool, error) { return f.get(logging, "the log flag", 3) }

// SetSSB says whether to leave speculative store bypass unmitigated.
func (f *ScmpFilter) SetSSB(on bool) error { return f.set(speculation, on, "the SSB flag", 4) }

// GetSSB is what SetSSB set.
func (f *ScmpFilter) GetSSB() (bool, error) { return f.get(speculation, "the SSB flag", 4) }

// SetWaitKill says whether calls that wait for a notification's answer can only be
// interrupted by fatal signals.
func (f *ScmpFilter) SetWaitKill(on bool) error {
	return f.set(waitKillable, on, "the wait killable flag", 7)
}

// GetWaitKill is what SetWaitKill set.
func (f *ScmpFilter) GetWaitKill() (bool, error) {
	return f.get(waitKillable, "the wait killable flag", 7)
}

// SetOptimize takes libseccomp's levels of optimization, 1 and 2. Programs are the same
// either way.
func (f *ScmpFilter) SetOptimize(level int) error {
	if !f.valid {
		return errInvalid
	}
	if level != 1 && level != 2 {
		return fmt.Errorf("invalid optimization level %d", level)
	}
	f.optimize = level
	return nil
}

// GetOptimize is what SetOptimize set.
func (f *ScmpFilter) GetOptimize() (int, error) {
	if !f.valid {
		return 0, errInvalid
	}
	return f.optimize, nil
}

// GetLibraryVersion is the version of libseccomp whose interface this is.
func GetLibraryVersion() (major, minor, micro uint) { return 2, 6, 0 }

var api struct {
	once  sync.Once
	level uint
}

// GetAPI is how much of seccomp the kernel has, in the levels of seccomp_api_get(3). The
// error is always nil.
func GetAPI() (uint, error) {
	api.once.Do(func() { api.level = probe() })
	return api.level, nil
}

// Flags of seccomp(SECCOMP_SET_MODE_FILTER), see <linux/seccomp.h>.
const (
	setModeFilter = 1

	flagTsync       = 1 << 0
	flagLog         = 1 << 1
	flagSpecAllow   = 1 << 2
	flagNewListener = 1 << 3
	flagTsyncESRCH  = 1 << 4
	flagWaitKill    = 1 << 5
)

// probe asks the kernel for each level's flags. Where it knows them, it is the missing
// program that it complains about.
func probe() uint {
	number, err := GetSyscallFromName("seccomp")
	if err != nil {
		return 0
	}
	level := uint(1)
	for _, flags := range []uintptr{
		flagTsync, flagLog, flagSpecAllow, flagNewListener,
		flagTsync | flagNewListener | flagTsyncESRCH, flagNewListener | flagWaitKill,
	} {
		_, _, errno := syscall.RawSyscall(uintptr(number), setModeFilter, flags, 0)
		if errno != syscall.EFAULT {
			break
		}
		level++
	}
	return level
}
