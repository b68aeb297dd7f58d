package oci

import (
	"bytes"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// family is what is known of this process's children that live in a container.
var family = struct {
	// births is held for reading while a runtime program may leave a child behind
	// that is not in known yet.
	births sync.RWMutex
	mu     sync.Mutex
	known  map[int]bool
}{known: map[int]bool{}}

func remember(pid int) {
	family.mu.Lock()
	defer family.mu.Unlock()
	family.known[pid] = true
}

func forget(pid int) {
	family.mu.Lock()
	defer family.mu.Unlock()
	delete(family.known, pid)
}

// reapStrays kills and reaps what a runtime program that failed left behind. It
// becomes this process's child unnamed, and a container's pid namespace cannot end
// while a zombie in it is not reaped. Children in this process's own pid namespace,
// which other packages have, are not touched.
func reapStrays() {
	family.births.Lock()
	defer family.births.Unlock()
	family.mu.Lock()
	defer family.mu.Unlock()
	self := os.Getpid()
	for pid := range pids {
		if family.known[pid] || !isStray(pid, self) {
			continue
		}
		_ = unix.Kill(pid, unix.SIGKILL)
		_ = retryInterrupted(func() error {
			_, err := unix.Wait4(pid, nil, 0, nil)
			return err
		})
	}
}

// isStray reports whether pid is a child of parent in a pid namespace below its own.
func isStray(pid, parent int) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false
	}
	return bytes.Contains(status, []byte("\nPPid:\t"+strconv.Itoa(parent)+"\n")) && depth(status) > ownDepth()
}

// depth is the number of pid namespaces, counted from this proc's, that a process is in.
func depth(status []byte) int {
	_, after, _ := bytes.Cut(status, []byte("\nNSpid:"))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	return len(bytes.Fields(line))
}

var ownDepth = sync.OnceValue(func() int {
	status, _ := os.ReadFile("/proc/self/status")
	return depth(status)
})
