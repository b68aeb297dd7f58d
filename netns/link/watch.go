package link

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns/lease"
	"ctr/pkg/process"
)

// Watch calls again, which calls [Ensure], whenever the helper has died although
// containers need it. Each monitor of a container on a bridge runs it until its
// container leaves the last one, when it ends ctx; Watch then returns. Of several
// monitors that notice at once, one starts the helper and all go on to watch that. It
// needs no thread while it waits. What again returns is tried again, later.
func Watch(ctx context.Context, run string, again func() error) {
	failures := 0
	for ctx.Err() == nil {
		i, err := Read(run)
		if err == nil && i.Process.Alive() {
			began := time.Now()
			gone, release := ended(i.Process)
			select {
			case <-gone:
				reap(i.Process.Pid)
			case <-ctx.Done():
			}
			release()
			if time.Since(began) > time.Second {
				failures = 0
			}
			if ctx.Err() != nil {
				return
			}
			if i, err := Read(run); err == nil && i.Process.Alive() {
				continue // another monitor was faster
			}
		}
		if !needed(run) {
			awaitChange(ctx, run)
			continue
		}
		pause(ctx, retryDelay(failures)-retryDelay(0))
		failures++
		if ctx.Err() == nil {
			_ = again() // the next turn sees whether a helper runs
		}
	}
}

// needed reports whether a lease is not void. Not to know is no reason to do without.
func needed(run string) bool {
	all, err := lease.Open(run).All()
	if err != nil {
		return true
	}
	for _, leases := range all {
		for _, l := range leases {
			if l.Holder.Alive() {
				return true
			}
		}
	}
	return false
}

// awaitChange returns when leases, or the record of the helper, may have changed.
func awaitChange(ctx context.Context, run string) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	select {
	case <-watchDir(ctx, lease.Open(run).Dir()):
	case <-time.After(time.Minute):
	case <-ctx.Done():
	}
}

// reap removes the zombie of a helper that this process has started.
func reap(pid int) {
	var status unix.WaitStatus
	_, _ = unix.Wait4(pid, &status, unix.WNOHANG, nil) // ECHILD: it was another's child
}

// ended is closed when a process has ended; release must be called and frees what the
// waiting takes. No thread waits: pidfd_open(2) gives a file that becomes readable.
func ended(p process.Process) (done <-chan struct{}, release func()) {
	over := make(chan struct{})
	fd, err := unix.PidfdOpen(p.Pid, unix.PIDFD_NONBLOCK)
	if err != nil || !p.Alive() { // of a later process with this pid, perhaps
		if err == nil {
			unix.Close(fd)
		}
		close(over)
		return over, func() {}
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	conn, err := file.SyscallConn()
	if err != nil {
		close(over)
		return over, func() { file.Close() }
	}
	go func() {
		err := conn.Read(func(fd uintptr) bool { return readable(int(fd)) })
		if err == nil {
			close(over)
		}
	}()
	return over, func() { file.Close() }
}

func readable(fd int) bool {
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(set, 0)
	return err == nil && n > 0
}

// watchDir sends when names in a directory have changed, until ctx ends: at once for
// the first of many changes. A machine without inotify instances left is polled.
func watchDir(ctx context.Context, dir string) <-chan struct{} {
	changes := make(chan struct{}, 1)
	tell := func() {
		select {
		case changes <- struct{}{}:
		default:
		}
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == nil {
		const events = unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_CLOSE_WRITE
		if _, err = unix.InotifyAddWatch(fd, dir, events); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		go func() {
			for ctx.Err() == nil {
				pause(ctx, 5*time.Second)
				tell()
			}
		}()
		return changes
	}
	file := os.NewFile(uintptr(fd), "inotify")
	context.AfterFunc(ctx, func() { file.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			if _, err := file.Read(buf); err != nil {
				return
			}
			tell()
		}
	}()
	return changes
}

// followHost keeps up with the addresses and routes of the host until ctx ends.
func (h *helper) followHost(ctx context.Context) {
	const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV4_ROUTE
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups})
	}
	if err != nil {
		h.say("following the host's routes: %v", err)
		return
	}
	file := os.NewFile(uintptr(fd), "routes")
	defer file.Close()
	defer context.AfterFunc(ctx, func() { file.Close() })()
	buf := make([]byte, 1<<14)
	for {
		h.lookAgain() // first, for what changed before the socket was there
		if _, err := file.Read(buf); err != nil && ctx.Err() != nil {
			return
		}
		pause(ctx, 50*time.Millisecond) // changes come in company
	}
}

// lookAgain learns the host's address and tells the hub when it is another.
func (h *helper) lookAgain() {
	address := ownAddress()
	if address == h.hostAddress() {
		return
	}
	h.host.Store(&address)
	h.say("the host's address is %v", address)
	if h.current().Link == Builtin {
		return
	}
	if err := useDevice(h.hub, h.current().Link, address); err != nil {
		h.say("%v", err)
	}
}
