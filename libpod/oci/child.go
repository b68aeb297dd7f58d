package oci

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is a process that this process must reap: a container's first one or an
// exec'd one. Its pid is never signalled after it has been reaped.
type child struct {
	pid  int
	comm []byte // the name of a process that has not executed its program yet

	done chan struct{} // closed when the fields below are final
	exit Exit
	err  error
	stay bool // it ended without ever having executed its program

	// mu is held for writing over reaping and for reading by whoever needs the pid
	// to stay this process's.
	mu     sync.RWMutex
	reaped bool
}

// adopt starts to wait for process pid, which is a child of this process or has
// been reparented to it. first is the container's first process; nil says that pid
// is that, still waiting to be told to execute its program.
func adopt(pid int, first *child) *child {
	remember(pid)
	c := &child{pid: pid, done: make(chan struct{})}
	if first == nil {
		c.comm = comm(pid)
	} else {
		c.comm = first.comm
	}
	go c.reap()
	return c
}

func (c *child) reap() {
	defer close(c.done)
	if err := waitWithoutReaping(c.pid); err != nil {
		c.err = fmt.Errorf("waiting for process %d: %w", c.pid, err)
		return
	}
	// A zombie still has its name, and execve is what changes it.
	last := comm(c.pid)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer forget(c.pid)
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(c.pid, &status, 0, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			c.err = fmt.Errorf("reaping process %d: %w", c.pid, err)
			return
		}
	}
	c.reaped = true
	c.exit = exitOf(status)
	c.stay = len(c.comm) > 0 && bytes.Equal(c.comm, last)
}

func waitWithoutReaping(pid int) error {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err
		}
	}
}

// exitOf decodes a wait status as a shell does.
func exitOf(status unix.WaitStatus) Exit {
	if status.Signaled() {
		return Exit{Code: 128 + int(status.Signal()), Signal: status.Signal()}
	}
	return Exit{Code: status.ExitStatus()}
}

// comm is the process's name, empty when it is gone.
func comm(pid int) []byte {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	return b
}

func (c *child) Pid() int { return c.pid }

func (c *child) Wait() (Exit, error) {
	<-c.done
	return c.exit, c.err
}

// Signal sends sig. A process that is gone is [os.ErrProcessDone].
func (c *child) Signal(sig syscall.Signal) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.reaped {
		return os.ErrProcessDone
	}
	if err := unix.Kill(c.pid, sig); err != nil {
		return fmt.Errorf("sending %s to process %d: %w", unix.SignalName(sig), c.pid, err)
	}
	return nil
}

// alive reports whether the process has not been reaped yet.
func (c *child) alive() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return !c.reaped
}

// hold keeps the process from being reaped, so that its pid cannot become another
// process's, until release is called.
func (c *child) hold() (release func(), err error) {
	c.mu.RLock()
	if c.reaped {
		c.mu.RUnlock()
		return nil, os.ErrProcessDone
	}
	return c.mu.RUnlock, nil
}

// execPatience bounds how long executed looks for a process that changed its name:
// far longer than execve takes, and reached only by a program that happens to have
// the runtime's own name.
const execPatience = time.Second

// executed waits until the process, just released to execute program, has done so,
// and returns the error when the kernel refused. The runtimes report that to nobody
// but the process's own standard error, because their channels are closed by then.
func (c *child) executed(program string) error {
	pause := 20 * time.Microsecond
	for deadline := time.Now().Add(execPatience); time.Now().Before(deadline); pause = min(2*pause, 5*time.Millisecond) {
		if now := comm(c.pid); len(now) > 0 && !bytes.Equal(now, c.comm) {
			return nil
		}
		select {
		case <-c.done:
			if c.stay && c.exit.Signal == 0 && c.exit.Code != 0 {
				return &execError{fmt.Sprintf("exec: %q: exec format error or missing interpreter", program), ErrNotExecutable}
			}
			return nil
		case <-time.After(pause):
		}
	}
	return nil
}
