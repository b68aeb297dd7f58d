package monitor

import (
	"fmt"

	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ctr/libpod/logs"
	"ctr/libpod/oci"
)

// stdio carries the container's streams: what it writes goes to the log and to
// every attached client, what clients send goes to its stdin. It outlives restarts
// of the container; the pipes do not.
type stdio struct {
	tty, openStdin, stdinOnce bool
	driver                    logs.Driver

	mu      sync.Mutex
	clients map[*client]bool
	stdin   *os.File // the container's, or the terminal's master
	master  *os.File
	size    *unix.Winsize // the last one a client told
}

// client is an attached connection.
type client struct {
	conn   *Conn
	attach Attach
}

func newStdio(tty, openStdin, stdinOnce bool, driver logs.Driver) *stdio {
	return &stdio{tty: tty, openStdin: openStdin, stdinOnce: stdinOnce, driver: driver, clients: map[*client]bool{}}
}

func (s *stdio) add(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c] = true
}

func (s *stdio) remove(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
}

// pipes are the streams of one run of the container.
type pipes struct {
	io     oci.IO
	theirs []*os.File // closed once the container has its copies
	ours   []*os.File
	copies sync.WaitGroup
}

// open makes the streams for one run.
func (s *stdio) open(extra []*os.File) (*pipes, error) {
	p := &pipes{io: oci.IO{Extra: extra}}
	if s.tty {
		p.io.Console = func(master *os.File) { s.attachMaster(p, master) }
		return p, nil
	}
	if s.openStdin {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("making the container's stdin: %w", err)
		}
		p.io.Stdin, p.theirs = r, append(p.theirs, r)
		s.mu.Lock()
		s.stdin = w
		s.mu.Unlock()
	}
	for _, out := range []struct {
		to     **os.File
		stream logs.Stream
		kind   Kind
	}{{&p.io.Stdout, logs.Stdout, KindStdout}, {&p.io.Stderr, logs.Stderr, KindStderr}} {
		r, w, err := os.Pipe()
		if err != nil {
			p.close()
			return nil, fmt.Errorf("making the container's %v: %w", out.stream, err)
		}
		*out.to = w
		p.theirs, p.ours = append(p.theirs, w), append(p.ours, r)
		s.copy(p, r, out.stream, out.kind)
	}
	return p, nil
}

func (s *stdio) attachMaster(p *pipes, master *os.File) {
	s.mu.Lock()
	s.stdin, s.master = master, master
	if s.size != nil {
		unix.IoctlSetWinsize(rawFd(master), unix.TIOCSWINSZ, s.size)
	}
	s.mu.Unlock()
	p.ours = append(p.ours, master)
	s.copy(p, master, logs.Stdout, KindStdout)
}

func (s *stdio) copy(p *pipes, r *os.File, stream logs.Stream, kind Kind) {
	p.copies.Add(1)
	go func() {
		defer p.copies.Done()
		// an error is the log's (already counted there) or EIO from a terminal that hung up
		_ = logs.Copy(r, stream, s.driver, func(b []byte) { s.broadcast(kind, b) })
	}()
}

// broadcast passes output on to the attached clients. A client that does not read
// holds the container up, as with any pipe; one that is gone is dropped.
func (s *stdio) broadcast(kind Kind, b []byte) {
	s.mu.Lock()
	var to []*client
	for c := range s.clients {
		if kind == KindStdout && c.attach.Stdout || kind == KindStderr && c.attach.Stderr {
			to = append(to, c)
		}
	}
	s.mu.Unlock()
	for _, c := range to {
		if c.conn.Send(kind, b) != nil {
			s.remove(c)
		}
	}
}

// started closes what the container now has copies of.
func (p *pipes) started() {
	for _, f := range p.theirs {
		f.Close()
	}
	p.theirs = nil
}

// drainTime bounds the wait for output after the container's first process is gone:
// a process that shares the host's pid namespace may hold the pipe for ever.
const drainTime = 2 * time.Second

// drain waits until everything that was written has been logged and passed on.
func (s *stdio) drain(p *pipes) {
	p.started()
	done := make(chan struct{})
	go func() { p.copies.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(drainTime):
	}
	s.mu.Lock()
	if s.stdin != nil && s.stdin != s.master {
		s.stdin.Close()
	}
	s.stdin, s.master = nil, nil
	s.mu.Unlock()
	p.close()
}

func (p *pipes) close() {
	p.started()
	for _, f := range p.ours {
		f.Close()
	}
}

// input writes what a client sent to the container's stdin.
func (s *stdio) input(b []byte) {
	s.mu.Lock()
	w := s.stdin
	s.mu.Unlock()
	if w != nil {
		_, _ = w.Write(b) // a container that does not read its stdin may close it
	}
}

// inputEnd closes the container's stdin, when it was made for one client.
func (s *stdio) inputEnd() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tty || !s.stdinOnce || s.stdin == nil {
		return
	}
	s.stdin.Close()
	s.stdin = nil
}

func (s *stdio) resize(height, width uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size = &unix.Winsize{Row: height, Col: width}
	if s.master != nil {
		unix.IoctlSetWinsize(rawFd(s.master), unix.TIOCSWINSZ, s.size)
	}
}

// clientsNow lists the attached clients.
func (s *stdio) clientsNow() []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*client, 0, len(s.clients))
	for c := range s.clients {
		list = append(list, c)
	}
	return list
}
