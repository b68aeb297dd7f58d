package relay

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// stream is a connected TCP socket. The Go runtime waits for it, so that connections
// use all processors.
type stream struct {
	file *os.File
	raw  syscall.RawConn
}

// newStream takes over the non-blocking socket fd; it is closed when that fails.
func newStream(fd int) (*stream, error) {
	f := os.NewFile(uintptr(fd), "tcp")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &stream{file: f, raw: raw}, nil
}

func (s *stream) set(level, option, value int) {
	s.raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), level, option, value) })
}

// abort closes the connection with a reset. What another goroutine does with it ends.
func (s *stream) abort() {
	s.raw.Control(func(fd uintptr) { abortive(int(fd)) })
	s.file.Close()
}

// abortive makes the next close a reset.
func abortive(fd int) {
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// hose is a pipe(7) for splice(2): bytes go through it from socket to socket without
// being copied to this process.
type hose struct {
	in, out int
	large   bool
}

// hoses keeps a few empty ones. A connection holds one only while bytes move, so that
// idle connections have no pipe.
type hoses struct {
	mu    sync.Mutex
	idle  []hose
	large int // that exist
}

const (
	idleHoses = 16
	// Large pipes are faster by a quarter, but they count against what the user's
	// pipes may hold together (pipe-user-pages-soft in pipe(7), usually 64 MiB); with
	// that used up, every new pipe of the user's would be a tiny one.
	largeHoses = 16
	largeSize  = 1 << 20
)

func (h *hoses) get() (hose, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.idle); n > 0 {
		pipe := h.idle[n-1]
		h.idle = h.idle[:n-1]
		return pipe, nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return hose{}, fmt.Errorf("creating a pipe: %w", err)
	}
	pipe := hose{in: fds[1], out: fds[0]}
	if h.large < largeHoses {
		if _, err := unix.FcntlInt(uintptr(pipe.in), unix.F_SETPIPE_SZ, largeSize); err == nil {
			pipe.large = true
			h.large++
		}
	}
	return pipe, nil
}

// put takes an empty hose back.
func (h *hoses) put(pipe hose) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.idle) < idleHoses {
		h.idle = append(h.idle, pipe)
		return
	}
	h.drop(pipe)
}

// spill takes back a hose that has something in it.
func (h *hoses) spill(pipe hose) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(pipe)
}

func (h *hoses) drop(pipe hose) {
	if pipe.large {
		h.large--
	}
	unix.Close(pipe.in)
	unix.Close(pipe.out)
}

func (h *hoses) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, pipe := range h.idle {
		h.drop(pipe)
	}
	h.idle = nil
}

// couple copies both ways between a and b until both have ended or one has failed, and
// closes both. An end of one is passed on to the other, and so is a failure: as a reset.
func couple(a, b *stream, pipes *hoses) {
	var both sync.WaitGroup
	one := func(dst, src *stream) {
		if err := carry(dst, src, pipes); err != nil {
			a.abort()
			b.abort()
		}
	}
	both.Go(func() { one(a, b) })
	one(b, a)
	both.Wait()
	a.file.Close()
	b.file.Close()
}

// carry moves bytes until src ends, and then ends that direction of dst.
func carry(dst, src *stream, pipes *hoses) error {
	for {
		pipe, n, err := fill(src, pipes)
		if err != nil {
			return err
		}
		if n == 0 {
			pipes.put(pipe)
			return dst.closeWrite()
		}
		if err := drain(dst, pipe, n); err != nil {
			pipes.spill(pipe)
			return err
		}
		pipes.put(pipe)
	}
}

const spliceFlags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK

// fill waits for src and puts what is there into a pipe; n is 0 at the end.
func fill(src *stream, pipes *hoses) (pipe hose, n int, err error) {
	const most = largeSize
	read := src.raw.Read(func(fd uintptr) bool {
		if pipe, err = pipes.get(); err != nil {
			return true
		}
		for {
			moved, doing := unix.Splice(int(fd), nil, pipe.in, nil, most, spliceFlags)
			if doing == unix.EINTR {
				continue
			}
			if doing != nil {
				pipes.put(pipe)
			}
			n, err = int(moved), doing
			return doing != unix.EAGAIN
		}
	})
	return pipe, n, errors.Join(read, err)
}

// drain waits for dst to take the n bytes that are in the pipe.
func drain(dst *stream, pipe hose, n int) (err error) {
	written := dst.raw.Write(func(fd uintptr) bool {
		for n > 0 {
			moved, doing := unix.Splice(pipe.out, nil, int(fd), nil, n, spliceFlags)
			switch doing {
			case nil:
				n -= int(moved)
			case unix.EINTR:
			case unix.EAGAIN:
				return false
			default:
				err = doing
				return true
			}
		}
		return true
	})
	return errors.Join(written, err)
}

func (s *stream) closeWrite() (err error) {
	controlled := s.raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) })
	return errors.Join(controlled, err)
}
