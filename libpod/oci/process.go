package oci

import (
	"errors"
	"fmt"
	"sync"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// checkProcess refuses what no runtime could start.
func checkProcess(p *rspec.Process) error {
	switch {
	case p == nil || len(p.Args) == 0:
		return errors.New("no command to run")
	case p.Cwd == "" || p.Cwd[0] != '/':
		return fmt.Errorf("working directory %q is not an absolute path", p.Cwd)
	}
	return nil
}

// libcontainerProcess is p in libcontainer's terms, without its streams.
func libcontainerProcess(p *rspec.Process) (*libcontainer.Process, error) {
	lp := &libcontainer.Process{
		Args:            p.Args,
		Env:             p.Env,
		UID:             int(p.User.UID),
		GID:             int(p.User.GID),
		Cwd:             p.Cwd,
		Label:           p.SelinuxLabel,
		NoNewPrivileges: &p.NoNewPrivileges,
		AppArmorProfile: p.ApparmorProfile,
		Scheduler:       p.Scheduler,
		IOPriority:      p.IOPriority,
	}
	for _, gid := range p.User.AdditionalGids {
		lp.AdditionalGroups = append(lp.AdditionalGroups, int(gid))
	}
	if size := p.ConsoleSize; size != nil {
		lp.ConsoleWidth, lp.ConsoleHeight = uint16(size.Width), uint16(size.Height)
	}
	if caps := p.Capabilities; caps != nil {
		lp.Capabilities = &configs.Capabilities{
			Bounding: caps.Bounding, Effective: caps.Effective, Inheritable: caps.Inheritable,
			Permitted: caps.Permitted, Ambient: caps.Ambient,
		}
	}
	for _, limit := range p.Rlimits {
		kind, err := rlimit(limit.Type)
		if err != nil {
			return nil, err
		}
		lp.Rlimits = append(lp.Rlimits, configs.Rlimit{Type: kind, Hard: limit.Hard, Soft: limit.Soft})
	}
	return lp, nil
}

// connect gives the process its streams. A nil *os.File must not become a non-nil
// io.Reader, or os/exec would try to copy from it.
func connect(lp *libcontainer.Process, stdio IO) {
	if stdio.Stdin != nil {
		lp.Stdin = stdio.Stdin
	}
	if stdio.Stdout != nil {
		lp.Stdout = stdio.Stdout
	}
	if stdio.Stderr != nil {
		lp.Stderr = stdio.Stderr
	}
}

func rlimit(name string) (int, error) {
	switch name {
	case "RLIMIT_AS":
		return unix.RLIMIT_AS, nil
	case "RLIMIT_CORE":
		return unix.RLIMIT_CORE, nil
	case "RLIMIT_CPU":
		return unix.RLIMIT_CPU, nil
	case "RLIMIT_DATA":
		return unix.RLIMIT_DATA, nil
	case "RLIMIT_FSIZE":
		return unix.RLIMIT_FSIZE, nil
	case "RLIMIT_LOCKS":
		return unix.RLIMIT_LOCKS, nil
	case "RLIMIT_MEMLOCK":
		return unix.RLIMIT_MEMLOCK, nil
	case "RLIMIT_MSGQUEUE":
		return unix.RLIMIT_MSGQUEUE, nil
	case "RLIMIT_NICE":
		return unix.RLIMIT_NICE, nil
	case "RLIMIT_NOFILE":
		return unix.RLIMIT_NOFILE, nil
	case "RLIMIT_NPROC":
		return unix.RLIMIT_NPROC, nil
	case "RLIMIT_RSS":
		return unix.RLIMIT_RSS, nil
	case "RLIMIT_RTPRIO":
		return unix.RLIMIT_RTPRIO, nil
	case "RLIMIT_RTTIME":
		return unix.RLIMIT_RTTIME, nil
	case "RLIMIT_SIGPENDING":
		return unix.RLIMIT_SIGPENDING, nil
	case "RLIMIT_STACK":
		return unix.RLIMIT_STACK, nil
	}
	return 0, fmt.Errorf("unknown resource limit %q", name)
}

// children is the set of a container's exec'd processes that are alive.
type children struct {
	mu    sync.Mutex
	alive map[*child]struct{}
}

// add keeps p until it is gone.
func (s *children) add(p *child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alive == nil {
		s.alive = map[*child]struct{}{}
	}
	s.alive[p] = struct{}{}
	go func() {
		<-p.done
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.alive, p)
	}()
}

// with lists the pids of the set and of first, those that are alive.
func (s *children) with(first *child) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pids []int
	if first.alive() {
		pids = append(pids, first.pid)
	}
	for p := range s.alive {
		pids = append(pids, p.pid)
	}
	return pids
}

var _ Process = (*child)(nil)

// freezer knows whether a container is paused. A process that was started into a
// frozen cgroup would never get as far as its starter waits for.
type freezer struct {
	mu     sync.RWMutex
	frozen bool
}

// set does what pauses or resumes the container when no process is being started.
func (f *freezer) set(frozen bool, do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := do()
	if err == nil {
		f.frozen = frozen
	}
	return err
}

func (f *freezer) paused() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.frozen
}

// running keeps the container from being paused until release is called.
func (f *freezer) running() (release func(), err error) {
	f.mu.RLock()
	if f.frozen {
		f.mu.RUnlock()
		return nil, ErrPaused
	}
	return f.mu.RUnlock, nil
}
