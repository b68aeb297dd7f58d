package oci

import "C" // for guard.c

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// guard is a small process that kills a container when this process dies. A
// parent-death signal, which needs no process, is not enough: the kernel drops it
// when the container's first process changes its user or executes a set-user-ID
// program, and runtime programs do not set one. Its program is a C constructor,
// guard.c, which runs in place of the Go runtime: the waiting process has only a
// few pages of its own.
type guard struct {
	pipe *os.File // closed by this process's death, or by stop
	cmd  *exec.Cmd
}

// startGuard starts a guard. Until watch names the process, it will look for its
// number in pidFile.
func startGuard(pidFile string) (*guard, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting the guard: %w", err)
	}
	defer read.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{"ctr-guard"}
	cmd.Env = []string{"_CTR_GUARD=" + pidFile}
	cmd.ExtraFiles = []*os.File{read}
	// Of its own session, so that a closing terminal does not end it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	if err := cmd.Start(); err != nil {
		write.Close()
		return nil, fmt.Errorf("starting the guard: %w", err)
	}
	return &guard{pipe: write, cmd: cmd}, nil
}

// watch names the process to kill.
func (g *guard) watch(pid int) { _, _ = g.pipe.WriteString(strconv.Itoa(pid)) }

// stop ends the guard; the container lives on. Idempotent.
func (g *guard) stop() {
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
	g.pipe.Close()
}

// guardDelay is how long a container must have lived to get a guard besides its
// parent-death signal. Most that are run for one command never do.
const guardDelay = 100 * time.Millisecond

// guardLater gives c a guard for the rest of its life.
func guardLater(c *child) {
	select {
	case <-c.done:
		return
	case <-time.After(guardDelay):
	}
	g, err := startGuard("")
	if err != nil {
		return // the parent-death signal is there
	}
	g.watch(c.pid)
	<-c.done
	g.stop()
}
