package oci

import (
	"os"
	"runtime"
	"runtime/debug"

	"github.com/opencontainers/runc/libcontainer"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // a C constructor that joins namespaces before Go starts
	"golang.org/x/sys/unix"
)

// A container's first process keeps to its main thread, which is the one that is
// seen in /proc. Only a lock taken during package initialization is on that thread.
func init() {
	if startedAsInit() {
		runtime.LockOSThread()
	}
}

func startedAsInit() bool {
	return len(os.Args) == 2 && os.Args[1] == "init" && os.Getenv("_LIBCONTAINER_INITPIPE") != ""
}

// MaybeInit turns this process into a container's first process when it was started
// as one, and returns at once otherwise. The built-in executor starts the running
// program again under the argument "init", so main must call this before anything
// else, and a test binary's TestMain likewise.
func MaybeInit() {
	if !startedAsInit() {
		return
	}
	// The heap lives for a few milliseconds: collecting it would only cost time.
	debug.SetGCPercent(-1)
	// libcontainer's own parent-death signal is lost in the forks that precede this
	// point; set here, libcontainer carries it over the change of user.
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
	libcontainer.Init()
}
