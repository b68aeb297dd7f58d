// Package splice moves what one socket receives to another inside the kernel, through
// pipes, see splice(2). A connection holds a pipe only while bytes are under way, so
// that idle ones have none.
package splice

import (
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Pipes are the pipes of a process that relays connections. Its methods may be called
// by many goroutines. What the pipes of one user may hold together is limited
// (pipe-user-pages-soft in pipe(7), usually 64 MiB), and past that every new pipe of
// the user's is a tiny one: so there are bounds, and who gets no pipe copies.
type Pipes struct {
	Most  int // that exist at a time
	Large int // of them have room for 1 MiB, which is faster by a quarter
	Spare int // are kept for the next, for a second

	mu     sync.Mutex
	idle   []*pipe
	exist  int
	larges int
	rest   *time.Timer // to the end of that second
}

const (
	largeSize = 1 << 20 // bytes
	copySize  = 32 << 10
)

// Pump moves what from receives to to, until from's other side ends, which is nil, or
// one of them fails. The sockets do not block, and Go's runtime waits for them.
func (s *Pipes) Pump(to, from syscall.RawConn) error {
	for {
		p, n, err := s.fill(from)
		if n == 0 {
			return err
		}
		if err := p.drain(to, n); err != nil {
			s.drop(p)
			return err
		}
		s.give(p)
	}
}

// Close closes the pipes that are kept for the next. Idempotent; a Pump that still
// runs may leave some again.
func (s *Pipes) Close() {
	s.mu.Lock()
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	for _, p := range idle {
		s.drop(p)
	}
}

// fill waits until from has received something, and returns a pipe with n bytes; 0 at the end.
func (s *Pipes) fill(from syscall.RawConn) (p *pipe, n int, err error) {
	failed := from.Read(func(fd uintptr) bool {
		p = s.take()
		if n, err = p.receive(int(fd)); n == 0 {
			s.give(p)
		}
		return err != unix.EAGAIN
	})
	if failed != nil {
		return nil, 0, failed
	}
	return p, n, err
}

// take is an empty pipe, to be given back or dropped.
func (s *Pipes) take() *pipe {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.idle); n > 0 {
		p := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return p
	}
	var fds [2]int
	if s.exist >= s.Most || unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return &pipe{memory: make([]byte, copySize)}
	}
	s.exist++
	p := &pipe{r: fds[0], w: fds[1]}
	if s.larges < s.Large {
		if _, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, largeSize); err == nil {
			p.large = true
			s.larges++
		}
	}
	return p
}

// give takes an empty pipe back.
func (s *Pipes) give(p *pipe) {
	s.mu.Lock()
	keep := p.memory == nil && len(s.idle) < s.Spare
	if keep {
		s.idle = append(s.idle, p)
		if s.rest == nil {
			s.rest = time.AfterFunc(time.Second, s.Close)
		} else {
			s.rest.Reset(time.Second)
		}
	}
	s.mu.Unlock()
	if !keep {
		s.drop(p)
	}
}

// drop closes a pipe, whatever is in it.
func (s *Pipes) drop(p *pipe) {
	if p.memory != nil {
		return
	}
	unix.Close(p.r)
	unix.Close(p.w)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exist--
	if p.large {
		s.larges--
	}
}
