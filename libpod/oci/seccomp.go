package oci

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"unsafe"

	"github.com/opencontainers/runc/libcontainer/configs"
	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"ctr/libpod/oci/bpf"
)

// libcontainer would compile a seccomp profile with libseccomp in each process that
// it starts, which takes longer than all the rest. Instead the profile is compiled
// once, here, and each process gets the program as one more open file, the last of
// those that are passed on; libcontainer is left with an empty profile, and at the
// moment when it is about to load that, the process loads the program first.

// filterMagic begins that file, before the program's instructions.
const filterMagic = "ctr-seccomp-1\x00\x00\x00"

// loadingMessage is the beginning of what libcontainer logs right before it loads a
// profile. It is how a process learns that the moment has come; checkFilters, and
// the suite's seccomp test, notice when it is not logged any more.
const loadingMessage = "seccomp filter flags"

// compileFilter replaces cfg's profile by a program in a file, which the caller
// closes. The file is nil when the profile has to stay libcontainer's.
func compileFilter(cfg *configs.Config, profile *rspec.LinuxSeccomp) (*os.File, error) {
	if cfg.Seccomp == nil || !loadable(profile) {
		return nil, nil
	}
	program, err := bpf.Compile(profile)
	var unsupported bpf.Unsupported
	if errors.As(err, &unsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("seccomp", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("passing the seccomp filter: %w", err)
	}
	file := os.NewFile(uintptr(fd), "seccomp")
	size := len(program) * int(unsafe.Sizeof(program[0]))
	data := append([]byte(filterMagic), unsafe.Slice((*byte)(unsafe.Pointer(&program[0])), size)...)
	if _, err := file.Write(data); err != nil {
		file.Close()
		return nil, fmt.Errorf("passing the seccomp filter: %w", err)
	}
	// A container that may trace can reach the descriptor while a process joins it,
	// and this file is also the filter of those that join later.
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE); err != nil {
		file.Close()
		return nil, fmt.Errorf("sealing the seccomp filter: %w", err)
	}
	cfg.Seccomp = &configs.Seccomp{DefaultAction: configs.Allow}
	return file, nil
}

// loadable reports whether under profile, once loaded, libcontainer can still load
// its own empty one, and whether its flags are the default ones.
func loadable(profile *rspec.LinuxSeccomp) bool {
	if profile.Flags != nil || profile.ListenerPath != "" {
		return false
	}
	if profile.DefaultAction == rspec.ActAllow {
		return !mentions(profile, "seccomp", "prctl")
	}
	allowed := 0
	for _, group := range profile.Syscalls {
		if group.Action != rspec.ActAllow || len(group.Args) > 0 {
			continue
		}
		for _, name := range []string{"seccomp", "prctl"} {
			if slices.Contains(group.Names, name) {
				allowed++
			}
		}
	}
	return allowed >= 2
}

func mentions(profile *rspec.LinuxSeccomp, names ...string) bool {
	for _, group := range profile.Syscalls {
		for _, name := range names {
			if slices.Contains(group.Names, name) {
				return true
			}
		}
	}
	return false
}

// checkFilters fails when process pid, which is about to execute its program, has
// not loaded the program besides libcontainer's empty profile. A kernel older than
// 5.9 does not tell.
func checkFilters(pid int) error {
	got, ok := filters(strconv.Itoa(pid))
	own, _ := filters("self")
	if ok && got-own < 2 {
		return errors.New("the seccomp filter was not loaded")
	}
	return nil
}

// filters is how many seccomp programs a process is under.
func filters(pid string) (n int, ok bool) {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, false
	}
	_, after, ok := bytes.Cut(status, []byte("\nSeccomp_filters:\t"))
	if !ok {
		return 0, false
	}
	text, _, _ := bytes.Cut(after, []byte("\n"))
	n, err = strconv.Atoi(string(text))
	return n, err == nil
}

// filterHook is the other side: a log hook in the process that is to be filtered.
type filterHook struct{ program []unix.SockFilter }

// hookFilter arranges for the program in the last passed file to be loaded, when
// there is one. before is the number of the descriptor after it.
func hookFilter(before int) {
	fd := before - 1
	magic := make([]byte, len(filterMagic))
	if n, err := unix.Pread(fd, magic, 0); err != nil || n != len(magic) || string(magic) != filterMagic {
		return
	}
	unix.CloseOnExec(fd)
	program := make([]unix.SockFilter, unix.BPF_MAXINSNS)
	size := int(unsafe.Sizeof(program[0]))
	n, err := unix.Pread(fd, unsafe.Slice((*byte)(unsafe.Pointer(&program[0])), len(program)*size), int64(len(magic)))
	if err != nil || n < size {
		return // the empty profile alone is then noticed by checkFilters
	}
	logrus.SetLevel(logrus.DebugLevel)
	logrus.AddHook(&filterHook{program[:n/size]})
}

func (*filterHook) Levels() []logrus.Level { return []logrus.Level{logrus.DebugLevel} }

// Fire loads the program. It panics when it cannot: libcontainer passes a panic of
// its initialization on to the parent, and does not execute anything.
func (h *filterHook) Fire(entry *logrus.Entry) error {
	// nobody reads what this level says, and a failing init says some of it after it
	// has closed its log, of which logrus complains on the container's standard error
	logrus.SetOutput(io.Discard)
	if len(entry.Message) < len(loadingMessage) || entry.Message[:len(loadingMessage)] != loadingMessage {
		return nil
	}
	prog := unix.SockFprog{Len: uint16(len(h.program)), Filter: &h.program[0]}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		panic(fmt.Errorf("loading the seccomp filter: %w", errno))
	}
	return nil
}
