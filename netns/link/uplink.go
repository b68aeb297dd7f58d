package link

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"ctr/netns/lease"
	"ctr/pkg/atomicfile"
	"ctr/pkg/process"
)

// Info is what is known of the running helper.
type Info struct {
	Process process.Process `json:"process"`
	Link    string          `json:"link"`           // pasta, slirp4netns or builtin
	Note    string          `json:"note,omitempty"` // why it is not a better one
	Hub     int             `json:"hub"`            // descriptor of the hub's namespace in the helper
}

// The descriptors that the helper is started with.
const (
	hubFD    = 3
	deviceFD = 4
)

func netDir(run string) string { return filepath.Join(run, "net") }

func recordFile(run string) string { return filepath.Join(netDir(run), "link.json") }

// Read is what the last helper was. It may have ended since, see
// [process.Process.Alive]; the error is fs.ErrNotExist when none was started, or
// it ended in an orderly way.
func Read(run string) (Info, error) {
	var i Info
	text, err := os.ReadFile(recordFile(run))
	if err != nil {
		return i, fmt.Errorf("reading which network helper runs: %w", err)
	}
	if err := json.Unmarshal(text, &i); err != nil {
		return Info{}, fmt.Errorf("reading %s: %w", recordFile(run), err)
	}
	return i, nil
}

func (i Info) write(run string) error {
	text, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return atomicfile.Write(recordFile(run), text, 0o600, false)
}

// locked calls f while no other process starts or ends the helper.
func locked(run string, f func() error) error {
	dir := filepath.Join(run, "net")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of the networks' state: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "link.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("locking the network helper: %w", err)
	}
	defer lock.Close()
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX)
		if err == nil {
			return f()
		}
		if err != unix.EINTR {
			return fmt.Errorf("locking the network helper: %w", err)
		}
	}
}

// Ensure connects the hub to the host's network unless that has been done: it makes
// the uplink device with the default route and starts the helper. It does not wait
// for traffic to flow. The caller, a monitor, has taken its lease before: without
// any the helper ends. Nothing is to be done where the hub is the host's own
// namespace, as it is for root.
//
// Only [Options.Helper] and [Options.MTU] count. Without the former CTR_NETWORK_LINK
// decides, then default_rootless_network_cmd of containers.conf(5), then what this
// machine has; a link that runs already is not changed.
func Ensure(hub *os.File, run string, o Options) error {
	if isOwnNamespace(hub) {
		return nil
	}
	if _, done := serves(hub, run); done {
		return nil
	}
	return locked(run, func() error {
		other, done := serves(hub, run)
		if done {
			return nil
		}
		if err := replace(other, run); err != nil {
			return err
		}
		c, err := choose(o.Helper)
		if err != nil {
			return err
		}
		mtu := o.MTU
		if mtu == 0 {
			mtu = defaultMTU
		}
		return start(hub, run, c, mtu)
	})
}

// start makes the device and the helper. Neither the program's start nor the change of
// the hub's rules waits for the other.
func start(hub *os.File, run string, c choice, mtu int) error {
	device, err := makeDevice(hub, c.link, mtu)
	if err != nil {
		return fmt.Errorf("connecting the networks through %s: %w", c.link, err)
	}
	if device != nil {
		defer device.Close()
	}
	var pid int
	launched := make(chan error, 1)
	go func() {
		var err error
		pid, err = launch(hub, device, run, c, mtu)
		launched <- err
	}()
	err = useDevice(hub, c.link, ownAddress())
	if launchErr := <-launched; launchErr != nil {
		return fmt.Errorf("starting the network helper: %w", launchErr)
	}
	if err != nil {
		unix.Kill(pid, unix.SIGKILL)
		unix.Wait4(pid, nil, 0, nil)
		return fmt.Errorf("connecting the networks through %s: %w", c.link, err)
	}
	// Without its record the helper ends by itself.
	return Info{Process: process.Of(pid), Link: c.link, Note: c.note, Hub: hubFD}.write(run)
}

// serves reports whether a helper runs for hub, or else which one runs for another
// hub: then all of its Info is set.
func serves(hub *os.File, run string) (other Info, done bool) {
	i, err := Read(run)
	if err != nil || !i.Process.Alive() {
		return Info{}, false // also of a record that is damaged, which no program of ours makes
	}
	if sameFile(hub, i.Process.Pid, i.Hub) {
		return Info{}, true
	}
	return i, false
}

// replace ends a helper whose hub is not the user's any more: the containers that it
// was for have all ended, and their user namespace with them, while it lingers on.
func replace(other Info, run string) error {
	if !other.Process.Alive() {
		return nil
	}
	all, err := lease.Open(run).All()
	if err != nil {
		return err
	}
	hub, err := os.Open(fmt.Sprintf("/proc/%d/fd/%d", other.Process.Pid, other.Hub))
	if err == nil { // else it is in another user namespace
		defer hub.Close()
		for _, leases := range all {
			for _, l := range leases {
				if l.Holder.Alive() && sameFile(hub, l.Holder.Pid, l.HubFD) {
					return fmt.Errorf("the network helper, process %d, serves the containers of another namespace; stop these first", other.Process.Pid)
				}
			}
		}
	}
	gone, release := ended(other.Process)
	defer release()
	if err := unix.Kill(other.Process.Pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
		return fmt.Errorf("ending the network helper of containers that have ended, process %d: %w", other.Process.Pid, err)
	}
	<-gone
	reap(other.Process.Pid)
	return nil
}

// sameFile reports whether a descriptor of another process is the namespace ns.
func sameFile(ns *os.File, pid, fd int) bool {
	var here, there unix.Stat_t
	return unix.Fstat(int(ns.Fd()), &here) == nil &&
		unix.Stat(fmt.Sprintf("/proc/%d/fd/%d", pid, fd), &there) == nil && here.Ino == there.Ino && here.Dev == there.Dev
}

func isOwnNamespace(hub *os.File) bool {
	var here, there unix.Stat_t
	return unix.Fstat(int(hub.Fd()), &here) == nil && unix.Stat("/proc/thread-self/ns/net", &there) == nil && here.Ino == there.Ino
}

// launch starts the helper in a session of its own, so that it outlives this process,
// and in a mount namespace of its own, so that it holds no container's files.
func launch(hub, device *os.File, run string, c choice, mtu int) (int, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	log, err := openLog(filepath.Join(run, "net", "link.log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	files := []uintptr{null.Fd(), log.Fd(), log.Fd(), hub.Fd()}
	if device != nil {
		files = append(files, device.Fd())
	}
	argv := []string{Name, run, c.link, strconv.FormatBool(c.chosen), strconv.Itoa(mtu)}
	attr := &syscall.ProcAttr{
		Dir: "/", Env: helperEnv(), Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS},
	}
	type result struct {
		pid int
		err error
	}
	started := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: what this thread gives up, it alone does
		if err := giveUp(neededCaps); err != nil {
			started <- result{err: err}
			return
		}
		pid, err := syscall.ForkExec("/proc/self/exe", argv, attr)
		started <- result{pid, err}
	}()
	r := <-started
	runtime.KeepAlive(hub)
	return r.pid, r.err
}

// neededCaps is what the helper and the programs that it starts need in the user
// namespace: to make sockets and devices in the hub, to listen for other addresses
// there, and to lock themselves up.
var neededCaps = []int{
	unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_NET_BIND_SERVICE,
	unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SETPCAP, unix.CAP_SYS_CHROOT,
}

func helperEnv() []string {
	env := []string{"LC_ALL=C"}
	for _, key := range []string{"PATH", "GODEBUG"} {
		if value, set := os.LookupEnv(key); set {
			env = append(env, key+"="+value)
		}
	}
	return env
}

// openLog opens the helper's log, which begins anew when it has grown.
func openLog(path string) (*os.File, error) {
	const enough = 64 << 10
	flags := os.O_CREATE | os.O_APPEND | os.O_WRONLY
	if st, err := os.Stat(path); err == nil && st.Size() > enough {
		flags |= os.O_TRUNC
	}
	return os.OpenFile(path, flags, 0o600)
}
