// Package userns starts processes in the namespaces that ctr works in: as an
// ordinary user a new user namespace in which the user is root, and always a new
// mount namespace, so that nothing that is mounted ever shows on the host.
// See user_namespaces(7), newuidmap(1) and subuid(5).
package userns

/*
#include <stdlib.h>
#include "spawn.h"
*/
import "C"

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"ctr/pkg/paths"
)

// Needed reports whether this process needs a user namespace to mount file systems.
func Needed() bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if os.Geteuid() != 0 || unix.Capget(&hdr, &data[0]) != nil {
		return true
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) == 0
}

// Inside reports whether this process runs in a user namespace other than the
// machine's first one: ctr's own, or that of an outer container.
func Inside() bool {
	m, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	f := strings.Fields(string(m))
	return len(f) != 3 || f[0] != "0" || f[1] != "0" || f[2] != "4294967295"
}

// SingleID reports whether only one uid exists in this process's user namespace.
func SingleID() bool {
	m, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	f := strings.Fields(string(m))
	return len(f) == 3 && f[2] == "1"
}

// Command describes a process to start by [Command.Spawn]: this same program under
// other words, with exactly Files open.
type Command struct {
	Args   []string   // Args[0] is how the new process calls itself
	Env    []string   // ctr's own variables are added
	Files  []*os.File // descriptors 0, 1, 2, …; nothing else is open in the process
	Setsid bool       // in a session of its own, so that a closing terminal does not reach it
	// Join is a user namespace of this user's to enter instead of making one: an open
	// /proc/PID/ns/user. Processes that share namespaces of other kinds must share it.
	Join *os.File
}

// Spawn starts c in a new mount namespace and, where [Needed], in the user namespace
// Join or else a new one mapped by [Plan]. The caller reaps the process. An error from a kernel that
// forbids user namespaces says which setting it was and how to change it.
func (c Command) Spawn() (pid int, m Map, err error) {
	flags := uintptr(unix.CLONE_NEWNS)
	needed := Needed()
	env := c.Env
	mapIDs := needed && c.Join == nil
	if mapIDs {
		flags |= unix.CLONE_NEWUSER
		m = Plan()
	}
	if needed {
		env = append(env[:len(env):len(env)], Environment()...)
	}
	pid, err = c.start(flags, env, needed, mapIDs, m)
	if err != nil && needed && explain() != "" {
		err = fmt.Errorf("%w: %s", err, explain())
	}
	return pid, m, err
}

// Environment is what a process inside ctr's user namespace gets to know of the
// user outside; containers/storage reads the same variables.
func Environment() []string {
	return []string{
		"_CONTAINERS_USERNS_CONFIGURED=done",
		paths.RootlessUIDEnv + "=" + strconv.Itoa(paths.RootlessUID()),
		"_CONTAINERS_ROOTLESS_GID=" + strconv.Itoa(os.Getgid()),
	}
}

func (c Command) start(flags uintptr, env []string, setids, mapIDs bool, m Map) (int, error) {
	release, releaseWrite, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("starting %s: %w", c.Args[0], err)
	}
	defer release.Close()
	defer releaseWrite.Close()
	reportRead, reportWrite, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("starting %s: %w", c.Args[0], err)
	}
	defer reportRead.Close()
	defer reportWrite.Close()

	cloned := make(chan error, 1)
	go func() {
		cloned <- c.clone(flags, env, setids, release, releaseWrite, reportWrite)
		reportWrite.Close()
	}()
	stage, pid := readReport(reportRead)
	if stage != C.CTR_STARTED {
		return 0, <-cloned
	}
	if mapIDs {
		err = m.write(pid)
	}
	if err == nil {
		releaseWrite.Write([]byte{1})
	}
	releaseWrite.Close() // without the byte the child gives up
	stage, errno := readReport(reportRead)
	<-cloned
	if stage == 0 {
		return pid, nil
	}
	syscall.Wait4(pid, nil, 0, nil)
	if err == nil {
		err = stageError(stage, syscall.Errno(errno), c.Args[0])
	}
	return 0, err
}

func (c Command) clone(flags uintptr, env []string, setids bool, release, releaseWrite, report *os.File) error {
	join := -1
	if c.Join != nil {
		join = int(c.Join.Fd())
	}
	files := make([]C.int, len(c.Files)+1)
	for i, f := range c.Files {
		files[i] = C.int(f.Fd())
	}
	var arena cArena
	defer arena.free()
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&files[0])
	s := C.struct_ctr_spawn{
		flags: C.ulong(flags), join: C.int(join), setids: cBool(setids), setsid: cBool(c.Setsid),
		release: C.int(release.Fd()), release_write: C.int(releaseWrite.Fd()), report: C.int(report.Fd()),
		files: &files[0], nfiles: C.int(len(c.Files)),
		path: arena.str("/proc/self/exe"), argv: arena.strs(c.Args), envp: arena.strs(env),
	}
	ret := C.ctr_spawn(&s)
	runtime.KeepAlive(c.Files)
	runtime.KeepAlive(c.Join)
	if ret < 0 {
		return fmt.Errorf("creating namespaces: %w", syscall.Errno(-ret))
	}
	return nil
}

// readReport reads one message of the child; stage 0 is the end, which a successful
// execve brings about.
func readReport(r io.Reader) (stage uint32, value int) {
	var msg [8]byte
	if n, _ := io.ReadFull(r, msg[:]); n < len(msg) {
		return 0, 0
	}
	return binary.NativeEndian.Uint32(msg[:]), int(int32(binary.NativeEndian.Uint32(msg[4:])))
}

func stageError(stage uint32, errno syscall.Errno, name string) error {
	switch stage {
	case C.CTR_JOIN:
		return fmt.Errorf("entering the user namespace: %w", errno)
	case C.CTR_IDS:
		return fmt.Errorf("becoming root in the user namespace: %w", errno)
	case C.CTR_MOUNTS:
		return fmt.Errorf("taking mounts private in the new namespace: %w", errno)
	case C.CTR_FILES:
		return fmt.Errorf("passing files to %s: %w", name, errno)
	}
	return fmt.Errorf("executing %s: %w", name, errno)
}

// Reexec runs this same command line again inside the namespaces when that is
// needed, passing signals on, and reports done with the exit code to end with.
// Within them, or as root, it returns done=false at once and the caller goes on.
func Reexec() (code int, done bool, err error) {
	if !Needed() {
		return 0, false, nil
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals)
	defer signal.Stop(signals)
	pid, _, err := Command{Args: os.Args, Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}}.Spawn()
	if err != nil {
		return 0, true, err
	}
	go func() {
		for s := range signals {
			if s != syscall.SIGCHLD && s != syscall.SIGURG && s != syscall.SIGPIPE {
				syscall.Kill(pid, s.(syscall.Signal))
			}
		}
	}()
	var ws syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &ws, 0, nil); err != syscall.EINTR {
			break
		}
	}
	if ws.Signaled() {
		return 128 + int(ws.Signal()), true, nil
	}
	return ws.ExitStatus(), true, nil
}

// explain names the setting of this machine that forbids user namespaces, or "".
func explain() string {
	read := func(name string) string {
		b, _ := os.ReadFile("/proc/sys/" + name)
		return strings.TrimSpace(string(b))
	}
	switch {
	case read("user/max_user_namespaces") == "0":
		return "this machine allows no user namespaces; run as root: sysctl user.max_user_namespaces=15000"
	case read("kernel/unprivileged_userns_clone") == "0":
		return "this kernel forbids user namespaces to ordinary users; run as root: sysctl kernel.unprivileged_userns_clone=1"
	case read("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "AppArmor forbids user namespaces to programs without a profile; install ctr's (docs/install.md) or run as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
	}
	return ""
}

// cArena holds C strings until the child has its own copy of them.
type cArena struct{ ptrs []unsafe.Pointer }

func (a *cArena) str(s string) *C.char {
	p := C.CString(s)
	a.ptrs = append(a.ptrs, unsafe.Pointer(p))
	return p
}

func (a *cArena) strs(list []string) **C.char {
	size := C.size_t(unsafe.Sizeof((*C.char)(nil)))
	p := C.malloc(C.size_t(len(list)+1) * size)
	a.ptrs = append(a.ptrs, p)
	array := unsafe.Slice((**C.char)(p), len(list)+1)
	for i, s := range list {
		array[i] = a.str(s)
	}
	array[len(list)] = nil
	return (**C.char)(p)
}

func (a *cArena) free() {
	for _, p := range a.ptrs {
		C.free(p)
	}
}

func cBool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
