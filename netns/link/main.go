package link

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns/lease"
	"ctr/pkg/process"
)

// Name is the helper's argv[0].
const Name = "ctr-net"

// linger is how long the helper stays after the last lease has gone.
const linger = 5 * time.Second

// helper is the process that connects the hub.
type helper struct {
	run    string
	hub    *os.File
	device *os.File // of the builtin link, until its first use
	chosen bool     // by the user: no other link in its place
	mtu    int
	host   atomic.Pointer[netip.Addr]

	mu   sync.Mutex
	info Info
}

// Main is the helper process, which [Ensure] starts; it returns the exit status. It
// runs in the host's network namespace until no container needs it.
func Main() int {
	debug.SetGCPercent(20) // little is allocated, and the process may live for months
	h, err := arrive(os.Args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", Name, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var served sync.WaitGroup
	served.Go(func() { h.serve(ctx) })
	if err := h.confirm(); err != nil {
		h.say("%v", err)
		return 1
	}
	go h.followHost(ctx)
	go settle(ctx)
	h.untilUnused(ctx)
	stop()
	served.Wait()
	return 0
}

// arrive takes over what launch has handed down and lets go of everything else.
func arrive(args []string) (*helper, error) {
	if len(args) != 5 {
		return nil, errors.New("this program is started by ctr itself")
	}
	mtu, err := strconv.Atoi(args[4])
	if err != nil {
		return nil, fmt.Errorf("MTU %q: %w", args[4], err)
	}
	h := &helper{
		run: args[1], chosen: args[3] == "true", mtu: mtu,
		hub:  os.NewFile(hubFD, "networks' namespace"),
		info: Info{Process: process.This(), Link: args[2], Hub: hubFD},
	}
	kept := hubFD
	if h.info.Link == Builtin {
		kept = deviceFD
		if err := unix.SetNonblock(deviceFD, true); err != nil {
			return nil, fmt.Errorf("taking over the network device: %w", err)
		}
		h.device = os.NewFile(deviceFD, "network device")
	}
	closeOthers(kept)
	for fd := hubFD; fd <= kept; fd++ {
		unix.CloseOnExec(fd)
	}
	os.WriteFile("/proc/self/comm", []byte(Name), 0) // what ps shows; it works without
	if err := leaveMounts(h.run); err != nil {
		return nil, err
	}
	address := ownAddress()
	h.host.Store(&address)
	return h, nil
}

// closeOthers closes the descriptors above last that the monitor did not mean to
// hand down: a container's terminal or lock would stay open as long as this process
// lives. The Go runtime's own are anonymous inodes.
func closeOthers(last int) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= last {
			continue
		}
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(to, "anon_inode:") {
			unix.Close(fd)
		}
	}
}

// leaveMounts unmounts the files of containers, which the monitor that started this
// process had mounted in its mount namespace, from this one's own.
func leaveMounts(run string) error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("leaving the containers' mounts: %w", err)
	}
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("leaving the containers' mounts: %w", err)
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		if at := unescape.Replace(f[4]); strings.HasPrefix(at, filepath.Clean(run)+"/") {
			unix.Unmount(at, unix.MNT_DETACH) // one below another goes with that
		}
	}
	return nil
}

// confirm ends a helper whose starter died before it could make a record of it:
// nobody would find it, and another will be started.
func (h *helper) confirm() error {
	return locked(h.run, func() error {
		i, err := Read(h.run)
		if err != nil || i.Process != h.info.Process {
			return errors.New("not on record, so another will do the work")
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.info = i
		return nil
	})
}

// settle gives the memory that starting needed back.
func settle(ctx context.Context) {
	select {
	case <-time.After(2 * time.Second):
		debug.FreeOSMemory()
	case <-ctx.Done():
	}
}

// untilUnused returns when no container has had a lease for a while and the helper
// has withdrawn its record, or when ctx ends.
func (h *helper) untilUnused(ctx context.Context) {
	changes := watchDir(ctx, netDir(h.run))
	var idle time.Time
	for {
		holder, used := h.user()
		wait := linger
		var died <-chan struct{}
		release := func() {}
		switch {
		case used:
			idle = time.Time{}
			wait = time.Hour
			died, release = ended(holder)
		case idle.IsZero():
			idle = time.Now()
		case time.Since(idle) >= linger:
			if h.depart() {
				return
			}
			idle = time.Time{}
			continue
		default:
			wait = linger - time.Since(idle)
		}
		select {
		case <-changes:
			pause(ctx, time.Second) // many containers may come and go at once
		case <-died:
		case <-time.After(wait):
		case <-ctx.Done():
			release()
			h.depart()
			return
		}
		release()
	}
}

// user is the holder of some lease that is not void.
func (h *helper) user() (process.Process, bool) {
	all, err := lease.Open(h.run).All()
	if err != nil {
		h.say("%v", err)
		return process.Process{}, true // rather stay than leave containers without a network
	}
	for _, leases := range all {
		for _, l := range leases {
			if l.Holder.Alive() {
				return l.Holder, true
			}
		}
	}
	return process.Process{}, false
}

// depart withdraws the record of this process unless it is needed, and reports
// whether it has. A monitor takes its lease before it looks for a helper, so either
// the lease is seen here or the missing record there.
func (h *helper) depart() bool {
	left := false
	err := locked(h.run, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if err := os.Remove(recordFile(h.run)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if _, used := h.user(); used {
			return h.info.write(h.run)
		}
		left = true
		return nil
	})
	if err != nil {
		h.say("%v", err)
	}
	return left
}

func (h *helper) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.DateTime), fmt.Sprintf(format, args...))
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (h *helper) hostAddress() netip.Addr { return *h.host.Load() }
