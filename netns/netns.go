// Package netns makes network namespaces and writes the files that tell a container
// of its network. What lies in the namespaces is the matter of the packages below.
//
// It is called by the container's monitor, which is uid 0 in its user namespace,
// or real root.
package netns

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Place is what hosts and resolv.conf say of a container's place in a network.
type Place struct {
	Address     netip.Addr
	Address6    netip.Addr   // invalid without IPv6
	HostGateway netip.Addr   // an address of the host itself, as the container reaches it; invalid when the host has only loopback
	DNS         []netip.Addr // forwards to the host's resolver, also to one that listens on loopback
}

// New makes a network namespace in which loopback is up, and returns its file.
// It lives as long as the file or a process in it; the caller closes the file.
// No thread of this process stays in the namespace.
func New() (ns *os.File, err error) {
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("creating a network namespace: %w", err)
		}
		lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1}}
		if err := netlink.LinkSetUp(lo); err != nil {
			return fmt.Errorf("setting the loopback interface up: %w", err)
		}
		ns, err = os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return fmt.Errorf("opening the new network namespace: %w", err)
		}
		return nil
	})
	return ns, err
}

// onThread runs f on a thread that ends with it: in a user namespace
// there is no way back to the network namespace that the thread came from.
func onThread(f func() error) error {
	done := make(chan error, 1)
	var try func()
	try = func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			done <- f()
			return // still locked, so the runtime ends this thread
		}
		// The main thread cannot end, and /proc/PID/ns/net is its namespace. It is
		// held until another thread has taken over.
		taken := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(taken)
			done <- f()
		}()
		<-taken
		runtime.UnlockOSThread()
	}
	go try()
	return <-done
}

// Do runs f on a thread in the network namespace ns that ends with it. Sockets that f
// opens stay in ns and may be used from anywhere.
func Do(ns *os.File, f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network namespace: %w", err)
		}
		return f()
	})
}
