package libpod

import (
	"errors"

	"ctr/libpod/monitor"
	"ctr/libpod/state"
)

// Kind classifies an error of this package for exit codes and HTTP statuses;
// match with errors.Is.
type Kind string

func (k Kind) Error() string { return string(k) }

// The kinds of errors.
const (
	ErrNoSuchContainer Kind = "no such container"
	ErrNameInUse       Kind = "name in use"
	ErrNotRunning      Kind = "container is not running"
	ErrRunning         Kind = "container is running"
	ErrPaused          Kind = "container is paused"
	ErrNotFound        Kind = "command not found"      // exit code 127
	ErrNotExecutable   Kind = "command not executable" // exit code 126
	ErrUnknownExit     Kind = "exit status unknown"
)

// Error is an error with a kind.
type Error struct {
	Kind    Kind
	Message string
}

func (e *Error) Error() string { return e.Message }

// Is matches the kind.
func (e *Error) Is(target error) bool { return target == e.Kind }

// KindOf is the kind of err, or "".
func KindOf(err error) Kind {
	var e *Error
	var gone *state.NoSuchContainerError
	var taken *state.NameInUseError
	var fault *monitor.Fault
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.As(err, &gone):
		return ErrNoSuchContainer
	case errors.As(err, &taken):
		return ErrNameInUse
	case errors.As(err, &fault):
		return faultKinds[fault.Kind]
	}
	return ""
}

var faultKinds = map[monitor.FaultKind]Kind{
	monitor.FaultNotFound:      ErrNotFound,
	monitor.FaultNotExecutable: ErrNotExecutable,
	monitor.FaultGone:          ErrNotRunning,
	monitor.FaultPaused:        ErrPaused,
}

// kinded gives an error of the packages below its kind, so that errors.Is finds it.
func kinded(err error) error {
	if k := KindOf(err); k != "" {
		return &Error{Kind: k, Message: err.Error()}
	}
	return err
}
