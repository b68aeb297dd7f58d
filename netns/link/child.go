package link

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is a running program.
type child struct {
	name   string
	pid    int
	cmd    *exec.Cmd
	killed atomic.Bool
	done   chan struct{} // closed once it is reaped; err is set then
	err    error
	output excerpt
}

// spawn runs cmd as a helper that is killed when this process dies.
func spawn(name string, cmd *exec.Cmd) (*child, error) {
	p := &child{name: name, cmd: cmd, done: make(chan struct{})}
	cmd.Stderr = &p.output
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.WaitDelay = time.Second // should a child of the helper keep its standard error
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	// A session of its own, so that a ctrl-C meant for the container does not end its network.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting network helper %s: %w", name, err)
	}
	return p, nil
}

// run starts and reaps the process on one thread that does nothing else and ends
// with it: the kernel sends the death signal when the thread that forked ends.
func (p *child) run(started chan<- error) {
	runtime.LockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = p.cmd.Process.Pid
	started <- nil
	p.err = p.cmd.Wait()
	close(p.done)
}

// giveUp takes from what this thread executes every capability but the ones to keep
// that uid 0 would give it.
func giveUp(keep []int) error {
	for c := 0; c <= unix.CAP_LAST_CAP; c++ {
		if slices.Contains(keep, c) {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: older kernels have fewer
			return fmt.Errorf("dropping capabilities: %w", err)
		}
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

func (p *child) kill() {
	p.killed.Store(true)
	p.cmd.Process.Kill() // an error means that it is gone already
}

// failure is why an ended process ended, nil when it was killed by us.
func (p *child) failure() error {
	if p.killed.Load() {
		return nil
	}
	how := "ended"
	if p.err != nil {
		how = p.err.Error()
	}
	if line := p.output.line(); line != "" {
		how += ": " + line
	}
	return fmt.Errorf("network helper %s: %s", p.name, how)
}

// startReady starts cmd and waits until it writes to the pipe whose writing end is
// put in place by attach, or dies, or ctx ends.
func startReady(ctx context.Context, name string, cmd *exec.Cmd, attach func(w *os.File)) (*child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting network helper %s: %w", name, err)
	}
	defer r.Close()
	attach(w)
	p, err := spawn(name, cmd)
	w.Close()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	if n, _ := r.Read(make([]byte, 64)); n > 0 && ctx.Err() == nil {
		return p, nil
	}
	if ctx.Err() != nil {
		p.kill()
	}
	<-p.done
	if err := p.failure(); err != nil {
		return nil, err
	}
	return nil, context.Cause(ctx)
}

// excerpt keeps the first and the last that a helper wrote: the first line of a
// complaint about an option stands before a long usage text, and the last line of
// a long life says how it ended.
type excerpt struct {
	mu          sync.Mutex
	first, last []byte
}

const excerptSize = 1024 // of each

func (e *excerpt) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := min(len(p), excerptSize-len(e.first))
	e.first = append(e.first, p[:n]...)
	e.last = append(e.last, p[n:]...)
	if extra := len(e.last) - excerptSize; extra > 0 {
		e.last = append(e.last[:0], e.last[extra:]...)
	}
	return len(p), nil
}

// line is what was written, as one line.
func (e *excerpt) line() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	text := string(e.first) + string(e.last)
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
