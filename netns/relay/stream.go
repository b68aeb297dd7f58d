package relay

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"ctr/netns/splice"
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

// couple copies both ways between a and b until both have ended or one has failed, and
// closes both. An end of one is passed on to the other, and so is a failure: as a reset.
func couple(a, b *stream, pipes *splice.Pipes) {
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
func carry(dst, src *stream, pipes *splice.Pipes) error {
	if err := pipes.Pump(dst.raw, src.raw); err != nil {
		return err
	}
	return dst.closeWrite()
}

func (s *stream) closeWrite() (err error) {
	controlled := s.raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) })
	return errors.Join(controlled, err)
}
