package monitor

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ctr/libpod/config"
	"ctr/libpod/oci"
	"ctr/libpod/state"
)

// listen opens the control socket and serves it until stopListener is called.
func (m *Monitor) listen() error {
	l, err := listen(m.dir)
	if err != nil {
		return err
	}
	m.stopListener = func() { l.Close() }
	go func() {
		for {
			sock, err := l.AcceptUnix()
			if err != nil {
				return
			}
			if !samePeer(sock) {
				sock.Close()
				continue
			}
			m.connections.Add(1)
			go func() {
				defer m.connections.Done()
				m.serve(NewConn(sock))
				m.rest()
			}()
		}
	}()
	return nil
}

// samePeer reports whether the peer is the user whose monitor this is. In the
// user namespace both are uid 0; anybody else's uid is not mapped to it.
func samePeer(sock *net.UnixConn) bool {
	raw, err := sock.SyscallConn()
	if err != nil {
		return false
	}
	same := false
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		same = err == nil && int(cred.Uid) == os.Getuid()
	})
	return err == nil && same
}

// serve answers the one request of a connection.
func (m *Monitor) serve(conn *Conn) {
	defer conn.Close()
	kind, p, err := conn.Receive()
	if err != nil || kind != KindRequest {
		return
	}
	var req Request
	if err := json.Unmarshal(p, &req); err != nil {
		refuse(conn, fmt.Errorf("reading the request: %w", err))
		return
	}
	switch req.Op {
	case OpAttach:
		m.attach(conn, req.Attach)
	case OpWait:
		m.serveWait(conn, req.Next)
	case OpExec:
		m.serveExec(conn, req.Exec)
	default:
		reply, err := m.simple(req)
		if err != nil {
			reply.Error = fault(err)
		}
		_ = conn.SendJSON(KindReply, reply)
	}
}

var errGone = &Fault{Kind: FaultGone, Message: "the container is not running"}

// simple handles the operations that end with their reply.
func (m *Monitor) simple(req Request) (r Reply, err error) {
	if req.Op == OpStop {
		return r, m.stop(req.Stop)
	}
	m.mu.Lock()
	c, status := m.container, m.record.Status
	m.mu.Unlock()
	if c == nil && req.Op == OpSignal {
		m.userStopped()
		return r, nil // between two runs: there will be no next one
	}
	if c == nil {
		return r, errGone
	}
	switch req.Op {
	case OpSignal:
		err := m.kill(c, syscall.Signal(req.Signal))
		if err == nil && req.Signal == int(syscall.SIGKILL) { // as Docker, whose next command may be rm
			m.endsWithin(defaultStopTimeout)
		}
		return r, err
	case OpPause:
		if status == state.Paused {
			return r, &Fault{Kind: FaultPaused, Message: fmt.Sprintf("Container %s is already paused", m.cfg.ID)}
		}
		return r, m.setPaused(c.Pause, state.Paused, "pause")
	case OpResume:
		if status != state.Paused {
			return r, &Fault{Kind: FaultNotPaused, Message: fmt.Sprintf("Container %s is not paused", m.cfg.ID)}
		}
		return r, m.setPaused(c.Resume, state.Running, "unpause")
	case OpPids:
		r.Pids, err = c.Pids()
		return r, err
	case OpConnect, OpDisconnect, OpReload:
		return r, m.rewire(req)
	}
	return r, fmt.Errorf("the monitor does not know the request %q; it was started by another version of ctr", req.Op)
}

// userStopped makes this run the last one and ends a wait for the next.
func (m *Monitor) userStopped() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stopped {
		m.stopped = true
		close(m.wake)
	}
}

// kill sends a signal by the user's wish. One that is meant to end the container
// also ends its restarts, as in Docker.
func (m *Monitor) kill(c oci.Container, sig syscall.Signal) error {
	if sig == syscall.SIGKILL || sig == m.stopSignal() {
		m.userStopped()
	}
	if err := c.Signal(sig, false); err != nil {
		return fmt.Errorf("sending %s: %w", unix.SignalName(sig), err)
	}
	m.thawToDie(c, sig)
	m.store.Log(m.event("kill", map[string]string{"signal": fmt.Sprint(int(sig))}))
	return nil
}

// thawToDie lets a paused container take a SIGKILL, which cgroup v1 holds back.
func (m *Monitor) thawToDie(c oci.Container, sig syscall.Signal) {
	m.mu.Lock()
	paused := m.record.Status == state.Paused
	m.mu.Unlock()
	if paused && sig == syscall.SIGKILL {
		_ = m.setPaused(c.Resume, state.Running, "unpause")
	}
}

func (m *Monitor) setPaused(do func() error, to state.Status, action string) error {
	if err := do(); err != nil {
		return err
	}
	m.mu.Lock()
	m.record.Status = to
	err := m.store.WriteRecord(m.cfg.ID, m.record)
	m.mu.Unlock()
	m.store.Log(m.event(action, nil))
	return err
}

// defaultStopTimeout is Docker's.
const defaultStopTimeout = 10

// stop ends the container and returns when its end is on record.
func (m *Monitor) stop(how *Stop) error {
	if how == nil {
		how = &Stop{Timeout: defaultStopTimeout}
	}
	m.userStopped()
	m.mu.Lock()
	c := m.container
	m.mu.Unlock()
	if c == nil {
		<-m.done
		return nil
	}
	sig := syscall.Signal(how.Signal)
	if sig == 0 {
		sig = m.stopSignal()
	}
	if how.Timeout != 0 {
		if err := c.Signal(sig, false); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("sending %s: %w", unix.SignalName(sig), err)
		}
		m.thawToDie(c, sig)
		if !m.endsWithin(how.Timeout) {
			how.Timeout = 0
		}
	}
	if how.Timeout == 0 {
		if err := c.Signal(syscall.SIGKILL, true); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("sending SIGKILL: %w", err)
		}
		m.thawToDie(c, syscall.SIGKILL)
	}
	<-m.done
	m.store.Log(m.event("stop", nil))
	return nil
}

func (m *Monitor) endsWithin(seconds int) bool {
	var timeout <-chan time.Time
	if seconds > 0 {
		timeout = time.After(time.Duration(seconds) * time.Second)
	}
	select {
	case <-m.done:
		return true
	case <-timeout:
		return false
	}
}

func (m *Monitor) stopSignal() syscall.Signal {
	sig, err := config.ParseSignal(m.cfg.StopSignal)
	if err != nil {
		return syscall.SIGTERM
	}
	return sig
}

// attach relays streams until the client leaves or the container has ended.
func (m *Monitor) attach(conn *Conn, what Attach) {
	c := &client{conn: conn, attach: what}
	m.mu.Lock()
	running := m.container != nil
	m.mu.Unlock()
	if !running {
		refuse(conn, errGone)
		return
	}
	if conn.SendJSON(KindReply, Reply{}) != nil {
		return
	}
	m.stdio.add(c)
	select {
	case <-m.done: // ended while we were joining: farewell may have missed this one
		m.mu.Lock()
		b, _ := json.Marshal(m.lastExit)
		m.mu.Unlock()
		_ = conn.Send(KindExit, b)
	default:
		m.relay(c)
	}
}

// relay passes a client's frames on until it leaves.
func (m *Monitor) relay(c *client) {
	defer m.stdio.remove(c)
	for {
		kind, p, err := c.conn.Receive()
		if err != nil {
			return
		}
		switch {
		case kind == KindStdin && c.attach.Stdin:
			m.stdio.input(p)
		case kind == KindStdinEnd && c.attach.Stdin:
			m.stdio.inputEnd()
		case kind == KindResize && len(p) == 4:
			m.stdio.resize(binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:]))
		case kind == KindSignal && len(p) == 4:
			m.mu.Lock()
			running := m.container
			m.mu.Unlock()
			if running != nil {
				_ = m.kill(running, syscall.Signal(binary.BigEndian.Uint32(p)))
			}
		}
	}
}

// serveWait sends the exit status when the container has ended for good, or with
// next when its present run has.
func (m *Monitor) serveWait(conn *Conn, next bool) {
	if conn.SendJSON(KindReply, Reply{}) != nil {
		return
	}
	ended := m.done
	if next {
		m.mu.Lock()
		ended = m.runEnded
		m.mu.Unlock()
	}
	<-ended
	m.mu.Lock()
	b, _ := json.Marshal(m.lastExit)
	m.mu.Unlock()
	_ = conn.Send(KindExit, b)
}

// serveExec runs a further process and sends its exit status.
func (m *Monitor) serveExec(conn *Conn, e *Exec) {
	files := conn.Files()
	proc, master, err := m.startExec(e, files)
	for _, f := range files {
		f.Close()
	}
	if err != nil {
		refuse(conn, err)
		return
	}
	id := state.NewID()
	m.store.Log(m.event("exec_start", map[string]string{"execID": id}))
	left := m.replyExec(conn, proc.Pid(), e.Detach, master)
	exit, err := proc.Wait()
	end := state.Exit{Code: exit.Code, FinishedAt: time.Now()}
	if err != nil {
		end.Unknown, end.Error = true, err.Error()
	}
	m.store.Log(m.event("exec_die", map[string]string{"execID": id, "exitCode": fmt.Sprint(exit.Code)}))
	if !e.Detach {
		b, _ := json.Marshal(end)
		_ = conn.Send(KindExit, b)
		<-left // what is still in the terminal is the client's to read
	}
}

// replyExec tells the client of the process and hands it the terminal. When the
// client leaves, the monitor reads the terminal itself, so that the process does
// not block on a screen that nobody looks at. The channel is closed when no terminal
// is the client's (any more).
func (m *Monitor) replyExec(conn *Conn, pid int, detach bool, master *os.File) <-chan struct{} {
	left := make(chan struct{})
	var pass []*os.File
	if master != nil && !detach {
		pass = []*os.File{master}
	}
	_ = conn.SendJSON(KindReply, Reply{Pid: pid}, pass...)
	if master == nil {
		close(left)
		return left
	}
	go func() {
		if !detach {
			_, _, _ = conn.Receive() // returns when the client is gone
		}
		close(left)
		discard(master)
	}()
	return left
}

// discard reads f to its end and closes it.
func discard(master *os.File) {
	defer master.Close()
	b := make([]byte, 4096)
	for {
		if _, err := master.Read(b); err != nil {
			return
		}
	}
}

func (m *Monitor) startExec(e *Exec, files []*os.File) (oci.Process, *os.File, error) {
	m.mu.Lock()
	c, status := m.container, m.record.Status
	m.mu.Unlock()
	if c == nil || e == nil || len(e.Args) == 0 {
		return nil, nil, errGone
	}
	if status == state.Paused {
		return nil, nil, &Fault{Kind: FaultPaused, Message: fmt.Sprintf("Container %s is paused, unpause the container before exec", m.cfg.Name)}
	}
	p, err := m.root.execSpec(e)
	if err != nil {
		return nil, nil, err
	}
	var stdio oci.IO
	var master *os.File
	if e.TTY {
		stdio.Extra = files
		stdio.Console = func(f *os.File) {
			if e.Height > 0 {
				unix.IoctlSetWinsize(rawFd(f), unix.TIOCSWINSZ, &unix.Winsize{Row: e.Height, Col: e.Width})
			}
			master = f
		}
	} else if len(files) >= 3 {
		stdio.Stdin, stdio.Stdout, stdio.Stderr, stdio.Extra = files[0], files[1], files[2], files[3:]
	}
	proc, err := c.Exec(context.Background(), p, stdio)
	return proc, master, err
}
