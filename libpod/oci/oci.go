// Package oci starts processes from an OCI runtime spec.
//
// Two implementations pass one shared suite (see suite_test.go): [NewBuiltin],
// which is libcontainer in this process, and [NewExternal], which drives an OCI
// runtime program such as crun or runc. Everything here is called by the
// container's monitor, inside the container's user and mount namespace, with the
// root file system already mounted there.
package oci

import (
	"context"
	"os"
	"syscall"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
)

// Executor creates containers from specs.
//
// The life cycle is Create, then Start once, then any number of Exec, Signal,
// Pause and Resume, then Delete. Wait may be called from Create on.
type Executor interface {
	// Create sets the container up to the point just before its process is executed.
	// id is unique per start; dir is an empty directory of the caller's on tmpfs for
	// the executor's own state (bundle, state.json, sockets), removed by the caller.
	Create(ctx context.Context, id, dir string, spec *rspec.Spec, stdio IO) (Container, error)
}

// Container is a created container. Its methods may be called concurrently.
type Container interface {
	// Pid is the container's first process, in this process's pid namespace.
	Pid() int
	// Start executes the container's process. An error wraps [ErrNotFound] or
	// [ErrNotExecutable] when the program is missing or cannot be executed.
	Start(ctx context.Context) error
	// Exec runs one more process in the container; os.ErrProcessDone when its first
	// process is gone, [ErrPaused] when it is frozen.
	Exec(ctx context.Context, p *rspec.Process, stdio IO) (Process, error)
	// Wait blocks until the first process is gone and reaped. Every caller gets the same answer.
	Wait() (Exit, error)
	// Signal sends sig to the first process; with all, to every process of the container.
	// A paused container is resumed for SIGKILL. os.ErrProcessDone when it is gone.
	Signal(sig syscall.Signal, all bool) error
	// Pause and Resume freeze and thaw every process. They need a cgroup; without one the error wraps [ErrNoCgroup].
	Pause() error
	Resume() error
	// Pids lists the container's processes, in this process's pid namespace. Without a
	// cgroup and a pid namespace of its own, orphaned daemons are not found.
	Pids() ([]int, error)
	// Delete kills what is left and removes the executor's state. Idempotent.
	Delete() error
}

// Process is an exec'd process.
type Process interface {
	Pid() int
	// Wait blocks until the process is gone and reaped. Every caller gets the same answer.
	Wait() (Exit, error)
	Signal(sig syscall.Signal) error
}

// IO is a process's standard streams. Files given here are the caller's to
// close, after Create or Exec has returned; the container has its own copies.
type IO struct {
	// Stdin, Stdout and Stderr become descriptors 0, 1 and 2; nil is /dev/null. Unused when Console is set.
	Stdin, Stdout, Stderr *os.File
	// Console, when not nil, asks for a terminal (spec.Process.Terminal must be true):
	// it is called once with the master's file, which the callee owns from then on.
	Console func(master *os.File)
	// Extra become descriptors 3 and up (--preserve-fds).
	Extra []*os.File
}

// Exit is how a process ended. Code is 128+n when signal n killed it.
type Exit struct {
	Code   int
	Signal syscall.Signal // 0 unless killed by a signal
}

// Error is a fixed error of this package, to be matched with errors.Is.
type Error string

func (e Error) Error() string { return string(e) }

// The errors that callers tell apart.
const (
	ErrNotFound      Error = "executable file not found"
	ErrNotExecutable Error = "permission denied"
	ErrNoCgroup      Error = "no writable cgroup"
	ErrPaused        Error = "container is paused"
)
