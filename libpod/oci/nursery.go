package oci

import (
	"runtime"
	"sync"
)

// nursery is the one operating system thread from which containers are started. A
// parent-death signal fires when the *thread* that forked ends, and the Go runtime
// ends threads as it likes; this one is never given back.
var nursery = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// inNursery runs f on the nursery's thread and waits for it.
func inNursery(f func() error) error {
	done := make(chan error, 1)
	nursery() <- func() { done <- f() }
	return <-done
}
