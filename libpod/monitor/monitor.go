// Package monitor is the process that stays with a container.
//
// There is one per running container. It is born by libpod's Start in the user and
// mount namespace in which the container will live, mounts the root file system
// there, starts the container through an executor as its own child, and then holds
// its streams and log, answers the control socket (wire.go), checks health, restarts,
// and in the end records how the container ended. Killing it kills the container.
//
//	ctr run ─ socketpair ─┐
//	ctr exec, stop, … ────┤ ctl.sock
//	                      └─ monitor ── container's PID 1
//	                            └────── network helper
package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"ctr/libpod/config"
	"ctr/libpod/logs"
	"ctr/libpod/oci"
	"ctr/libpod/state"
	"ctr/storage"
)

// Monitor is the state of this process. Fields above mu are set before the
// container starts and not changed after.
type Monitor struct {
	store  *state.Store
	cfg    *config.Container
	dir    string // the container's run directory
	lock   *os.File
	extra  []*os.File
	exec   oci.Executor
	driver logs.Driver
	stdio  *stdio
	root   *root
	health *healthChecker

	mu           sync.Mutex
	container    oci.Container // nil between runs
	record       state.Record
	runs         int           // how many times the process was started
	stopped      bool          // by the user: no restart
	wake         chan struct{} // closed by a stop, ends a back-off
	runEnded     chan struct{} // closed when the present run has ended
	lastExit     state.Exit
	done         chan struct{} // closed when the end is on disk
	connections  sync.WaitGroup
	stopListener func()
	resting      *time.Timer // see rest
	trash        string      // what is left of a container that was removed
}

// live starts the container, stays with it to its end and records that.
func (m *Monitor) live(conn *Conn, req Request) int {
	first := &client{conn: conn, attach: req.Attach}
	err := m.prepare()
	if err == nil {
		m.stdio.add(first)
		err = m.listen()
	}
	if err == nil {
		err = m.start(conn)
	}
	if err != nil {
		m.finish(m.neverRan(err))
		refuse(conn, err)
		m.clearTrash()
		return 1
	}
	m.connections.Add(1)
	go func() { defer m.connections.Done(); m.relay(first) }()
	m.lock.Close()
	go m.followLinks()
	m.rest()
	var exit state.Exit
	for {
		exit = m.wait()
		delay, again := m.restartAfter(exit)
		if !again {
			break
		}
		if err := m.restart(exit, delay); err != nil {
			exit.Error = err.Error()
			break
		}
	}
	m.finish(exit)
	m.farewell(exit)
	return 0
}

// neverRan is the record of a container that could not be started.
func (m *Monitor) neverRan(err error) state.Exit {
	code := 128
	switch {
	case errors.Is(err, oci.ErrNotFound):
		code = 127
	case errors.Is(err, oci.ErrNotExecutable):
		code = 126
	}
	return state.Exit{Code: code, Error: err.Error(), FinishedAt: time.Now()}
}

// start runs the container's process and says so to conn, when there is one; output
// may reach the client before that.
func (m *Monitor) start(conn *Conn) error {
	p, err := m.stdio.open(m.extra)
	if err != nil {
		return err
	}
	run, err := m.create(p)
	if err != nil {
		p.close()
		return err
	}
	p.started()
	if err := m.root.connected(); err != nil {
		run.kill()
		p.close()
		return err
	}
	m.mu.Lock()
	m.record.Network = m.root.network()
	err = m.store.WriteRecord(m.cfg.ID, m.record)
	m.mu.Unlock()
	if err != nil {
		run.kill()
		p.close()
		return err
	}
	if err := run.container.Start(context.Background()); err != nil {
		run.kill()
		m.stdio.drain(p)
		return err
	}
	if conn != nil {
		// a client that died is no reason to stop
		_ = conn.SendJSON(KindReply, Reply{Pid: run.container.Pid(), Notices: m.root.notices})
	}
	m.store.Log(m.event("start", nil))
	go m.follow(run, p)
	m.health.begin(m)
	return nil
}

// run is one run of the container's process.
type run struct {
	container oci.Container
	dir       string
	started   time.Time
	timer     *time.Timer // --timeout
	ended     chan struct{}
}

func (r *run) kill() {
	_ = r.container.Signal(syscall.SIGKILL, true)
	_ = r.container.Delete()
	os.RemoveAll(r.dir)
}

// create builds the container up to its process and puts it on record, so that
// nothing ever runs of which there is no record.
func (m *Monitor) create(p *pipes) (*run, error) {
	m.mu.Lock()
	n := m.runs
	m.runs++
	m.mu.Unlock()
	r := &run{dir: fmt.Sprintf("%s/oci%d", m.dir, n), ended: make(chan struct{})}
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the executor's directory: %w", err)
	}
	s, err := m.root.spec()
	if err != nil {
		return nil, err
	}
	r.container, err = m.exec.Create(context.Background(), m.cfg.ID, r.dir, s, p.io)
	if err != nil {
		os.RemoveAll(r.dir)
		return nil, err
	}
	r.started = time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.container, m.runEnded = r.container, r.ended
	m.record = state.Record{
		Boot: state.BootID(), Monitor: state.ThisProcess(), Container: state.ProcessOf(r.container.Pid()),
		Status: state.Running, StartedAt: r.started, RestartCount: n,
		Driver: m.root.driver, Network: m.root.network(),
	}
	err = m.store.WriteRecord(m.cfg.ID, m.record)
	if err == nil && m.cfg.PidFile != "" {
		err = os.WriteFile(m.cfg.PidFile, []byte(strconv.Itoa(r.container.Pid())), 0o644)
	}
	if err != nil {
		r.kill()
		return nil, err
	}
	if m.cfg.Timeout > 0 {
		r.timer = time.AfterFunc(m.cfg.Timeout, func() { _ = r.container.Signal(syscall.SIGKILL, true) })
	}
	return r, nil
}

// follow waits for one run's end, collects its output and closes r.ended.
func (m *Monitor) follow(r *run, p *pipes) {
	e, err := r.container.Wait()
	exit := state.Exit{Code: e.Code, StartedAt: r.started, FinishedAt: time.Now()}
	if e.Signal != 0 {
		exit.Signal = e.Signal.String()
	}
	if err != nil {
		exit.Unknown, exit.Code, exit.Error = true, state.UnknownCode, "exit status unknown: "+err.Error()
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	m.health.end()
	m.stdio.drain(p)
	r.kill()
	m.mu.Lock()
	exit.RestartCount = m.record.RestartCount
	exit.Stopped = m.stopped
	m.lastExit, m.container = exit, nil
	m.mu.Unlock()
	m.store.Log(m.event("die", map[string]string{
		"exitCode":     strconv.Itoa(exit.Code),
		"execDuration": strconv.Itoa(int(exit.FinishedAt.Sub(r.started).Seconds())),
	}))
	close(r.ended)
}

// wait blocks until the present run has ended.
func (m *Monitor) wait() state.Exit {
	m.mu.Lock()
	ended := m.runEnded
	m.mu.Unlock()
	<-ended
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lastExit
}

// finish records the end. After it, the next command sees the container as ended,
// or with --rm not at all: it vanishes in one step while it still counts as running,
// so nobody can start it in between.
func (m *Monitor) finish(exit state.Exit) {
	if m.stopListener != nil {
		m.stopListener()
	}
	if m.driver != nil {
		_ = m.driver.Close()
	}
	if m.root != nil {
		m.root.close()
	}
	var err error
	if m.cfg.AutoRemove {
		m.trash, err = m.remove()
	} else {
		err = m.store.WriteExit(m.cfg.ID, exit, true)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.RemoveAll(m.dir)
	m.lock.Close()
	close(m.done)
}

// farewell sends the exit status to everyone who waits and lets them go. What is left
// of a container that was removed is cleared away after that: nobody sees it any more.
func (m *Monitor) farewell(exit state.Exit) {
	b, _ := json.Marshal(exit)
	for _, c := range m.stdio.clientsNow() {
		_ = c.conn.Send(KindExit, b)
		c.conn.Close()
	}
	m.clearTrash()
	gone := make(chan struct{})
	go func() { m.connections.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-time.After(time.Second):
	}
}

func (m *Monitor) clearTrash() {
	if m.trash == "" {
		return
	}
	if err := storage.RemoveTree(m.trash); err != nil {
		fmt.Fprintln(os.Stderr, err) // the next command that changes something tries again
	}
}

// event is an event of this container with Docker's attributes.
func (m *Monitor) event(action string, more map[string]string) state.Event {
	return ContainerEvent(m.cfg, action, more)
}

// ContainerEvent is an event of container c with the attributes that Docker gives it.
func ContainerEvent(c *config.Container, action string, more map[string]string) state.Event {
	attrs := map[string]string{"name": c.Name, "image": c.Image.Name}
	for _, m := range []map[string]string{c.Labels, more} {
		for k, v := range m {
			attrs[k] = v
		}
	}
	return state.Event{Type: "container", Action: action, ID: c.ID, Attributes: attrs}
}
